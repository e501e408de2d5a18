//! How a layer says that something below it is gone.
//!
//! These are overlay's own marks wherever the file system takes them: a character device 0:0 for a name, an attribute for a
//! directory that hides what lies below. An overlay file system keeps such devices for itself, and some have no attributes; on
//! those the kernel mounts no layers either, so the marks are for our eyes only, and a *socket that nobody may use* stands for
//! them. No layer has sockets of its own: they are nothing without the process behind them.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, XattrFlags, futimens, lgetxattr, lsetxattr, makedev, mknodat,
    openat, statat,
};
use rustix::io::Errno;

use super::confine::times;
use crate::rootless::Ids;

/// In a directory: it hides the layers below. No file of an image has such a name, which means the same in archives.
const OPAQUE: &str = ".wh..wh..opq";

/// Whether what a `stat` says so is the mark of a removed name.
pub(crate) fn is_whiteout(mode: u32, device: u64) -> bool {
    match FileType::from_raw_mode(mode) {
        FileType::CharacterDevice => device == 0,
        FileType::Socket => Mode::from_raw_mode(mode).is_empty(),
        _ => false,
    }
}

/// Marks `name` in the directory `parent`, where it is not, as removed.
pub(crate) fn whiteout(parent: impl AsFd, name: impl AsRef<Path>) -> io::Result<()> {
    let (parent, name) = (parent.as_fd(), name.as_ref());
    match mknodat(
        parent,
        name,
        FileType::CharacterDevice,
        Mode::empty(),
        makedev(0, 0),
    ) {
        Err(Errno::PERM | Errno::INVAL | Errno::NOTSUP) => {
            Ok(mknodat(parent, name, FileType::Socket, Mode::empty(), 0)?)
        }
        result => Ok(result?),
    }
}

/// The attribute that marks a directory. The kernel goes by the one only that a worker may set, as its overlays are mounted.
fn attribute() -> &'static str {
    if Ids::here().are_the_machines() {
        "trusted.overlay.opaque"
    } else {
        "user.overlay.opaque"
    }
}

/// Whether the file system of the directory at `path` has such attributes.
pub(super) fn has_attributes(path: &Path) -> bool {
    lgetxattr(path, attribute(), &mut [0; 4]) != Err(Errno::NOTSUP)
}

/// Whether the directory at `path` hides the layers below.
pub(crate) fn is_opaque(path: &Path) -> io::Result<bool> {
    let mut value = [0; 4];
    match lgetxattr(path, attribute(), &mut value) {
        Ok(length) => Ok(value.get(..length) == Some(b"y")),
        Err(Errno::NODATA | Errno::RANGE) => Ok(false),
        Err(Errno::NOTSUP) => match statat(CWD, path.join(OPAQUE), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(is_whiteout(found.st_mode, found.st_rdev)),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        },
        Err(error) => Err(error.into()),
    }
}

/// Marks the directory at `path` as one that hides the layers below. Its times stay.
pub(super) fn set_opaque(path: &Path) -> io::Result<()> {
    match lsetxattr(path, attribute(), b"y", XattrFlags::empty()) {
        Err(Errno::NOTSUP) => {}
        result => return Ok(result?),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = openat(CWD, path, flags, Mode::empty())?;
    let before = times(&directory)?;
    match whiteout(&directory, OsStr::new(OPAQUE)) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    Ok(futimens(&directory, &before)?)
}
