//! What can go wrong with layers.

use std::io;
use std::path::{Path, PathBuf};

use stagewright_core::digest::Digest;

use super::id::{InvalidSnapshotId, SnapshotId};
use super::tar::TarError;

/// Why a snapshot could not be made, mounted, unpacked or compared.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// A file operation failed.
    #[error("cannot {what} {}: {source}", .path.display())]
    Io {
        /// What was tried, as a verb phrase.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The name cannot be that of a snapshot.
    #[error(transparent)]
    InvalidId(#[from] InvalidSnapshotId),
    /// A layer that should be there is not.
    #[error("the layer {0} is not in the store; build the step that makes it again")]
    Missing(SnapshotId),
    /// Another worker holds the store.
    #[error("{} is used by another running worker; stop it or choose another state directory", .0.display())]
    InUse(PathBuf),
    /// The kernel does not mount overlay file systems here.
    #[error("layers cannot be mounted: {0}")]
    OverlayRefused(String, rustix::io::Errno),
    /// More layers than the kernel stacks.
    #[error("{0} layers are more than the {max} that can be stacked; merge some steps", max = super::MAX_LAYERS)]
    TooManyLayers(usize),
    /// The archive is not a well-formed tar.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// An archive entry would reach outside of its layer, or cannot be represented in one.
    #[error("the archive entry {name:?} was refused: {why}")]
    UnsafeEntry {
        /// The entry's name as it stands in the archive.
        name: String,
        /// Why it is not unpacked.
        why: String,
    },
    /// The archive is larger than allowed.
    #[error("the layer is larger than the allowed {0} bytes")]
    TooLarge(u64),
    /// Directories are nested beyond reason.
    #[error("the layer nests directories more than {0} deep; remove them in the step that makes them")]
    TooDeep(usize),
    /// The content is not what was promised.
    #[error("the layer's content has the digest {found}, not {expected} as its image says")]
    DiffIdMismatch {
        /// What the image config names.
        expected: Digest,
        /// What the content hashes to.
        found: Digest,
    },
}

impl SnapshotError {
    /// For `map_err`: names the operation and the path of a failed system call.
    pub(crate) fn io<E: Into<io::Error>>(
        what: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(E) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Io {
            what,
            path,
            source: source.into(),
        }
    }
}
