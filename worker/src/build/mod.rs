//! A build's life: asked for, checked, queued, run, recorded, and told again to whoever asks later.
//!
//! A build belongs to the worker, not to the connection that started it. Every event is numbered and appended to
//! the build's record before anyone sees it, so that a client which comes back gets what it missed, in order.

pub mod history;
mod record;
pub mod tally;
#[cfg(test)]
mod tests;
pub mod totals;
pub mod validate;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::time::Instant;

use stagewright_core::digest::Digest;
use stagewright_core::protocol::{
    BuildFailure, BuildId, BuildState, BuildSummary, Event, ImageSummary, OutputFormat, StartBuild,
};
use tokio::sync::Semaphore;

use crate::backend::{Backend, BackendError, EventSink, Extras, SolveRequest};
use crate::config::Entitlement;
use crate::export::{Naming, name_for};
use crate::source::local::Contexts;

pub use record::EventStream;
use record::Record;
use tally::Figures;
use totals::{Counted, Totals};

/// How much one worker takes on.
#[derive(Debug, Clone)]
pub struct BuildLimits {
    /// Builds that run at the same time; the rest waits.
    pub running: usize,
    /// Builds that wait; more are refused.
    pub queued: usize,
    /// Builds that are remembered; the oldest that ended are forgotten first.
    pub remembered: usize,
    /// Ops in one definition.
    pub ops: usize,
    /// Bytes of one definition's ops.
    pub definition_bytes: usize,
    /// Bytes of one build's recorded events; past it only steps' states are recorded, no more logs or progress.
    pub record_bytes: u64,
    /// What every build may ask for beyond its steps' sandbox.
    pub entitlements: BTreeSet<Entitlement>,
}

impl Default for BuildLimits {
    fn default() -> Self {
        Self {
            running: 4,
            queued: 64,
            remembered: 200,
            ops: 10_000,
            definition_bytes: 16 << 20,
            record_bytes: 64 << 20,
            entitlements: BTreeSet::new(),
        }
    }
}

/// Why a build was not started.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StartError {
    /// The definition or a parameter is not acceptable.
    #[error("{0}")]
    Invalid(String),
    /// The build asks for something that the worker's owner did not allow, such as the host's network.
    #[error("{0}")]
    NotAllowed(String),
    /// A context is unknown, or some of its content has not arrived.
    #[error("{0}")]
    Context(String),
    /// Too many or too large.
    #[error("{0}")]
    Limit(String),
    /// This machine cannot run builds.
    #[error("{0}")]
    Unavailable(String),
    /// The record could not be written.
    #[error("the build could not be recorded: {0}")]
    Record(String),
}

/// Why something could not be done with a build.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BuildsError {
    /// There is no such build (any more).
    #[error("there is no build {0:?} on this worker: it may have been forgotten to make room")]
    Unknown(String),
    /// The build has no image (yet).
    #[error("build {id} has no image: it is {state}")]
    NoImage {
        /// The build.
        id: BuildId,
        /// How it stands, in one word.
        state: &'static str,
    },
    /// It has not ended.
    #[error("build {0} is at work: cancel it first")]
    AtWork(BuildId),
    /// The records could not be read or written.
    #[error("build records in {path}: {reason}")]
    Records {
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The backend refused.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// The builds of one worker. Cheap to clone.
#[derive(Clone)]
pub struct Builds {
    shared: Arc<Shared>,
}

struct Shared {
    directory: PathBuf,
    backend: Arc<dyn Backend>,
    contexts: Contexts,
    limits: BuildLimits,
    turn: Semaphore,
    records: RwLock<Records>,
    after_each: OnceLock<Box<dyn Fn() + Send + Sync>>,
    counted: Counted,
}

#[derive(Default)]
struct Records {
    next: u64,
    by_number: BTreeMap<u64, Arc<Record>>,
}

impl Builds {
    /// Opens the records in `state`, a folder of the worker's own. Builds that were at work when the worker died
    /// become [`BuildState::Lost`], and their last event says so.
    pub fn open(
        state: &Path,
        backend: Arc<dyn Backend>,
        contexts: Contexts,
        limits: BuildLimits,
    ) -> Result<Self, BuildsError> {
        let directory = state.join("builds");
        let (next, by_number) = record::open_all(&directory)?;
        let turn = Semaphore::new(limits.running.max(1));
        let records = RwLock::new(Records { next, by_number });
        Ok(Self {
            shared: Arc::new(Shared {
                directory,
                backend,
                contexts,
                limits,
                turn,
                records,
                after_each: OnceLock::new(),
                counted: Counted::default(),
            }),
        })
    }

    /// Checks `request`, records it and runs it as soon as it is its turn. Call it on the Tokio runtime.
    pub fn start(&self, request: StartBuild) -> Result<BuildId, StartError> {
        self.start_with(request, Extras::default())
    }

    /// As [`Builds::start`], with what the caller brings along beside the plan.
    pub fn start_with(&self, request: StartBuild, extras: Extras) -> Result<BuildId, StartError> {
        let obstacles = self.shared.backend.obstacles();
        if !obstacles.is_empty() {
            return Err(StartError::Unavailable(format!(
                "this worker cannot run builds: {}",
                obstacles.join(" ")
            )));
        }
        // From here on nothing that the build relies on is removed.
        let lease = self.shared.contexts.content().leases().begin();
        let mut request = request;
        let limits = &self.shared.limits;
        let graph = validate::graph(&mut request, &self.shared.contexts, limits, &extras.entitlements)?;
        let StartBuild {
            ops: _,
            digest,
            image_config,
            contexts,
            title,
            no_cache,
        } = request;
        let record = self.shared.create(title.clone(), digest)?;
        for id in contexts.values() {
            self.shared.contexts.begun(id);
        }
        let solve = SolveRequest {
            build: record.id(),
            title,
            graph: Arc::new(graph),
            image_config,
            contexts,
            no_cache,
            extras,
        };
        let id = record.id();
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            let began = Instant::now();
            run(Arc::clone(&shared), Arc::clone(&record), solve).await;
            shared
                .counted
                .count(record.summary().state, &record.figures(), began.elapsed());
            drop(lease);
            if shared.after_each.get().is_some() {
                tokio::task::spawn_blocking(move || shared.after_each.get().map(|hook| hook()));
            }
        });
        Ok(id)
    }

    /// All builds, newest first.
    pub fn list(&self) -> Vec<BuildSummary> {
        self.shared
            .read()
            .by_number
            .values()
            .rev()
            .map(|record| record.summary())
            .collect()
    }

    /// How a build stands, its image where it has one, and how its steps went so far.
    pub fn look(&self, id: &str) -> Result<(BuildSummary, Option<ImageSummary>, Figures), BuildsError> {
        let record = self.shared.find(id)?;
        Ok((record.summary(), record.image(), record.figures()))
    }

    /// What was counted of the builds that ended since this was opened.
    pub fn totals(&self) -> Totals {
        self.shared.counted.totals()
    }

    /// How a build stands, and every event after `since`: first those of the past, then live ones. The stream ends
    /// after the build's last event.
    pub fn attach(&self, id: &str, since: u64) -> Result<(BuildSummary, EventStream), BuildsError> {
        let record = self.shared.find(id)?;
        Ok((record.summary(), EventStream::new(record, since)))
    }

    /// Cancels a build. One that has ended is left as it is.
    pub fn cancel(&self, id: &str) -> Result<(), BuildsError> {
        self.shared.find(id)?.cancel.cancel();
        Ok(())
    }

    /// The image that a build made.
    pub fn image(&self, id: &str) -> Result<ImageSummary, BuildsError> {
        let record = self.shared.find(id)?;
        record.image().ok_or_else(|| BuildsError::NoImage {
            id: record.id(),
            state: match record.summary().state {
                BuildState::Queued => "queued",
                BuildState::Running => "running",
                BuildState::Done => "done",
                BuildState::Failed => "failed",
                BuildState::Cancelled => "cancelled",
                BuildState::Lost => "lost",
            },
        })
    }

    /// Writes a build's image as one file to `out`. Its name in the file is the build's title.
    pub async fn export(
        &self,
        id: &str,
        format: OutputFormat,
        out: Box<dyn Write + Send>,
    ) -> Result<(), BuildsError> {
        let image = self.image(id)?;
        let naming: Naming = name_for(&self.shared.find(id)?.summary().title).into();
        let export = self.shared.backend.export(&image.digest, &naming, format, out);
        Ok(export.await?)
    }

    /// Forgets a build that has ended: its record and its log.
    pub fn forget(&self, id: &str) -> Result<(), BuildsError> {
        let record = self.shared.find(id)?;
        if !record.ended() {
            return Err(BuildsError::AtWork(record.id()));
        }
        let mut records = self
            .shared
            .records
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if let Ok(number) = id.parse()
            && records.by_number.remove(&number).is_some()
        {
            record::remove(&self.shared.directory, number);
        }
        Ok(())
    }

    /// Calls `hook` after every build, from another thread than those that wait for builds.
    pub fn after_each(&self, hook: impl Fn() + Send + Sync + 'static) {
        // The first who asks is the worker itself; there is no other.
        _ = self.shared.after_each.set(Box::new(hook));
    }

    /// How much is taken on, and what is allowed.
    pub fn limits(&self) -> &BuildLimits {
        &self.shared.limits
    }

    /// The build contexts that this worker knows.
    pub fn contexts(&self) -> &Contexts {
        &self.shared.contexts
    }

    /// Who runs the builds.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.shared.backend
    }
}

impl Shared {
    fn read(&self) -> RwLockReadGuard<'_, Records> {
        self.records.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, id: &str) -> Result<Arc<Record>, BuildsError> {
        let record = id
            .parse()
            .ok()
            .and_then(|number: u64| self.read().by_number.get(&number).cloned());
        record.ok_or_else(|| BuildsError::Unknown(id.to_owned()))
    }

    /// Records a new build, and forgets old ones where there are too many.
    fn create(&self, title: String, digest: Digest) -> Result<Arc<Record>, StartError> {
        let mut records = self.records.write().unwrap_or_else(PoisonError::into_inner);
        let waiting = records
            .by_number
            .values()
            .filter(|record| !record.ended())
            .count();
        let limit = self.limits.queued.saturating_add(self.limits.running);
        if waiting >= limit {
            return Err(StartError::Limit(format!(
                "{waiting} builds are running or waiting already, and this worker takes {limit}: try again when one \
                 has ended"
            )));
        }
        let number = records.next;
        let record = Record::create(&self.directory, number, title, digest, self.limits.record_bytes)
            .map_err(|error| StartError::Record(error.to_string()))?;
        records.next += 1;
        records.by_number.insert(number, Arc::clone(&record));
        let surplus = records
            .by_number
            .len()
            .saturating_sub(self.limits.remembered.max(1));
        let old: Vec<u64> = records
            .by_number
            .iter()
            .filter(|(_, record)| record.ended())
            .map(|(number, _)| *number)
            .take(surplus)
            .collect();
        for number in old {
            records.by_number.remove(&number);
            record::remove(&self.directory, number);
        }
        Ok(record)
    }
}

/// Waits for the build's turn, runs it and records how it ended.
async fn run(shared: Arc<Shared>, record: Arc<Record>, request: SolveRequest) {
    let cancel = record.cancel.clone();
    let turn = tokio::select! {
        biased;
        () = cancel.cancelled() => {
            record.append(Event::Cancelled);
            return;
        }
        turn = shared.turn.acquire() => turn,
    };
    record.started();
    let sink = {
        let record = Arc::clone(&record);
        EventSink::new(move |event| record.append(event))
    };
    // On a task of its own, so that a fault in the backend ends this build and not the worker's knowledge of it.
    let backend = Arc::clone(&shared.backend);
    let solving = {
        let cancel = cancel.clone();
        tokio::spawn(async move { backend.solve(request, sink, cancel).await })
    };
    let end = match solving.await {
        Ok(Ok(image)) => Event::Done(image),
        Ok(Err(_)) if cancel.is_cancelled() => Event::Cancelled,
        Ok(Err(failure)) => Event::Failed(failure),
        Err(error) => Event::Failed(BuildFailure {
            message: format!("The worker has a fault and could not go on with this build: {error}"),
            vertex: None,
            exit_code: None,
        }),
    };
    record.append(end);
    drop(turn);
}
