//! Storing a blob whose digest is known beforehand, piece by piece, over as many attempts as it takes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};
use stagewright_core::digest::Digest;

use super::{ContentError, ContentStore, LockedFile, is_still_at, remove_if_there};

/// A blob on its way in. Dropping it keeps what has arrived, for a later [`ContentStore::ingest`] to go on from.
#[derive(Debug)]
pub struct Ingest {
    store: ContentStore,
    expected: Digest,
    size: Option<u64>,
    path: PathBuf,
    /// Open for writing at `offset`.
    file: LockedFile,
    offset: u64,
    hasher: Sha256,
}

impl Ingest {
    pub(super) fn open(
        store: ContentStore,
        expected: &Digest,
        size: Option<u64>,
    ) -> Result<Self, ContentError> {
        let path = store.root.ingest.join(expected.hex());
        let io_error = |action, source| ContentError::Io {
            action,
            path: path.clone(),
            source,
        };
        loop {
            // One that was cut off on the disk is written anew.
            if size.map_or_else(
                || store.contains(expected),
                |size| store.contains_whole(expected, size),
            ) {
                return Err(ContentError::Present(expected.clone()));
            }
            let mut options = OpenOptions::new();
            options
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600);
            let file = options.open(&path).map_err(|source| io_error("open", source))?;
            let Some(mut file) = LockedFile::try_from(file).map_err(|source| io_error("lock", source))?
            else {
                return Err(ContentError::Busy(expected.clone()));
            };
            if !is_still_at(&file.0, &path).map_err(|source| io_error("look at", source))? {
                continue;
            }
            let mut hasher = Sha256::new();
            let offset = hash_to_end(&mut file.0, &mut hasher).map_err(|source| io_error("read", source))?;
            let mut ingest = Self {
                store,
                expected: expected.clone(),
                size,
                path,
                file,
                offset,
                hasher,
            };
            // A beginning that is longer than the whole can only be of something else.
            if size.is_some_and(|size| offset > size) {
                ingest.restart()?;
            }
            return Ok(ingest);
        }
    }

    /// The digest that the blob is to have.
    pub fn digest(&self) -> &Digest {
        &self.expected
    }

    /// How many bytes there are: the next piece begins here.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether all announced bytes are there; `false` where no size was announced.
    pub fn is_complete(&self) -> bool {
        self.size == Some(self.offset)
    }

    /// Adds a piece. Bytes that are there already, as after a reconnect, are skipped.
    ///
    /// # Errors
    /// [`ContentError::Gap`] where the piece begins after [`Ingest::offset`]; [`ContentError::WrongSize`] where there
    /// are more bytes than announced, and then all of them are thrown away.
    pub fn write_at(&mut self, offset: u64, data: &[u8]) -> Result<(), ContentError> {
        let Some(known) = self.offset.checked_sub(offset) else {
            return Err(ContentError::Gap {
                digest: self.expected.clone(),
                offset,
                have: self.offset,
            });
        };
        let new = usize::try_from(known)
            .ok()
            .and_then(|known| data.get(known..))
            .unwrap_or_default();
        let end = self.offset.saturating_add(new.len() as u64);
        if let Some(expected) = self.size.filter(|size| end > *size) {
            self.restart()?;
            return Err(ContentError::WrongSize {
                digest: self.expected.clone(),
                expected,
                actual: end,
            });
        }
        if let Err(source) = self.file.0.write_all(new) {
            // Part of the piece may have been written: what counts is what is in the file.
            self.reread()?;
            return Err(ContentError::Io {
                action: "write",
                path: self.path.clone(),
                source,
            });
        }
        self.hasher.update(new);
        self.offset = end;
        Ok(())
    }

    /// Throws away what has arrived and begins again.
    pub fn restart(&mut self) -> Result<(), ContentError> {
        let emptied = self
            .file
            .0
            .set_len(0)
            .and_then(|()| io::Seek::rewind(&mut self.file.0));
        emptied.map_err(|source| ContentError::Io {
            action: "empty",
            path: self.path.clone(),
            source,
        })?;
        self.offset = 0;
        self.hasher = Sha256::new();
        Ok(())
    }

    /// Checks the digest and gives the blob its name.
    ///
    /// # Errors
    /// [`ContentError::WrongSize`] where bytes are lacking: what is there stays, to be continued.
    /// [`ContentError::WrongDigest`] where it is something else: what is there is thrown away.
    pub fn commit(self) -> Result<(), ContentError> {
        if let Some(expected) = self.size.filter(|size| *size != self.offset) {
            return Err(ContentError::WrongSize {
                digest: self.expected,
                expected,
                actual: self.offset,
            });
        }
        let actual = Digest::from_raw(self.hasher.finalize().as_slice());
        if actual != self.expected {
            remove_if_there(&self.path)?;
            return Err(ContentError::WrongDigest {
                expected: self.expected,
                actual,
            });
        }
        let flushed = self.file.0.sync_all();
        flushed.map_err(|source| ContentError::Io {
            action: "flush",
            path: self.path.clone(),
            source,
        })?;
        self.store.publish(&self.path, &self.expected)
    }

    fn reread(&mut self) -> Result<(), ContentError> {
        self.hasher = Sha256::new();
        let read =
            io::Seek::rewind(&mut self.file.0).and_then(|()| hash_to_end(&mut self.file.0, &mut self.hasher));
        self.offset = read.map_err(|source| ContentError::Io {
            action: "read",
            path: self.path.clone(),
            source,
        })?;
        Ok(())
    }
}

/// Reads from the file's position to its end; returns how many bytes there were.
pub(super) fn hash_to_end(file: &mut File, hasher: &mut Sha256) -> io::Result<u64> {
    let mut buffer = vec![0; 1 << 18];
    let mut total = 0;
    loop {
        let count = match file.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(buffer.get(..count).unwrap_or_default());
        total += count as u64;
    }
}

pub(super) fn remove_stale(directory: &Path, before: Option<SystemTime>) -> Result<u64, ContentError> {
    let io_error = |source| ContentError::Io {
        action: "list",
        path: directory.to_owned(),
        source,
    };
    let mut freed = 0;
    for entry in fs::read_dir(directory).map_err(io_error)? {
        let path = entry.map_err(io_error)?.path();
        freed += remove_beginning(&path, before)?.unwrap_or(0);
    }
    Ok(freed)
}

/// Removes one beginning that nobody is at work on and nobody has continued since `before`; the bytes it had.
pub(super) fn remove_beginning(path: &Path, before: Option<SystemTime>) -> Result<Option<u64>, ContentError> {
    let Ok(Some(file)) = File::open(path).and_then(LockedFile::try_from) else {
        return Ok(None);
    };
    let Ok(metadata) = file.0.metadata() else {
        return Ok(None);
    };
    let stale = metadata
        .modified()
        .ok()
        .zip(before)
        .is_some_and(|(modified, before)| modified <= before);
    if !stale || !is_still_at(&file.0, path).unwrap_or(false) {
        return Ok(None);
    }
    remove_if_there(path)?;
    Ok(Some(metadata.len()))
}
