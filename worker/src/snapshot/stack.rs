//! What several layers show together, by overlay's rules.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{SnapshotError, marks};

/// Deeper trees are refused: a step can nest directories until a walk's stack ends, and no path is as long as that.
pub(super) const MAX_DEPTH: usize = 1000;

/// What a stack of layers has under a name.
pub(super) struct Below {
    /// The topmost: what is seen.
    pub(super) path: PathBuf,
    pub(super) metadata: Metadata,
    /// Where it is a directory: every directory that shows through, the topmost first.
    pub(super) merged: Vec<PathBuf>,
}

/// What the merged directories `below` (the topmost first) have under `name`.
pub(super) fn lookup(below: &[PathBuf], name: &OsStr) -> Result<Option<Below>, SnapshotError> {
    let mut found: Option<Below> = None;
    for dir in below {
        let path = dir.join(name);
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(SnapshotError::io("look at", &path)(error)),
        };
        let is_dir = metadata.is_dir();
        let hidden = is_whiteout(&metadata) || (found.is_some() && !is_dir);
        if hidden {
            break;
        }
        let opaque = is_dir && marks::is_opaque(&path).map_err(SnapshotError::io("look at", &path))?;
        if let Some(found) = &mut found {
            found.merged.push(path);
        } else {
            let merged = if is_dir { vec![path.clone()] } else { Vec::new() };
            found = Some(Below {
                path,
                metadata,
                merged,
            });
        }
        if !is_dir || opaque {
            break;
        }
    }
    Ok(found)
}

pub(super) fn is_whiteout(metadata: &Metadata) -> bool {
    marks::is_whiteout(metadata.mode(), metadata.rdev())
}

/// The names in a directory, in byte order.
pub(super) fn sorted_names(dir: &Path) -> Result<Vec<OsString>, SnapshotError> {
    let mut names = fs::read_dir(dir)
        .and_then(|entries| {
            entries
                .map(|entry| entry.map(|entry| entry.file_name()))
                .collect::<io::Result<Vec<_>>>()
        })
        .map_err(SnapshotError::io("list", dir))?;
    names.sort();
    Ok(names)
}
