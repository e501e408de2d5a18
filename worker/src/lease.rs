//! What running builds hold, so that nobody removes it under them.
//!
//! A build takes a [`Lease`] when it begins. The stores say of everything that is asked for, read or made that it is
//! in use; whatever was in use since the oldest lease began stays until that lease ends. A build therefore holds what
//! it relies on without naming it: to ask a store whether something is there is to hold it.
//!
//! Things are known by their paths. No clock takes part, so it does not matter if the machine's is set. When a lease
//! ends, what was used gets the present as its modification time: that is how the last use outlives the worker.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, utimensat};

/// The leases of one worker. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Leases(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
struct Held {
    /// Counts leases and uses.
    now: u64,
    /// When the leases began that have not ended.
    begun: BTreeSet<u64>,
    /// What was used while there was a lease, and when last.
    ///
    /// As plain text: to compare paths is to take them apart, which takes most of the time with ten thousand of them.
    used: BTreeMap<OsString, Use>,
}

#[derive(Debug)]
struct Use {
    last: u64,
    /// Whether its last use is still to be written down.
    unwritten: bool,
}

/// Holds everything that is used as long as it lives.
#[derive(Debug)]
pub struct Lease {
    leases: Leases,
    begun: u64,
}

/// Tells what may be removed. Nothing begins to be in use while there is one.
#[derive(Debug)]
pub struct Removal<'a>(MutexGuard<'a, Held>);

impl Leases {
    /// From here on everything that is used is held.
    pub fn begin(&self) -> Lease {
        let mut held = self.lock();
        held.now += 1;
        let begun = held.now;
        held.begun.insert(begun);
        Lease {
            leases: self.clone(),
            begun,
        }
    }

    /// The thing at `path` is used. Say so before looking whether it is there: what is there then stays.
    pub fn using(&self, path: &Path) {
        self.note(path, true);
    }

    /// The thing at `path` is to stay, though what it is for is written down elsewhere: a file of a context that is
    /// in use.
    pub fn holding(&self, path: &Path) {
        self.note(path, false);
    }

    /// Whether a lease holds the thing at `path`.
    pub fn is_held(&self, path: &Path) -> bool {
        self.lock().holds(path)
    }

    /// Keeps everything as it is while things are taken away. Whoever has it must not ask the stores for anything
    /// that they would note as used.
    pub fn removal(&self) -> Removal<'_> {
        Removal(self.lock())
    }

    fn note(&self, path: &Path, unwritten: bool) {
        let mut held = self.lock();
        if held.begun.is_empty() {
            return;
        }
        held.now += 1;
        let last = held.now;
        match held.used.get_mut(path.as_os_str()) {
            Some(used) => {
                used.last = last;
                used.unwritten |= unwritten;
            }
            None => {
                held.used
                    .insert(path.as_os_str().to_owned(), Use { last, unwritten });
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn holds(&self, path: &Path) -> bool {
        let oldest = self.begun.first();
        oldest.is_some_and(|oldest| {
            self.used
                .get(path.as_os_str())
                .is_some_and(|used| used.last > *oldest)
        })
    }
}

impl Removal<'_> {
    /// Whether a lease holds the thing at `path`.
    pub fn is_held(&self, path: &Path) -> bool {
        self.0.holds(path)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut written = Vec::new();
        {
            let mut held = self.leases.lock();
            held.begun.remove(&self.begun);
            for (path, used) in &mut held.used {
                if used.unwritten && used.last > self.begun {
                    used.unwritten = false;
                    written.push(PathBuf::from(path));
                }
            }
            match held.begun.first().copied() {
                Some(oldest) => held.used.retain(|_, used| used.last > oldest),
                None => held.used.clear(),
            }
        }
        for path in written {
            write_down(&path);
        }
    }
}

/// Gives `path` the present as its modification time, which stands for its last use.
fn write_down(path: &Path) {
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_NOW,
        },
    };
    // What was asked for and is not there, or is gone by now, has no last use.
    _ = utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW);
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn what_is_used_is_held_until_the_oldest_lease_that_saw_it_ends() {
        let leases = Leases::default();
        let (early, late, never) = (Path::new("/early"), Path::new("/late"), Path::new("/never"));
        leases.using(never);
        let first = leases.begin();
        leases.using(early);
        let second = leases.begin();
        leases.holding(late);
        assert!(!leases.is_held(never), "nobody ran when it was used");
        assert!(leases.is_held(early) && leases.is_held(late));
        drop(first);
        assert!(!leases.is_held(early), "the second began after it was used");
        assert!(leases.removal().is_held(late));
        drop(second);
        assert!(!leases.is_held(late));
    }

    #[test]
    fn a_last_use_is_written_down_when_the_lease_ends() {
        let folder = tempfile::tempdir().unwrap();
        let long_ago = SystemTime::now() - Duration::from_hours(100);
        let file = |name: &str| {
            let path = folder.path().join(name);
            fs::write(&path, "").unwrap();
            fs::File::options()
                .write(true)
                .open(&path)
                .unwrap()
                .set_modified(long_ago)
                .unwrap();
            path
        };
        let (used, held, other) = (file("used"), file("held"), file("other"));
        let leases = Leases::default();
        let lease = leases.begin();
        leases.using(&used);
        leases.holding(&held);
        leases.using(&folder.path().join("not there"));
        drop(lease);
        let age = |path: &Path| fs::metadata(path).unwrap().modified().unwrap().elapsed().unwrap();
        assert!(age(&used) < Duration::from_hours(1));
        assert!(age(&held) > Duration::from_hours(1));
        assert!(age(&other) > Duration::from_hours(1));
    }
}
