//! The newest entries, one line each, at the end of a file.
//!
//! What is written here outlives the worker, however it ends, as soon as the system has it; nothing waits for the disk. Should
//! the *machine* end, lines may be missing or torn: each begins with a checksum, and one that does not fit counts for nothing.
//! That is as good as it has to be, for an entry speaks of a layer, and a layer that did not reach the disk is thrown away too.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use stagewright_core::digest::Digest;

use super::table::Table;

/// Digits of a sha256 that stand before each line.
const CHECKSUM: usize = 16;

/// A journal, locked for this process.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    /// Bytes of whole lines.
    length: u64,
}

/// Entries by table and key.
pub(super) type Entries = BTreeMap<(Table, String), String>;

#[derive(Serialize, Deserialize)]
struct Line<'l> {
    table: Table,
    key: std::borrow::Cow<'l, str>,
    value: std::borrow::Cow<'l, str>,
}

impl Journal {
    /// Opens the journal at `path`, making it where it is not there, and reads it; of several entries with one key the last
    /// counts. `None` where another process has it.
    pub(super) fn open(path: &Path) -> io::Result<Option<(Self, Entries)>> {
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut entries = Entries::new();
        let mut length = 0;
        let mut lost = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let Some(whole) = line.strip_suffix(b"\n") else {
                // The worker was killed while it wrote.
                break;
            };
            length += line.len() as u64;
            match read(whole) {
                Some((key, value)) => _ = entries.insert(key, value),
                None => lost += 1,
            }
        }
        if lost > 0 {
            tracing::warn!(path = %path.display(), lost, "lines of the build cache's journal are damaged; their steps run again");
        }
        let journal = Self { file, length };
        if length < bytes.len() as u64 {
            journal.file.set_len(length)?;
        }
        Ok(Some((journal, entries)))
    }

    /// Writes entries down, all or, where that fails, none.
    pub(super) fn append(&mut self, entries: &[(Table, &str, &str)]) -> io::Result<()> {
        let mut text = String::new();
        for (table, key, value) in entries {
            let line = Line {
                table: *table,
                key: (*key).into(),
                value: (*value).into(),
            };
            let line = serde_json::to_string(&line)?;
            text.push_str(checksum(&Digest::of(line.as_bytes())));
            text.push(' ');
            text.push_str(&line);
            text.push('\n');
        }
        // An earlier attempt may have left a part behind that could not be taken away.
        self.file.seek(io::SeekFrom::Start(self.length))?;
        match self.file.write_all(text.as_bytes()) {
            Ok(()) => {
                self.length += text.len() as u64;
                Ok(())
            }
            Err(error) => {
                _ = self.file.set_len(self.length);
                Err(error)
            }
        }
    }

    /// The length of the file in bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Forgets everything: it is written elsewhere by now.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.length = 0;
        Ok(())
    }
}

impl Drop for Journal {
    /// Closing alone is not enough: a process that is being started at this moment still has a copy of the descriptor, and
    /// with it the lock, until it runs its program.
    fn drop(&mut self) {
        _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}

fn checksum(digest: &Digest) -> &str {
    digest.hex().get(..CHECKSUM).unwrap_or_default()
}

fn read(line: &[u8]) -> Option<((Table, String), String)> {
    let text = str::from_utf8(line).ok()?;
    let (sum, text) = text.split_once(' ')?;
    if sum != checksum(&Digest::of(text.as_bytes())) {
        return None;
    }
    let Line { table, key, value } = serde_json::from_str(text).ok()?;
    Some(((table, key.into_owned()), value.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(path: &Path) -> Vec<(String, String)> {
        let (_, entries) = Journal::open(path).unwrap().unwrap();
        entries
            .into_iter()
            .map(|((_, key), value)| (key, value))
            .collect()
    }

    #[test]
    fn entries_are_there_again_and_the_last_of_a_key_counts() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let (mut journal, entries) = Journal::open(&path).unwrap().unwrap();
        assert!(entries.is_empty());
        assert!(Journal::open(&path).unwrap().is_none(), "it is locked");
        journal
            .append(&[(Table::Results, "a", "1\n\"2\""), (Table::Steps, "a", "3")])
            .unwrap();
        journal.append(&[(Table::Results, "a", "4")]).unwrap();
        drop(journal);
        let (mut journal, entries) = Journal::open(&path).unwrap().unwrap();
        assert_eq!(entries[&(Table::Results, "a".into())], "4");
        assert_eq!(entries[&(Table::Steps, "a".into())], "3");
        journal.clear().unwrap();
        drop(journal);
        assert!(Journal::open(&path).unwrap().unwrap().1.is_empty());
    }

    #[test]
    fn torn_lines_count_for_nothing_and_what_follows_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let (mut journal, _) = Journal::open(&path).unwrap().unwrap();
        for key in ["a", "b", "c"] {
            journal.append(&[(Table::Checksums, key, "value")]).unwrap();
        }
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let lines = String::from_utf8_lossy(&whole[..cut]).matches('\n').count();
            assert_eq!(entries(&path).len(), lines, "{cut}");
            let (mut journal, _) = Journal::open(&path).unwrap().unwrap();
            journal.append(&[(Table::Checksums, "z", "last")]).unwrap();
            drop(journal);
            assert_eq!(entries(&path).len(), lines + 1, "{cut}");
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, &damaged).unwrap();
            // A line break that is gone, or one too many, takes two lines along at most.
            assert!(
                (1..3).contains(&entries(&path).len()),
                "{at}: {:?}",
                entries(&path)
            );
        }
    }
}
