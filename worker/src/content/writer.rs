//! Storing a blob whose digest is known only once all of it was written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use stagewright_core::digest::Digest;

use super::{ContentError, ContentStore, LockedFile, remove_if_there};

/// A blob being written. Dropping it without [`BlobWriter::commit`] throws it away.
#[derive(Debug)]
pub struct BlobWriter {
    store: ContentStore,
    path: PathBuf,
    /// Locked, so that nobody sweeps it.
    file: LockedFile,
    size: u64,
    hasher: Sha256,
}

impl BlobWriter {
    pub(super) fn create(store: ContentStore) -> Result<Self, ContentError> {
        loop {
            let path = store.root.writing.join(random_name()?);
            let io_error = |source| ContentError::Io {
                action: "create",
                path: path.clone(),
                source,
            };
            let opened = OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path);
            let file = match opened {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                opened => opened.map_err(io_error)?,
            };
            // Another process that opens the store sweeps unlocked files: one taken from under us is made anew.
            if let Some(file) = LockedFile::try_from(file).map_err(io_error)?
                && super::is_still_at(&file.0, &path).map_err(io_error)?
            {
                return Ok(Self {
                    store,
                    path,
                    file,
                    size: 0,
                    hasher: Sha256::new(),
                });
            }
        }
    }

    /// Adds bytes at the end.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), ContentError> {
        let io_error = |source| ContentError::Io {
            action: "write",
            path: self.path.clone(),
            source,
        };
        self.file.0.write_all(bytes).map_err(io_error)?;
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// How many bytes there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Gives the blob its name, where it is the one that is expected; otherwise it is thrown away.
    pub fn commit_as(self, expected: &Digest) -> Result<(Digest, u64), ContentError> {
        let actual = Digest::from_raw(self.hasher.clone().finalize().as_slice());
        if actual == *expected {
            return self.commit();
        }
        Err(ContentError::WrongDigest {
            expected: expected.clone(),
            actual,
        })
    }

    /// Flushes the blob and gives it its name; returns its digest and length.
    pub fn commit(self) -> Result<(Digest, u64), ContentError> {
        let digest = Digest::from_raw(self.hasher.clone().finalize().as_slice());
        if !self.store.contains_whole(&digest, self.size) {
            let flushed = self.file.0.sync_all();
            flushed.map_err(|source| ContentError::Io {
                action: "flush",
                path: self.path.clone(),
                source,
            })?;
            self.store.publish(&self.path, &digest)?;
        }
        Ok((digest, self.size))
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.0.write(bytes)?;
        self.hasher.update(bytes.get(..count).unwrap_or_default());
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        // After a commit the name is gone; a name that cannot be removed is swept at the next start.
        let _ = fs::remove_file(&self.path);
    }
}

fn random_name() -> Result<String, ContentError> {
    let number = getrandom::u64().map_err(|error| ContentError::Io {
        action: "get random bytes from",
        path: PathBuf::from("the system"),
        source: io::Error::other(error),
    })?;
    Ok(format!("{number:016x}"))
}

/// Removes what writers that are gone have left.
pub(super) fn sweep(directory: &Path) -> Result<(), ContentError> {
    let io_error = |source| ContentError::Io {
        action: "list",
        path: directory.to_owned(),
        source,
    };
    for entry in fs::read_dir(directory).map_err(io_error)? {
        let path = entry.map_err(io_error)?.path();
        if let Ok(Some(_unused)) = File::open(&path).and_then(LockedFile::try_from) {
            remove_if_there(&path)?;
        }
    }
    Ok(())
}
