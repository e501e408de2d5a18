//! Small files that are replaced as a whole, and are on the disk when that is done.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// Puts `content` in the place of the file, for its owner's eyes only. Whatever ends the worker, a reader finds the old text or
/// the new one. Two at once on the same file are for the caller to keep apart.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    // One that was left there has the mode that it was made with.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    // Until then the name may be the old file's after a power loss.
    path.parent()
        .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_is_replaced_as_a_whole_also_where_an_earlier_try_was_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known.json");
        replace(&path, b"old").unwrap();
        fs::write(folder.path().join("known.json.new"), "longer than what comes").unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
