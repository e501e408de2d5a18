//! The content store: blobs by their sha256.
//!
//! ```text
//! <root>/blobs/sha256/<hex>    whole blobs, verified; a name here is a promise
//! <root>/ingest/<hex>          beginnings of blobs whose digest is known; they survive a kill and are resumed
//! <root>/writing/<random>      blobs whose digest is known only at their end; swept when the store is opened
//! ```
//!
//! A blob gets its name in `blobs` only after its bytes were hashed and flushed to the disk, by a rename whose
//! directory is flushed too. So a worker that is killed at any moment leaves whole blobs and beginnings, and
//! never a torn blob under a good name.
//!
//! Whoever writes a file here holds an advisory lock (`flock`) on it. The kernel drops the lock with the process,
//! which is how a beginning that may be resumed is told from one that somebody is at work on.
//!
//! Whoever asks for a blob while a build runs holds it ([`Leases`]), so that it is not removed under the build.

mod checked;
mod ingest;
mod writer;

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};
use stagewright_core::digest::Digest;

use crate::lease::Leases;

pub use checked::CheckedBlob;
pub use ingest::Ingest;
pub use writer::BlobWriter;

/// The longest manifest, index or configuration that is read into memory, whoever wrote it: a configuration with a long
/// history has some 100 kB, and registries refuse manifests of more than 4 MiB, so that those asked for are shorter still.
pub const LONGEST_DOCUMENT: u64 = 8 << 20;

/// Blobs by digest, in a directory. Clones share the directory; several processes may use it at once.
#[derive(Clone, Debug)]
pub struct ContentStore {
    root: Arc<Root>,
}

#[derive(Debug)]
struct Root {
    blobs: PathBuf,
    ingest: PathBuf,
    writing: PathBuf,
    leases: Leases,
    removals: AtomicU64,
}

/// A blob could not be read or stored.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// The file system failed.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Io {
        /// What was tried: `read`, `rename`, …
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No blob of that digest is here.
    #[error("{0} is not in the content store")]
    Missing(Digest),
    /// The blob is here already: there is nothing to ingest.
    #[error("{0} is in the content store already")]
    Present(Digest),
    /// Another writer is at work on this blob; try again, or wait until it is there.
    #[error("{0} is being written by someone else at the moment")]
    Busy(Digest),
    /// The bytes are not those that the digest names. What had arrived was thrown away.
    #[error(
        "the content that came for {expected} has the digest {actual}; it was thrown away, send it again"
    )]
    WrongDigest {
        /// What was asked for.
        expected: Digest,
        /// What the bytes hash to.
        actual: Digest,
    },
    /// The file under this digest is not what it was when it was stored: the disk, or somebody, changed it. It is gone now.
    #[error(
        "{digest} was damaged on the disk: its file {what}. It was removed, and is made or fetched again when a build \
         needs it"
    )]
    Damaged {
        /// The blob.
        digest: Digest,
        /// What is wrong with the file, as a verb phrase.
        what: String,
    },
    /// Fewer or more bytes than announced. Where there were more, what had arrived was thrown away.
    #[error("{digest} should have {expected} bytes, but {actual} came")]
    WrongSize {
        /// The blob.
        digest: Digest,
        /// What was announced.
        expected: u64,
        /// What came.
        actual: u64,
    },
    /// A piece that does not continue what is there.
    #[error(
        "a piece of {digest} begins at byte {offset}, but only {have} bytes came so far; send from there"
    )]
    Gap {
        /// The blob.
        digest: Digest,
        /// Where the piece begins.
        offset: u64,
        /// Where it should begin.
        have: u64,
    },
    /// A blob that is to be read into memory is larger than its reader allows.
    #[error("{digest} has {size} bytes, more than the {limit} that are read at once")]
    TooLarge {
        /// The blob.
        digest: Digest,
        /// Its size.
        size: u64,
        /// The most that the reader takes.
        limit: u64,
    },
}

impl ContentStore {
    /// Opens the store at `root`, which is made where it is not there, and sweeps what killed writers left behind
    /// unnamed. Beginnings of known blobs stay.
    pub fn open(root: impl AsRef<Path>) -> Result<Self, ContentError> {
        let root = root.as_ref();
        let paths = Root {
            blobs: root.join("blobs").join("sha256"),
            ingest: root.join("ingest"),
            writing: root.join("writing"),
            leases: Leases::default(),
            removals: AtomicU64::new(0),
        };
        for path in [&paths.blobs, &paths.ingest, &paths.writing] {
            // Blobs may hold what a private registry gave: they are for the worker's user only.
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
            made.map_err(|source| ContentError::Io {
                action: "create the directory",
                path: path.clone(),
                source,
            })?;
        }
        let store = Self {
            root: Arc::new(paths),
        };
        writer::sweep(&store.root.writing)?;
        Ok(store)
    }

    /// Whether the whole blob is here.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.used(digest).is_file()
    }

    /// Whether a blob of this size is here that is part of something whose use is written down itself, such as a build
    /// context.
    pub fn holds(&self, digest: &Digest, size: u64) -> bool {
        let path = self.path(digest);
        self.root.leases.holding(&path);
        fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() == size)
    }

    /// Whether the whole blob is here, where its size is known: one that was cut off on the disk is not.
    pub fn contains_whole(&self, digest: &Digest, size: u64) -> bool {
        self.size(digest) == Some(size)
    }

    /// Who holds what, of this store and of those that go with it.
    pub fn leases(&self) -> &Leases {
        &self.root.leases
    }

    /// Changes whenever blobs are removed: what was seen to be here before that may be gone.
    pub fn removals(&self) -> u64 {
        self.root.removals.load(Ordering::Acquire)
    }

    /// The blob's length in bytes, where it is here.
    pub fn size(&self, digest: &Digest) -> Option<u64> {
        fs::metadata(self.used(digest))
            .ok()
            .filter(fs::Metadata::is_file)
            .map(|metadata| metadata.len())
    }

    /// Where the blob is, or would be. Never write there.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.root.blobs.join(digest.hex())
    }

    /// The blob's place, noted as in use.
    fn used(&self, digest: &Digest) -> PathBuf {
        let path = self.path(digest);
        self.root.leases.using(&path);
        path
    }

    /// Opens a blob for reading.
    pub fn open_blob(&self, digest: &Digest) -> Result<File, ContentError> {
        let path = self.used(digest);
        File::open(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ContentError::Missing(digest.clone()),
            _ => ContentError::Io {
                action: "open",
                path,
                source,
            },
        })
    }

    /// Opens a blob for reading it from its beginning to its end, where it turns out whether it is still what it was.
    pub fn open_checked(&self, digest: &Digest) -> Result<CheckedBlob, ContentError> {
        CheckedBlob::open(self.clone(), digest)
    }

    /// Reads a blob of at most `limit` bytes into memory.
    pub fn read(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, ContentError> {
        let mut file = self.open_blob(digest)?;
        let io_error = |source| ContentError::Io {
            action: "read",
            path: self.path(digest),
            source,
        };
        let size = file.metadata().map_err(io_error)?.len();
        if size > limit {
            return Err(ContentError::TooLarge {
                digest: digest.clone(),
                size,
                limit,
            });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        file.by_ref()
            .take(limit)
            .read_to_end(&mut bytes)
            .map_err(io_error)?;
        // What is read at once is small, so that it costs nothing to see that it is still what it was.
        let actual = Digest::of(&bytes);
        if actual == *digest {
            Ok(bytes)
        } else {
            Err(self.damaged(digest, &actual))
        }
    }

    /// Reads a whole blob to see whether it is still what it was. One that is not is removed.
    ///
    /// # Errors
    /// [`ContentError::Damaged`] where it was not.
    pub fn verify(&self, digest: &Digest) -> Result<(), ContentError> {
        let mut file = self.open_blob(digest)?;
        let mut hasher = Sha256::new();
        ingest::hash_to_end(&mut file, &mut hasher).map_err(|source| ContentError::Io {
            action: "read",
            path: self.path(digest),
            source,
        })?;
        let actual = Digest::from_raw(hasher.finalize().as_slice());
        if actual == *digest {
            Ok(())
        } else {
            Err(self.damaged(digest, &actual))
        }
    }

    /// Takes a damaged blob away, so that the next who needs it gets a good one.
    fn damaged(&self, digest: &Digest, actual: &Digest) -> ContentError {
        if let Err(error) = self.remove(digest) {
            return error;
        }
        ContentError::Damaged {
            digest: digest.clone(),
            what: format!("has the digest {actual}"),
        }
    }

    /// Stores `bytes`; cheap where they are here already.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, ContentError> {
        let digest = Digest::of(bytes);
        if self.contains(&digest) {
            // It may have been damaged since; being small, it is compared.
            if fs::read(self.path(&digest)).is_ok_and(|known| known == bytes) {
                return Ok(digest);
            }
            self.remove(&digest)?;
        }
        let mut writer = self.writer()?;
        writer.append(bytes)?;
        writer.commit().map(|(digest, _)| digest)
    }

    /// Begins, or goes on with, storing a blob whose digest is known. `size` is its length, where that is known too.
    ///
    /// # Errors
    /// [`ContentError::Present`] where it is here, [`ContentError::Busy`] where someone else is writing it.
    pub fn ingest(&self, expected: &Digest, size: Option<u64>) -> Result<Ingest, ContentError> {
        Ingest::open(self.clone(), expected, size)
    }

    /// How many bytes of a blob arrived in an earlier [`ContentStore::ingest`]; 0 where none did.
    pub fn partial_size(&self, digest: &Digest) -> u64 {
        fs::metadata(self.root.ingest.join(digest.hex())).map_or(0, |metadata| metadata.len())
    }

    /// Begins storing a blob whose digest is known only at its end.
    pub fn writer(&self) -> Result<BlobWriter, ContentError> {
        BlobWriter::create(self.clone())
    }

    /// Removes a blob. One that is not here is no error; one that somebody reads stays readable for them.
    pub fn remove(&self, digest: &Digest) -> Result<(), ContentError> {
        self.root.removals.fetch_add(1, Ordering::AcqRel);
        remove_if_there(&self.path(digest))
    }

    /// Every blob and its length in bytes, in the order of the digests.
    pub fn blobs(&self) -> Result<Vec<(Digest, u64)>, ContentError> {
        let io_error = |source| ContentError::Io {
            action: "list",
            path: self.root.blobs.clone(),
            source,
        };
        let mut blobs = Vec::new();
        for entry in fs::read_dir(&self.root.blobs).map_err(io_error)? {
            let entry = entry.map_err(io_error)?;
            let digest = entry
                .file_name()
                .to_str()
                .and_then(|hex| format!("sha256:{hex}").parse().ok());
            if let (Some(digest), Ok(metadata)) = (digest, entry.metadata()) {
                blobs.push((digest, metadata.len()));
            }
        }
        blobs.sort();
        Ok(blobs)
    }

    /// Removes beginnings of blobs that nobody has continued for `age`. Returns the bytes that were freed.
    pub fn remove_stale_beginnings(&self, age: Duration) -> Result<u64, ContentError> {
        ingest::remove_stale(&self.root.ingest, SystemTime::now().checked_sub(age))
    }

    /// Removes the beginning of a blob, unless somebody is at work on it. Says whether it did.
    pub fn remove_beginning(&self, digest: &Digest) -> Result<bool, ContentError> {
        ingest::remove_beginning(&self.root.ingest.join(digest.hex()), Some(SystemTime::now()))
            .map(|freed| freed.is_some())
    }

    /// Moves a flushed file to its place among the blobs, durably.
    fn publish(&self, from: &Path, digest: &Digest) -> Result<(), ContentError> {
        let to = self.used(digest);
        fs::rename(from, &to).map_err(|source| ContentError::Io {
            action: "rename into",
            path: to,
            source,
        })?;
        let flushed = File::open(&self.root.blobs).and_then(|directory| directory.sync_all());
        flushed.map_err(|source| ContentError::Io {
            action: "flush",
            path: self.root.blobs.clone(),
            source,
        })
    }
}

fn remove_if_there(path: &Path) -> Result<(), ContentError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(ContentError::Io {
            action: "remove",
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

/// An open file with the writer's lock on it.
#[derive(Debug)]
struct LockedFile(File);

impl LockedFile {
    /// Takes the lock; `None` where someone else holds it.
    fn try_from(file: File) -> io::Result<Option<Self>> {
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Drop for LockedFile {
    /// Closing alone is not enough: a process that is being started at this moment still has a copy of the
    /// descriptor, and with it the lock, until it runs its program.
    fn drop(&mut self) {
        let _ = rustix::fs::flock(&self.0, rustix::fs::FlockOperation::Unlock);
    }
}

/// Whether `path` still names the open `file`: between opening and locking, someone else may have renamed or
/// removed it.
fn is_still_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let held = file.metadata()?;
    match fs::metadata(path) {
        Ok(named) => Ok((held.dev(), held.ino()) == (named.dev(), named.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
