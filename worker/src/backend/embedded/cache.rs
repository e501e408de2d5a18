//! What the worker remembers of steps: results by key, checksums of files, and how each step last looked.
//!
//! One process at a time: the database locks its file, so a second worker on one state directory is refused. A
//! result is written here only after its layer is committed, so what is found here is whole; that the layer is still
//! there is checked by whoever uses it.

use std::path::Path;

use redb::{Database, Durability, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use stagewright_core::digest::Digest;
use stagewright_core::protocol::BuildId;

use super::key::InputFact;

const RESULTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("results");
const CHECKSUMS: TableDefinition<'_, &str, &str> = TableDefinition::new("checksums");
const FETCHED: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("fetched");
const STEPS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("steps");

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
pub(crate) struct Cache {
    database: Database,
}

fn database(error: impl Into<redb::Error>) -> CacheError {
    CacheError::Database(error.into().to_string())
}

impl Cache {
    /// Opens the database at `path`, making it where it is not there.
    pub(crate) fn open(path: &Path) -> Result<Self, CacheError> {
        let database = Database::create(path).map_err(|error| match error {
            redb::DatabaseError::DatabaseAlreadyOpen => CacheError::InUse(path.display().to_string()),
            error => CacheError::Database(format!("{}: {error}", path.display())),
        })?;
        let cache = Self { database };
        let write = cache.database.begin_write().map_err(self::database)?;
        write.open_table(RESULTS).map_err(self::database)?;
        write.open_table(CHECKSUMS).map_err(self::database)?;
        write.open_table(STEPS).map_err(self::database)?;
        write.open_table(FETCHED).map_err(self::database)?;
        write.commit().map_err(self::database)?;
        Ok(cache)
    }

    /// The result of the step whose key is `key`.
    pub(crate) fn result(&self, key: &Digest) -> Option<StoredResult> {
        self.read(RESULTS, key.hex())
    }

    /// Remembers a result. Its layer has to be committed already.
    pub(crate) fn put_result(&self, key: &Digest, result: &StoredResult) -> Result<(), CacheError> {
        let value = serde_json::to_vec(result).map_err(|error| CacheError::Database(error.to_string()))?;
        let write = self.database.begin_write().map_err(database)?;
        write
            .open_table(RESULTS)
            .map_err(database)?
            .insert(key.hex(), value.as_slice())
            .map_err(database)?;
        write.commit().map_err(database)
    }

    /// Every result, in the order of the keys.
    pub(crate) fn results(&self) -> Result<Vec<StepRecord>, CacheError> {
        let read = self.database.begin_read().map_err(database)?;
        let table = read.open_table(RESULTS).map_err(database)?;
        let mut records = Vec::new();
        for entry in table.iter().map_err(database)? {
            let (key, value) = entry.map_err(database)?;
            let key: Option<Digest> = format!("sha256:{}", key.value()).parse().ok();
            let result: Option<StoredResult> = serde_json::from_slice(value.value()).ok();
            if let (Some(key), Some(result)) = (key, result) {
                records.push(StepRecord {
                    key,
                    layer: result.snapshot,
                    step: result.step,
                    build: result.build,
                    created: result.created,
                    size: value.value().len() as u64,
                });
            }
        }
        Ok(records)
    }

    /// Forgets results, all at once.
    pub(crate) fn forget_results(&self, keys: &[Digest]) -> Result<(), CacheError> {
        if keys.is_empty() {
            return Ok(());
        }
        let write = self.database.begin_write().map_err(database)?;
        {
            let mut table = write.open_table(RESULTS).map_err(database)?;
            for key in keys {
                table.remove(key.hex()).map_err(database)?;
            }
        }
        write.commit().map_err(database)
    }

    /// The checksum of a selection of files in a root file system that never changes.
    pub(crate) fn checksum(&self, of: &Digest) -> Option<Digest> {
        let read = self.database.begin_read().ok()?;
        let table = read.open_table(CHECKSUMS).ok()?;
        let found = table.get(of.hex()).ok()??;
        found.value().parse().ok()
    }

    /// Remembers a checksum.
    pub(crate) fn put_checksum(&self, of: &Digest, checksum: &Digest) -> Result<(), CacheError> {
        let write = self.begin_passing()?;
        write
            .open_table(CHECKSUMS)
            .map_err(database)?
            .insert(of.hex(), checksum.as_str())
            .map_err(database)?;
        write.commit().map_err(database)
    }

    /// What is known of the address called `identity`.
    pub(crate) fn fetched(&self, identity: &Digest) -> Option<Fetched> {
        self.read(FETCHED, identity.hex())
    }

    /// Remembers what an address gave.
    pub(crate) fn put_fetched(&self, identity: &Digest, fetched: &Fetched) -> Result<(), CacheError> {
        let value = serde_json::to_vec(fetched).map_err(|error| CacheError::Database(error.to_string()))?;
        let write = self.begin_passing()?;
        write
            .open_table(FETCHED)
            .map_err(database)?
            .insert(identity.hex(), value.as_slice())
            .map_err(database)?;
        write.commit().map_err(database)
    }

    /// How the step known as `step` last looked.
    pub(crate) fn last_seen(&self, step: &Digest) -> Option<LastSeen> {
        self.read(STEPS, step.hex())
    }

    /// Remembers how steps look now, all at once.
    pub(crate) fn put_last_seen(&self, seen: &[(Digest, LastSeen)]) -> Result<(), CacheError> {
        let write = self.begin_passing()?;
        {
            let mut table = write.open_table(STEPS).map_err(database)?;
            for (step, last) in seen {
                let value =
                    serde_json::to_vec(last).map_err(|error| CacheError::Database(error.to_string()))?;
                table.insert(step.hex(), value.as_slice()).map_err(database)?;
            }
        }
        write.commit().map_err(database)
    }

    /// Begins to write what can be found out again: it is not waited for until it is on the disk.
    fn begin_passing(&self) -> Result<redb::WriteTransaction, CacheError> {
        let mut write = self.database.begin_write().map_err(database)?;
        write
            .set_durability(Durability::None)
            .map_err(|error| CacheError::Database(error.to_string()))?;
        Ok(write)
    }

    /// An entry that is not there, or that an other version wrote, counts as none.
    fn read<T: DeserializeOwned>(&self, table: TableDefinition<'_, &str, &[u8]>, key: &str) -> Option<T> {
        let read = self.database.begin_read().ok()?;
        let table = read.open_table(table).ok()?;
        let found = table.get(key).ok()??;
        serde_json::from_slice(found.value()).ok()
    }
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
