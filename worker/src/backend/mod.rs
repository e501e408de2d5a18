//! Who carries a build out.
//!
//! A [`Backend`] takes a whole definition, as `BuildKit`'s daemon does, and reports its progress as events. It neither
//! knows who asked nor keeps a record: that is [`crate::build`]'s part.

pub mod buildkit;
pub mod embedded;
pub mod graph;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use stagewright_core::analysis::ImageFacts;
use stagewright_core::digest::Digest;
use stagewright_core::platform::Platform;
use stagewright_core::protocol::{
    BuildFailure, BuildId, Event, ImageSummary, OutputFormat, ResolveImage, SolveStatus, Vertex,
};
use tokio_util::sync::CancellationToken;

use crate::config::Entitlement;
use crate::source::secret::Secrets;
use graph::Graph;

use crate::export::{ImageOptions, Naming};
use crate::provenance::Draft;
use crate::sandbox::Limits;
use crate::sharing::{CacheExport, Place};
use crate::source::image::reference::Reference;
use crate::source::image::{Push, Pushed};

/// Something that can carry builds out.
pub trait Backend: Send + Sync + 'static {
    /// What it can do on this machine. May take as long as trying it out takes.
    fn describe(&self) -> BackendDescription;

    /// What is known to keep it from running any build, a sentence each. Asked before every build, so it tries nothing out.
    fn obstacles(&self) -> Vec<String> {
        Vec::new()
    }

    /// Told once, when no build will follow.
    fn close(&self) {}

    /// What the registry behind a reference says of the image.
    fn resolve_image(&self, request: ResolveImage) -> BoxFuture<'_, Result<ImageFacts, BackendError>>;

    /// Runs a build to its end and tells `events` what happens. The terminal event is the caller's to send.
    /// Ends soon after `cancel`, with whatever error, and leaves nothing running.
    fn solve(
        &self,
        request: SolveRequest,
        events: EventSink,
        cancel: CancellationToken,
    ) -> BoxFuture<'_, Result<ImageSummary, BuildFailure>>;

    /// Writes an image, or a list of images, as one file to `out`, with these names inside.
    fn export<'a>(
        &'a self,
        root: &'a Digest,
        naming: &'a Naming,
        format: OutputFormat,
        out: Box<dyn Write + Send>,
    ) -> BoxFuture<'a, Result<(), BackendError>>;

    /// Brings an image that a build made, or a list of them, to the registry of its name.
    fn push<'a>(
        &'a self,
        name: &'a Reference,
        push: &'a Push,
    ) -> BoxFuture<'a, Result<Pushed, BackendError>> {
        let message = format!("{name} cannot be pushed: this backend has no way to a registry");
        let _ = push;
        Box::pin(std::future::ready(Err(BackendError::Unavailable(message))))
    }
}

/// What a backend can do on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BackendDescription {
    /// What it builds for without emulation.
    pub platform: Platform,
    /// Whether it can run builds at all.
    pub can_build: bool,
    /// What the machine does not allow, a sentence each; empty where all is well.
    pub missing: Vec<String>,
    /// Reference -> note, for images that are served from somewhere else than their name says.
    pub substitutes: BTreeMap<String, String>,
}

/// A build to run. It has been checked already ([`crate::build::Builds::start`]).
#[derive(Debug, Clone)]
pub struct SolveRequest {
    /// Names the build, for reasons such as "changed since build 3".
    pub build: BuildId,
    /// What the client called it.
    pub title: String,
    /// What to run.
    pub graph: Arc<Graph>,
    /// The image's configuration as the plan made it.
    pub image_config: serde_json::Value,
    /// Local source name -> id of a complete context.
    pub contexts: BTreeMap<String, Digest>,
    /// Run everything again.
    pub no_cache: bool,
    /// What the one who asked brings along.
    pub extras: Extras,
}

/// What a build brings along beside its plan. It comes from a caller in this process only: nothing of it travels with
/// a plan, is recorded, or is part of a cache key.
#[derive(Debug, Clone, Default)]
pub struct Extras {
    /// Steps, by the digest of their op, that are to run although a result of theirs is kept.
    pub no_cache: Arc<BTreeSet<Digest>>,
    /// What steps may ask for as `RUN --mount=type=secret`.
    pub secrets: Arc<Secrets>,
    /// Whether files may be fetched from addresses of this machine and of private networks, as its owner may. What others
    /// ask for may not.
    pub local: bool,
    /// What this build's steps may have beyond their sandbox, besides what the worker allows to all.
    pub entitlements: BTreeSet<Entitlement>,
    /// What its steps may use up, where that is otherwise than the worker has it for all.
    pub limits: Limits,
    /// Sockets of SSH agents by id, for `RUN --mount=type=ssh`.
    pub agents: Arc<BTreeMap<String, PathBuf>>,
    /// How the image is put together.
    pub image: ImageOptions,
    /// Where the files of the result go.
    pub files: Arc<Vec<FilesOutput>>,
    /// Whether to tell of what is done once all steps are, too, as steps of their own.
    pub tell_exports: bool,
    /// What tells this from other plans that are carried out as one build: its platform. Empty where it is the only one.
    pub part: String,
    /// Caches of other machines that steps may come from.
    pub cache_from: Arc<Vec<Place>>,
    /// Caches that are to be written, which gather what the build has to share.
    pub cache_to: Arc<Vec<Arc<CacheExport>>>,
    /// Whether the image carries what is known of its steps.
    pub inline_cache: bool,
    /// What is known of the build for its provenance, where one is asked for.
    pub provenance: Option<Arc<Draft>>,
}

/// Something that is done for a build and is no step of its plan, as it begins. `id` tells it from others of its name.
pub fn task(name: &str, id: &str) -> Vertex {
    Vertex {
        digest: Digest::of(format!("{name} of {id}").as_bytes()),
        inputs: Vec::new(),
        name: name.to_owned(),
        started: Some(timestamp()),
        completed: None,
        cached: false,
        error: String::new(),
        reason: String::new(),
    }
}

/// Where the files of a build's result go, outside of the worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilesOutput {
    /// Into this folder, to what is there already.
    Folder(PathBuf),
    /// Into a tar.
    Tar(PathBuf),
    /// Into a tar of the worker's own, whose place is nobody's matter.
    Kept(PathBuf),
    /// Into a tar on this process's standard output.
    TarToStandardOutput,
}

impl FilesOutput {
    /// What is done where files go there, for people.
    pub fn told(&self) -> String {
        match self {
            Self::Folder(place) => format!("exporting files to {}", place.display()),
            Self::Tar(place) => format!("exporting files to the tar {}", place.display()),
            Self::TarToStandardOutput | Self::Kept(_) => "exporting files as a tar".to_owned(),
        }
    }
}

/// Why a backend could not do something outside a build. The text says what to do next.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BackendError {
    /// There is no such image, or not for that platform.
    #[error("{0}")]
    NotFound(String),
    /// The request itself cannot be read.
    #[error("{0}")]
    Invalid(String),
    /// This machine cannot do that.
    #[error("{0}")]
    Unavailable(String),
    /// A registry or another outside service refused or did not answer.
    #[error("{0}")]
    Upstream(String),
    /// The worker failed.
    #[error("{0}")]
    Internal(String),
}

/// Where a backend tells what happens in one build. Cheap to clone; never waits for a reader.
#[derive(Clone)]
pub struct EventSink(Arc<dyn Fn(Event) + Send + Sync>);

impl EventSink {
    /// A sink that hands every event to `receive`, in the order of the calls.
    pub fn new(receive: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(receive))
    }

    /// Tells what happened.
    pub fn emit(&self, event: Event) {
        (self.0)(event);
    }

    /// Tells of progress.
    pub fn status(&self, status: SolveStatus) {
        self.emit(Event::Status(status));
    }
}

impl std::fmt::Debug for EventSink {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("EventSink")
    }
}

/// The time now as events carry it: RFC 3339 in UTC, to the nanosecond.
pub fn timestamp() -> String {
    let format = time::format_description::well_known::Rfc3339;
    time::OffsetDateTime::now_utc()
        .format(&format)
        .unwrap_or_else(|_| "1970-01-01T00:00:00Z".to_owned())
}
