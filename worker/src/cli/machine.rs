//! What `serve` and `build` share: a worker's state and configuration, opened and ready to build with.

#![expect(
    clippy::doc_markdown,
    reason = "clap shows these comments to people, as they are"
)]

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::ArgAction;
use tokio_util::sync::CancellationToken;

use super::Failure;
use super::log::{self, Voice};
use super::state::{Look, State};
use crate::backend::Backend;
use crate::backend::buildkit::{BuildkitBackend, Route};
use crate::backend::embedded::EmbeddedBackend;
use crate::build::{BuildLimits, Builds};
use crate::config::Config;
use crate::content::ContentStore;
use crate::rootless;
use crate::sandbox;
use crate::source::local::{ContextLimits, Contexts};
use crate::storage::Storage;

#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// Where builds, layers and sessions are kept
    /// [default: $XDG_STATE_HOME/stagewright, ~/.local/state/stagewright, or for root /var/lib/stagewright]
    #[arg(long, value_name = "DIR", env = "STAGEWRIGHT_STATE")]
    state: Option<PathBuf>,

    /// The configuration: registries, images to be served from elsewhere, limits
    #[arg(long, value_name = "FILE", env = "STAGEWRIGHT_CONFIG")]
    config: Option<PathBuf>,

    /// Say more on standard error; twice for much more. $STAGEWRIGHT_LOG takes a filter, such as stagewright::build=debug
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
}

/// A machine that is ready to build. The state folder is this process's as long as it lives.
pub(super) struct Machine {
    /// First, because parts are dropped in this order, and the lock on the state folder has to be the last.
    pub(super) closing: Closing,
    pub(super) builds: Builds,
    pub(super) storage: Storage,
    pub(super) state: State,
}

/// Closes what the next process would else have to check, however this one's command ends.
pub(super) struct Closing(Arc<EmbeddedBackend>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Machine {
    /// With `routes` builds are carried out by the daemons at their ends; what is stored stays here.
    fn of(state: State, config: &Config, routes: Vec<Route>) -> Result<Self, Failure> {
        let broken = |error: &dyn std::fmt::Display| Failure::new(Failure::PLACE, error.to_string());
        let content = ContentStore::open(state.path.join("content")).map_err(|error| broken(&error))?;
        let contexts = ContextLimits {
            total_bytes: config.limits.context_size,
            ..ContextLimits::default()
        };
        let contexts = Contexts::open(&state.path, content, contexts).map_err(|error| broken(&error))?;
        let backend = EmbeddedBackend::open(&state.path, config, contexts.clone());
        let backend = Arc::new(backend.map_err(|error| broken(&error))?);
        let limits = BuildLimits {
            running: config.limits.parallel_builds,
            entitlements: config.entitlements.clone(),
            ..BuildLimits::default()
        };
        let building: Arc<dyn Backend> = if routes.is_empty() {
            backend.clone()
        } else {
            let own = Arc::clone(&backend);
            Arc::new(BuildkitBackend::new(
                routes,
                &state.path,
                config,
                contexts.clone(),
                own,
            ))
        };
        let builds = Builds::open(&state.path, building, contexts, limits).map_err(|error| broken(&error))?;
        let storage = Storage::new(&state.path, builds.clone(), Arc::clone(&backend), config);
        Ok(Self {
            state,
            builds,
            storage,
            closing: Closing(backend),
        })
    }

    /// Who keeps images, and speaks with registries, whoever carries builds out.
    pub(super) fn backend(&self) -> &EmbeddedBackend {
        &self.closing.0
    }
}

impl Arguments {
    /// Runs a command that builds. `work` is polled on a runtime; it may call [`Arguments::open`].
    pub(super) fn run(
        &self,
        work: impl Future<Output = Result<ExitCode, Failure>>,
    ) -> Result<ExitCode, Failure> {
        self.prepare(Voice::Command)?;
        Self::work(work)
    }

    /// The same for the worker that serves, whose messages are a log.
    pub(super) fn serve(
        &self,
        work: impl Future<Output = Result<ExitCode, Failure>>,
    ) -> Result<ExitCode, Failure> {
        self.prepare(Voice::Worker)?;
        Self::work(work)
    }

    fn work(work: impl Future<Output = Result<ExitCode, Failure>>) -> Result<ExitCode, Failure> {
        // Trees that strangers made are walked on its threads, as deep as a path may lead: some 2000 levels.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_stack_size(16 << 20)
            .build()
            .map_err(|error| Failure::new(Failure::PLACE, format!("cannot start threads: {error}")))?;
        let code = runtime.block_on(work);
        // A step that cannot be killed, stuck in the kernel, must not keep this process from ending.
        runtime.shutdown_background();
        code
    }

    /// Runs a command that has another machine build: nothing of this one is needed for it.
    pub(super) fn run_elsewhere(
        &self,
        work: impl Future<Output = Result<ExitCode, Failure>>,
    ) -> Result<ExitCode, Failure> {
        log::begin(self.verbose, Voice::Command)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .worker_threads(2)
            .build()
            .map_err(|error| Failure::new(Failure::PLACE, format!("cannot start threads: {error}")))?;
        let code = runtime.block_on(work);
        runtime.shutdown_background();
        code
    }

    /// What has to be done while the process has one thread.
    pub(super) fn prepare(&self, voice: Voice) -> Result<(), Failure> {
        log::begin(self.verbose, voice)?;
        // Before the first thread, too: a process with threads cannot make itself root of what is its user's.
        rootless::enter();
        // Before the first thread: mounts that are made from here on are seen by this process and its steps only, and
        // the kernel takes them away with the last of them, however they end. A machine that does not let us runs no
        // builds either, and says so itself.
        if let Err(error) = sandbox::isolate_mounts() {
            tracing::info!(%error, "mounts are not kept apart");
        }
        Ok(())
    }

    /// Where the state folder is, to try something out there whether or not a worker is at work in it.
    pub(super) fn beside(&self) -> Result<(PathBuf, Option<State>), Failure> {
        State::beside(self.state.as_deref())
    }

    /// The state folder, taken for this process.
    pub(super) fn state(&self) -> Result<State, Failure> {
        State::open(self.state.as_deref())
    }

    /// Whether a worker is at work in the state folder.
    pub(super) fn is_in_use(&self) -> bool {
        State::is_in_use(self.state.as_deref())
    }

    /// Where the state folder is.
    pub(super) fn place(&self) -> Result<PathBuf, Failure> {
        super::state::place(self.state.as_deref())
    }

    /// The state folder, to be read whether or not a worker is at work in it.
    pub(super) fn look(&self) -> Result<Look, Failure> {
        log::begin(self.verbose, Voice::Command)?;
        // Layers belong to the ids that a worker has, so what looks at them has to have them as well.
        rootless::enter();
        Look::at(self.state.as_deref())
    }

    /// The machine, with what is stored on it.
    pub(super) fn open(&self) -> Result<Machine, Failure> {
        self.open_as(&self.config()?, Vec::new())
    }

    /// The machine as `config` has it, ready to build, or with the daemons at the end of `routes` to build for it.
    pub(super) fn open_as(&self, config: &Config, routes: Vec<Route>) -> Result<Machine, Failure> {
        Machine::of(self.state()?, config, routes)
    }

    /// The same once other builds are done. `tell` is called where it has to wait; `None` where it is to stop meanwhile.
    pub(super) fn open_in_turn(
        &self,
        config: &Config,
        routes: Vec<Route>,
        stop: &CancellationToken,
        tell: impl FnOnce(&Path),
    ) -> Result<Option<Machine>, Failure> {
        let state = State::open_in_turn(self.state.as_deref(), stop, tell)?;
        state.map(|state| Machine::of(state, config, routes)).transpose()
    }

    /// The configuration that is named.
    pub(super) fn config(&self) -> Result<Config, Failure> {
        let Some(path) = &self.config else {
            return Ok(Config::default());
        };
        Config::load(path).map_err(|error| Failure::new(Failure::USAGE, error.to_string()))
    }
}
