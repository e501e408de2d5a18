//! What a folder held when it was last looked at, so that a file that did not change is not read again.
//!
//! A file is taken for unchanged where the system says of it what it said then: the same place on the same disk, the same
//! length, and the same two times, to the nanosecond. Nobody can set the second one, which is when anything of the file last
//! changed, so a file that was written to and given its old time back is read again. A file that changed moments before it
//! was read is not remembered: the next change might fall into the same tick of the disk's clock.
//!
//! It is a memory and nothing more: one that is gone, torn, or from another version counts as none.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost::Message as _;
use rustix::fs::Stat;
use stagewright_core::digest::Digest;

/// How long a file has to be at rest. File systems tell times apart by 2 seconds at the coarsest.
const REST: Duration = Duration::from_secs(3);

/// How many folders are remembered.
const FOLDERS: usize = 64;

/// How many more files that were not looked at are remembered of a folder than files that were, so that what is long gone
/// from it is forgotten one day.
const NOT_LOOKED_AT: usize = 64;

/// The digits of the sha256 of what follows stand at the beginning.
const CHECKSUM: usize = 64;

/// What is remembered of one folder.
pub(crate) struct Seen {
    /// Where it is kept; `None` where nothing is.
    place: Option<PathBuf>,
    before: BTreeMap<String, File>,
    now: Vec<File>,
    /// Files that changed before that are at rest, in nanoseconds since 1970.
    rested: i128,
    /// Whether anything was known.
    knew: bool,
    changed: bool,
}

/// A folder's files.
#[derive(Clone, PartialEq, prost::Message)]
struct Folder {
    #[prost(message, repeated, tag = "1")]
    files: Vec<File>,
}

/// A file as it was.
#[derive(Clone, PartialEq, prost::Message)]
struct File {
    #[prost(string, tag = "1")]
    path: String,
    #[prost(uint64, tag = "2")]
    device: u64,
    #[prost(uint64, tag = "3")]
    inode: u64,
    #[prost(uint64, tag = "4")]
    size: u64,
    /// When its content changed, in seconds and nanoseconds since 1970.
    #[prost(sint64, tag = "5")]
    modified: i64,
    #[prost(uint32, tag = "6")]
    modified_nanos: u32,
    /// When anything of it changed.
    #[prost(sint64, tag = "7")]
    changed: i64,
    #[prost(uint32, tag = "8")]
    changed_nanos: u32,
    /// sha256 of its content.
    #[prost(string, tag = "9")]
    digest: String,
}

impl File {
    fn of(path: &str, stat: &Stat, digest: &str) -> Self {
        // Whatever does not fit is no time of a file that could be remembered.
        Self {
            path: path.to_owned(),
            device: stat.st_dev,
            inode: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            modified: stat.st_mtime,
            modified_nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or_default(),
            changed: stat.st_ctime,
            changed_nanos: u32::try_from(stat.st_ctime_nsec).unwrap_or_default(),
            digest: digest.to_owned(),
        }
    }

    /// Whether the system says the same of both.
    fn is_same(&self, other: &Self) -> bool {
        let told = |file: &Self| {
            (
                (file.device, file.inode, file.size),
                (file.modified, file.modified_nanos),
                (file.changed, file.changed_nanos),
            )
        };
        told(self) == told(other)
    }
}

impl Seen {
    /// Remembers nothing, now or later.
    pub(crate) fn nothing() -> Self {
        Self::empty(None)
    }

    /// What is remembered in `scans` of `folder`.
    pub(crate) fn of(scans: &Path, folder: &Path) -> Self {
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let place = scans.join(Digest::of(folder.as_os_str().as_bytes()).hex());
        let before = fs::read(&place).ok().and_then(|bytes| read(&bytes));
        let mut seen = Self::empty(Some(place));
        for file in before.unwrap_or_default().files {
            seen.before.insert(file.path.clone(), file);
        }
        seen
    }

    fn empty(place: Option<PathBuf>) -> Self {
        let now = SystemTime::now().checked_sub(REST);
        let rested = now.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Self {
            place,
            before: BTreeMap::new(),
            now: Vec::new(),
            rested: rested.map_or(0, |time| i128::try_from(time.as_nanos()).unwrap_or(0)),
            knew: false,
            changed: false,
        }
    }

    /// Whether the content of any file was known, and so was not looked for.
    pub(crate) fn knew(&self) -> bool {
        self.knew
    }

    /// Forgets what was, so that everything is read again.
    pub(crate) fn forget(&mut self) {
        self.before.clear();
        self.now.clear();
        self.knew = false;
        self.changed = true;
    }

    /// The content of the file at `path`, of which the system says `stat`, where it is known.
    pub(crate) fn content(&mut self, path: &str, stat: &Stat) -> Option<Digest> {
        let before = self.before.get(path)?;
        let digest = before.digest.parse().ok()?;
        if !before.is_same(&File::of(path, stat, "")) {
            return None;
        }
        let same = self.before.remove(path)?;
        self.now.push(same);
        self.knew = true;
        Some(digest)
    }

    /// Remembers that the file at `path` had that content when the system said `stat` of it, which was before it was read.
    pub(crate) fn note(&mut self, path: &str, stat: &Stat, content: &Digest) {
        self.changed = true;
        self.before.remove(path);
        let changed = i128::from(stat.st_ctime) * 1_000_000_000 + i128::from(stat.st_ctime_nsec);
        if changed < self.rested {
            self.now.push(File::of(path, stat, content.as_str()));
        }
    }

    /// Keeps what is new. What cannot be kept is read again the next time.
    pub(crate) fn keep(self) {
        let Some(place) = self.place else {
            return;
        };
        if !self.changed {
            // It was of use, so it is not the oldest. There is none of an empty folder.
            _ = fs::File::open(&place).and_then(|file| file.set_modified(SystemTime::now()));
            return;
        }
        let mut files = self.now;
        // Another target may read them, which looks at other parts of the folder.
        if self.before.len() <= files.len() + NOT_LOOKED_AT {
            files.extend(self.before.into_values());
        }
        if let Err(error) = write(&place, &Folder { files }) {
            tracing::debug!(%error, place = %place.display(), "a look at a build context is not remembered");
        }
    }
}

fn read(bytes: &[u8]) -> Option<Folder> {
    let (checksum, message) = bytes.split_at_checked(CHECKSUM)?;
    if Digest::of(message).hex().as_bytes() != checksum {
        return None;
    }
    Folder::decode(message).ok()
}

fn write(place: &Path, folder: &Folder) -> io::Result<()> {
    let scans = place.parent().ok_or(io::ErrorKind::NotFound)?;
    fs::create_dir_all(scans)?;
    let message = folder.encode_to_vec();
    let temporary = place.with_extension("new");
    fs::write(
        &temporary,
        [Digest::of(&message).hex().as_bytes(), &message].concat(),
    )?;
    fs::rename(&temporary, place)?;
    // The oldest of too many go.
    let mut all: Vec<(SystemTime, PathBuf)> = fs::read_dir(scans)?
        .flatten()
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    all.sort();
    let surplus = all.len().saturating_sub(FOLDERS);
    all.iter()
        .take(surplus)
        .try_for_each(|(_, path)| fs::remove_file(path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, statat, utimensat};

    use super::*;

    fn stat(path: &Path) -> Stat {
        statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).unwrap()
    }

    /// A memory for which everything is at rest.
    fn seen(scans: &Path, folder: &Path) -> Seen {
        let mut seen = Seen::of(scans, folder);
        seen.rested = i128::MAX;
        seen
    }

    #[test]
    fn a_file_that_did_not_change_is_known_the_next_time() {
        let all = tempfile::tempdir().unwrap();
        let (scans, folder) = (all.path().join("scans"), all.path().join("folder"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("a"), "one").unwrap();
        let (one, two) = (Digest::of(b"one"), Digest::of(b"two"));
        let mut first = seen(&scans, &folder);
        assert_eq!(first.content("a", &stat(&folder.join("a"))), None);
        first.note("a", &stat(&folder.join("a")), &one);
        first.keep();
        // By whatever name the folder goes.
        symlink(&folder, all.path().join("link")).unwrap();
        let mut second = seen(&scans, &all.path().join("link"));
        assert_eq!(second.content("a", &stat(&folder.join("a"))), Some(one.clone()));
        second.note("b", &stat(&folder.join("a")), &two);
        second.keep();
        // What was not looked at stays.
        let mut third = seen(&scans, &folder);
        assert_eq!(third.content("b", &stat(&folder.join("a"))), Some(two));
        third.changed = true;
        third.keep();
        assert_eq!(
            seen(&scans, &folder).content("a", &stat(&folder.join("a"))),
            Some(one)
        );
    }

    #[test]
    fn a_file_with_its_old_length_and_time_is_read_again() {
        let all = tempfile::tempdir().unwrap();
        let file = all.path().join("a");
        fs::write(&file, "one").unwrap();
        let before = stat(&file);
        let scans = all.path().join("scans");
        let mut first = seen(&scans, all.path());
        first.note("a", &before, &Digest::of(b"one"));
        first.keep();
        std::thread::sleep(Duration::from_millis(20));
        fs::write(&file, "two").unwrap();
        let time = |seconds, nanos| Timespec {
            tv_sec: seconds,
            tv_nsec: i64::try_from(nanos).unwrap(),
        };
        let times = Timestamps {
            last_access: time(before.st_atime, before.st_atime_nsec),
            last_modification: time(before.st_mtime, before.st_mtime_nsec),
        };
        utimensat(CWD, &file, &times, AtFlags::empty()).unwrap();
        let after = stat(&file);
        assert_eq!(
            (after.st_size, after.st_mtime, after.st_mtime_nsec, after.st_ino),
            (
                before.st_size,
                before.st_mtime,
                before.st_mtime_nsec,
                before.st_ino
            )
        );
        assert_eq!(seen(&scans, all.path()).content("a", &after), None);
    }

    #[test]
    fn a_file_that_changed_a_moment_ago_is_not_remembered() {
        let all = tempfile::tempdir().unwrap();
        let file = all.path().join("a");
        fs::write(&file, "one").unwrap();
        let scans = all.path().join("scans");
        let mut first = Seen::of(&scans, all.path());
        first.note("a", &stat(&file), &Digest::of(b"one"));
        first.keep();
        assert_eq!(seen(&scans, all.path()).content("a", &stat(&file)), None);
    }

    #[test]
    fn a_torn_memory_counts_as_none_and_the_oldest_go() {
        let all = tempfile::tempdir().unwrap();
        let (scans, file) = (all.path().join("scans"), all.path().join("a"));
        fs::write(&file, "one").unwrap();
        for number in 0..=FOLDERS {
            let folder = all.path().join(number.to_string());
            fs::create_dir(&folder).unwrap();
            let mut seen = seen(&scans, &folder);
            seen.note("a", &stat(&file), &Digest::of(b"one"));
            seen.keep();
        }
        let mut kept: Vec<_> = fs::read_dir(&scans)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert_eq!(kept.len(), FOLDERS);
        let last = all.path().join(FOLDERS.to_string());
        kept.retain(|path| Seen::of(&scans, &last).place.as_ref() == Some(path));
        let bytes = fs::read(&kept[0]).unwrap();
        for torn in [&bytes[..bytes.len() - 1], &[0; 300], &bytes[..20]] {
            fs::write(&kept[0], torn).unwrap();
            assert_eq!(seen(&scans, &last).content("a", &stat(&file)), None);
        }
        fs::write(&kept[0], &bytes).unwrap();
        let one = Some(Digest::of(b"one"));
        assert_eq!(seen(&scans, &last).content("a", &stat(&file)), one);
        // The last digit of a file's content is another one, which no shape of the message tells.
        let mut other = bytes;
        let digit = other.last_mut().unwrap();
        *digit = if *digit == b'0' { b'1' } else { b'0' };
        let decoded = Folder::decode(&other[CHECKSUM..]).unwrap();
        assert!(decoded.files[0].digest.parse::<Digest>().is_ok());
        fs::write(&kept[0], &other).unwrap();
        assert_eq!(seen(&scans, &last).content("a", &stat(&file)), None);
    }

    #[test]
    fn a_memory_that_is_of_use_stays_although_nothing_changed() {
        let all = tempfile::tempdir().unwrap();
        let (scans, file) = (all.path().join("scans"), all.path().join("a"));
        fs::write(&file, "one").unwrap();
        let folder = |number: usize| all.path().join(number.to_string());
        for number in 0..FOLDERS {
            fs::create_dir(folder(number)).unwrap();
            let mut seen = seen(&scans, &folder(number));
            seen.note("a", &stat(&file), &Digest::of(b"one"));
            let place = seen.place.clone().unwrap();
            seen.keep();
            // One after the other, however coarse the disk's clock is.
            let then = UNIX_EPOCH + Duration::from_secs(u64::try_from(number).unwrap());
            fs::File::open(place).unwrap().set_modified(then).unwrap();
        }
        let known = |number: usize| {
            let mut seen = seen(&scans, &folder(number));
            let known = seen.content("a", &stat(&file)).is_some();
            seen.keep();
            known
        };
        assert!(known(0));
        fs::create_dir(folder(FOLDERS)).unwrap();
        let mut more = seen(&scans, &folder(FOLDERS));
        more.note("a", &stat(&file), &Digest::of(b"one"));
        more.keep();
        assert!(known(0) && known(FOLDERS) && !known(1));
    }
}
