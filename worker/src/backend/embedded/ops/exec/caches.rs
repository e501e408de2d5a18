//! Directories that outlive builds: `RUN --mount=type=cache`.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use stagewright_core::digest::Digest;
use stagewright_core::llb::CacheSharing;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use super::super::{StepFailure, blocking};

/// Steps that use one private cache at the same time; each has a directory of its own.
const MOST_PRIVATE: usize = 1_000;

/// The caches of one worker. A cache has a folder, named after what it is, and in it numbered directories: number 0,
/// and more where steps want a private one at the same time. The files are in `fs`.
pub(crate) struct Caches {
    root: PathBuf,
    locks: Mutex<BTreeMap<PathBuf, Arc<RwLock<()>>>>,
    /// Held while a directory gets its first files.
    filling: tokio::sync::Mutex<()>,
}

/// A cache as a step asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The id that mounts name.
    pub(super) id: String,
    /// A checksum of the files that it begins with, where it begins with any: other files are another cache.
    pub(super) origin: Option<Digest>,
    /// What happens where others want it too.
    pub(super) sharing: CacheSharing,
}

/// A cache that a step may use as long as it has this.
pub(super) struct Taken {
    /// Where its files are, once it was filled.
    pub(super) files: PathBuf,
    _turn: Arc<Turn>,
}

#[expect(dead_code, reason = "held for the locks in it")]
enum Turn {
    WithOthers(OwnedRwLockReadGuard<()>),
    Alone(OwnedRwLockWriteGuard<()>),
}

impl Caches {
    /// The directories under `root`.
    pub(crate) fn open(root: PathBuf) -> std::io::Result<Self> {
        std::fs::create_dir_all(&root)?;
        Ok(Self {
            root,
            locks: Mutex::default(),
            filling: tokio::sync::Mutex::default(),
        })
    }

    /// The caches that a step wants, in the order in which it names them. Waits for those that others use alone.
    pub(super) async fn take(&self, wanted: &[Wanted]) -> Result<Vec<Taken>, StepFailure> {
        // One after the other in the order of their folders, the same for all steps: two that want the same two do not
        // wait for each other. One that is named twice is taken once, as the more demanding of its mounts asks.
        let mut order: BTreeMap<PathBuf, CacheSharing> = BTreeMap::new();
        for wanted in wanted {
            let sharing = order.entry(self.folder(wanted)).or_insert(wanted.sharing);
            if demand(wanted.sharing) > demand(*sharing) {
                *sharing = wanted.sharing;
            }
        }
        let mut turns = BTreeMap::new();
        for (folder, sharing) in order {
            let turn = self.turn(&folder, sharing).await?;
            turns.insert(folder, turn);
        }
        let taken = wanted.iter().map(|wanted| {
            let (directory, turn) = turns.get(&self.folder(wanted))?;
            Some(Taken {
                files: directory.join("fs"),
                _turn: Arc::clone(turn),
            })
        });
        taken
            .collect::<Option<_>>()
            .ok_or_else(|| StepFailure::internal("a cache that was not taken"))
    }

    /// Gives a cache its first files by `fill`, unless it has some. One that is half filled is never seen.
    pub(super) async fn fill(
        &self,
        taken: &Taken,
        fill: impl FnOnce(&Path) -> Result<(), StepFailure> + Send + 'static,
    ) -> Result<(), StepFailure> {
        let files = taken.files.clone();
        // What is there is whole, and nobody has to wait for another cache that is being filled.
        if files.exists() {
            return Ok(());
        }
        let _filling = self.filling.lock().await;
        blocking(move || {
            if files.exists() {
                return Ok(());
            }
            let failed = |error| StepFailure::internal(format!("a cache directory: {error}"));
            let half = files.with_file_name("new");
            if half.exists() {
                crate::snapshot::remove_all(&half).map_err(failed)?;
            }
            std::fs::create_dir_all(&half).map_err(failed)?;
            std::fs::set_permissions(&half, std::fs::Permissions::from_mode(0o755)).map_err(failed)?;
            fill(&half)?;
            std::fs::rename(&half, &files).map_err(failed)
        })
        .await
    }

    fn folder(&self, wanted: &Wanted) -> PathBuf {
        let name = match &wanted.origin {
            None => Digest::of(wanted.id.as_bytes()),
            Some(origin) => Digest::of(format!("{}\0{origin}", wanted.id).as_bytes()),
        };
        self.root.join(name.hex())
    }

    async fn turn(&self, folder: &Path, sharing: CacheSharing) -> Result<(PathBuf, Arc<Turn>), StepFailure> {
        let first = folder.join("0");
        let turn = match sharing {
            CacheSharing::Shared => Turn::WithOthers(self.lock(&first).read_owned().await),
            CacheSharing::Locked => Turn::Alone(self.lock(&first).write_owned().await),
            CacheSharing::Private => {
                let mut directories = (0..MOST_PRIVATE).map(|number| folder.join(number.to_string()));
                let free = directories.find_map(|path| {
                    let turn = self.lock(&path).try_write_owned().ok()?;
                    Some((path, Arc::new(Turn::Alone(turn))))
                });
                return free.ok_or_else(|| {
                    StepFailure::new("too many steps use one private cache at the same time")
                });
            }
        };
        Ok((first, Arc::new(turn)))
    }

    fn lock(&self, path: &Path) -> Arc<RwLock<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(locks.entry(path.to_owned()).or_default())
    }
}

/// How much a sharing mode asks for: to be alone with the one directory is the most.
fn demand(sharing: CacheSharing) -> u8 {
    match sharing {
        CacheSharing::Shared => 0,
        CacheSharing::Private => 1,
        CacheSharing::Locked => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn wanted(id: &str, sharing: CacheSharing) -> Wanted {
        Wanted {
            id: id.into(),
            origin: None,
            sharing,
        }
    }

    async fn is_waiting(caches: &Caches, wanted: &[Wanted]) -> bool {
        tokio::time::timeout(Duration::from_millis(20), caches.take(wanted))
            .await
            .is_err()
    }

    fn open() -> (tempfile::TempDir, Caches) {
        let directory = tempfile::tempdir().unwrap();
        let caches = Caches::open(directory.path().join("caches")).unwrap();
        (directory, caches)
    }

    #[tokio::test]
    async fn shared_caches_are_one_directory_private_ones_another_and_locked_ones_wait() {
        let (_directory, caches) = open();
        let (shared, private, locked) = (
            [wanted("a", CacheSharing::Shared)],
            [wanted("a", CacheSharing::Private)],
            [wanted("a", CacheSharing::Locked)],
        );
        let one = caches.take(&shared).await.unwrap();
        let two = caches.take(&shared).await.unwrap();
        assert_eq!(one[0].files, two[0].files);
        let alone = caches.take(&private).await.unwrap();
        assert_ne!(alone[0].files, one[0].files);
        assert_ne!(caches.take(&private).await.unwrap()[0].files, alone[0].files);
        assert!(is_waiting(&caches, &locked).await, "others have it");
        drop((one, two));
        let alone = caches.take(&locked).await.unwrap();
        assert!(is_waiting(&caches, &shared).await, "one has it alone");
        assert!(is_waiting(&caches, &locked).await);
        drop(alone);
        // A private one that was given back is used again.
        assert!(caches.take(&private).await.unwrap()[0].files.ends_with("0/fs"));
    }

    #[tokio::test]
    async fn a_step_that_names_a_cache_twice_does_not_wait_for_itself() {
        let (_directory, caches) = open();
        let both = [
            wanted("a", CacheSharing::Shared),
            wanted("a", CacheSharing::Locked),
        ];
        let taken = caches.take(&both).await.unwrap();
        assert_eq!(taken[0].files, taken[1].files);
        assert!(is_waiting(&caches, &both[..1]).await);
    }

    #[tokio::test]
    async fn two_steps_that_want_two_caches_in_other_orders_both_get_them() {
        let (_directory, caches) = open();
        let caches = Arc::new(caches);
        let order = [
            wanted("a", CacheSharing::Locked),
            wanted("b", CacheSharing::Locked),
        ];
        let steps = (0..16).map(|turn| {
            let (caches, mut order) = (Arc::clone(&caches), order.to_vec());
            order.rotate_left(turn % 2);
            tokio::spawn(async move {
                let taken = caches.take(&order).await.unwrap();
                tokio::task::yield_now().await;
                drop(taken);
            })
        });
        let steps: Vec<_> = steps.collect();
        for step in steps {
            tokio::time::timeout(Duration::from_secs(10), step)
                .await
                .unwrap()
                .unwrap();
        }
    }

    #[tokio::test]
    async fn other_first_files_are_another_cache_and_a_failed_filling_leaves_none() {
        let (_directory, caches) = open();
        let with = |origin: &[u8]| Wanted {
            origin: Some(Digest::of(origin)),
            ..wanted("a", CacheSharing::Shared)
        };
        let both = caches.take(&[with(b"1"), with(b"2")]).await.unwrap();
        assert_ne!(both[0].files, both[1].files);
        let broken = caches.fill(&both[0], |half| {
            std::fs::write(half.join("half"), "").unwrap();
            Err(StepFailure::new("broken"))
        });
        assert_eq!(broken.await.unwrap_err().message, "broken");
        assert!(!both[0].files.exists());
        let write = |text: &'static str| {
            move |half: &Path| {
                std::fs::write(half.join("file"), text).unwrap();
                Ok(())
            }
        };
        caches.fill(&both[0], write("first")).await.unwrap();
        caches.fill(&both[0], write("second")).await.unwrap();
        assert_eq!(
            std::fs::read_to_string(both[0].files.join("file")).unwrap(),
            "first"
        );
        assert!(!both[0].files.join("half").exists());
    }
}
