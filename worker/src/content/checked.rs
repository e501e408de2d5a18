//! Reading a blob that leaves this machine: it is seen on the way whether it is still what it was when it came.

use std::fs::File;
use std::io::{self, Read};

use sha2::{Digest as _, Sha256};
use stagewright_core::digest::Digest;

use super::{ContentError, ContentStore};

/// A blob being read. Its last bytes are given out only if all of them are those that its digest names; otherwise
/// reading fails, and the blob is gone.
#[derive(Debug)]
pub struct CheckedBlob {
    store: ContentStore,
    digest: Digest,
    file: File,
    hasher: Sha256,
    left: u64,
    /// Whether its end was reached, and all of it was compared.
    looked_at: bool,
}

impl CheckedBlob {
    pub(super) fn open(store: ContentStore, digest: &Digest) -> Result<Self, ContentError> {
        let file = store.open_blob(digest)?;
        let left = file.metadata().map_err(|source| ContentError::Io {
            action: "look at",
            path: store.path(digest),
            source,
        })?;
        Ok(Self {
            store,
            digest: digest.clone(),
            file,
            hasher: Sha256::new(),
            left: left.len(),
            looked_at: false,
        })
    }
}

impl Read for CheckedBlob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        if buffer.is_empty() || self.looked_at {
            return Ok(count);
        }
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        self.left = self.left.saturating_sub(count as u64);
        // It may end early, even before its first byte: that is what a crash leaves of a file.
        if self.left == 0 || count == 0 {
            self.looked_at = true;
            let actual = Digest::from_raw(self.hasher.clone().finalize().as_slice());
            if actual != self.digest {
                let damaged = self.store.damaged(&self.digest, &actual);
                return Err(io::Error::new(io::ErrorKind::InvalidData, damaged));
            }
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_that_changed_on_the_disk_is_not_given_out_and_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let store = ContentStore::open(folder.path()).unwrap();
        let text = vec![7; 100_000];
        let digest = store.put(&text).unwrap();
        let mut read = Vec::new();
        store
            .open_checked(&digest)
            .unwrap()
            .read_to_end(&mut read)
            .unwrap();
        assert_eq!(read, text);
        for damage in [Vec::new(), vec![7; 99_999], vec![8; 100_000]] {
            std::fs::write(store.path(&digest), damage).unwrap();
            let error = io::copy(&mut store.open_checked(&digest).unwrap(), &mut io::sink()).unwrap_err();
            assert!(error.to_string().contains("was damaged on the disk"), "{error}");
            assert!(!store.contains(&digest));
            store.put(&text).unwrap();
        }
        std::fs::write(store.path(&digest), "x").unwrap();
        assert!(matches!(
            store.read(&digest, 10),
            Err(ContentError::Damaged { .. })
        ));
        // One that is shorter than it should be is no obstacle to the whole one.
        std::fs::write(store.path(&digest), "x").unwrap();
        let mut ingest = store.ingest(&digest, Some(100_000)).unwrap();
        ingest.write_at(0, &text).unwrap();
        ingest.commit().unwrap();
        assert!(store.verify(&digest).is_ok());
    }
}
