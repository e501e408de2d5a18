//! `stagewright serve`: the worker itself.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::machine::{self, Machine};
use super::signals::Signals;
use super::{Failure, backend, print};
use crate::backend::BackendDescription;
use crate::config::Config;
use crate::request::Requests;
use crate::server::{HostName, Limits, Origin, Rate, Server, ServerError, Settings, TlsFiles};
use crate::storage::control;

/// Serve the playground and carry its builds out
///
/// Prints what this machine does not allow, which images are served from elsewhere than their name says, and last
/// the playground's address with a token in it. The token lets one browser in; after that another is printed for the
/// next one. Ctrl-C ends the worker: builds at work are cancelled and recorded.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Where to listen. Port 0 takes a free one. An address that other machines reach takes --tls-cert, --tls-key and a
    /// token
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7070", value_parser = listen)]
    listen: SocketAddr,

    /// The certificate to show, and those that lead to one that clients trust, in PEM; read again when the file changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// The certificate's private key, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// A name by which clients know this worker, such as `builder.example.org`, with a port where it is another than
    /// that of --listen; may be given several times
    #[arg(long, value_name = "NAME[:PORT]")]
    host: Vec<HostName>,

    /// The folder with the playground's files
    #[arg(long, value_name = "DIR")]
    page: Option<PathBuf>,

    /// A page from elsewhere that may use this worker, such as `https://docs.example.org`; may be given several times
    #[arg(long, value_name = "URL")]
    allow_origin: Vec<Origin>,

    #[command(flatten)]
    backend: backend::Arguments,

    #[command(flatten)]
    machine: machine::Arguments,
}

impl Arguments {
    /// The certificate that the command line names, else that of the configuration.
    fn tls(&self, config: &Config) -> Option<TlsFiles> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => Some(TlsFiles {
                certificate: certificate.clone(),
                key: key.clone(),
            }),
            _ => config.serve.tls.clone(),
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    arguments.machine.serve(serve(arguments))
}

async fn serve(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let config = arguments.machine.config()?;
    let routes = arguments.backend.routes(&config)?;
    let Machine {
        state,
        builds,
        storage,
        closing: _closing,
    } = arguments.machine.open_as(&config, routes)?;
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
        tls: arguments.tls(&config),
        hosts: [arguments.host.as_slice(), &config.serve.hosts].concat(),
        allow_origins: arguments.allow_origin.clone(),
        limits: limits(&config),
    };
    let announce = |url: &str| {
        // A worker whose output nobody reads any more works on.
        _ = print(&format!("playground: {url}\n"));
    };
    let requests = Requests::open(&state.path, builds, &config)
        .map_err(|error| Failure::new(Failure::PLACE, error.to_string()))?;
    let server = Server::bind(settings, requests, announce)
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

/// The bounds of the server, by what its owner said of them.
fn limits(config: &Config) -> Limits {
    let asking = Rate::per_second(config.serve.requests_per_second);
    Limits {
        asking,
        uploading: Rate {
            per_second: asking.per_second.saturating_mul(20),
            burst: asking.burst.saturating_mul(20),
        },
        refused: Rate {
            // Who is refused is told so as often as others may ask at once, and after that once a second or so.
            burst: asking.burst,
            per_second: asking.per_second / 50,
        },
        ..Limits::default()
    }
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
        ServerError::NoTls(address) => failure(Failure::USAGE).hint(format!(
            "give it a certificate with --tls-cert and --tls-key; or listen on 127.0.0.1:{port}, and reach it from another \
             machine through a tunnel: ssh -L {port}:127.0.0.1:{port} HOST",
            port = address.port()
        )),
        ServerError::NoToken(_) => failure(Failure::USAGE).hint(
            "make a token with `stagewright token create`, with the same --state as here; whoever has it may build on this \
             machine",
        ),
        ServerError::NoHost(_) => failure(Failure::USAGE).hint(
            "name it with --host, such as --host builder.example.org; or listen on one address of this machine, by which \
             clients then have to reach it",
        ),
        ServerError::Tls(_) => {
            failure(Failure::USAGE).hint("both files are PEM: the certificate with its chain, and its private key")
        }
        ServerError::Listen { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => {
            failure(Failure::PLACE).hint("another program listens there; choose another port with --listen")
        }
        ServerError::Listen { .. }
        | ServerError::Sessions(_)
        | ServerError::Tokens(_)
        | ServerError::Hooks(_)
        | ServerError::NoRandomness => {
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
