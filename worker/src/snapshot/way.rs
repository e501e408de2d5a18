//! How layers are put on top of each other in a place: mounted by the kernel, or copied.

use std::fs;
use std::path::Path;

use rustix::io::Errno;

use super::overlay::{self, OverlaySpec, Writable};
use super::{SnapshotError, marks};

/// How layers come together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// The kernel mounts them.
    Mounted,
    /// They are copied, since the kernel does not mount them here: why, and what to do about it.
    Copied(String),
}

/// What overlay file systems are known by, in `statfs`.
const OVERLAY: rustix::fs::FsWord = 0x794c_7630;

/// Finds out by making such a file system of the empty directory `place`. It is not mounted: to unmount it would take as long
/// as a step does.
pub(super) fn find(place: &Path) -> Result<Way, SnapshotError> {
    let [lower, upper, work] = ["lower", "upper", "work"].map(|part| place.join(part));
    for path in [&lower, &upper, &work] {
        fs::create_dir(path).map_err(SnapshotError::io("make the directory", path))?;
    }
    if !marks::has_attributes(&upper) {
        return Ok(Way::Copied(
            "the state directory's file system has no attributes for what overlay notes; choose one on ext4 or xfs".to_owned(),
        ));
    }
    let spec = OverlaySpec {
        lowers: vec![lower],
        writable: Some(Writable { upper, work }),
    };
    match overlay::file_system(&spec, None) {
        Ok(_) => Ok(Way::Mounted),
        Err(SnapshotError::OverlayRefused(
            said,
            Errno::NODEV | Errno::INVAL | Errno::NOTSUP | Errno::NOSYS | Errno::PERM | Errno::ACCESS,
        )) => {
            let kind = rustix::fs::statfs(place).map(|found| found.f_type);
            Ok(Way::Copied(if kind == Ok(OVERLAY) {
                "the state directory is on an overlay file system itself; choose one on ext4 or xfs"
                    .to_owned()
            } else {
                said
            }))
        }
        Err(error) => Err(error),
    }
}
