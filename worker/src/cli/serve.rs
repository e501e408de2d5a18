//! `stagewright serve`: the worker itself.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::machine::{self, Machine};
use super::signals::Signals;
use super::{Failure, print};
use crate::backend::BackendDescription;
use crate::server::{Limits, Origin, Server, ServerError, Settings};
use crate::storage::control;

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

    /// A page from elsewhere that may use this worker, such as `https://docs.example.org`; may be given several times
    #[arg(long, value_name = "URL")]
    allow_origin: Vec<Origin>,

    #[command(flatten)]
    machine: machine::Arguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    arguments.machine.run(serve(arguments))
}

async fn serve(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let Machine {
        state,
        builds,
        storage,
        closing: _closing,
    } = arguments.machine.open()?;
    let storage = Arc::new(storage);
    // A worker that other commands cannot reach still serves.
    let _reachable = control::listen(&state.path, &storage)
        .inspect_err(|error| tracing::warn!(%error, "other commands cannot ask this worker to prune"));
    // Not held by the builds themselves, so that the worker can end in order.
    let held = Arc::downgrade(&storage);
    builds.after_each(move || {
        if let Some(storage) = held.upgrade() {
            storage.tidy();
        }
    });
    let description = builds.backend().describe();
    let settings = Settings {
        listen: arguments.listen,
        page: arguments.page.clone(),
        state: state.path.clone(),
        allow_origins: arguments.allow_origin.clone(),
        limits: Limits::default(),
    };
    let announce = |url: &str| {
        // A worker whose output nobody reads any more works on.
        _ = print(&format!("playground: {url}\n"));
    };
    let server = Server::bind(settings, builds, announce)
        .await
        .map_err(|error| refused(&error))?;
    print(&abilities(&description))?;

    let stop = CancellationToken::new();
    // Caught from here on, so from before anyone is told that the worker is there.
    let catching = tokio::spawn(Signals::catch()?.watch(stop.clone()));
    let ended = server.run(stop).await.map_err(|error| refused(&error));
    catching.abort();
    ended.map(|()| ExitCode::SUCCESS)
}

/// What a person should know of this machine, a line each.
fn abilities(description: &BackendDescription) -> String {
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

fn listen(text: &str) -> Result<SocketAddr, String> {
    // The name would have to be looked up, and the answer could be anything.
    if let Some(port) = text.strip_prefix("localhost:").and_then(|port| port.parse().ok()) {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    text.parse()
        .map_err(|_| "write an IP address and a port, such as 127.0.0.1:7070 or [::1]:7070".into())
}
