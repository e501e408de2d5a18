//! Extended attributes.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{XattrFlags, lgetxattr, llistxattr, lsetxattr};
use rustix::io::Errno;

/// Whether the name belongs to overlay's bookkeeping. Such attributes never leave or enter a layer: some are random, and a
/// `redirect` from a foreign archive would point the kernel at a directory of the archive's choice.
pub(crate) fn is_overlay(name: &[u8]) -> bool {
    name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.")
}

/// What a program may do beyond its user.
pub(super) const CAPABILITY: &str = "security.capability";

/// The attribute of that name of the file itself (a link is not followed), where it has it.
pub(super) fn read(path: &Path, name: &str) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    match sized(|buffer| lgetxattr(path, name, buffer)) {
        Ok(value) => Ok(BTreeMap::from([(name.as_bytes().to_vec(), value)])),
        Err(Errno::NODATA | Errno::NOTSUP) => Ok(BTreeMap::new()),
        Err(error) => Err(error.into()),
    }
}

/// Every attribute of the file itself, but for overlay's own.
pub(super) fn read_all(path: &Path) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let names = match sized(|buffer| llistxattr(path, buffer)) {
        Ok(names) => names,
        Err(Errno::NOTSUP) => return Ok(found),
        Err(error) => return Err(error.into()),
    };
    for name in names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty() && !is_overlay(name))
    {
        match sized(|buffer| lgetxattr(path, OsStr::from_bytes(name), buffer)) {
            Ok(value) => {
                found.insert(name.to_vec(), value);
            }
            Err(Errno::NODATA) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

/// Sets one attribute of the file itself. One that this file system or machine cannot hold is left out, as other engines do:
/// an image labelled for `SELinux` must still unpack on a machine without it.
pub(super) fn set(path: &Path, name: &[u8], value: &[u8]) -> io::Result<()> {
    let label = name.starts_with(b"security.") && name != CAPABILITY.as_bytes();
    match lsetxattr(path, OsStr::from_bytes(name), value, XattrFlags::empty()) {
        Ok(()) | Err(Errno::NOTSUP) => Ok(()),
        Err(Errno::PERM | Errno::INVAL) if label => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Calls `read` with ever larger buffers until one is large enough.
fn sized(mut read: impl FnMut(&mut [u8]) -> rustix::io::Result<usize>) -> rustix::io::Result<Vec<u8>> {
    let mut buffer = vec![0; 1024];
    loop {
        match read(&mut buffer) {
            Ok(filled) => {
                buffer.truncate(filled);
                return Ok(buffer);
            }
            // The kernel's limit for both lists and values is 64 KiB.
            Err(Errno::RANGE) if buffer.len() < 1 << 20 => buffer.resize(buffer.len() * 8, 0),
            Err(error) => return Err(error),
        }
    }
}
