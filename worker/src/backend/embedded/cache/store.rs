//! Where entries are kept: the newest in a journal, the others in a database.
//!
//! A database that can lose nothing waits for the disk at every entry, when it is opened and when it is closed, which together
//! takes longer than a build whose steps are all cached. So it is read as it is, and written only when the journal has grown
//! long: then everything in the journal goes there at once, and the journal begins anew. Between the two the entries are in
//! both, and mean the same.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use redb::{Database, ReadOnlyDatabase, ReadableDatabase, ReadableTable as _, TableError};

use super::CacheError;
use super::journal::{Entries, Journal};
use super::table::Table;

/// How often files are tried that somebody has open, and how long after one another.
const ATTEMPTS: u32 = 50;
const BETWEEN: Duration = Duration::from_millis(20);

/// The journal's length in bytes at which it is emptied when the store is closed, and while it is open: it is read whole
/// when the store is opened.
const LONG: u64 = 128 << 10;
const TOO_LONG: u64 = 4 << 20;

pub(super) struct Store {
    path: PathBuf,
    journal: Journal,
    /// What is in the journal.
    newer: Entries,
    /// The journal's length when it could not be emptied; 0 where it can, as far as is known.
    stuck: u64,
    /// `None` where it was not needed yet, and while it cannot be opened again after the disk failed.
    database: Option<Open>,
}

/// The database, as it is open.
enum Open {
    /// Nothing was changed, and nothing has to be closed in order.
    Reading(ReadOnlyDatabase),
    Writing(Database),
}

fn failed(error: impl Into<redb::Error>) -> CacheError {
    CacheError::Database(error.into().to_string())
}

impl Store {
    /// Opens the store whose database is at `path`, and its journal beside it.
    pub(super) fn open(path: &Path) -> Result<Self, CacheError> {
        let beside = Self::journal(path);
        let cannot = |error: io::Error| CacheError::Database(format!("{}: {error}", beside.display()));
        // A step of a worker that was killed has the worker's files open for a moment longer than the worker itself.
        for _ in 0..ATTEMPTS {
            if let Some((journal, newer)) = Journal::open(&beside).map_err(cannot)? {
                return Ok(Self {
                    path: path.to_owned(),
                    journal,
                    newer,
                    stuck: 0,
                    database: None,
                });
            }
            std::thread::sleep(BETWEEN);
        }
        Err(CacheError::InUse(path.display().to_string()))
    }

    /// Where the journal of the database at `path` is.
    pub(super) fn journal(path: &Path) -> PathBuf {
        path.with_extension("journal")
    }

    pub(super) fn get(&mut self, table: Table, key: &str) -> Result<Option<Vec<u8>>, CacheError> {
        if let Some(newer) = self.newer.get(&(table, key.to_owned())) {
            return Ok(Some(newer.clone().into_bytes()));
        }
        self.read(|database| {
            let Some(table) = table_of(database, table)? else {
                return Ok(None);
            };
            Ok(table.get(key)?.map(|value| value.value().to_vec()))
        })
    }

    /// All entries of a table, by their keys.
    pub(super) fn all(&mut self, table: Table) -> Result<BTreeMap<String, Vec<u8>>, CacheError> {
        let mut all = self.read(|database| {
            let mut all = BTreeMap::new();
            if let Some(table) = table_of(database, table)? {
                for entry in table.iter()? {
                    let (key, value) = entry?;
                    all.insert(key.value().to_owned(), value.value().to_vec());
                }
            }
            Ok(all)
        })?;
        for ((_, key), value) in self.newer.iter().filter(|((of, _), _)| *of == table) {
            all.insert(key.clone(), value.clone().into_bytes());
        }
        Ok(all)
    }

    /// Writes entries down, all or, where that fails, none.
    pub(super) fn put(&mut self, entries: &[(Table, &str, &str)]) -> Result<(), CacheError> {
        self.journal
            .append(entries)
            .map_err(|error| CacheError::Database(error.to_string()))?;
        for (table, key, value) in entries {
            self.newer
                .insert((*table, (*key).to_owned()), (*value).to_owned());
        }
        if self.journal.length() > self.stuck.saturating_add(TOO_LONG)
            && let Err(error) = self.fold()
        {
            // They are in the journal, which merely grows. It is tried again when that is worth the time that it takes.
            self.stuck = self.journal.length();
            tracing::warn!(%error, "the build cache's journal cannot be emptied");
        }
        Ok(())
    }

    /// Forgets entries, all at once.
    pub(super) fn remove(&mut self, table: Table, keys: &[&str]) -> Result<(), CacheError> {
        // Else the journal would bring them back.
        self.fold()?;
        self.write(|database| {
            let write = database.begin_write()?;
            {
                let mut table = write.open_table(table.definition())?;
                for key in keys {
                    table.remove(*key)?;
                }
            }
            Ok(write.commit()?)
        })
    }

    /// Closes the database in order, so that the next one to open it need not look whether it is whole, which reads all of
    /// it. Whoever still comes opens it again.
    pub(super) fn close(&mut self) {
        if self.journal.length() > LONG
            && let Err(error) = self.fold()
        {
            tracing::warn!(%error, "the build cache's journal cannot be emptied");
        }
        self.database = None;
    }

    /// Moves what is in the journal to the database.
    fn fold(&mut self) -> Result<(), CacheError> {
        if self.journal.length() == 0 {
            return Ok(());
        }
        let newer = std::mem::take(&mut self.newer);
        let written = self.write(|database| {
            let write = database.begin_write()?;
            for kind in Table::ALL {
                let mut table = write.open_table(kind.definition())?;
                for ((_, key), value) in newer.iter().filter(|((of, _), _)| *of == kind) {
                    table.insert(key.as_str(), value.as_bytes())?;
                }
            }
            Ok(write.commit()?)
        });
        if let Err(error) = written {
            self.newer = newer;
            return Err(error);
        }
        // Read from the database from now on, whether or not the journal could be emptied.
        self.journal
            .clear()
            .map_err(|error| CacheError::Database(error.to_string()))?;
        self.stuck = 0;
        Ok(())
    }

    /// Reads the database, where there is one.
    fn read<T: Default>(
        &mut self,
        work: impl Fn(&dyn ReadableDatabase) -> Result<T, redb::Error>,
    ) -> Result<T, CacheError> {
        if self.database.is_none() && !self.path.exists() {
            return Ok(T::default());
        }
        self.on(false, |open| match open {
            Open::Reading(database) => work(database),
            Open::Writing(database) => work(database),
        })
    }

    /// Writes to the database, making it where it is not there.
    fn write<T>(&mut self, work: impl Fn(&Database) -> Result<T, redb::Error>) -> Result<T, CacheError> {
        if let Some(Open::Reading(_)) = self.database {
            self.database = None;
        }
        self.on(true, |open| match open {
            Open::Writing(database) => work(database),
            Open::Reading(_) => Err(redb::Error::PreviousIo),
        })
    }

    /// Works on the database. Once the disk has failed it, as a full one does, it refuses everything until it is opened
    /// again. Where it turns out to be damaged, a new one begins.
    fn on<T>(
        &mut self,
        writing: bool,
        work: impl Fn(&Open) -> Result<T, redb::Error>,
    ) -> Result<T, CacheError> {
        for again in [false, true] {
            // Closed before it is opened anew: it locks its file.
            let open = match self.database.take() {
                Some(open) => open,
                None => open(&self.path, writing)?,
            };
            match work(self.database.insert(open)) {
                Err(redb::Error::PreviousIo) if !again => self.database = None,
                Err(error) if is_damage(&error) && !again => {
                    self.database = None;
                    set_aside(&self.path, &error)?;
                }
                result => return result.map_err(failed),
            }
        }
        Err(failed(redb::Error::PreviousIo))
    }
}

fn table_of(
    database: &dyn ReadableDatabase,
    table: Table,
) -> Result<Option<redb::ReadOnlyTable<&'static str, &'static [u8]>>, redb::Error> {
    match database.begin_read()?.open_table(table.definition()) {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Opens the database. One that is damaged is put aside, and a new one begins: what it remembers can be found out again.
fn open(path: &Path, writing: bool) -> Result<Open, CacheError> {
    let try_to = || -> Result<Open, redb::Error> {
        // One that was not closed in order cannot be read as it is.
        if !writing && let Ok(database) = ReadOnlyDatabase::open(path) {
            return Ok(Open::Reading(database));
        }
        Ok(Open::Writing(Database::create(path)?))
    };
    let mut attempts = 0;
    loop {
        match try_to() {
            Ok(open) => return Ok(open),
            Err(redb::Error::DatabaseAlreadyOpen) if attempts < ATTEMPTS => {
                attempts += 1;
                std::thread::sleep(BETWEEN);
            }
            Err(redb::Error::DatabaseAlreadyOpen) => {
                return Err(CacheError::InUse(path.display().to_string()));
            }
            Err(error) if is_damage(&error) && attempts < ATTEMPTS => {
                attempts = ATTEMPTS;
                set_aside(path, &error)?;
            }
            Err(error) => return Err(CacheError::Database(format!("{}: {error}", path.display()))),
        }
    }
}

/// Puts a damaged database aside, for whoever wants to look at it.
fn set_aside(path: &Path, error: &redb::Error) -> Result<(), CacheError> {
    let aside = path.with_extension("damaged");
    tracing::warn!(path = %path.display(), %error, aside = %aside.display(), "the build cache is damaged; a new one begins");
    std::fs::rename(path, aside).map_err(|error| failed(redb::Error::Io(error)))
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

    fn value(store: &mut Store, key: &str) -> Option<String> {
        let value = store.get(Table::Results, key).unwrap();
        value.map(|value| String::from_utf8(value).unwrap())
    }

    #[test]
    fn entries_are_found_wherever_they_are() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache.redb");
        let mut store = Store::open(&path).unwrap();
        assert_eq!(value(&mut store, "a"), None);
        store
            .put(&[(Table::Results, "a", "old"), (Table::Results, "b", "kept")])
            .unwrap();
        assert!(!path.exists(), "nothing was long enough for a database");
        store.fold().unwrap();
        assert!(path.exists());
        store
            .put(&[(Table::Results, "a", "new"), (Table::Steps, "a", "step")])
            .unwrap();
        drop(store);
        let mut store = Store::open(&path).unwrap();
        assert_eq!(value(&mut store, "a").as_deref(), Some("new"));
        assert_eq!(value(&mut store, "b").as_deref(), Some("kept"));
        let all = store.all(Table::Results).unwrap();
        assert_eq!(all.into_keys().collect::<Vec<_>>(), ["a", "b"]);
        assert!(
            matches!(store.database, Some(Open::Reading(_))),
            "reading changes nothing"
        );
        store.remove(Table::Results, &["a"]).unwrap();
        drop(store);
        let mut store = Store::open(&path).unwrap();
        assert_eq!(value(&mut store, "a"), None);
        assert_eq!(
            store.get(Table::Steps, "a").unwrap().as_deref(),
            Some(&b"step"[..])
        );
    }

    #[test]
    fn a_long_journal_is_emptied() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache.redb");
        let mut store = Store::open(&path).unwrap();
        let long = "x".repeat(usize::try_from(LONG).unwrap());
        store.put(&[(Table::Results, "short", "x")]).unwrap();
        store.close();
        assert!(!path.exists());
        for round in 0..40 {
            store
                .put(&[(Table::Results, &format!("{round}"), &long)])
                .unwrap();
        }
        assert!(path.exists() && store.journal.length() < TOO_LONG);
        store.close();
        drop(store);
        assert_eq!(std::fs::metadata(Store::journal(&path)).unwrap().len(), 0);
        assert_eq!(Store::open(&path).unwrap().all(Table::Results).unwrap().len(), 41);
    }

    #[test]
    fn a_journal_that_cannot_be_emptied_is_tried_again_only_when_it_has_grown_as_long_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache.redb");
        let mut store = Store::open(&path).unwrap();
        // No database can be there.
        std::fs::create_dir(&path).unwrap();
        let long = "x".repeat(usize::try_from(LONG).unwrap());
        let mut round = 0;
        let mut put_until = |store: &mut Store, length: u64| {
            while store.journal.length() <= length {
                round += 1;
                store
                    .put(&[(Table::Results, &format!("{round}"), &long)])
                    .unwrap();
                assert!(round < 100);
            }
        };
        put_until(&mut store, TOO_LONG);
        std::fs::remove_dir(&path).unwrap();
        store.put(&[(Table::Results, "short", "x")]).unwrap();
        assert!(!path.exists(), "it is not tried at every entry");
        let grown = store.journal.length() + TOO_LONG - 2 * LONG;
        put_until(&mut store, grown);
        assert!(!path.exists());
        for _ in 0..3 {
            store.put(&[(Table::Steps, "a", &long)]).unwrap();
        }
        assert!(path.is_file() && store.journal.length() < TOO_LONG);
        assert_eq!(value(&mut store, "short").as_deref(), Some("x"));
        assert_eq!(value(&mut store, "1").as_deref(), Some(long.as_str()));
    }

    #[test]
    fn damage_that_shows_while_the_database_is_open_has_it_put_aside_too() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache.redb");
        let mut store = Store::open(&path).unwrap();
        let long = "x".repeat(64 << 10);
        for key in ["a", "b", "c", "d"] {
            store.put(&[(Table::Results, key, &long)]).unwrap();
        }
        store.fold().unwrap();
        drop(store);
        let mut store = Store::open(&path).unwrap();
        assert_eq!(value(&mut store, "a").as_deref(), Some(long.as_str()));
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_len(4096).unwrap();
        assert_eq!(value(&mut store, "d"), None);
        assert!(path.with_extension("damaged").exists());
        store.put(&[(Table::Results, "d", "again")]).unwrap();
        store.fold().unwrap();
        assert_eq!(store.journal.length(), 0);
        drop(store);
        let mut store = Store::open(&path).unwrap();
        assert_eq!(value(&mut store, "d").as_deref(), Some("again"));
    }

    #[test]
    fn a_worker_that_is_killed_while_it_empties_the_journal_loses_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache.redb");
        let mut store = Store::open(&path).unwrap();
        store.put(&[(Table::Results, "a", "1")]).unwrap();
        let journal = std::fs::read(Store::journal(&path)).unwrap();
        store.fold().unwrap();
        // Killed: the database is not closed in order, and the journal still holds what is in it.
        let torn = directory.path().join("torn.redb");
        std::fs::copy(&path, &torn).unwrap();
        std::fs::write(Store::journal(&torn), journal).unwrap();
        let mut torn = Store::open(&torn).unwrap();
        assert_eq!(value(&mut torn, "a").as_deref(), Some("1"));
        torn.fold().unwrap();
        assert_eq!(value(&mut torn, "a").as_deref(), Some("1"));
    }
}
