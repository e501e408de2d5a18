//! What all builds of one worker share.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use stagewright_core::platform::Platform;
use tokio::sync::Semaphore;

use super::cache::{Cache, StoredResult};
use super::flight::Flights;
use super::ops::StepFailure;
use super::ops::exec::{Caches, Executor};
use super::ops::source::Images;
use crate::config::Config;
use crate::export::LayerIndex;
use crate::sandbox::{Limits, Sandbox, SandboxConfig};
use crate::sharing::Place;
use crate::snapshot::SnapshotStore;
use crate::source::address::Network;
use crate::source::git::Repositories;
use crate::source::http::Web;
use crate::source::image::ImageSource;
use crate::source::local::Contexts;

/// Bytes of one build's output that are sent on and recorded.
const BUILD_LOG: u64 = 48 << 20;

/// The parts that run steps, and what they remember.
pub(crate) struct Engine {
    /// What this machine runs.
    pub(crate) platform: Platform,
    /// Build contexts.
    pub(crate) contexts: Contexts,
    /// Layers as directories.
    pub(crate) snapshots: SnapshotStore,
    /// Images.
    pub(crate) images: Arc<Images>,
    /// Processes.
    pub(crate) executor: Executor,
    /// Results and how steps last looked.
    pub(crate) cache: Cache,
    /// Private networks that builds of others may get files from.
    pub(crate) networks: Arc<[Network]>,
    /// Files from web servers.
    pub(crate) web: Web,
    /// Git repositories.
    pub(crate) repositories: Repositories,
    /// Layers as blobs.
    pub(crate) layers: LayerIndex,
    /// How many steps may run at the same time, over all builds.
    pub(crate) steps: Semaphore,
    /// Steps that run.
    pub(crate) flights: Flights<Arc<StoredResult>, StepFailure>,
    /// Caches that every build takes steps from.
    pub(crate) caches: Vec<Place>,
    /// Layers of shared caches that are being unpacked.
    pub(crate) shared_layers: Flights<bool, StepFailure>,
    /// Bytes of one build's output that are kept.
    pub(crate) build_log: u64,
    scratch: PathBuf,
    next_scratch: AtomicU64,
}

/// Why the backend cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A part of the state directory cannot be used.
    #[error("{0}")]
    State(String),
}

impl OpenError {
    fn of(error: impl std::fmt::Display) -> Self {
        Self::State(error.to_string())
    }
}

impl Engine {
    /// Opens everything under `state`.
    pub(crate) fn open(state: &Path, config: &Config, contexts: Contexts) -> Result<Self, OpenError> {
        let scratch = state.join("scratch");
        let prepare = || {
            std::fs::create_dir_all(&scratch)?;
            // What a killed worker left there is of no use to anyone. An empty folder stays: making it anew is felt where all
            // else is cached.
            if std::fs::read_dir(&scratch)?.next().is_some() {
                crate::snapshot::remove_all(&scratch)?;
                std::fs::create_dir(&scratch)?;
            }
            Ok::<_, std::io::Error>(())
        };
        let content = contexts.content().clone();
        let cache = Cache::open(&state.join("cache.redb")).map_err(OpenError::of)?;
        prepare().map_err(|error| OpenError::State(format!("{}: {error}", scratch.display())))?;
        let snapshots = SnapshotStore::open_with(&state.join("snapshots"), content.leases().clone())
            .map_err(OpenError::of)?;
        let layers = LayerIndex::open(&state.join("layers"), content.clone()).map_err(OpenError::of)?;
        let source = ImageSource::new(config.clone(), content.clone());
        let images = Images::new(
            source,
            content,
            snapshots.clone(),
            config.limits.image_unpacked_size,
        );
        let caches = Caches::open(state.join("cache-mounts")).map_err(OpenError::of)?;
        let limits = Limits {
            memory: Some(config.limits.step_memory),
            pids: Some(config.limits.step_processes),
            cpu_millis: config.limits.step_processors,
            wall_time: Some(config.limits.step_time),
            log_bytes: Some(config.limits.step_log),
        };
        let sandbox = Sandbox::new(&SandboxConfig {
            state_dir: state.join("sandbox"),
        })
        .map_err(OpenError::of)?;
        let executor = Executor {
            sandbox,
            snapshots: snapshots.clone(),
            limits,
            caches,
            passing: scratch.clone(),
            next: AtomicU64::new(1 << 48),
        };
        Ok(Self {
            platform: machine_platform(),
            contexts,
            snapshots,
            images: Arc::new(images),
            executor,
            cache,
            repositories: Repositories::open(&state.join("git")).map_err(OpenError::of)?,
            web: Web::new(config.limits.download_size, &config.private_networks),
            networks: config.private_networks.as_slice().into(),
            layers,
            // Steps wait for disks as much as for processors.
            steps: Semaphore::new(config.limits.parallel_steps.clamp(4, Semaphore::MAX_PERMITS)),
            flights: Flights::default(),
            caches: config.caches.iter().cloned().map(Place::Registry).collect(),
            shared_layers: Flights::default(),
            build_log: BUILD_LOG,
            scratch,
            next_scratch: AtomicU64::new(0),
        })
    }

    /// A path that nobody else uses, for a file that is soon gone again.
    pub(crate) fn scratch_file(&self) -> PathBuf {
        self.scratch
            .join(self.next_scratch.fetch_add(1, Ordering::Relaxed).to_string())
    }
}

/// What this machine runs, in Go's names.
pub(crate) fn machine_platform() -> Platform {
    let (architecture, variant) = match std::env::consts::ARCH {
        "x86_64" => ("amd64", ""),
        "aarch64" => ("arm64", ""),
        "x86" => ("386", ""),
        "arm" => ("arm", "v7"),
        "powerpc64" => ("ppc64le", ""),
        other => (other, ""),
    };
    Platform {
        os: "linux".into(),
        architecture: architecture.into(),
        variant: variant.into(),
        ..Platform::default()
    }
}
