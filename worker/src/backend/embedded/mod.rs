//! The backend that runs builds on this machine.
//!
//! ```text
//! build      one build: every step is looked up, else run            reason  why, in a sentence
//! scheduler  each step as soon as its inputs are there               flight  one execution for all who want it
//! key        what a step does, on which content                      cache   results, checksums, how steps looked
//! select     which files a copy takes, and their checksum            tree    files to read; target: files to write
//! ops        source, http, git, exec, file, merge, diff                           layer, rootfs, image: what comes out
//! ```
//!
//! **Invariants.** A result is recorded after its layer is committed, so a worker that is killed loses no finished
//! step and serves no torn one. What a key stands for is what is read: the selection that is hashed is the selection
//! that is copied. No path of a client or an image leads out of its root.

mod build;
mod cache;
mod deliver;
mod engine;
pub(crate) mod files;
mod flight;
mod image;
mod key;
mod layer;
mod ops;
mod progress;
mod reason;
mod rootfs;
mod scheduler;
mod select;
mod target;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use futures_util::future::BoxFuture;
use stagewright_core::analysis::ImageFacts;
use stagewright_core::digest::Digest;
use stagewright_core::platform::Platform;
use stagewright_core::protocol::{BuildFailure, ImageSummary, OutputFormat, ResolveImage};
use tokio_util::sync::CancellationToken;

use super::{Backend, BackendDescription, BackendError, EventSink, FilesOutput, SolveRequest};
use crate::config::Config;
use crate::export::{LayerIndex, Naming, docker_archive, oci_archive};
use crate::sandbox::{Report, obstacles, probe};
use crate::snapshot::SnapshotStore;
use crate::source::image::reference::Reference;
use crate::source::image::{ImageError, Push, Pushed};
use crate::source::local::Contexts;
use build::Build;
pub use cache::StepRecord;
use engine::Engine;
pub use engine::OpenError;
pub(crate) use engine::machine_platform;
pub(crate) use tree::ContextFilter;

/// What the worker whose state folder is `state` remembers of steps. Where a worker is at work there, only it can tell.
pub fn step_records(state: &Path) -> Result<Vec<StepRecord>, BackendError> {
    let path = state.join("cache.redb");
    if !cache::Cache::is_at(&path) {
        return Ok(Vec::new());
    }
    let records = cache::Cache::open(&path).and_then(|cache| cache.results());
    records.map_err(|error| BackendError::Internal(error.to_string()))
}

/// Unpacks a build context into `folder` where `file` is a tar archive, plain or compressed; says whether it was.
pub(crate) fn unpack_context(file: &File, folder: &Path) -> Result<bool, String> {
    ops::file::unpack_all(file, folder).map_err(|error| error.to_string())
}

/// Writes what is in `folder` into `place`, to what is there already.
pub(crate) fn deliver_files(folder: &Path, place: &Path, cancel: &CancellationToken) -> Result<(), String> {
    let output = FilesOutput::Folder(place.to_owned());
    deliver::deliver(folder, &output, None, cancel).map_err(|failure| failure.message)
}

/// The bytes that what is remembered of steps takes in the state folder `state`.
pub fn step_records_size(state: &Path) -> u64 {
    cache::Cache::size(&state.join("cache.redb"))
}

/// Runs builds on this machine, in sandboxes of its own.
pub struct EmbeddedBackend {
    engine: Arc<Engine>,
    state: PathBuf,
    substitutes: BTreeMap<String, String>,
    /// Found out when it is first asked for: a build finds out by itself what works, and trying costs as much as a small one.
    report: OnceLock<Report>,
}

impl EmbeddedBackend {
    /// Opens the backend with its state under `state`. `contexts` are those that builds will name; their content
    /// store holds images and layers too.
    ///
    /// # Errors
    /// Where another worker uses the directory, or where it cannot be written. A machine that cannot run builds is no
    /// error: [`Backend::describe`] says what is missing.
    pub fn open(state: &Path, config: &Config, contexts: Contexts) -> Result<Self, OpenError> {
        Ok(Self {
            engine: Arc::new(Engine::open(state, config, contexts)?),
            state: state.to_owned(),
            substitutes: config.substitute_notes(),
            report: OnceLock::new(),
        })
    }
}

impl EmbeddedBackend {
    /// Lets builds take the image with this digest, as `oci-layout://`, from a layout, or from the store.
    pub fn lend(&self, image: &Digest, layout: Option<&Path>) {
        self.engine.images.source.lend(image, layout);
    }

    /// What is remembered of steps.
    pub fn step_records(&self) -> Result<Vec<StepRecord>, BackendError> {
        let records = self.engine.cache.results();
        records.map_err(|error| BackendError::Internal(error.to_string()))
    }

    /// Forgets results by their keys. What they are of stays.
    pub fn forget_steps(&self, keys: &[Digest]) -> Result<(), BackendError> {
        let forgotten = self.engine.cache.forget_results(keys);
        forgotten.map_err(|error| BackendError::Internal(error.to_string()))
    }

    /// Forgets which blobs layers were compressed to, where the blobs are gone.
    pub fn forget_missing_blobs(&self) {
        self.engine.layers.forget_missing();
    }

    /// Where a blob of an image lies that [`EmbeddedBackend::lend`] was called for.
    pub(crate) fn lent_blob(&self, image: &Digest, blob: &Digest) -> Option<PathBuf> {
        self.engine.images.source.lent_blob(image, blob)
    }

    /// What is known of layers as blobs.
    pub(crate) fn layer_index(&self) -> &LayerIndex {
        &self.engine.layers
    }

    /// What this machine runs.
    pub(crate) fn platform(&self) -> Platform {
        self.engine.platform.clone()
    }

    /// The layers.
    pub fn snapshots(&self) -> &SnapshotStore {
        &self.engine.snapshots
    }
}

impl Backend for EmbeddedBackend {
    fn describe(&self) -> BackendDescription {
        let report = self.report.get_or_init(|| probe(&self.state));
        BackendDescription {
            platform: self.engine.platform.clone(),
            can_build: report.can_build(),
            missing: report.problems().map(str::to_owned).collect(),
            substitutes: self.substitutes.clone(),
        }
    }

    fn obstacles(&self) -> Vec<String> {
        match self.report.get() {
            Some(report) if report.can_build() => Vec::new(),
            Some(report) => report.problems().map(str::to_owned).collect(),
            None => obstacles(),
        }
    }

    fn close(&self) {
        self.engine.cache.close();
        self.engine.snapshots.leave();
    }

    fn resolve_image(&self, request: ResolveImage) -> BoxFuture<'_, Result<ImageFacts, BackendError>> {
        Box::pin(async move {
            let resolved = self
                .engine
                .images
                .source
                .resolve(&request.reference, &request.platform)
                .await;
            resolved.map_err(|error| {
                let message = error.to_string();
                match error {
                    error if error.is_not_found() => BackendError::NotFound(message),
                    ImageError::Reference(_) => BackendError::Invalid(message),
                    ImageError::Storage { .. } => BackendError::Internal(message),
                    _ => BackendError::Upstream(message),
                }
            })
        })
    }

    fn solve(
        &self,
        request: SolveRequest,
        events: EventSink,
        cancel: CancellationToken,
    ) -> BoxFuture<'_, Result<ImageSummary, BuildFailure>> {
        Box::pin(Build::run(Arc::clone(&self.engine), request, events, cancel))
    }

    fn push<'a>(
        &'a self,
        name: &'a Reference,
        push: &'a Push,
    ) -> BoxFuture<'a, Result<Pushed, BackendError>> {
        Box::pin(async move {
            let pushed = self.engine.images.source.push(name, push).await;
            pushed.map_err(|error| BackendError::Upstream(error.to_string()))
        })
    }

    fn export<'a>(
        &'a self,
        root: &'a Digest,
        naming: &'a Naming,
        format: OutputFormat,
        out: Box<dyn Write + Send>,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        let (engine, root, naming) = (Arc::clone(&self.engine), root.clone(), naming.clone());
        Box::pin(async move {
            let write = move || {
                let content = engine.contexts.content();
                match format {
                    OutputFormat::Oci => oci_archive(content, &root, &naming, out),
                    OutputFormat::Docker => docker_archive(content, &engine.layers, &root, &naming, out),
                }
            };
            let written = tokio::task::spawn_blocking(write).await;
            written
                .map_err(|error| BackendError::Internal(error.to_string()))?
                .map_err(|error| BackendError::Internal(error.to_string()))
        })
    }
}
