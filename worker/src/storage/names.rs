//! Images that were given a name.
//!
//! ```text
//! <state>/images/<sha256 of the name>.json    JSON: the name in full, the manifest's digest, when it was given
//! ```
//!
//! A name is the user's wish that the image stays: what it is made of is in use as long as it has the name. Each name
//! is a file of its own that is replaced as a whole, so that it stands for the old image or for the new one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stagewright_core::digest::Digest;

use crate::backend::timestamp;
use crate::source::image::reference::Reference;
use crate::whole_file;

/// A name and its image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NamedImage {
    /// The name in full, `docker.io/library/app:latest`.
    pub name: String,
    /// The manifest's digest.
    pub digest: Digest,
    /// When it was given the name, RFC 3339.
    pub created: String,
}

/// The names that images have in one state folder.
#[derive(Debug, Clone)]
pub struct ImageNames {
    directory: PathBuf,
}

/// A name could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} the image names in {path}: {source}", path = path.display())]
pub struct NamesError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl ImageNames {
    /// The names kept under `state`. Nothing is written before the first name is given.
    pub fn of(state: &Path) -> Self {
        Self {
            directory: state.join("images"),
        }
    }

    /// Gives the image a name, which may have been another's. Only names with a tag are given: one with a digest would
    /// say by itself which image it is.
    pub fn give(&self, name: &Reference, digest: &Digest) -> Result<NamedImage, NamesError> {
        let named = NamedImage {
            name: name.to_string(),
            digest: digest.clone(),
            created: timestamp(),
        };
        let write = || {
            fs::create_dir_all(&self.directory)?;
            whole_file::replace(&self.place(&named.name), &serde_json::to_vec(&named)?)
        };
        write().map_err(|source| self.error("write", source))?;
        Ok(named)
    }

    /// The image of that name.
    pub fn get(&self, name: &Reference) -> Option<NamedImage> {
        read(&self.place(&name.to_string()))
    }

    /// Every name, in order. What cannot be read as a name is none.
    pub fn list(&self) -> Result<Vec<NamedImage>, NamesError> {
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.error("list", error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| self.error("list", error))?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                names.extend(read(&path));
            }
        }
        names.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(names)
    }

    /// Takes a name away. Says whether there was one; the image's parts stay until they are pruned.
    pub fn take(&self, name: &Reference) -> Result<bool, NamesError> {
        match fs::remove_file(self.place(&name.to_string())) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.error("write", error)),
        }
    }

    fn place(&self, name: &str) -> PathBuf {
        self.directory
            .join(format!("{}.json", Digest::of(name.as_bytes()).hex()))
    }

    fn error(&self, action: &'static str, source: io::Error) -> NamesError {
        NamesError {
            action,
            path: self.directory.clone(),
            source,
        }
    }
}

fn read(path: &Path) -> Option<NamedImage> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_name_stands_for_the_image_that_was_given_it_last() {
        let state = tempfile::tempdir().unwrap();
        let names = ImageNames::of(state.path());
        assert_eq!(names.list().unwrap(), []);
        let (app, tool) = ("app".parse().unwrap(), "ghcr.io/a/tool:1".parse().unwrap());
        let (first, second) = (Digest::of(b"1"), Digest::of(b"2"));
        names.give(&app, &first).unwrap();
        names.give(&tool, &first).unwrap();
        names.give(&app, &second).unwrap();
        // What a killed worker left half written is no name.
        fs::write(state.path().join("images/abc.json.new"), "{").unwrap();
        fs::write(state.path().join("images/abc.json"), "{").unwrap();
        let listed: Vec<_> = names.list().unwrap();
        let listed: Vec<_> = listed
            .iter()
            .map(|image| (image.name.as_str(), &image.digest))
            .collect();
        assert_eq!(
            listed,
            [
                ("docker.io/library/app:latest", &second),
                ("ghcr.io/a/tool:1", &first)
            ]
        );
        assert_eq!(names.get(&app).unwrap().digest, second);
        let mode = fs::metadata(names.place("docker.io/library/app:latest"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "for its owner alone, as all small files are");
        assert!(names.take(&app).unwrap());
        assert!(!names.take(&app).unwrap());
        assert_eq!(names.get(&app), None);
    }
}
