//! What the worker remembers of steps: results by key, checksums of files, and how each step last looked.
//!
//! One process at a time: the journal is locked, so a second worker on one state directory is refused. A result is written
//! here only after its layer is committed, so what is found here is whole; that the layer is still there is checked by
//! whoever uses it.

mod journal;
mod store;
mod table;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use stagewright_core::digest::Digest;
use stagewright_core::protocol::BuildId;

use self::store::Store;
use self::table::Table;
use super::key::InputFact;

/// A step's result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredResult {
    /// The build that made it.
    pub(crate) build: BuildId,
    /// When, RFC 3339.
    pub(crate) created: String,
    /// The step's name.
    #[serde(default)]
    pub(crate) step: String,
    /// Name of the layer in the snapshot store.
    pub(crate) snapshot: String,
    /// sha256 of the layer's tar.
    pub(crate) diff_id: Digest,
    /// Size of that tar in bytes.
    pub(crate) unpacked_size: u64,
    /// Entries that are new.
    pub(crate) added: u64,
    /// Entries that changed.
    pub(crate) changed: u64,
    /// Entries that were removed.
    pub(crate) removed: u64,
}

/// What a worker remembers of one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRecord {
    /// The step's key.
    pub key: Digest,
    /// The layer's name in the snapshot store.
    pub layer: String,
    /// sha256 of the layer's tar.
    pub diff_id: Digest,
    /// The step's name, where the worker that wrote it kept it.
    pub step: String,
    /// The build that ran it.
    pub build: String,
    /// When, RFC 3339.
    pub created: String,
    /// The bytes of the record.
    pub size: u64,
}

/// How a step looked when it was last asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LastSeen {
    /// The build that asked.
    pub(crate) build: BuildId,
    /// The step's key then.
    pub(crate) key: Digest,
    /// What the step does, inputs apart.
    pub(crate) own: Digest,
    /// What it worked on.
    pub(crate) inputs: Vec<InputFact>,
}

/// What an address gave when it was last asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fetched {
    /// The build that asked.
    pub(crate) build: BuildId,
    /// What the server called that state of it.
    pub(crate) etag: Option<String>,
    /// When the server says that it changed.
    pub(crate) last_modified: Option<String>,
    /// The checksum that it was asked to have, and had.
    pub(crate) checksum: Option<String>,
    /// sha256 of a file, where it was noted.
    #[serde(default)]
    pub(crate) content: Option<Digest>,
    /// The key of the result that it became.
    pub(crate) result: Digest,
}

/// The database could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheError {
    /// Another process has it open.
    #[error(
        "another worker uses this state directory ({0}); stop it, or give this one a state directory of its own"
    )]
    InUse(String),
    /// It cannot be read or written.
    #[error("the build cache cannot be used: {0}")]
    Database(String),
}

/// The memory of one worker.
pub(crate) struct Cache(Mutex<Store>);

impl Cache {
    /// Opens what is kept at `path` and beside it, making it where it is not there.
    pub(crate) fn open(path: &Path) -> Result<Self, CacheError> {
        Ok(Self(Mutex::new(Store::open(path)?)))
    }

    /// Whether anything was ever kept at `path`.
    pub(crate) fn is_at(path: &Path) -> bool {
        path.is_file() || Store::journal(path).is_file()
    }

    /// The bytes that it takes on the disk.
    pub(crate) fn size(path: &Path) -> u64 {
        let parts = [path, &Store::journal(path)];
        let sizes = parts.map(|part| std::fs::metadata(part).map_or(0, |metadata| metadata.len()));
        sizes.into_iter().sum()
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes it in order. Whoever still comes opens it again.
    pub(crate) fn close(&self) {
        self.store().close();
    }

    /// The result of the step whose key is `key`.
    pub(crate) fn result(&self, key: &Digest) -> Option<StoredResult> {
        self.read(Table::Results, key)
    }

    /// Remembers a result. Its layer has to be committed already.
    pub(crate) fn put_result(&self, key: &Digest, result: &StoredResult) -> Result<(), CacheError> {
        self.write(Table::Results, key, result)
    }

    /// Every result, in the order of the keys.
    pub(crate) fn results(&self) -> Result<Vec<StepRecord>, CacheError> {
        let all = self.store().all(Table::Results)?;
        let record = |(key, value): (String, Vec<u8>)| {
            let key: Digest = format!("sha256:{key}").parse().ok()?;
            let result: StoredResult = serde_json::from_slice(&value).ok()?;
            Some(StepRecord {
                key,
                layer: result.snapshot,
                diff_id: result.diff_id,
                step: result.step,
                build: result.build,
                created: result.created,
                size: value.len() as u64,
            })
        };
        Ok(all.into_iter().filter_map(record).collect())
    }

    /// Forgets results, all at once.
    pub(crate) fn forget_results(&self, keys: &[Digest]) -> Result<(), CacheError> {
        if keys.is_empty() {
            return Ok(());
        }
        let keys: Vec<&str> = keys.iter().map(Digest::hex).collect();
        self.store().remove(Table::Results, &keys)
    }

    /// The checksum of a selection of files in a root file system that never changes.
    pub(crate) fn checksum(&self, of: &Digest) -> Option<Digest> {
        let found = self.store().get(Table::Checksums, of.hex());
        str::from_utf8(&found.ok()??).ok()?.parse().ok()
    }

    /// Remembers a checksum.
    pub(crate) fn put_checksum(&self, of: &Digest, checksum: &Digest) -> Result<(), CacheError> {
        self.store()
            .put(&[(Table::Checksums, of.hex(), checksum.as_str())])
    }

    /// What is known of the address called `identity`.
    pub(crate) fn fetched(&self, identity: &Digest) -> Option<Fetched> {
        self.read(Table::Fetched, identity)
    }

    /// Remembers what an address gave.
    pub(crate) fn put_fetched(&self, identity: &Digest, fetched: &Fetched) -> Result<(), CacheError> {
        self.write(Table::Fetched, identity, fetched)
    }

    /// How the step known as `step` last looked.
    pub(crate) fn last_seen(&self, step: &Digest) -> Option<LastSeen> {
        self.read(Table::Steps, step)
    }

    /// Remembers how steps look now, all at once.
    pub(crate) fn put_last_seen(&self, seen: &[(Digest, LastSeen)]) -> Result<(), CacheError> {
        let texts: Vec<String> = seen
            .iter()
            .map(|(_, last)| text(last))
            .collect::<Result<_, _>>()?;
        let entries: Vec<(Table, &str, &str)> = seen
            .iter()
            .zip(&texts)
            .map(|((step, _), text)| (Table::Steps, step.hex(), text.as_str()))
            .collect();
        self.store().put(&entries)
    }

    /// An entry that is not there, or that an other version wrote, counts as none.
    fn read<T: DeserializeOwned>(&self, table: Table, key: &Digest) -> Option<T> {
        let found = self.store().get(table, key.hex());
        serde_json::from_slice(&found.ok()??).ok()
    }

    fn write<T: Serialize>(&self, table: Table, key: &Digest, value: &T) -> Result<(), CacheError> {
        let text = text(value)?;
        self.store().put(&[(table, key.hex(), &text)])
    }
}

fn text<T: Serialize>(value: &T) -> Result<String, CacheError> {
    serde_json::to_string(value).map_err(|error| CacheError::Database(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_worker_on_one_directory_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache.redb");
        let first = Cache::open(&path).unwrap();
        let second = Cache::open(&path).err().map(|error| error.to_string());
        assert!(second.unwrap().contains("another worker"));
        drop(first);
        assert!(Cache::open(&path).is_ok());
    }

    #[test]
    fn a_damaged_database_is_put_aside_and_a_new_one_begins() {
        for damage in [
            |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() / 2),
            |bytes: &mut Vec<u8>| bytes.truncate(10),
            |bytes: &mut Vec<u8>| bytes.iter_mut().for_each(|byte| *byte ^= 0x55),
            |bytes: &mut Vec<u8>| {
                bytes
                    .splice(.., *b"this is no database, but long enough to be one")
                    .for_each(drop);
            },
        ] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("cache.redb");
            let cache = Cache::open(&path).unwrap();
            // Makes the database.
            cache.forget_results(&[Digest::of(b"none")]).unwrap();
            drop(cache);
            let mut bytes = std::fs::read(&path).unwrap();
            damage(&mut bytes);
            std::fs::write(&path, &bytes).unwrap();
            let cache = Cache::open(&path).unwrap();
            let (of, checksum) = (Digest::of(b"of"), Digest::of(b"sum"));
            cache.put_checksum(&of, &checksum).unwrap();
            assert_eq!(cache.result(&of), None);
            assert!(path.with_extension("damaged").exists());
            // Empties the journal, so that all there is comes from the new database.
            cache.forget_results(&[Digest::of(b"none")]).unwrap();
            drop(cache);
            let journal = std::fs::metadata(Store::journal(&path)).unwrap();
            assert_eq!(journal.len(), 0);
            let cache = Cache::open(&path).unwrap();
            assert_eq!(cache.checksum(&of), Some(checksum));
        }
    }

    #[test]
    fn results_outlive_the_worker() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache.redb");
        let (key, diff_id) = (Digest::of(b"key"), Digest::of(b"tar"));
        let result = StoredResult {
            build: "1".into(),
            step: "RUN make".into(),
            created: "2026-01-01T00:00:00Z".into(),
            snapshot: diff_id.hex().to_owned(),
            diff_id,
            unpacked_size: 1024,
            added: 1,
            changed: 2,
            removed: 3,
        };
        Cache::open(&path).unwrap().put_result(&key, &result).unwrap();
        assert_eq!(Cache::open(&path).unwrap().result(&key), Some(result));
    }
}
