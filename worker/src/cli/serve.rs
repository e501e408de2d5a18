//! `stagewright serve`: the worker itself.

#![expect(
    clippy::doc_markdown,
    reason = "clap shows these comments to people, as they are"
)]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::ArgAction;
use futures_util::future::BoxFuture;
use stagewright_core::analysis::ImageFacts;
use stagewright_core::platform::Platform;
use stagewright_core::protocol::{BuildFailure, ImageSummary, OutputFormat, ResolveImage};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use super::state::State;
use super::{Failure, print};
use crate::backend::{Backend, BackendDescription, BackendError, EventSink, SolveRequest};
use crate::build::{BuildLimits, Builds};
use crate::config::Config;
use crate::content::ContentStore;
use crate::server::{Limits, Origin, Server, ServerError, Settings};
use crate::source::image::ImageSource;
use crate::source::local::{ContextLimits, Contexts};

/// Serve the playground and carry its builds out
///
/// Prints what this machine does not allow, which images are served from elsewhere than their name says, and last
/// the playground's address with a token in it. The token lets one browser in; after that another is printed for the
/// next one. Ctrl-C ends the worker: builds at work are cancelled and recorded.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Where to listen: an address that only this machine can reach. Port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7070", value_parser = listen)]
    listen: SocketAddr,

    /// The folder with the playground's files
    #[arg(long, value_name = "DIR")]
    page: Option<PathBuf>,

    /// Where builds, layers and sessions are kept
    /// [default: $XDG_STATE_HOME/stagewright, ~/.local/state/stagewright, or for root /var/lib/stagewright]
    #[arg(long, value_name = "DIR", env = "STAGEWRIGHT_STATE")]
    state: Option<PathBuf>,

    /// The configuration: registries, images to be served from elsewhere, limits
    #[arg(long, value_name = "FILE", env = "STAGEWRIGHT_CONFIG")]
    config: Option<PathBuf>,

    /// A page from elsewhere that may use this worker, such as https://docs.example.org; may be given several times
    #[arg(long, value_name = "URL")]
    allow_origin: Vec<Origin>,

    /// Say more on standard error; twice for much more. $STAGEWRIGHT_LOG takes a filter, such as stagewright::build=debug
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
}

pub(super) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    log(arguments.verbose)?;
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Failure::new(Failure::PLACE, format!("cannot start threads: {error}")))?;
    let code = runtime.block_on(serve(arguments));
    // A step that cannot be killed, stuck in the kernel, must not keep the worker from ending.
    runtime.shutdown_background();
    code
}

async fn serve(arguments: Arguments) -> Result<ExitCode, Failure> {
    let config = match &arguments.config {
        Some(path) => Config::load(path).map_err(|error| Failure::new(Failure::USAGE, error.to_string()))?,
        None => Config::default(),
    };
    let state = State::open(arguments.state.as_deref())?;
    let builds = open_builds(&state, &config)?;
    let description = builds.backend().describe();
    let settings = Settings {
        listen: arguments.listen,
        page: arguments.page,
        state: state.path.clone(),
        allow_origins: arguments.allow_origin,
        limits: Limits::default(),
    };
    let announce = |url: &str| {
        // A worker whose output nobody reads any more works on.
        _ = print(&format!("playground: {url}\n"));
    };
    let server = Server::bind(settings, builds, announce)
        .await
        .map_err(|error| refused(&error))?;
    print(&machine(&description))?;

    let stop = CancellationToken::new();
    // Caught from here on, so from before anyone is told that the worker is there.
    let signals = Signals::catch()?;
    let catching = tokio::spawn(signals.watch(stop.clone()));
    let ended = server.run(stop).await.map_err(|error| refused(&error));
    catching.abort();
    ended.map(|()| ExitCode::SUCCESS)
}

/// What a person should know of this machine, a line each.
fn machine(description: &BackendDescription) -> String {
    let missing = description
        .missing
        .iter()
        .map(|missing| format!("missing: {missing}\n"));
    let unable = (!description.can_build)
        .then(|| "This worker plans, but cannot run builds on this machine.\n".to_owned());
    let substitutes = description
        .substitutes
        .iter()
        .map(|(image, note)| format!("substitute: {image}: {note}\n"));
    missing.chain(unable).chain(substitutes).collect()
}

fn open_builds(state: &State, config: &Config) -> Result<Builds, Failure> {
    let broken = |error: &dyn std::fmt::Display| Failure::new(Failure::PLACE, error.to_string());
    let content = ContentStore::open(state.path.join("content")).map_err(|error| broken(&error))?;
    let contexts = ContextLimits {
        total_bytes: config.limits.context_size,
        ..ContextLimits::default()
    };
    let contexts = Contexts::open(&state.path, content.clone(), contexts).map_err(|error| broken(&error))?;
    let backend = Arc::new(Resolver {
        images: ImageSource::new(config.clone(), content),
        config: config.clone(),
    });
    let limits = BuildLimits {
        running: config.limits.parallel_builds,
        ..BuildLimits::default()
    };
    Builds::open(&state.path, backend, contexts, limits).map_err(|error| broken(&error))
}

fn refused(error: &ServerError) -> Failure {
    let failure = |code| Failure::new(code, error.to_string());
    match error {
        ServerError::NotLoopback(address) => failure(Failure::USAGE).hint(format!(
            "listen on 127.0.0.1:{port}, and reach it from another machine through a tunnel: \
             ssh -L {port}:127.0.0.1:{port} HOST",
            port = address.port()
        )),
        ServerError::Listen { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => {
            failure(Failure::PLACE).hint("another program listens there; choose another port with --listen")
        }
        ServerError::Listen { .. } | ServerError::Sessions(_) | ServerError::NoRandomness => {
            failure(Failure::PLACE)
        }
        ServerError::Page(_) => {
            failure(Failure::USAGE).hint("name the folder that `trunk build` made, usually web/dist")
        }
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn catch() -> Result<Self, Failure> {
        let catch = |kind| {
            signal(kind)
                .map_err(|error| Failure::new(Failure::PLACE, format!("signals cannot be caught: {error}")))
        };
        Ok(Self {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
        })
    }

    /// The first one ends the worker in order, the second at once.
    async fn watch(mut self, stop: CancellationToken) {
        self.next().await;
        stop.cancel();
        self.next().await;
        // 128 + SIGINT, as a shell reports it.
        std::process::exit(130);
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Messages for the worker's owner go to standard error, so that standard output is for programs to read.
fn log(verbose: u8) -> Result<(), Failure> {
    let filter = match std::env::var("STAGEWRIGHT_LOG") {
        Ok(filter) => EnvFilter::try_new(&filter).map_err(|error| {
            Failure::new(
                Failure::USAGE,
                format!("STAGEWRIGHT_LOG={filter:?} is no filter: {error}"),
            )
            .hint("write levels, such as stagewright=debug or stagewright::build=debug,warn")
        })?,
        Err(_) => EnvFilter::new(match verbose {
            0 => "warn",
            1 => "warn,stagewright=info",
            _ => "info,stagewright=debug",
        }),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    Ok(())
}

fn listen(text: &str) -> Result<SocketAddr, String> {
    // The name would have to be looked up, and the answer could be anything.
    if let Some(port) = text.strip_prefix("localhost:").and_then(|port| port.parse().ok()) {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    text.parse()
        .map_err(|_| "write an IP address and a port, such as 127.0.0.1:7070 or [::1]:7070".into())
}

/// Resolves images, and runs nothing.
struct Resolver {
    images: ImageSource,
    config: Config,
}

const UNABLE: &str = "This version of the worker resolves images, but does not run builds.";

impl Backend for Resolver {
    fn describe(&self) -> BackendDescription {
        BackendDescription {
            platform: Platform::default(),
            can_build: false,
            missing: vec![UNABLE.into()],
            substitutes: self.config.substitute_notes(),
        }
    }

    fn resolve_image(&self, request: ResolveImage) -> BoxFuture<'_, Result<ImageFacts, BackendError>> {
        Box::pin(async move {
            self.images
                .resolve(&request.reference, &request.platform)
                .await
                .map_err(|error| {
                    let text = error.to_string();
                    if error.is_not_found() {
                        BackendError::NotFound(text)
                    } else {
                        BackendError::Upstream(text)
                    }
                })
        })
    }

    fn solve(
        &self,
        _: SolveRequest,
        _: EventSink,
        _: CancellationToken,
    ) -> BoxFuture<'_, Result<ImageSummary, BuildFailure>> {
        Box::pin(async {
            Err(BuildFailure {
                message: UNABLE.into(),
                vertex: None,
                exit_code: None,
            })
        })
    }

    fn export(
        &self,
        _: &ImageSummary,
        _: &str,
        _: OutputFormat,
        _: Box<dyn std::io::Write + Send>,
    ) -> BoxFuture<'_, Result<(), BackendError>> {
        Box::pin(async { Err(BackendError::Unavailable(UNABLE.into())) })
    }
}
