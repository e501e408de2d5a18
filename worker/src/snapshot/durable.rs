//! Layers reach the disk in the background.
//!
//! A step's result is wanted by the next step at once, while waiting for the disk takes longer than many steps do. So a layer
//! is committed with a marker that names the machine's current boot; a thread writes the file system out and removes the
//! marker. If the *worker* dies, the kernel still holds every byte and the layer is good. If the *machine* dies, the boot id
//! has changed and a layer that still has its marker is thrown away. Either way no torn layer is ever served.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const MARKER: &str = "unsynced";

/// How long layers are gathered before the disk is asked: one sync serves them all.
const GATHER: Duration = Duration::from_millis(500);

/// Writes committed layers out; dropping it waits until everything is on the disk, unless it was told to [leave](Syncer::leave).
pub(super) struct Syncer {
    queue: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    boot: String,
    leaves: AtomicBool,
}

struct Job {
    layer: PathBuf,
    /// Whether others are likely to follow, which one sync would serve too.
    gather: bool,
}

impl Syncer {
    pub(super) fn start(root: &Path) -> io::Result<Self> {
        let file_system = File::open(root)?;
        let (queue, layers) = channel();
        let thread = std::thread::Builder::new()
            .name("layer-sync".to_owned())
            .spawn(move || sync_layers(&file_system, &layers))?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
            boot: boot_id(),
            leaves: AtomicBool::new(false),
        })
    }

    /// The process is about to end. What was not written out yet keeps its marker, and is written out by the next one: a command
    /// that waited for it would wait for whatever else the disk has to do.
    pub(super) fn leave(&self) {
        self.leaves.store(true, Ordering::Relaxed);
    }

    /// Marks the layer directory as not yet on the disk. Must happen before the rename that publishes it.
    pub(super) fn mark(&self, layer: &Path) -> io::Result<()> {
        fs::write(layer.join(MARKER), &self.boot)
    }

    /// Asks for a published layer to be written out.
    pub(super) fn submit(&self, layer: PathBuf) {
        self.send(layer, true);
    }

    /// Asks the same for a layer that a former worker left unsynced, at once: by now most of it is on the disk, and this process
    /// may end soon.
    pub(super) fn resubmit(&self, layer: PathBuf) {
        self.send(layer, false);
    }

    fn send(&self, layer: PathBuf, gather: bool) {
        if let Some(queue) = &self.queue {
            // The thread ends only when this sender is gone; a layer that is never synced merely keeps its marker.
            let _ = queue.send(Job { layer, gather });
        }
    }

    /// Whether a layer found on the disk may have been torn by a power failure.
    pub(super) fn is_torn(&self, layer: &Path) -> bool {
        match fs::read_to_string(layer.join(MARKER)) {
            Ok(boot) => boot != self.boot || self.boot.is_empty(),
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }

    /// A layer of this boot that a former worker left unsynced.
    pub(super) fn is_pending(layer: &Path) -> bool {
        layer.join(MARKER).exists()
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && !self.leaves.load(Ordering::Relaxed)
        {
            let _ = thread.join();
        }
    }
}

fn sync_layers(file_system: &File, layers: &Receiver<Job>) {
    while let Ok(first) = layers.recv() {
        let mut deadline = Instant::now();
        if first.gather {
            deadline += GATHER;
        }
        let mut batch = vec![first.layer];
        while let Ok(job) = layers.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            batch.push(job.layer);
        }
        if let Err(error) = rustix::fs::syncfs(file_system) {
            tracing::warn!(%error, "layers could not be written to the disk; they are kept until the machine restarts");
            continue;
        }
        for layer in batch {
            // A layer that was removed in the meantime has no marker any more.
            let _ = fs::remove_file(layer.join(MARKER));
        }
    }
}

/// A random name that the kernel gives every start of the machine; empty where it cannot be read.
fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}
