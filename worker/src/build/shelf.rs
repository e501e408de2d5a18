//! The records of all builds that are remembered, by number.
//!
//! A command opens them too, and mostly to add one more: most of those that have ended are read only when somebody looks at them.
//! Which ones that may be is in `settled` beside their folders: all builds with a lower number had ended when they were last
//! read. Without that file all are read.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::BuildsError;
use super::record::{self, Record, SUMMARY_FILE, records_error};

const SETTLED_FILE: &str = "settled";

/// How many records are read again and again before it is noted that their builds have ended.
const READ_AGAIN: usize = 8;

/// All records. What is behind `&self` can be asked for by several at once.
pub(super) struct Shelf {
    root: PathBuf,
    limit: u64,
    /// Empty for what was not looked at yet, which has ended. `None` for what could not be read.
    records: BTreeMap<u64, OnceLock<Option<Arc<Record>>>>,
}

impl Shelf {
    /// Opens the records in the folder `root`, each of which is to have at most `limit` bytes of events. Builds that had not ended
    /// are closed as lost, but for those of which it was kept what was asked for: they wait. Also gives the next free number.
    pub(super) fn open(root: &Path, limit: u64) -> Result<(u64, Self), BuildsError> {
        let failed = |error: std::io::Error| records_error(root, &error);
        fs::create_dir_all(root).map_err(failed)?;
        let mut shelf = Self {
            root: root.to_owned(),
            limit,
            records: BTreeMap::new(),
        };
        let mut next = record::noted(root)?;
        let settled = settled(root);
        let mut read = 0;
        let mut all_ended = true;
        for entry in fs::read_dir(root).map_err(failed)? {
            let Some(number) = number(&entry.map_err(failed)?.file_name()) else {
                continue;
            };
            next = next.max(number.saturating_add(1));
            if number < settled {
                shelf.records.insert(number, OnceLock::new());
                continue;
            }
            read += 1;
            match shelf.read(number, true) {
                Read::Record(record) => {
                    all_ended &= record.ended();
                    shelf.insert(number, record);
                }
                Read::Nothing => {}
                Read::NotNow => all_ended = false,
            }
        }
        if read >= READ_AGAIN && all_ended {
            note_settled(root, next);
        }
        Ok((next, shelf))
    }

    /// The record of a build, which is read where it was not before.
    pub(super) fn get(&self, number: u64) -> Option<Arc<Record>> {
        let place = self.records.get(&number)?;
        let record = place.get_or_init(|| match self.read(number, false) {
            Read::Record(record) => Some(record),
            Read::Nothing | Read::NotNow => None,
        });
        record.clone()
    }

    /// All records, the oldest first. Reads what was not read before.
    pub(super) fn all(&self) -> impl DoubleEndedIterator<Item = Arc<Record>> {
        self.records.keys().filter_map(|number| self.get(*number))
    }

    /// The records of all builds that have not ended, the oldest first.
    pub(super) fn under_way(&self) -> impl Iterator<Item = (u64, &Arc<Record>)> {
        self.records
            .iter()
            .filter_map(move |(number, place)| Some((*number, place.get()?.as_ref()?)))
            .filter(|(_, record)| !record.ended())
    }

    pub(super) fn insert(&mut self, number: u64, record: Arc<Record>) {
        self.records.insert(number, OnceLock::from(Some(record)));
    }

    /// Takes the record of a build out. Its folder stays.
    pub(super) fn take(&mut self, number: u64) -> Option<Arc<Record>> {
        let record = self.get(number);
        self.records.remove(&number);
        record
    }

    /// Takes the oldest builds that have ended out, so that no more than `most` are left where that suffices. Gives their numbers;
    /// their folders stay.
    pub(super) fn take_surplus(&mut self, most: usize) -> Vec<u64> {
        let surplus = self.records.len().saturating_sub(most);
        let has_ended = |place: &OnceLock<Option<Arc<Record>>>| !matches!(place.get(), Some(Some(record)) if !record.ended());
        let old: Vec<u64> = self
            .records
            .iter()
            .filter(|(_, place)| has_ended(place))
            .map(|(number, _)| *number)
            .take(surplus)
            .collect();
        for number in &old {
            self.records.remove(number);
        }
        old
    }

    /// The highest number that there is.
    pub(super) fn newest(&self) -> Option<u64> {
        self.records.last_key_value().map(|(number, _)| *number)
    }

    /// Reads a record. Where `may_wait` is false, a build that has not ended is lost in any case.
    fn read(&self, number: u64, may_wait: bool) -> Read {
        let directory = self.root.join(number.to_string());
        let summary = fs::read(directory.join(SUMMARY_FILE));
        // Killed before the record was there, and so before anybody was told of the build: what was kept of it is all there is.
        if matches!(&summary, Err(error) if error.kind() == ErrorKind::NotFound) {
            record::remove(&self.root, number);
            return Read::Nothing;
        }
        match summary.and_then(|summary| record::open(&directory, &summary, self.limit, may_wait)) {
            Ok(record) => Read::Record(Arc::new(record)),
            // One unreadable record must not keep the worker from starting.
            Err(error) => {
                tracing::warn!(directory = %directory.display(), %error, "a build's record is unreadable");
                // What the system fails to read may be whole at the next start; what is damaged never begins anew.
                if !matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) {
                    return Read::NotNow;
                }
                if let Err(error) = record::drop_kept(&directory) {
                    tracing::warn!(directory = %directory.display(), %error, "what was kept of a build cannot be removed");
                    return Read::NotNow;
                }
                Read::Nothing
            }
        }
    }
}

/// What came of reading a record.
enum Read {
    Record(Arc<Record>),
    /// There is none, or it is damaged.
    Nothing,
    /// It may be whole the next time.
    NotNow,
}

/// The number that a folder's name says, written as numbers are.
fn number(name: &OsStr) -> Option<u64> {
    let name = name.to_str()?;
    let number: u64 = name.parse().ok()?;
    (number.to_string() == name).then_some(number)
}

/// Below which number all builds have ended; 0 where that is not known.
fn settled(root: &Path) -> u64 {
    fs::read_to_string(root.join(SETTLED_FILE))
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

/// Notes that all builds below `number` have ended. Where that fails, they are read once more the next time.
fn note_settled(root: &Path, number: u64) {
    let temporary = root.join("settled.new");
    let written = fs::write(&temporary, number.to_string())
        .and_then(|()| fs::rename(&temporary, root.join(SETTLED_FILE)));
    if let Err(error) = written {
        tracing::debug!(%error, "it cannot be noted which builds have ended");
    }
}

#[cfg(test)]
mod tests {
    use stagewright_core::digest::Digest;
    use stagewright_core::protocol::{BuildState, Event};

    use super::super::record::KeptRequest;
    use super::*;

    const ASKED: Option<KeptRequest<'_>> = Some(KeptRequest {
        kept: b"{}",
        told: b"{}",
        resumable: true,
    });

    fn create(root: &Path, number: u64, asked: Option<KeptRequest<'_>>) -> Arc<Record> {
        Record::create(root, number, "title".into(), Digest::of(b""), u64::MAX, asked).unwrap()
    }

    /// How many records were read.
    fn read(shelf: &Shelf) -> usize {
        let places = shelf.records.values();
        places.filter(|place| place.get().is_some()).count()
    }

    /// As many builds that have ended as it takes to note that; the next number.
    fn settle(root: &Path) -> u64 {
        let count = READ_AGAIN as u64;
        for number in 1..=count {
            create(root, number, None).append(Event::Cancelled);
        }
        let (next, shelf) = Shelf::open(root, u64::MAX).unwrap();
        assert_eq!((read(&shelf), next), (READ_AGAIN, count + 1));
        next
    }

    #[test]
    fn what_has_ended_long_ago_is_read_when_it_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let next = settle(folder.path());
        create(folder.path(), next, None).append(Event::Cancelled);
        let (_, shelf) = Shelf::open(folder.path(), u64::MAX).unwrap();
        assert_eq!(read(&shelf), 1);
        assert_eq!(shelf.get(2).unwrap().summary().state, BuildState::Cancelled);
        assert!(shelf.get(next + 1).is_none());
        assert_eq!(read(&shelf), 2);
        let numbers: Vec<_> = shelf.all().map(|record| record.id()).collect();
        assert_eq!(numbers.len() as u64, next);
        assert_eq!(numbers.last(), Some(&next.to_string()));
    }

    #[test]
    fn as_long_as_one_waits_all_are_read() {
        let folder = tempfile::tempdir().unwrap();
        create(folder.path(), 20, ASKED);
        assert_eq!(settle_with_one_waiting(folder.path()), [20]);
        assert_eq!(settle_with_one_waiting(folder.path()), [20]);
    }

    fn settle_with_one_waiting(root: &Path) -> Vec<u64> {
        for number in 1..=READ_AGAIN as u64 {
            record::remove(root, number);
            create(root, number, None).append(Event::Cancelled);
        }
        let (_, shelf) = Shelf::open(root, u64::MAX).unwrap();
        assert_eq!(read(&shelf), READ_AGAIN + 1);
        shelf.under_way().map(|(number, _)| number).collect()
    }

    #[test]
    fn what_was_torn_after_it_was_read_is_lost_and_never_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        settle(folder.path());
        record::remove(folder.path(), 3);
        create(folder.path(), 3, ASKED);
        fs::write(folder.path().join("4").join(SUMMARY_FILE), "{").unwrap();
        fs::remove_dir_all(folder.path().join("5")).unwrap();
        let (_, shelf) = Shelf::open(folder.path(), u64::MAX).unwrap();
        let state = |number| shelf.get(number).map(|record| record.summary().state);
        assert_eq!([3, 4, 5].map(state), [Some(BuildState::Lost), None, None]);
        assert_eq!(shelf.get(3).unwrap().kept(), None);
        assert_eq!(shelf.all().count(), READ_AGAIN - 2);
    }

    #[test]
    fn the_oldest_go_whether_they_were_read_or_not_but_never_what_is_under_way() {
        let folder = tempfile::tempdir().unwrap();
        let next = settle(folder.path());
        create(folder.path(), next, ASKED);
        let (_, mut shelf) = Shelf::open(folder.path(), u64::MAX).unwrap();
        shelf.get(2);
        assert_eq!(shelf.take_surplus(READ_AGAIN - 1), [1, 2]);
        assert_eq!(shelf.take_surplus(0), (3..next).collect::<Vec<_>>());
        assert_eq!(shelf.newest(), Some(next));
    }

    #[test]
    fn a_note_that_nobody_can_read_is_none() {
        let folder = tempfile::tempdir().unwrap();
        settle(folder.path());
        fs::write(folder.path().join(SETTLED_FILE), "9 or so").unwrap();
        let (_, shelf) = Shelf::open(folder.path(), u64::MAX).unwrap();
        assert_eq!(read(&shelf), READ_AGAIN);
    }
}
