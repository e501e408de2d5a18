//! A build's life: asked for, checked, queued, run, recorded, and told again to whoever asks later.
//!
//! A build belongs to the worker, not to the connection that started it. Every event is numbered and appended to
//! the build's record before anyone sees it, so that a client which comes back gets what it missed, in order.
//!
//! What a build does when its turn comes is its work: to carry out a plan that is ready, or all that a request asks for
//! ([`crate::request`]). What was asked for is then kept beside the record until it has ended, and such a build outlives the
//! worker: it is queued again, in its place and under its number, when the next one starts.

pub mod history;
mod record;
mod shelf;
pub mod tally;
#[cfg(test)]
mod tests;
pub mod totals;
pub mod validate;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use stagewright_core::digest::Digest;
use stagewright_core::protocol::{
    BuildFailure, BuildId, BuildState, BuildSummary, Event, ImageSummary, OutputFormat, StartBuild,
};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backend::{Backend, BackendError, EventSink, Extras, SolveRequest};
use crate::config::Entitlement;
use crate::export::{Naming, name_for};
use crate::source::local::Contexts;

pub use record::EventStream;
use record::{KeptRequest, Record};
use shelf::Shelf;
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

/// What a build does once it is its turn: it tells what happens, and gives the image.
pub type Work = Box<dyn FnOnce(Job) -> BoxFuture<'static, Result<ImageSummary, BuildFailure>> + Send>;

/// A build whose turn it is, as its work sees it.
pub struct Job {
    record: Arc<Record>,
}

impl Job {
    /// Names the build.
    pub fn id(&self) -> BuildId {
        self.record.id()
    }

    /// Where to tell what happens.
    pub fn events(&self) -> EventSink {
        let record = Arc::clone(&self.record);
        EventSink::new(move |event| record.append(event))
    }

    /// Cancelled when the work is to end.
    pub fn cancel(&self) -> &CancellationToken {
        &self.record.cancel
    }

    /// A folder of this build's own, which is there as long as its record.
    pub fn folder(&self) -> &Path {
        self.record.directory()
    }

    /// From here on it is known what the build carries out.
    pub fn planned(&self, digest: Digest) {
        self.record.planned(digest);
    }
}

/// A build that is to do more than carry out a plan that is ready.
#[derive(Debug)]
pub struct Queued {
    /// What it is called.
    pub title: String,
    /// Stands for what is asked for until there is a plan.
    pub digest: Digest,
    /// What it takes to begin anew: kept beside the record until the build has ended, for the owner's eyes only.
    pub kept: Vec<u8>,
    /// What was asked for as it may be told, for as long as there is a record.
    pub told: Vec<u8>,
    /// Whether what is kept is all that it takes to begin anew.
    pub resumable: bool,
    /// A build that need not begin any more where this one is there.
    pub replaces: Option<BuildId>,
}

/// A build that had not ended when the last worker did.
#[derive(Debug)]
pub struct Unfinished {
    /// The build.
    pub id: BuildId,
    /// What was kept of it.
    pub kept: Vec<u8>,
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
    turn: Arc<Semaphore>,
    records: RwLock<Records>,
    /// The next number as it was noted on the disk, for one at a time.
    noted: Mutex<u64>,
    after_each: OnceLock<Box<dyn Fn() + Send + Sync>>,
    counted: Counted,
    /// What runs.
    tracker: TaskTracker,
    /// Cancelled when the worker ends.
    stopping: CancellationToken,
}

struct Records {
    next: u64,
    shelf: Shelf,
    /// Those that had not ended when the last worker did, and that nobody has taken up yet.
    unfinished: BTreeSet<u64>,
}

impl Builds {
    /// Opens the records in `state`, a folder of the worker's own. Builds that were at work when the worker died
    /// become [`BuildState::Lost`], and their last event says so; but those of which it was kept what they were asked
    /// for wait until somebody takes them up ([`Builds::unfinished`]).
    pub fn open(
        state: &Path,
        backend: Arc<dyn Backend>,
        contexts: Contexts,
        limits: BuildLimits,
    ) -> Result<Self, BuildsError> {
        let directory = state.join("builds");
        let (next, shelf) = Shelf::open(&directory, limits.record_bytes)?;
        let noted = record::noted(&directory)?;
        let turn = Arc::new(Semaphore::new(limits.running.max(1)));
        let records = RwLock::new(Records {
            next,
            unfinished: shelf.under_way().map(|(number, _)| number).collect(),
            shelf,
        });
        Ok(Self {
            shared: Arc::new(Shared {
                directory,
                backend,
                contexts,
                limits,
                turn,
                records,
                noted: Mutex::new(noted),
                after_each: OnceLock::new(),
                counted: Counted::default(),
                tracker: TaskTracker::new(),
                stopping: CancellationToken::new(),
            }),
        })
    }

    /// Checks `request`, records it and runs it as soon as it is its turn. Call it on the Tokio runtime.
    pub fn start(&self, request: StartBuild) -> Result<BuildId, StartError> {
        self.start_with(request, Extras::default())
    }

    /// As [`Builds::start`], with what the caller brings along beside the plan.
    pub fn start_with(&self, request: StartBuild, extras: Extras) -> Result<BuildId, StartError> {
        // From here on nothing that the build relies on is removed.
        let lease = self.shared.contexts.content().leases().begin();
        self.able()?;
        let (title, digest) = (request.title.clone(), request.digest.clone());
        let mut solve = self.prepare(request, extras)?;
        let record = self.shared.create(title, digest, None, None)?;
        solve.build = record.id();
        let id = record.id();
        let backend = Arc::clone(&self.shared.backend);
        let work: Work = Box::new(move |job| {
            Box::pin(async move {
                let ended = backend.solve(solve, job.events(), job.cancel().clone()).await;
                drop(lease);
                ended
            })
        });
        self.shared.begin(record, work);
        Ok(id)
    }

    /// Checks a plan; what comes of it is ready to be carried out, and has no number yet.
    pub fn prepare(&self, request: StartBuild, extras: Extras) -> Result<SolveRequest, StartError> {
        let mut request = request;
        let limits = &self.shared.limits;
        let graph = validate::graph(&mut request, &self.shared.contexts, limits, &extras.entitlements)?;
        for id in request.contexts.values() {
            self.shared.contexts.begun(id);
        }
        Ok(SolveRequest {
            build: BuildId::new(),
            title: request.title,
            graph: Arc::new(graph),
            image_config: request.image_config,
            contexts: request.contexts,
            no_cache: request.no_cache,
            extras,
        })
    }

    /// Records a build and lets it do `work` as soon as it is its turn. Call it on the Tokio runtime.
    pub fn queue(&self, queued: Queued, work: Work) -> Result<BuildId, StartError> {
        self.able()?;
        let replaced = queued
            .replaces
            .as_deref()
            .and_then(|id| self.shared.find(id).ok());
        let asked = Some(KeptRequest {
            kept: &queued.kept,
            told: &queued.told,
            resumable: queued.resumable,
        });
        let record = self
            .shared
            .create(queued.title, queued.digest, asked, replaced.as_ref())?;
        let id = record.id();
        if let Some(replaced) = replaced {
            replaced.supersede(&id);
        }
        self.shared.begin(record, work);
        Ok(id)
    }

    /// Whether builds can be started at all.
    fn able(&self) -> Result<(), StartError> {
        if self.shared.stopping.is_cancelled() {
            return Err(StartError::Unavailable(
                "this worker is about to end: try again when it is back".into(),
            ));
        }
        let obstacles = self.shared.backend.obstacles();
        if obstacles.is_empty() {
            return Ok(());
        }
        Err(StartError::Unavailable(format!(
            "this worker cannot run builds: {}",
            obstacles.join(" ")
        )))
    }

    /// The builds that had not ended when the last worker did, in their order. Each is to be taken up by
    /// [`Builds::resume`], or given up by [`Builds::lose`].
    pub fn unfinished(&self) -> Vec<Unfinished> {
        let records = self.shared.read();
        let found = records
            .unfinished
            .iter()
            .filter_map(|number| records.shelf.get(*number));
        found
            .map(|record| Unfinished {
                id: record.id(),
                kept: record.kept().unwrap_or_default(),
            })
            .collect()
    }

    /// Queues an unfinished build again. Its events go on behind those that it has.
    pub fn resume(&self, id: &str, work: Work) -> Result<(), BuildsError> {
        let record = self.take_up(id)?;
        self.shared.begin(record, work);
        Ok(())
    }

    /// Ends an unfinished build, and says why it cannot go on.
    pub fn lose(&self, id: &str, why: &str) -> Result<(), BuildsError> {
        self.take_up(id)?.lose(why);
        Ok(())
    }

    fn take_up(&self, id: &str) -> Result<Arc<Record>, BuildsError> {
        let record = self.shared.find(id)?;
        let mut records = self.shared.write();
        let taken = id.parse().is_ok_and(|number| records.unfinished.remove(&number));
        if taken {
            Ok(record)
        } else {
            Err(BuildsError::AtWork(record.id()))
        }
    }

    /// Ends what is under way, since the worker ends. What can begin anew stays in the queue for the next one; the rest is
    /// cancelled. No new builds are taken from here on.
    pub async fn stop(&self) {
        self.shared.stopping.cancel();
        let under_way: Vec<_> = {
            let records = self.shared.read();
            let records = records.shelf.under_way();
            records.map(|(_, record)| Arc::clone(record)).collect()
        };
        for record in under_way {
            record.interrupt();
        }
        self.shared.tracker.close();
        self.shared.tracker.wait().await;
    }

    /// All builds, newest first.
    pub fn list(&self) -> Vec<BuildSummary> {
        self.shared
            .read()
            .shelf
            .all()
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

    /// How a build stands, where it is known.
    pub fn summary(&self, id: &str) -> Option<BuildSummary> {
        self.shared.find(id).ok().map(|record| record.summary())
    }

    /// Whether a build waits for its turn.
    pub fn is_waiting(&self, id: &str) -> bool {
        self.summary(id)
            .is_some_and(|summary| summary.state == BuildState::Queued)
    }

    /// Waits until a build has ended, or is not known any more.
    pub async fn ended(&self, id: &str) {
        if let Ok(record) = self.shared.find(id) {
            record.wait().await;
        }
    }

    /// Cancels a build. One that has ended is left as it is.
    pub fn cancel(&self, id: &str) -> Result<(), BuildsError> {
        self.shared.find(id)?.cancel.cancel();
        Ok(())
    }

    /// What the build was asked for as it may be told, where that was kept beside its record.
    pub fn asked(&self, id: &str) -> Result<Option<Vec<u8>>, BuildsError> {
        Ok(self.shared.find(id)?.asked())
    }

    /// The build that was asked for in the place of this one, before it began.
    pub fn superseded_by(&self, id: &str) -> Result<Option<BuildId>, BuildsError> {
        Ok(self.shared.find(id)?.superseded_by())
    }

    /// A folder of the build's own, which is there as long as its record.
    pub fn folder(&self, id: &str) -> Result<PathBuf, BuildsError> {
        Ok(self.shared.find(id)?.directory().to_owned())
    }

    /// Why the build did not end well, where it did not.
    pub fn failure(&self, id: &str) -> Result<Option<BuildFailure>, BuildsError> {
        Ok(self.shared.find(id)?.failure())
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
        let Ok(number) = id.parse::<u64>() else {
            return Ok(());
        };
        let mut records = self.shared.write();
        // With the newest goes what its number could be told by.
        let is_newest = records.shelf.newest() == Some(number);
        let next = is_newest.then_some(records.next);
        let removed = records.shelf.take(number);
        drop(records);
        let Some(removed) = removed else {
            return Ok(());
        };
        if let Some(next) = next
            && let Err(error) = self.shared.note(next)
        {
            self.shared.write().shelf.insert(number, removed);
            return Err(error);
        }
        record::remove(&self.shared.directory, number);
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

    fn write(&self) -> RwLockWriteGuard<'_, Records> {
        self.records.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, id: &str) -> Result<Arc<Record>, BuildsError> {
        let record = id
            .parse()
            .ok()
            .and_then(|number: u64| self.read().shelf.get(number));
        record.ok_or_else(|| BuildsError::Unknown(id.to_owned()))
    }

    /// Notes that numbers below `next` were given out, so that nobody takes a build for another that is forgotten.
    fn note(&self, next: u64) -> Result<(), BuildsError> {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if *noted < next {
            record::note(&self.directory, next)?;
            *noted = next;
        }
        Ok(())
    }

    /// Records a new build, and forgets old ones where there are too many. The one that it replaces is not counted among those
    /// that wait.
    fn create(
        &self,
        title: String,
        digest: Digest,
        asked: Option<KeptRequest<'_>>,
        replaces: Option<&Arc<Record>>,
    ) -> Result<Arc<Record>, StartError> {
        let mut records = self.write();
        let leaves = |record: &Arc<Record>| {
            replaces
                .is_some_and(|old| Arc::ptr_eq(old, record) && record.summary().state == BuildState::Queued)
        };
        let waiting = records
            .shelf
            .under_way()
            .filter(|(number, record)| !records.unfinished.contains(number) && !leaves(record))
            .count();
        let limit = self.limits.queued.saturating_add(self.limits.running);
        if waiting >= limit {
            return Err(StartError::Limit(format!(
                "{waiting} builds are running or waiting already, and this worker takes {limit}: try again when one \
                 has ended"
            )));
        }
        // Taken also where it comes to nothing: what is left of that must not be in the way of the next.
        let number = records.next;
        records.next += 1;
        let record = Record::create(
            &self.directory,
            number,
            title,
            digest,
            self.limits.record_bytes,
            asked,
        )
        .map_err(|error| StartError::Record(error.to_string()))?;
        records.shelf.insert(number, Arc::clone(&record));
        let old = records.shelf.take_surplus(self.limits.remembered.max(1));
        drop(records);
        // The newest is never among them, so that their numbers need not be noted.
        for number in old {
            record::remove(&self.directory, number);
        }
        Ok(record)
    }

    /// Puts a recorded build at the end of the queue.
    fn begin(self: &Arc<Self>, record: Arc<Record>, work: Work) {
        let mut turn = Arc::clone(&self.turn).acquire_owned().boxed();
        // Asked for now and not when the task is first looked at, so that builds keep their order.
        let turn = match turn.as_mut().now_or_never() {
            Some(turn) => std::future::ready(turn).boxed(),
            None => turn,
        };
        let shared = Arc::clone(self);
        self.tracker.spawn(async move {
            let began = Instant::now();
            run(Arc::clone(&record), turn, work).await;
            // One that stays for the next worker has not ended.
            if record.ended() {
                shared
                    .counted
                    .count(record.summary().state, &record.figures(), began.elapsed());
            }
            if shared.after_each.get().is_some() {
                tokio::task::spawn_blocking(move || shared.after_each.get().map(|hook| hook()));
            }
        });
    }
}

/// A place among the builds that are at work, as soon as there is one.
type Turn = BoxFuture<'static, Result<OwnedSemaphorePermit, AcquireError>>;

/// Waits for the build's turn, lets it do its work and records how it ended.
async fn run(record: Arc<Record>, turn: Turn, work: Work) {
    let cancel = record.cancel.clone();
    let turn = tokio::select! {
        biased;
        () = cancel.cancelled() => {
            record.give_up();
            return;
        }
        turn = turn => turn,
    };
    if !record.started() {
        return;
    }
    let job = Job {
        record: Arc::clone(&record),
    };
    // On a task of its own, so that a fault in it ends this build and not the worker's knowledge of it.
    let end = match tokio::spawn(work(job)).await {
        Ok(Ok(image)) => Event::Done(image),
        Ok(Err(_)) if cancel.is_cancelled() => {
            record.give_up();
            return;
        }
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
