//! Layers reach the disk in the background.
//!
//! A step's result is wanted by the next step at once, while waiting for the disk takes longer than many steps do. So a layer
//! is committed with a marker that names the machine's current boot; a thread writes the file system out and removes the
//! marker. If the *worker* dies, the kernel still holds every byte and the layer is good. If the *machine* dies, the boot id
//! has changed and a layer that still has its marker is thrown away. If the *disk* fails, nobody knows which bytes are lost, and
//! the kernel tells of it once: all layers that were not on it by then get a marker of no boot. No torn layer outlives any of
//! it.
//!
//! A command that ends leaves markers to the next one, which sees to them as to its own: half a second after it began. Those of
//! shorter commands would stay for ever, and the machine's next start would throw the layers away; so whoever opens the store
//! sees at once to a marker that is older than a minute. By then the kernel has written nearly all of the layer out by itself,
//! and the rest takes little time.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::confine::descriptor_path;

const MARKER: &str = "unsynced";

/// In the marker of a layer that the disk may have lost a part of: the name of no boot.
const LOST: &str = "the disk failed";

/// How long layers are gathered before the disk is asked: one sync serves them all.
const GATHER: Duration = Duration::from_millis(500);

/// The age from which a marker is waited with no longer. The kernel writes out by itself what has been changed for 30 seconds.
const OVERDUE: Duration = Duration::from_mins(1);

/// Writes committed layers out; dropping it waits until everything is on the disk, unless it was told to [leave](Syncer::leave).
pub(super) struct Syncer {
    queue: Option<Sender<PathBuf>>,
    thread: Option<JoinHandle<()>>,
    boot: String,
    flags: Arc<Flags>,
}

/// What the thread and the others let each other know.
#[derive(Default)]
struct Flags {
    /// The process is about to end.
    leaves: AtomicBool,
    /// The disk has lost something that was written since the store was opened.
    lost: AtomicBool,
}

/// How far a layer found on the disk can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It is on the disk.
    Whole,
    /// It is good as long as the machine runs: a former process left it to be written out.
    Pending,
    /// It may lack something: the machine or the disk failed before it was written out.
    Torn,
}

impl Syncer {
    pub(super) fn start(root: &Path) -> io::Result<Self> {
        let file_system = File::open(root)?;
        Self::start_with(move || rustix::fs::syncfs(&file_system))
    }

    fn start_with(sync: impl Fn() -> rustix::io::Result<()> + Send + 'static) -> io::Result<Self> {
        let (queue, layers) = channel();
        let flags = Arc::<Flags>::default();
        let shared = flags.clone();
        let thread = std::thread::Builder::new()
            .name("layer-sync".to_owned())
            .spawn(move || write_out(&layers, &shared, sync))?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
            boot: boot_id(),
            flags,
        })
    }

    /// The process is about to end. What the disk was not asked for yet keeps its marker, and is written out by a later process: a
    /// command that waited for it would wait for whatever else the disk has to do.
    pub(super) fn leave(&self) {
        self.flags.leaves.store(true, Ordering::Relaxed);
    }

    /// Marks the layer directory as not yet on the disk. Must happen before the rename that publishes it.
    pub(super) fn mark(&self, layer: &Path) -> io::Result<()> {
        let lost = self.flags.lost.load(Ordering::Relaxed);
        fs::write(layer.join(MARKER), if lost { LOST } else { &self.boot })
    }

    /// Asks for a published layer to be written out.
    pub(super) fn submit(&self, layer: PathBuf) {
        if let Some(queue) = &self.queue {
            // The thread ends only when this sender is gone, or the process is about to; a layer that is never synced merely
            // keeps its marker.
            let _ = queue.send(layer);
        }
    }

    /// What a layer found on the disk is worth.
    pub(super) fn state(&self, layer: &Path) -> State {
        match fs::read_to_string(layer.join(MARKER)) {
            Ok(boot) if boot == self.boot && !boot.is_empty() => State::Pending,
            Err(error) if error.kind() == io::ErrorKind::NotFound => State::Whole,
            _ => State::Torn,
        }
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            // Once the disk has failed, it does nothing but condemn what is in the queue, and that must not be left out.
            && (!self.flags.leaves.load(Ordering::Relaxed) || self.flags.lost.load(Ordering::Relaxed))
        {
            let _ = thread.join();
        }
    }
}

fn write_out(layers: &Receiver<PathBuf>, flags: &Flags, sync: impl Fn() -> rustix::io::Result<()>) {
    while let Ok(first) = layers.recv() {
        let begun = Instant::now();
        let mut deadline = begun + GATHER;
        let mut batch = Vec::new();
        let mut next = Some(first);
        while let Some(layer) = next {
            // A layer that was removed in the meantime has no marker any more.
            if let Ok(marker) = Marker::of(layer) {
                deadline = deadline.min(begun + marker.patience);
                batch.push(marker);
            }
            let rest = deadline.saturating_duration_since(Instant::now());
            next = layers.recv_timeout(rest).ok();
        }
        // Nobody can end a process while one of its threads waits for the disk.
        if flags.leaves.load(Ordering::Relaxed) {
            return;
        }
        if batch.is_empty() {
            continue;
        }
        if let Err(error) = sync() {
            flags.lost.store(true, Ordering::Relaxed);
            tracing::warn!(%error, "layers could not be written to the disk; they and what is built from now on are thrown away at the next start");
            // What is still being made has been written to the same disk. The next sync would succeed and say nothing of it.
            let batch = batch.into_iter().map(|marker| marker.layer);
            batch.chain(layers.iter()).for_each(|layer| condemn(&layer));
            return;
        }
        for marker in batch {
            let _ = marker.remove();
        }
    }
}

/// Sees to it that the layer is thrown away at the next start.
fn condemn(layer: &Path) {
    match fs::write(layer.join(MARKER), LOST) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %layer.display(), %error, "a layer that may be damaged could not be marked as such; remove it");
        }
        _ => {}
    }
}

/// The marker of one layer. Another one of that name may come to its place while the disk is waited for.
struct Marker {
    layer: PathBuf,
    identity: (u64, i64, i64),
    patience: Duration,
}

impl Marker {
    fn of(layer: PathBuf) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(layer.join(MARKER))?;
        // A clock that was set back tells no age.
        let age = metadata.modified()?.elapsed().unwrap_or(OVERDUE);
        Ok(Self {
            layer,
            identity: identity(&metadata),
            patience: patience(age),
        })
    }

    /// Removes it, if it is still the one that it was.
    fn remove(&self) -> io::Result<()> {
        // Held, so that what is looked at is what it is removed from.
        let directory = File::open(&self.layer)?;
        let path = descriptor_path(directory.as_fd()).join(MARKER);
        if identity(&fs::symlink_metadata(&path)?) == self.identity {
            fs::remove_file(&path)?;
        }
        Ok(())
    }
}

/// A number that is free is given to the next file, so the time belongs to it.
fn identity(metadata: &fs::Metadata) -> (u64, i64, i64) {
    (metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
}

/// How long others may be waited for that one sync would serve too.
fn patience(age: Duration) -> Duration {
    if age < OVERDUE { GATHER } else { Duration::ZERO }
}

/// A random name that the kernel gives every start of the machine; empty where it cannot be read.
fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    /// A committed layer.
    fn layer(syncer: &Syncer, place: &Path) -> PathBuf {
        let layer = place.join("layer");
        fs::create_dir(&layer).unwrap();
        syncer.mark(&layer).unwrap();
        layer
    }

    /// One that tells of every time that the disk is asked.
    fn observed() -> (Syncer, Receiver<()>) {
        let (tell, asked) = channel();
        let syncer = Syncer::start_with(move || {
            tell.send(()).unwrap();
            Ok(())
        });
        (syncer.unwrap(), asked)
    }

    #[test]
    fn who_leaves_asks_nothing_of_the_disk() {
        let place = tempfile::tempdir().unwrap();
        let (syncer, asked) = observed();
        let layer = layer(&syncer, place.path());
        syncer.submit(layer.clone());
        syncer.leave();
        drop(syncer);
        assert!(asked.recv().is_err(), "the thread ended without it");
        let (next, asked) = observed();
        assert_eq!(next.state(&layer), State::Pending);
        next.submit(layer.clone());
        drop(next);
        assert_eq!(asked.iter().count(), 1);
        assert_eq!(observed().0.state(&layer), State::Whole);
    }

    #[test]
    fn what_a_failed_disk_may_have_lost_counts_as_torn_from_then_on() {
        let place = tempfile::tempdir().unwrap();
        let syncer = Syncer::start_with(|| Err(Errno::IO)).unwrap();
        let first = layer(&syncer, place.path());
        syncer.submit(first.clone());
        while !syncer.flags.lost.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let (begun, later) = (place.path().join("begun"), place.path().join("later"));
        fs::create_dir(&later).unwrap();
        syncer.mark(&later).unwrap();
        // This one was marked before the disk failed, and published after it.
        fs::create_dir(&begun).unwrap();
        fs::write(begun.join(MARKER), &syncer.boot).unwrap();
        syncer.submit(begun.clone());
        drop(syncer);
        let (next, _asked) = observed();
        for layer in [first, begun, later] {
            assert_eq!(next.state(&layer), State::Torn, "{layer:?}");
        }
    }

    #[test]
    fn a_layer_that_comes_to_anothers_place_meanwhile_keeps_its_marker() {
        let place = tempfile::tempdir().unwrap();
        let (layer, former) = (place.path().join("layer"), place.path().join("former"));
        let swap = {
            let (layer, former) = (layer.clone(), former.clone());
            move || {
                fs::rename(&layer, &former).unwrap();
                fs::create_dir(&layer).unwrap();
                fs::write(layer.join(MARKER), boot_id()).unwrap();
                Ok(())
            }
        };
        let syncer = Syncer::start_with(swap).unwrap();
        assert_eq!(self::layer(&syncer, place.path()), layer);
        syncer.submit(layer.clone());
        drop(syncer);
        assert!(former.is_dir());
        assert_eq!(observed().0.state(&layer), State::Pending);
    }

    #[test]
    fn an_old_marker_is_seen_to_at_once() {
        assert_eq!(patience(Duration::from_secs(59)), GATHER);
        assert_eq!(patience(Duration::from_secs(61)), Duration::ZERO);
        let place = tempfile::tempdir().unwrap();
        let (syncer, _asked) = observed();
        let layer = layer(&syncer, place.path());
        assert_eq!(Marker::of(layer.clone()).unwrap().patience, GATHER);
        let marker = File::options().write(true).open(layer.join(MARKER)).unwrap();
        let past = std::time::SystemTime::now() - Duration::from_secs(90);
        marker.set_modified(past).unwrap();
        assert_eq!(Marker::of(layer).unwrap().patience, Duration::ZERO);
    }
}
