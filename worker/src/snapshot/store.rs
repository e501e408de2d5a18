//! Where layers are kept.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use rustix::mount::UnmountFlags;

use super::copy::{Copied, Links};
use super::durable::{State, Syncer};
use super::overlay::{self, MAX_LAYERS};
use super::remove::{remove_all, remove_if_there};
use super::seal::seal;
use super::way::{self, Way};
use super::{Files, Mounted, OverlaySpec, SnapshotError, SnapshotId};
use crate::lease::Leases;

/// The layers of one worker under one directory. Cloning gives another handle to the same store.
///
/// Layout: `layers/<id>/{fs,size,unsynced}`, `active/<n>/{fs,work,merged}`, `trash/<n>`, `lock`.
#[derive(Clone)]
pub struct SnapshotStore {
    inner: Arc<Inner>,
}

struct Inner {
    root: PathBuf,
    // Held for its lock, which the kernel releases however the worker ends.
    _lock: File,
    next: AtomicU64,
    syncer: Syncer,
    leases: Leases,
    way: OnceLock<Way>,
}

impl SnapshotStore {
    /// Opens the store at `root`, making it if need be, and clears away what a crash left half done.
    ///
    /// # Errors
    /// [`SnapshotError::InUse`] where another worker has it open.
    pub fn open(root: &Path) -> Result<Self, SnapshotError> {
        Self::open_with(root, Leases::default())
    }

    /// The same, where `leases` say what must stay.
    pub fn open_with(root: &Path, leases: Leases) -> Result<Self, SnapshotError> {
        let mut private = DirBuilder::new();
        private.recursive(true).mode(0o700);
        for part in ["layers", "active", "trash"] {
            let path = root.join(part);
            private
                .create(&path)
                .map_err(SnapshotError::io("make the directory", &path))?;
        }
        let root = root.canonicalize().map_err(SnapshotError::io("find", root))?;
        let lock = lock(&root)?;
        let syncer = Syncer::start(&root).map_err(SnapshotError::io("start writing layers out at", &root))?;
        let store = Self {
            inner: Arc::new(Inner {
                root,
                _lock: lock,
                next: AtomicU64::new(0),
                syncer,
                leases,
                way: OnceLock::new(),
            }),
        };
        store.sweep()?;
        Ok(store)
    }

    /// The same as [`SnapshotStore::open`], where layers are copied even if they could be mounted.
    #[cfg(test)]
    pub(crate) fn open_copying(root: &Path) -> Result<Self, SnapshotError> {
        let store = Self::open(root)?;
        let _ = store.inner.way.set(Way::Copied("this is a test".to_owned()));
        Ok(store)
    }

    /// How layers come together here. It is found out when it is first asked for, and stays so.
    pub fn way(&self) -> Result<&Way, SnapshotError> {
        if let Some(way) = self.inner.way.get() {
            return Ok(way);
        }
        let place = self.fresh("active")?;
        let found = way::find(&place);
        let _ = remove_all(&place);
        let found = found?;
        if let Way::Copied(reason) = &found {
            tracing::info!(%reason, "layers are copied");
        }
        Ok(self.inner.way.get_or_init(|| found))
    }

    /// Whether the finished layer is here.
    pub fn has(&self, id: &SnapshotId) -> bool {
        self.inner.leases.using(&self.place(id));
        self.layer_path(id).is_dir()
    }

    /// All that is kept of a finished layer; its modification time is that of its last use.
    pub fn place(&self, id: &SnapshotId) -> PathBuf {
        self.inner.root.join("layers").join(id.as_str())
    }

    /// The directory of a finished layer, for [`diff`](super::diff()). It may not be written to.
    pub fn layer_path(&self, id: &SnapshotId) -> PathBuf {
        self.place(id).join("fs")
    }

    /// The directories of several layers, in the same order.
    ///
    /// # Errors
    /// [`SnapshotError::Missing`] for the first that is not here.
    pub fn layer_paths(&self, ids: &[SnapshotId]) -> Result<Vec<PathBuf>, SnapshotError> {
        if ids.len() > MAX_LAYERS {
            return Err(SnapshotError::TooManyLayers(ids.len()));
        }
        ids.iter()
            .map(|id| {
                if self.has(id) {
                    Ok(self.layer_path(id))
                } else {
                    Err(SnapshotError::Missing(id.clone()))
                }
            })
            .collect()
    }

    /// Every finished layer, sorted by name.
    pub fn ids(&self) -> Result<Vec<SnapshotId>, SnapshotError> {
        let mut ids = Vec::new();
        for entry in entries(&self.inner.root.join("layers"))? {
            if let Some(id) = entry
                .file_name()
                .and_then(|name| name.to_str())
                .and_then(|name| name.parse().ok())
            {
                ids.push(id);
            }
        }
        ids.sort();
        Ok(ids)
    }

    /// Starts a layer on top of `parents` (the bottom one first).
    pub fn begin(&self, parents: &[SnapshotId]) -> Result<Active, SnapshotError> {
        let lowers = self.layer_paths(parents)?;
        let dir = self.fresh("active")?;
        let active = Active {
            store: self.clone(),
            dir,
            lowers,
            copied: Mutex::new(None),
        };
        let upper = active.upper();
        for path in [&upper, &active.dir.join("work")] {
            fs::create_dir(path).map_err(SnapshotError::io("make the directory", path))?;
        }
        // The root directory seen in a merged view is the uppermost layer's, so it must look like the one it covers.
        let (mode, uid, gid) = match active.lowers.last() {
            Some(top) => {
                let metadata = fs::metadata(top).map_err(SnapshotError::io("look at", top))?;
                (metadata.mode() & 0o7777, metadata.uid(), metadata.gid())
            }
            None => (0o755, 0, 0),
        };
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&upper, Some(uid), Some(gid))
                .map_err(SnapshotError::io("set the owner of", &upper))?;
        }
        fs::set_permissions(&upper, fs::Permissions::from_mode(mode))
            .map_err(SnapshotError::io("set the mode of", &upper))?;
        Ok(active)
    }

    /// A merged view of the layers (the bottom one first), for reading. It is gone when the value is dropped.
    ///
    /// One layer is shown as it lies, with overlay's marks for removed names in it if it has any; none is an empty directory.
    pub fn view(&self, parents: &[SnapshotId]) -> Result<Mounted, SnapshotError> {
        let lowers = self.layer_paths(parents)?;
        if let [only] = lowers.as_slice() {
            return Ok(Mounted::plain(only.clone()));
        }
        if lowers.is_empty() {
            return Ok(Mounted::scratch(self.fresh("active")?));
        }
        let way = self.way()?;
        let dir = self.fresh("active")?;
        let shown = match way {
            Way::Mounted => {
                let spec = OverlaySpec {
                    lowers,
                    writable: None,
                };
                overlay::mount_at(&spec, dir.clone())
            }
            Way::Copied(_) => {
                let copy = dir.join("merged");
                Copied::make(&lowers, Links::Kept, &copy).and_then(|_| overlay::show(copy, true))
            }
        };
        if shown.is_err() {
            let _ = remove_all(&dir);
        }
        shown
    }

    /// Forgets a layer. Its disk space is freed before this returns; a view that still uses it must be gone.
    pub fn remove(&self, id: &SnapshotId) -> Result<(), SnapshotError> {
        let trash = self.set_aside(id)?;
        remove_all(&trash).map_err(SnapshotError::io("remove", &trash))
    }

    /// Forgets a layer at once; the directory that is given back is its remains, for the caller to remove. What is
    /// left of it when the worker ends is removed at the next start.
    pub fn set_aside(&self, id: &SnapshotId) -> Result<PathBuf, SnapshotError> {
        self.discard(&self.place(id)).map_err(|error| match error {
            SnapshotError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                SnapshotError::Missing(id.clone())
            }
            error => error,
        })
    }

    /// The same of any directory on the store's file system, such as what steps keep for later ones.
    pub fn discard(&self, directory: &Path) -> Result<PathBuf, SnapshotError> {
        // Nothing is made first: a full disk has no room for it. The number is nobody else's, and what former workers
        // put aside was removed when the store was opened.
        let number = self.inner.next.fetch_add(1, Ordering::Relaxed);
        let trash = self.inner.root.join("trash").join(number.to_string());
        fs::rename(directory, &trash).map_err(SnapshotError::io("remove", directory))?;
        Ok(trash)
    }

    /// The bytes that this user can still write to the store's file system.
    pub fn free_space(&self) -> Option<u64> {
        let space = rustix::fs::statvfs(&self.inner.root).ok()?;
        space.f_bavail.checked_mul(space.f_frsize)
    }

    /// The process is about to end: dropping the store need not wait for the disk.
    pub(crate) fn leave(&self) {
        self.inner.syncer.leave();
    }

    /// Who holds what.
    pub(crate) fn leases(&self) -> &Leases {
        &self.inner.leases
    }

    /// The bytes that a layer takes on the disk.
    pub fn disk_usage(&self, id: &SnapshotId) -> Result<u64, SnapshotError> {
        let layer = self.place(id);
        if !layer.is_dir() {
            return Err(SnapshotError::Missing(id.clone()));
        }
        Ok(layer_size(&layer))
    }

    /// A new directory that no one else uses.
    fn fresh(&self, part: &str) -> Result<PathBuf, SnapshotError> {
        let number = self.inner.next.fetch_add(1, Ordering::Relaxed);
        let path = self.inner.root.join(part).join(number.to_string());
        fs::create_dir(&path).map_err(SnapshotError::io("make the directory", &path))?;
        Ok(path)
    }

    fn sweep(&self) -> Result<(), SnapshotError> {
        for path in entries(&self.inner.root.join("active"))? {
            // A killed worker's mounts went with its mount namespace. One that shared ours may have left one, and
            // deleting through it would be wrong.
            let _ = rustix::mount::unmount(path.join("merged"), UnmountFlags::DETACH);
            remove_all(&path).map_err(SnapshotError::io("clear away", &path))?;
        }
        for path in entries(&self.inner.root.join("layers"))? {
            match self.inner.syncer.state(&path) {
                State::Whole => {}
                State::Pending => self.inner.syncer.submit(path),
                State::Torn => {
                    let trash = self.fresh("trash")?;
                    fs::rename(&path, &trash).map_err(SnapshotError::io("clear away", &path))?;
                }
            }
        }
        for path in entries(&self.inner.root.join("trash"))? {
            remove_all(&path).map_err(SnapshotError::io("clear away", &path))?;
        }
        Ok(())
    }
}

/// A layer being written. Dropping it throws it away.
pub struct Active {
    store: SnapshotStore,
    dir: PathBuf,
    lowers: Vec<PathBuf>,
    /// The copy of `lowers` that is written to, where layers are copied and there is one already.
    copied: Mutex<Option<Copied>>,
}

impl Active {
    /// Where the layer's own files lie, in overlay's form. What was written to a copy is not there before [`Active::seal`].
    pub fn upper(&self) -> PathBuf {
        self.dir.join("fs")
    }

    /// What a step runs on, for the sandbox. It may be mounted several times, but only one after the other.
    pub fn root(&self) -> Result<Files, SnapshotError> {
        match self.store.way()? {
            Way::Mounted => Ok(Files::Layers(self.overlay())),
            Way::Copied(_) => self.copy().map(Files::Copy),
        }
    }

    fn overlay(&self) -> OverlaySpec {
        OverlaySpec {
            lowers: self.lowers.clone(),
            writable: Some(overlay::Writable {
                upper: self.upper(),
                work: self.dir.join("work"),
            }),
        }
    }

    /// The directory that is written to where layers are copied.
    fn copy(&self) -> Result<PathBuf, SnapshotError> {
        if self.lowers.is_empty() {
            return Ok(self.upper());
        }
        let copy = self.dir.join("merged");
        let mut copied = self.copied.lock().unwrap_or_else(PoisonError::into_inner);
        if copied.is_none() {
            *copied = Some(Copied::make(&self.lowers, Links::Parted, &copy)?);
        }
        Ok(copy)
    }

    /// The merged view, for reading and writing by the worker itself. Device nodes in it cannot be opened.
    pub fn mount(&self) -> Result<Mounted, SnapshotError> {
        if self.lowers.is_empty() {
            return Ok(Mounted::plain(self.upper()));
        }
        if let Way::Copied(_) = self.store.way()? {
            return overlay::show(self.copy()?, false);
        }
        let target = self.dir.join("merged");
        match fs::create_dir(&target) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(SnapshotError::io("make the directory", &target)(error)),
        }
        overlay::mount_at(&self.overlay(), target)
    }

    /// Where the layer's own files lie, now that all are made. Nothing may be mounted from it, neither now nor later.
    pub fn seal(&self) -> Result<PathBuf, SnapshotError> {
        let upper = self.upper();
        let copied = self.copied.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(copied) = copied {
            seal(&copied, &self.dir.join("merged"), &upper)?;
        }
        Ok(upper)
    }

    /// Publishes the layer under `id`. Nothing may be mounted from it any more. Where that id is already there, the older
    /// one stays and this one is thrown away.
    pub fn commit(self, id: &SnapshotId) -> Result<(), SnapshotError> {
        self.seal()?;
        for part in ["work", "merged"] {
            let path = self.dir.join(part);
            remove_if_there(&path).map_err(SnapshotError::io("clear away", &path))?;
        }
        let size = directory_size(&self.upper()).to_string();
        let size_file = self.dir.join(SIZE);
        fs::write(&size_file, size).map_err(SnapshotError::io("write", &size_file))?;
        let syncer = &self.store.inner.syncer;
        syncer
            .mark(&self.dir)
            .map_err(SnapshotError::io("mark", &self.dir))?;
        let layer = self.store.place(id);
        // Before it has its name, so that nobody takes it away as one that nobody uses.
        self.store.inner.leases.using(&layer);
        match rustix::fs::rename(&self.dir, &layer) {
            Ok(()) => {
                syncer.submit(layer);
                Ok(())
            }
            // Dropping `self` removes the directory.
            Err(Errno::EXIST | Errno::NOTEMPTY) => Ok(()),
            Err(error) => Err(SnapshotError::io("publish", &layer)(error)),
        }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        // One that was published is not there any more.
        if let Err(error) = remove_if_there(&self.dir) {
            tracing::warn!(path = %self.dir.display(), %error, "a discarded layer could not be removed");
        }
    }
}

/// How often a store is tried that somebody has, and how long after one another.
const ATTEMPTS: u32 = 10;
const BETWEEN: Duration = Duration::from_millis(20);

/// The file beside a layer's files that says how many bytes they take: a layer never changes, so it is counted once.
const SIZE: &str = "size";

/// The bytes that the finished layer in `layer` takes on the disk.
pub(crate) fn layer_size(layer: &Path) -> u64 {
    let noted = fs::read_to_string(layer.join(SIZE)).ok();
    let noted = noted.and_then(|text| text.trim().parse().ok());
    noted.unwrap_or_else(|| directory_size(&layer.join("fs")))
}

/// The bytes that everything under `directory` takes on the disk. What cannot be looked at counts as nothing, and a
/// file with several names counts once for each: it is a size for people and for limits.
pub(crate) fn directory_size(directory: &Path) -> u64 {
    let mut pending = vec![directory.to_owned()];
    let mut blocks = 0;
    while let Some(directory) = pending.pop() {
        let Ok(entries) = fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries.flatten() {
            if let Ok(metadata) = entry.metadata() {
                blocks += metadata.blocks();
                if metadata.is_dir() {
                    pending.push(entry.path());
                }
            }
        }
    }
    blocks * 512
}

fn lock(root: &Path) -> Result<File, SnapshotError> {
    let path = root.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(SnapshotError::io("open", &path))?;
    // A step of a worker that was killed has the worker's files open for a moment longer than the worker itself.
    for _ in 0..ATTEMPTS {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK) => std::thread::sleep(BETWEEN),
            Err(error) => return Err(SnapshotError::io("lock", &path)(error)),
        }
    }
    Err(SnapshotError::InUse(root.to_owned()))
}

/// The paths in a directory, sorted by name.
fn entries(dir: &Path) -> Result<Vec<PathBuf>, SnapshotError> {
    let mut paths = fs::read_dir(dir)
        .and_then(|entries| {
            entries
                .map(|entry| entry.map(|entry| entry.path()))
                .collect::<io::Result<Vec<_>>>()
        })
        .map_err(SnapshotError::io("list", dir))?;
    paths.sort();
    Ok(paths)
}
