//! The worker's own mount namespace.

use std::io;

use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::thread::UnshareFlags;

/// Gives this process a mount namespace of its own, so that whatever it mounts is gone when it is, however it ends, and nobody
/// else ever sees it. To be called first in `main`: a namespace belongs to a thread, and later threads inherit it.
///
/// # Errors
/// Without the right to do so (the worker is not root). Everything still works, but mounts of a killed worker would stay.
pub fn isolate_mounts() -> io::Result<()> {
    #[expect(
        unsafe_code,
        reason = "unshare is unsafe for flags that split the file descriptor table"
    )]
    // SAFETY: NEWNS splits no descriptor table; it only makes a copy of the list of mounts.
    unsafe {
        rustix::thread::unshare_unsafe(UnshareFlags::NEWNS)?;
    }
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    Ok(())
}
