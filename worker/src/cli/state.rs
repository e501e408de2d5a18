//! The worker's state folder: where it is, and that it is used by one worker at a time.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Failure;
use crate::rootless::{self, Ids, Standing};
use crate::storage::control;

/// How often the folder is tried, and how long after one another.
const ATTEMPTS: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(50);

/// What is in the folder. Steps leave files there that are root's and have the set-id bits, and devices, which on this
/// machine's own file system would be what they say they are.
const PARTS: [&str; 11] = [
    "builds",
    "cache-mounts",
    "content",
    "contexts",
    "git",
    "images",
    "layers",
    "sandbox",
    "scans",
    "scratch",
    "snapshots",
];

/// A state folder in use. Others are kept out until this is dropped, or the process ends in whatever way.
pub(super) struct State {
    pub(super) path: PathBuf,
    _lock: File,
}

impl State {
    /// Makes the folder where it is not there, and takes it for this process.
    pub(super) fn open(given: Option<&Path>) -> Result<Self, Failure> {
        // Commands that only look take the folder too, for a moment.
        let mut attempts = 1;
        loop {
            match Self::attempt(given) {
                Err(Refusal::InUse(_)) if attempts < ATTEMPTS => attempts += 1,
                result => return Ok(result?),
            }
            std::thread::sleep(BETWEEN);
        }
    }

    /// As [`State::open`], but waits for other builds that are at work there, and calls `tell` where it does; `None` where
    /// it is to stop before they are done.
    pub(super) fn open_in_turn(
        given: Option<&Path>,
        stop: &CancellationToken,
        tell: impl FnOnce(&Path),
    ) -> Result<Option<Self>, Failure> {
        let mut tell = Some(tell);
        let mut attempts = 0;
        loop {
            match Self::attempt(given) {
                Err(Refusal::InUse(path)) if !control::is_served(&path) => {
                    // Commands that only look let go at once, and nobody has to know of them.
                    if attempts < ATTEMPTS {
                        attempts += 1;
                    } else if let Some(tell) = tell.take() {
                        tell(&path);
                    }
                    if stop.is_cancelled() {
                        return Ok(None);
                    }
                    std::thread::sleep(BETWEEN);
                }
                result => return Ok(Some(result?)),
            }
        }
    }

    /// Where the folder is, for trying out there what does not meddle with what is in it: the folder is this process's where
    /// no worker is at work there, and else stays that worker's.
    pub(super) fn beside(given: Option<&Path>) -> Result<(PathBuf, Option<Self>), Failure> {
        match Self::attempt(given) {
            Ok(state) => Ok((state.path.clone(), Some(state))),
            Err(Refusal::InUse(path)) => Ok((path, None)),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// Whether a worker is at work there.
    pub(super) fn is_in_use(given: Option<&Path>) -> bool {
        matches!(Self::attempt(given), Err(Refusal::InUse(_)))
    }

    fn attempt(given: Option<&Path>) -> Result<Self, Refusal> {
        let path = place(given)?;
        let cannot = |what: &str, error: &dyn std::fmt::Display| {
            Failure::new(
                Failure::PLACE,
                format!("cannot {what} the state folder {}: {error}", path.display()),
            )
            .hint("name a folder that you may write to with --state")
        };
        // What is built is nobody else's business on this machine.
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(|error| cannot("make", &error))?;
        // Sandboxes see other working directories, so no path may depend on ours.
        let path = path.canonicalize().map_err(|error| cannot("use", &error))?;
        let lock = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join("worker.lock"))
            .map_err(|error| cannot("write to", &error))?;
        match lock.try_lock() {
            Ok(()) => {
                // Before anything is changed in it.
                belongs_to(&path, Ids::here())?;
                // The folder itself may have been made by somebody else, for others to look into.
                PARTS
                    .iter()
                    .try_for_each(|part| close(&path.join(part)))
                    .map_err(|error| cannot("close to others what is in", &error))?;
                Ok(Self { path, _lock: lock })
            }
            Err(TryLockError::WouldBlock) => Err(Refusal::InUse(path)),
            Err(TryLockError::Error(error)) => Err(cannot("lock", &error).into()),
        }
    }
}

/// Refuses a folder whose layers belong to others than this worker would take them for: root's and an ordinary user's
/// worker, or one that was given other ids since, know the same owners by different numbers.
fn belongs_to(folder: &Path, ids: &Ids) -> Result<(), Refusal> {
    let place = folder.join("owners");
    let ours = ids.fingerprint();
    let result = match fs::read_to_string(&place) {
        Ok(theirs) if theirs == ours => return Ok(()),
        Ok(_) => {
            let message = format!(
                "the state folder {} is of a worker with other user and group ids",
                folder.display()
            );
            return Err(Refusal::OfOthers(Failure::new(Failure::PLACE, message).hint(
                "use it as the user that made it and with the /etc/subuid and /etc/subgid of then, or remove it, or name another \
                 with --state",
            )));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::write(&place, ours),
        Err(error) => Err(error),
    };
    let cannot = |error| Failure::new(Failure::PLACE, format!("cannot use {}: {error}", place.display()));
    result.map_err(|error| cannot(error).into())
}

/// Why the folder is not this process's.
enum Refusal {
    /// A worker is at work in it.
    InUse(PathBuf),
    /// Its files belong to others than this process would take them for.
    OfOthers(Failure),
    Failed(Failure),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::InUse(path) => Self::new(
                Self::PLACE,
                format!("another worker uses the state folder {}", path.display()),
            )
            .hint("stop it, or give this worker a folder of its own with --state"),
            Refusal::OfOthers(failure) | Refusal::Failed(failure) => failure,
        }
    }
}

/// Makes a folder that only its owner may enter.
fn close(path: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::set_permissions(path, fs::Permissions::from_mode(0o700))
        }
        result => result,
    }
}

/// The folder as it lies, for reading beside whoever is at work in it.
pub(super) struct Look {
    pub(super) path: PathBuf,
    /// Kept while nobody else is at work there; `None` where a worker is.
    pub(super) alone: Option<State>,
}

impl Look {
    pub(super) fn at(given: Option<&Path>) -> Result<Self, Failure> {
        let path = place(given)?;
        if !path.join("worker.lock").exists() {
            // Nothing was ever built there, and looking changes nothing.
            return Ok(Self { path, alone: None });
        }
        let canonical = path.canonicalize().unwrap_or(path);
        match State::attempt(Some(&canonical)) {
            Ok(state) => Ok(Self {
                path: canonical,
                alone: Some(state),
            }),
            Err(Refusal::InUse(path)) => Ok(Self { path, alone: None }),
            // Whoever may read it can look, also where they may not lock it.
            Err(Refusal::Failed(_)) if fs::read_dir(&canonical).is_ok() => Ok(Self {
                path: canonical,
                alone: None,
            }),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// Whether a worker is at work there.
    pub(super) fn is_beside_worker(&self) -> bool {
        self.alone.is_none() && self.path.join("worker.lock").exists()
    }
}

pub(super) fn place(given: Option<&Path>) -> Result<PathBuf, Failure> {
    match given {
        Some(path) => Ok(path.to_owned()),
        None => default_path(rootless::standing() == Standing::Root, |name| {
            std::env::var_os(name)
        }),
    }
}

fn default_path(
    root: bool,
    environment: impl Fn(&str) -> Option<std::ffi::OsString>,
) -> Result<PathBuf, Failure> {
    // The XDG specification ignores relative paths.
    let folder = |name: &str| {
        environment(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    if let Some(state) = folder("XDG_STATE_HOME") {
        return Ok(state.join("stagewright"));
    }
    if root {
        return Ok(PathBuf::from("/var/lib/stagewright"));
    }
    folder("HOME")
        .map(|home| home.join(".local/state/stagewright"))
        .ok_or_else(|| {
            Failure::new(
                Failure::USAGE,
                "no state folder: neither XDG_STATE_HOME nor HOME is an absolute path",
            )
            .hint("name one with --state")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_follows_xdg_then_the_kind_of_user() {
        let with = |root, xdg: Option<&str>, home: Option<&str>| {
            default_path(root, |name| match name {
                "XDG_STATE_HOME" => xdg.map(Into::into),
                "HOME" => home.map(Into::into),
                _ => None,
            })
        };
        assert_eq!(
            with(false, Some("/x"), Some("/home/a")).unwrap(),
            Path::new("/x/stagewright")
        );
        assert_eq!(
            with(false, Some("x"), Some("/home/a")).unwrap(),
            Path::new("/home/a/.local/state/stagewright")
        );
        assert_eq!(
            with(true, None, Some("/root")).unwrap(),
            Path::new("/var/lib/stagewright")
        );
        assert!(with(false, None, None).is_err());
    }

    #[test]
    fn a_folder_of_other_owners_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        drop(State::open(Some(folder.path())).unwrap());
        fs::write(folder.path().join("owners"), "users 0-1000-1\ngroups 0-1000-1\n").unwrap();
        let refused = State::open(Some(folder.path())).err().unwrap();
        assert!(
            refused.to_string().contains("other user and group ids"),
            "{refused}"
        );
    }

    #[test]
    fn a_build_waits_for_another_one_but_not_for_a_worker_that_serves() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let first = State::open(Some(&path)).unwrap();
        let told = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|threads| {
            let told = &told;
            threads.spawn(|| {
                let opened = State::open_in_turn(Some(&path), &CancellationToken::new(), |_| {
                    told.store(true, std::sync::atomic::Ordering::Relaxed);
                });
                assert!(opened.unwrap().is_some());
            });
            while !told.load(std::sync::atomic::Ordering::Relaxed) {
                std::thread::sleep(BETWEEN);
            }
            drop(first);
        });
        let _first = State::open(Some(&path)).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path.join("control.sock")).unwrap();
        let refused = State::open_in_turn(Some(&path), &CancellationToken::new(), |_| unreachable!());
        assert!(refused.is_err());
    }

    #[test]
    fn a_build_that_is_stopped_waits_for_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let _first = State::open(Some(folder.path())).unwrap();
        let stop = CancellationToken::new();
        let opened = State::open_in_turn(Some(folder.path()), &stop, |_| stop.cancel());
        assert!(opened.unwrap().is_none());
    }

    #[test]
    fn second_worker_on_one_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let first = State::open(Some(&path)).unwrap();
        let refused = State::open(Some(&path)).err().unwrap();
        assert!(refused.to_string().contains("another worker"), "{refused}");
        let (place, own) = State::beside(Some(&path)).unwrap();
        assert_eq!((place, own.is_none()), (path.canonicalize().unwrap(), true));
        drop(first);
        assert!(State::open(Some(&path)).is_ok());
        assert!(State::beside(Some(&path)).unwrap().1.is_some());
    }
}
