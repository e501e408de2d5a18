//! A secret as a file: in memory, never on a disk.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Gid, Mode, OFlags, Uid, fchmod, fchown, openat};
use rustix::mount::{
    MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, move_mount, open_tree, unmount,
};

use super::SandboxError;
use super::prepare::file_system;

/// The file's name in its file system, which nobody sees.
const NAME: &str = "secret";

const WHAT: &str = "a secret cannot be put into memory";

/// A mount of a single read-only file with this content. `passing` is a directory of the worker's in which the file
/// system stands for a moment: the kernel hands out a part of one only where it stands somewhere.
pub(super) fn secret_file(
    passing: &Path,
    content: &[u8],
    (uid, gid): (u32, u32),
    mode: u32,
) -> Result<OwnedFd, SandboxError> {
    let failed = || SandboxError::system(WHAT);
    let memory = memory(content.len())?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = openat(&memory, NAME, flags, Mode::RUSR | Mode::WUSR).map_err(failed())?;
    let mut file = File::from(file);
    file.write_all(content).map_err(SandboxError::system(WHAT))?;
    fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).map_err(failed())?;
    fchmod(&file, Mode::from_raw_mode(mode)).map_err(failed())?;
    drop(file);
    let place = Place::new(passing).map_err(SandboxError::system(WHAT))?;
    let to = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(&memory, "", rustix::fs::CWD, &place.0, to).map_err(failed())?;
    let part = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let taken = open_tree(rustix::fs::CWD, place.0.join(NAME), part);
    unmount(&place.0, UnmountFlags::DETACH).map_err(failed())?;
    taken.map_err(failed())
}

/// A file system in memory; one that is never paged out where the kernel knows of such (since 6.4).
fn memory(size: usize) -> Result<OwnedFd, SandboxError> {
    // Two pages more than what is to fit: one for its last piece, one for the root directory.
    let size = (size + 2 * 4096).to_string();
    let options = [("mode", "0700"), ("size", size.as_str())];
    let attributes = MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    file_system("tmpfs", &["noswap"], &options, attributes)
        .or_else(|_| file_system("tmpfs", &[], &options, attributes))
}

/// A directory to mount on, which nobody else uses.
struct Place(std::path::PathBuf);

impl Place {
    fn new(parent: &Path) -> std::io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("{}-{number}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Where it is still mounted on, this fails, and nothing is lost.
        _ = fs::remove_dir(&self.0);
    }
}
