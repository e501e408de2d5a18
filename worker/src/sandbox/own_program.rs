//! The worker's own program, kept from steps.
//!
//! Until its program has started, a step's process is a copy of the worker, and `/proc/self/exe` is the worker's file on the
//! machine. An image may name that as its program, or as what its program needs to start, and bring a loader of its own: so
//! a stranger's code can hold a descriptor of the file, and write to it as root as soon as nobody runs it any more
//! (CVE-2019-5736). Therefore the worker runs from a mount that is read-only: the one that it lies on, or else
//! one that is nowhere in the tree of mounts.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::fs::{CWD, StatVfsMountFlags, fstatvfs};
use rustix::mount::{MountAttrFlags, OpenTreeFlags, open_tree};

use super::syscall::set_mount_attributes;

const OWN: &str = "/proc/self/exe";

/// Starts this program once more where it can be written to, from where it cannot: then it does not return, and all begins
/// anew with the same arguments. To be called before anything is begun: what was read from standard input is lost.
///
/// # Errors
/// Without the right to mount, or before Linux 5.12. Then what keeps steps from writing is that the program is being run.
pub fn run_from_a_read_only_mount() -> io::Result<()> {
    if fstatvfs(File::open(OWN)?)?
        .f_flag
        .contains(StatVfsMountFlags::RDONLY)
    {
        // Whoever starts a program by its descriptor is called after that.
        return Ok(rustix::thread::set_name(c"stagewright")?);
    }
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let mount: OwnedFd = open_tree(CWD, OWN, flags)?;
    set_mount_attributes(mount.as_fd(), MountAttrFlags::MOUNT_ATTR_RDONLY, false)?;
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| OsString::from("stagewright"));
    Err(Command::new(format!("/proc/self/fd/{}", mount.as_raw_fd()))
        .arg0(name)
        .args(arguments)
        .exec())
}
