//! Knows whether something made earlier still fits what it was made from.
//!
//! A stamp is a digest over names and contents, not over times: a fresh checkout of the same files is up to date.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::place::Place;
use crate::problem::{About as _, Outcome};

/// What something is made from.
pub(crate) struct Inputs(Sha256);

impl Inputs {
    pub(crate) fn new() -> Self {
        Self(Sha256::new())
    }

    /// A version, an option, a command.
    pub(crate) fn text(mut self, text: &str) -> Self {
        self.0.update(text.len().to_le_bytes());
        self.0.update(text);
        self
    }

    /// A file, or a folder with all that is in it; nothing where there is neither.
    pub(crate) fn files(mut self, path: &Path) -> Outcome<Self> {
        for file in walk(path)? {
            self.0.update(file.to_string_lossy().as_bytes());
            self.0.update(Sha256::digest(fs::read(&file).about(&file)?));
        }
        Ok(self)
    }

    fn digest(self) -> String {
        hex(&self.0.finalize())
    }
}

/// Makes something unless `output` is there and was made from the same `inputs`. Answers whether it was made.
pub(crate) fn unless_fresh(
    place: &Place,
    name: &str,
    output: &Path,
    inputs: Inputs,
    make: impl FnOnce() -> Outcome<()>,
) -> Outcome<bool> {
    let folder = place.target.join("stamps");
    let stamp = folder.join(name);
    let wanted = inputs.digest();
    if output.exists() && fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(false);
    }
    // An interrupted run must not leave a stamp that promises what is not there.
    let _ = fs::remove_file(&stamp);
    make()?;
    fs::create_dir_all(&folder).about(&folder)?;
    fs::write(&stamp, wanted).about(&stamp)?;
    Ok(true)
}

/// All files under `path`, sorted; what is made or installed from them left out.
pub(crate) fn walk(path: &Path) -> Outcome<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut files = Vec::new();
    if !path.is_dir() {
        return Ok(files);
    }
    for entry in fs::read_dir(path).about(path)? {
        let entry = entry.about(path)?;
        let name = entry.file_name();
        if ["node_modules", "dist", "vendor", ".git"]
            .iter()
            .any(|made| name == *made)
        {
            continue;
        }
        let kind = entry.file_type().about(&entry.path())?;
        if kind.is_dir() {
            files.extend(walk(&entry.path())?);
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
