//! Telling one state of a file from another without reading it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Inode, length and time of change; none where no file is to be seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Stamp(Option<(u64, u64, i64, i64)>);

impl Stamp {
    /// Taken before the file is read: one that is replaced meanwhile is another by the next look.
    pub(crate) fn of(path: &Path) -> Self {
        let seen = fs::metadata(path).ok();
        Self(seen.map(|file| (file.ino(), file.len(), file.mtime(), file.mtime_nsec())))
    }
}
