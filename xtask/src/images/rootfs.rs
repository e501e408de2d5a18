//! A folder that becomes a layer. Modes are set, never inherited from the umask: they are part of the layer's digest.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::problem::{About as _, Outcome, Problem};
use crate::process;

pub(crate) struct Rootfs {
    pub(crate) folder: PathBuf,
}

impl Rootfs {
    pub(crate) fn create(folder: &Path) -> Outcome<Self> {
        fs::create_dir_all(folder).about(folder)?;
        Ok(Self {
            folder: folder.to_path_buf(),
        })
    }

    /// A directory; parents that are missing are made with mode 755.
    pub(crate) fn directory(&self, path: &str, mode: u32) -> Outcome<()> {
        let mut folder = self.folder.clone();
        for part in path.split('/') {
            folder.push(part);
            if !folder.exists() {
                fs::create_dir(&folder).about(&folder)?;
                set_mode(&folder, 0o755)?;
            }
        }
        set_mode(&folder, mode)
    }

    pub(crate) fn file(&self, path: &str, content: &str, mode: u32) -> Outcome<()> {
        let to = self.place(path)?;
        fs::write(&to, content).about(&to)?;
        set_mode(&to, mode)
    }

    pub(crate) fn link(&self, path: &str, target: &str) -> Outcome<()> {
        let to = self.place(path)?;
        symlink(target, &to).about(&to)
    }

    /// Copies a file or a link; a folder's content is added to what is at `path` already. Modes and links stay.
    pub(crate) fn take(&self, from: &Path, path: &str) -> Outcome<()> {
        let to = self.place(path)?;
        let from = if from.is_dir() && !from.is_symlink() {
            self.directory(path, 0o755)?;
            from.join(".")
        } else {
            from.to_path_buf()
        };
        process::output(
            Command::new("cp")
                .args(["-R", "-P", "--preserve=mode,links"])
                .arg(from)
                .arg(&to),
        )?;
        Ok(())
    }

    /// Leaves out what the folder `path` need not hold.
    pub(crate) fn without(&self, path: &str, unwanted: impl Fn(&Path) -> bool + Copy) -> Outcome<()> {
        prune(&self.folder.join(path), unwanted)
    }

    fn place(&self, path: &str) -> Outcome<PathBuf> {
        if let Some((parent, _)) = path.rsplit_once('/')
            && !self.folder.join(parent).exists()
        {
            self.directory(parent, 0o755)?;
        }
        Ok(self.folder.join(path))
    }
}

fn prune(folder: &Path, unwanted: impl Fn(&Path) -> bool + Copy) -> Outcome<()> {
    for entry in fs::read_dir(folder).about(folder)? {
        let path = entry.about(folder)?.path();
        let is_folder = path.symlink_metadata().about(&path)?.is_dir();
        match (unwanted(&path), is_folder) {
            (true, true) => fs::remove_dir_all(&path).about(&path)?,
            (true, false) => fs::remove_file(&path).about(&path)?,
            (false, true) => prune(&path, unwanted)?,
            (false, false) => {}
        }
    }
    Ok(())
}

fn set_mode(path: &Path, mode: u32) -> Outcome<()> {
    fs::set_permissions(path, Permissions::from_mode(mode)).about(path)
}

/// Finds a file by its name in an unpacked package, wherever the distribution keeps it.
pub(crate) fn find(folder: &Path, name: &str) -> Outcome<Option<PathBuf>> {
    for entry in fs::read_dir(folder).about(folder)? {
        let path = entry.about(folder)?.path();
        if path.symlink_metadata().about(&path)?.is_dir() {
            if let Some(found) = find(&path, name)? {
                return Ok(Some(found));
            }
        } else if path.file_name().is_some_and(|file| file == name) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// As [`find`], where the stand-in cannot do without.
pub(crate) fn must_find(folder: &Path, name: &str) -> Outcome<PathBuf> {
    find(folder, name)?.ok_or_else(|| Problem::new(format!("there is no {name} in {}", folder.display())))
}
