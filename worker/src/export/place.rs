//! Where an output is written to.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// A file in the making. It is written beside its place and renamed, so that what stands under its name is always
/// whole; a device or a pipe is written as it is, and stays one.
pub(crate) struct NewFile {
    file: File,
    /// What it is renamed from and to. Given up, it is removed.
    moving: Option<(PathBuf, PathBuf)>,
}

impl NewFile {
    /// Begins the file that is going to stand at `place`.
    pub(crate) fn create(place: &Path) -> io::Result<Self> {
        // A link stays one: what it leads to is written.
        let place = fs::canonicalize(place).unwrap_or_else(|_| place.to_owned());
        let known = fs::metadata(&place).ok();
        if known.as_ref().is_some_and(|known| !known.is_file()) {
            return Ok(Self {
                file: File::options().write(true).open(&place)?,
                moving: None,
            });
        }
        let mut beside = place.as_os_str().to_owned();
        beside.push(".part");
        let beside = PathBuf::from(beside);
        let new = Self {
            file: File::create(&beside)?,
            moving: Some((beside, place)),
        };
        if let Some(known) = known {
            new.file.set_permissions(known.permissions())?;
        }
        Ok(new)
    }

    /// What is written into.
    pub(crate) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Another handle to the same.
    pub(crate) fn writer(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Gives the file its name, now that it is whole.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        if let Some((beside, place)) = &self.moving {
            fs::rename(beside, place)?;
        }
        self.moving = None;
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some((beside, _)) = &self.moving {
            // What is left of it is of no use; where it cannot even be removed, its name says what it is.
            _ = fs::remove_file(beside);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_file_has_its_name_when_it_is_whole_and_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        fs::write(&path, "before").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let link = folder.path().join("link");
        symlink("out", &link).unwrap();
        let mut new = NewFile::create(&link).unwrap();
        new.file().write_all(b"after").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "before");
        new.finish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "after");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn a_file_that_is_given_up_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut new = NewFile::create(&folder.path().join("out")).unwrap();
        new.file().write_all(b"half").unwrap();
        drop(new);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_device_stays_a_device() {
        let mut new = NewFile::create(Path::new("/dev/null")).unwrap();
        new.file().write_all(b"gone").unwrap();
        new.finish().unwrap();
        assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
        assert!(!Path::new("/dev/null.part").exists());
    }
}
