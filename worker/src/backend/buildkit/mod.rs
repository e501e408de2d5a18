//! The backend that has builds carried out by `BuildKit` daemons: `buildkitd`, or the one in Docker's engine.
//!
//! ```text
//! address, certificates, connection, engine   how a daemon is reached, and in words why not
//! daemon, fleet                                how it is; which of several gets a build
//! definition, exporting, solve                 what it is asked for, and the build from there to its end
//! session                                      what it asks us for meanwhile
//! status, failure                              what it tells, in our events
//! origin, tally, image                         from its image to ours
//! ```
//!
//! **Invariants.** What registries say of images, and what becomes of an image that was built, is our own worker's work,
//! whoever builds: so plans have the same digests with every backend, and downloads, pushes and names are the same. A
//! daemon is given what the build was given and nothing else of this machine. Nothing waits for a daemon for ever.

mod address;
mod certificates;
mod connection;
mod daemon;
mod definition;
mod engine;
mod exporting;
mod failure;
mod fleet;
mod image;
mod origin;
mod session;
mod solve;
mod status;
mod tally;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use stagewright_core::analysis::ImageFacts;
use stagewright_core::digest::Digest;
use stagewright_core::protocol::{BuildFailure, ImageSummary, OutputFormat, ResolveImage};
use tokio_util::sync::CancellationToken;

use super::embedded::EmbeddedBackend;
use super::{Backend, BackendDescription, BackendError, EventSink, SolveRequest};
use crate::config::{Config, RegistryConfig};
use crate::export::Naming;
use crate::source::image::reference::Reference;
use crate::source::image::{Push, Pushed};
use crate::source::local::Contexts;
use fleet::Fleet;
use image::Taking;
use solve::Solve;
use tally::Tallies;

pub use address::{Address, Place};
pub use certificates::Certificates;
pub use connection::{Route, Unreachable};
pub use daemon::About;

/// Has builds carried out by `BuildKit` daemons. Images, registries and what is stored here are still the work of the
/// worker's own backend.
pub struct BuildkitBackend {
    shared: Arc<Shared>,
    substitutes: BTreeMap<String, String>,
    /// What was found when somebody last asked, and when.
    described: Mutex<Option<(Instant, BackendDescription)>>,
}

/// How long what was found of daemons is told to others who ask.
const FRESH: Duration = Duration::from_secs(5);

/// What all builds share.
struct Shared {
    fleet: Fleet,
    embedded: Arc<EmbeddedBackend>,
    contexts: Contexts,
    taking: Taking,
    registries: Arc<BTreeMap<String, RegistryConfig>>,
    scratch: PathBuf,
}

impl BuildkitBackend {
    /// A backend of the daemons at the end of `routes`, none of which has to run yet. `embedded` keeps its state under
    /// `state`, with the same `contexts`.
    pub fn new(
        routes: Vec<Route>,
        state: &Path,
        config: &Config,
        contexts: Contexts,
        embedded: Arc<EmbeddedBackend>,
    ) -> Self {
        let taking = Taking {
            content: contexts.content().clone(),
            layers: embedded.layer_index().clone(),
            tallies: Tallies::of(tally::folder(state)),
            limits: config.limits,
        };
        Self {
            substitutes: config.substitute_notes(),
            described: Mutex::default(),
            shared: Arc::new(Shared {
                fleet: Fleet::new(routes),
                embedded,
                contexts,
                taking,
                registries: Arc::new(config.registries.clone()),
                scratch: state.join("scratch"),
            }),
        }
    }
}

/// How the daemons at the end of `routes` are, in the same order.
pub async fn look(routes: Vec<Route>) -> Vec<(Route, Result<About, Unreachable>)> {
    Fleet::new(routes).look().await
}

/// Runs `work` to its end where no other of this thread's work may go on meanwhile.
fn at_once<T: Send>(work: impl Future<Output = T> + Send) -> Option<T> {
    std::thread::scope(|threads| {
        let run = || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .ok()?;
            Some(runtime.block_on(work))
        };
        threads.spawn(run).join().ok().flatten()
    })
}

impl Backend for BuildkitBackend {
    fn describe(&self) -> BackendDescription {
        let mut described = self.described.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((when, known)) = described.as_ref()
            && when.elapsed() < FRESH
        {
            return known.clone();
        }
        let (well, unwell) = at_once(self.shared.fleet.well()).unwrap_or_default();
        let platform = well
            .iter()
            .find_map(|found| found.about.platforms.first())
            .cloned();
        let found = BackendDescription {
            can_build: !well.is_empty(),
            platform: platform.unwrap_or_else(|| self.shared.embedded.platform()),
            missing: unwell.iter().map(|error| format!("{error}.")).collect(),
            substitutes: self.substitutes.clone(),
        };
        *described = Some((Instant::now(), found.clone()));
        found
    }

    fn close(&self) {
        self.shared.embedded.close();
    }

    fn resolve_image(&self, request: ResolveImage) -> BoxFuture<'_, Result<ImageFacts, BackendError>> {
        self.shared.embedded.resolve_image(request)
    }

    fn solve(
        &self,
        request: SolveRequest,
        events: EventSink,
        cancel: CancellationToken,
    ) -> BoxFuture<'_, Result<ImageSummary, BuildFailure>> {
        // An empty image takes no daemon, and some cannot make one.
        if request.graph.head.is_none() {
            return self.shared.embedded.solve(request, events, cancel);
        }
        Box::pin(Solve::run(Arc::clone(&self.shared), request, events, cancel))
    }

    fn export<'a>(
        &'a self,
        root: &'a Digest,
        naming: &'a Naming,
        format: OutputFormat,
        out: Box<dyn Write + Send>,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        self.shared.embedded.export(root, naming, format, out)
    }

    fn push<'a>(
        &'a self,
        name: &'a Reference,
        push: &'a Push,
    ) -> BoxFuture<'a, Result<Pushed, BackendError>> {
        self.shared.embedded.push(name, push)
    }
}
