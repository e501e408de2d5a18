//! What the worker remembers of steps: results by key, checksums of files, and how each step last looked.
//!
//! One process at a time: the database locks its file, so a second worker on one state directory is refused. A
//! result is written here only after its layer is committed, so what is found here is whole; that the layer is still
//! there is checked by whoever uses it.

use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

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

/// How often a database is tried that somebody has open, and how long after one another.
const ATTEMPTS: u32 = 50;
const BETWEEN: Duration = Duration::from_millis(20);

/// The memory of one worker.
pub(crate) struct Cache {
    path: PathBuf,
    /// `None` while it cannot be opened again after the disk failed.
    database: RwLock<Option<Database>>,
}

fn database(error: impl Into<redb::Error>) -> CacheError {
    CacheError::Database(error.into().to_string())
}

impl Cache {
    /// Opens the database at `path`, making it where it is not there. One that is damaged is put aside: what it
    /// remembers can be found out again.
    pub(crate) fn open(path: &Path) -> Result<Self, CacheError> {
        let open = || {
            // A step of a worker that was killed has the worker's files open for a moment longer than the worker itself.
            for _ in 0..ATTEMPTS {
                match open(path) {
                    Err(redb::Error::DatabaseAlreadyOpen) => std::thread::sleep(BETWEEN),
                    result => return result,
                }
            }
            open(path)
        };
        let database = open().or_else(|error| {
            if !is_damage(&error) {
                return Err(error);
            }
            let aside = path.with_extension("damaged");
            tracing::warn!(path = %path.display(), %error, aside = %aside.display(), "the build cache is damaged; a new one begins");
            std::fs::rename(path, aside).map_err(redb::Error::Io)?;
            open()
        });
        let database = database.map_err(|error| match error {
            redb::Error::DatabaseAlreadyOpen => CacheError::InUse(path.display().to_string()),
            error => CacheError::Database(format!("{}: {error}", path.display())),
        })?;
        Ok(Self {
            path: path.to_owned(),
            database: RwLock::new(Some(database)),
        })
    }

    /// Works on the database. Once the disk has failed it, as a full one does, it refuses everything until it is opened
    /// again.
    fn on<T>(&self, work: impl Fn(&Database) -> Result<T, redb::Error>) -> Result<T, CacheError> {
        for again in [false, true] {
            if let Some(database) = &*self.database.read().unwrap_or_else(PoisonError::into_inner) {
                match work(database) {
                    Err(redb::Error::PreviousIo) if !again => {}
                    result => return result.map_err(self::database),
                }
            }
            let mut place = self.database.write().unwrap_or_else(PoisonError::into_inner);
            // Closed first: it locks its file.
            *place = None;
            *place = Some(open(&self.path).map_err(database)?);
        }
        Err(database(redb::Error::PreviousIo))
    }

    /// Closes the database in order, so that the next one to open it need not look whether it is whole, which reads
    /// all of it. Whoever still comes opens it again.
    pub(crate) fn close(&self) {
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The result of the step whose key is `key`.
    pub(crate) fn result(&self, key: &Digest) -> Option<StoredResult> {
        self.read(RESULTS, key.hex())
    }

    /// Remembers a result. Its layer has to be committed already.
    pub(crate) fn put_result(&self, key: &Digest, result: &StoredResult) -> Result<(), CacheError> {
        let value = serde_json::to_vec(result).map_err(|error| CacheError::Database(error.to_string()))?;
        self.on(|database| {
            let write = database.begin_write()?;
            write.open_table(RESULTS)?.insert(key.hex(), value.as_slice())?;
            Ok(write.commit()?)
        })
    }

    /// Every result, in the order of the keys.
    pub(crate) fn results(&self) -> Result<Vec<StepRecord>, CacheError> {
        self.on(|database| {
            let table = database.begin_read()?.open_table(RESULTS)?;
            let mut records = Vec::new();
            for entry in table.iter()? {
                let (key, value) = entry?;
                let key: Option<Digest> = format!("sha256:{}", key.value()).parse().ok();
                let result: Option<StoredResult> = serde_json::from_slice(value.value()).ok();
                if let (Some(key), Some(result)) = (key, result) {
                    records.push(StepRecord {
                        key,
                        layer: result.snapshot,
                        diff_id: result.diff_id,
                        step: result.step,
                        build: result.build,
                        created: result.created,
                        size: value.value().len() as u64,
                    });
                }
            }
            Ok(records)
        })
    }

    /// Forgets results, all at once.
    pub(crate) fn forget_results(&self, keys: &[Digest]) -> Result<(), CacheError> {
        if keys.is_empty() {
            return Ok(());
        }
        self.on(|database| {
            let write = database.begin_write()?;
            {
                let mut table = write.open_table(RESULTS)?;
                for key in keys {
                    table.remove(key.hex())?;
                }
            }
            Ok(write.commit()?)
        })
    }

    /// The checksum of a selection of files in a root file system that never changes.
    pub(crate) fn checksum(&self, of: &Digest) -> Option<Digest> {
        let found = self.on(|database| {
            let table = database.begin_read()?.open_table(CHECKSUMS)?;
            Ok(table.get(of.hex())?.map(|value| value.value().to_owned()))
        });
        found.ok()??.parse().ok()
    }

    /// Remembers a checksum.
    pub(crate) fn put_checksum(&self, of: &Digest, checksum: &Digest) -> Result<(), CacheError> {
        self.on(|database| {
            let write = begin_passing(database)?;
            write.open_table(CHECKSUMS)?.insert(of.hex(), checksum.as_str())?;
            Ok(write.commit()?)
        })
    }

    /// What is known of the address called `identity`.
    pub(crate) fn fetched(&self, identity: &Digest) -> Option<Fetched> {
        self.read(FETCHED, identity.hex())
    }

    /// Remembers what an address gave.
    pub(crate) fn put_fetched(&self, identity: &Digest, fetched: &Fetched) -> Result<(), CacheError> {
        let value = serde_json::to_vec(fetched).map_err(|error| CacheError::Database(error.to_string()))?;
        self.on(|database| {
            let write = begin_passing(database)?;
            write
                .open_table(FETCHED)?
                .insert(identity.hex(), value.as_slice())?;
            Ok(write.commit()?)
        })
    }

    /// How the step known as `step` last looked.
    pub(crate) fn last_seen(&self, step: &Digest) -> Option<LastSeen> {
        self.read(STEPS, step.hex())
    }

    /// Remembers how steps look now, all at once.
    pub(crate) fn put_last_seen(&self, seen: &[(Digest, LastSeen)]) -> Result<(), CacheError> {
        let mut values = Vec::with_capacity(seen.len());
        for (step, last) in seen {
            let value = serde_json::to_vec(last).map_err(|error| CacheError::Database(error.to_string()))?;
            values.push((step.hex(), value));
        }
        self.on(|database| {
            let write = begin_passing(database)?;
            {
                let mut table = write.open_table(STEPS)?;
                for (step, value) in &values {
                    table.insert(*step, value.as_slice())?;
                }
            }
            Ok(write.commit()?)
        })
    }

    /// An entry that is not there, or that an other version wrote, counts as none.
    fn read<T: DeserializeOwned>(&self, table: TableDefinition<'_, &str, &[u8]>, key: &str) -> Option<T> {
        let found = self.on(|database| {
            let table = database.begin_read()?.open_table(table)?;
            Ok(table.get(key)?.map(|value| value.value().to_vec()))
        });
        serde_json::from_slice(&found.ok()??).ok()
    }
}

/// Opens the database with all its tables.
fn open(path: &Path) -> Result<Database, redb::Error> {
    let database = Database::create(path)?;
    if is_laid_out(&database) {
        return Ok(database);
    }
    let write = database.begin_write()?;
    write.open_table(RESULTS)?;
    write.open_table(CHECKSUMS)?;
    write.open_table(STEPS)?;
    write.open_table(FETCHED)?;
    write.commit()?;
    Ok(database)
}

/// Whether all tables are there: looking is quicker than a write that changes nothing.
fn is_laid_out(database: &Database) -> bool {
    database.begin_read().is_ok_and(|read| {
        [RESULTS, STEPS, FETCHED]
            .iter()
            .all(|table| read.open_table(*table).is_ok())
            && read.open_table(CHECKSUMS).is_ok()
    })
}

/// Begins to write what can be found out again: it is not waited for until it is on the disk.
fn begin_passing(database: &Database) -> Result<redb::WriteTransaction, redb::Error> {
    let mut write = database.begin_write()?;
    write.set_durability(Durability::None)?;
    Ok(write)
}

/// Whether the file is no database (any more), rather than one that cannot be reached.
fn is_damage(error: &redb::Error) -> bool {
    use std::io::ErrorKind;
    match error {
        redb::Error::Corrupted(_) | redb::Error::RepairAborted | redb::Error::UpgradeRequired(_) => true,
        redb::Error::Io(error) => matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof),
        _ => false,
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
            drop(Cache::open(&path).unwrap());
            let mut bytes = std::fs::read(&path).unwrap();
            damage(&mut bytes);
            std::fs::write(&path, &bytes).unwrap();
            let cache = Cache::open(&path).unwrap();
            let (of, checksum) = (Digest::of(b"of"), Digest::of(b"sum"));
            cache.put_checksum(&of, &checksum).unwrap();
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
