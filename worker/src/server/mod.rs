//! What the network sees of a worker: the playground, its WebSocket and downloads, and the API for programs. This is the
//! only place that knows axum.
//!
//! ```text
//! accept (TLS) -> headers -> gate (Host, Origin) ┬-> page
//!                                                ├-> socket: hello (credentials) -> calls, events, content
//!                                                ├-> downloads (one-time tickets)
//!                                                └-> v1: access (token or session, scope, rate) -> body -> the API
//! ```
//!
//! Nothing of a request is looked at before its `Host` and `Origin` were found to be on the worker's lists, and
//! nothing can be asked of the worker before a token or a session was shown.

mod accept;
mod access;
mod body;
mod counts;
mod credentials;
mod downloads;
mod gate;
mod headers;
mod limits;
mod page;
mod problem;
mod rate;
mod socket;
mod stall;
mod tls;
mod v1;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router, middleware};
use stagewright_core::protocol;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use credentials::SessionsError;
pub use gate::{HostName, InvalidHost, InvalidOrigin, Origin};
pub use limits::{Limits, Pace};
pub use page::PageError;
pub use rate::Rate;
pub use tls::{TlsError, TlsFiles};

use crate::build::Builds;
use crate::hook::Hooks;
use crate::request::Requests;
use crate::token::{TokenError, Verifier};
use access::Who;
use counts::Counts;
use credentials::Credentials;
use downloads::Tickets;
use gate::Gate;
use headers::SecurityHeaders;
use problem::Problem;
use rate::Buckets;
use tls::Tls;

/// What the worker's owner decided.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The folder with the playground.
    pub page: Option<PathBuf>,
    /// A folder of the worker's own, where sessions and tokens are kept.
    pub state: PathBuf,
    /// The certificate that it shows; without one it speaks plain HTTP.
    pub tls: Option<TlsFiles>,
    /// By which names clients know it, besides those of this machine's loopback.
    pub hosts: Vec<HostName>,
    /// Pages from elsewhere that may use this worker.
    pub allow_origins: Vec<Origin>,
    /// How much clients may ask for.
    pub limits: Limits,
}

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Other machines could reach it, and could listen in.
    #[error(
        "cannot listen on {0}: other machines could reach it, and without TLS anyone between could read and change what it says"
    )]
    NoTls(SocketAddr),
    /// Other machines could reach it, and nobody could prove to be somebody.
    #[error(
        "cannot listen on {0}: other machines could reach it, and there is no token yet by which they prove who they are"
    )]
    NoToken(SocketAddr),
    /// It would not know itself by any name that others use.
    #[error("cannot listen on {0}: clients of other machines use a name that the worker has to know")]
    NoHost(SocketAddr),
    /// The address cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The sessions cannot be read.
    #[error(transparent)]
    Sessions(#[from] SessionsError),
    /// The tokens cannot be read.
    #[error(transparent)]
    Tokens(#[from] TokenError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The playground cannot be served.
    #[error(transparent)]
    Page(#[from] PageError),
    /// What came for hooks before cannot be read.
    #[error("what came for hooks cannot be read: {0}")]
    Hooks(io::Error),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers, so no token can be made")]
    NoRandomness,
}

/// What every handler shares.
struct Shared {
    builds: Builds,
    requests: Requests,
    hooks: Hooks,
    credentials: Credentials,
    tokens: Verifier,
    gate: Gate,
    headers: SecurityHeaders,
    limits: Limits,
    tickets: Tickets,
    sockets: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    /// Builds that are followed over HTTP.
    streams: Arc<Semaphore>,
    /// Plans that are made.
    planning: Arc<Semaphore>,
    /// Room for bodies that are read whole, in [`body::UNIT`].
    bodies: Semaphore,
    /// Messages for hooks that are taken.
    hooking: Semaphore,
    asking: Buckets<Who>,
    uploading: Buckets<Who>,
    refused: Buckets<IpAddr>,
    counts: Counts,
    /// What runs on after its request was answered: clients' connections.
    tracker: TaskTracker,
    /// No new builds from here on.
    draining: CancellationToken,
    /// Connections are to end.
    closing: CancellationToken,
}

type App = Arc<Shared>;

/// A server that has its address, but does not answer yet.
pub struct Server {
    app: App,
    address: SocketAddr,
    listener: TcpListener,
    tls: Option<Tls>,
    router: Router,
}

impl Server {
    /// Takes the address and prints nothing: `announce` is told the playground's address with a token in its
    /// fragment, now and whenever a token was used up.
    pub async fn bind(
        settings: Settings,
        requests: Requests,
        announce: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<Self, ServerError> {
        let Settings {
            listen,
            page,
            state,
            tls,
            hosts,
            allow_origins,
            limits,
        } = settings;
        let tokens = Verifier::open(&state)?;
        if !listen.ip().to_canonical().is_loopback() {
            if tls.is_none() {
                return Err(ServerError::NoTls(listen));
            }
            if !tokens.any() {
                return Err(ServerError::NoToken(listen));
            }
            if listen.ip().is_unspecified() && hosts.is_empty() {
                return Err(ServerError::NoHost(listen));
            }
        }
        let tls = tls.map(Tls::open).transpose()?;
        let cannot = |source| ServerError::Listen {
            address: listen,
            source,
        };
        let listener = TcpListener::bind(listen).await.map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let gate = Gate::new(address, &hosts, tls.is_some(), &allow_origins);
        let url = gate.url();
        let credentials = Credentials::open(&state, &limits, move |token| {
            announce(&format!("{url}/#token={}", token.expose()));
        })?;
        let app = Arc::new(Shared {
            builds: requests.builds().clone(),
            hooks: Hooks::open(&state, requests.clone()).map_err(ServerError::Hooks)?,
            requests,
            credentials,
            tokens,
            headers: SecurityHeaders::new(&gate),
            gate,
            tickets: Tickets::default(),
            sockets: Arc::new(Semaphore::new(limits.sockets)),
            strangers: Arc::new(Semaphore::new(limits.strangers)),
            streams: Arc::new(Semaphore::new(limits.streams)),
            planning: Arc::new(Semaphore::new(limits.plans)),
            bodies: Semaphore::new(limits.bodies / body::UNIT),
            hooking: Semaphore::new(limits.hook_messages),
            asking: Buckets::new(limits.asking),
            uploading: Buckets::new(limits.uploading),
            refused: Buckets::new(limits.refused),
            counts: Counts::default(),
            limits,
            tracker: TaskTracker::new(),
            draining: CancellationToken::new(),
            closing: CancellationToken::new(),
        });
        let router = router(&app, page.as_deref())?;
        Ok(Self {
            app,
            address,
            listener,
            tls,
            router,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop` is cancelled; then ends what is being built, tells every client, and ends within seconds. What
    /// was asked for by requests stays in the queue for the next worker.
    pub async fn run(self, stop: CancellationToken) -> Result<(), ServerError> {
        let Self {
            app,
            listener,
            tls,
            router,
            ..
        } = self;
        app.credentials
            .renew_token()
            .map_err(|_| ServerError::NoRandomness)?;
        let accepting = tokio::spawn(accept::serve(Arc::clone(&app), listener, tls, router));
        stop.cancelled().await;
        tracing::info!("stopping");
        app.draining.cancel();
        // Builds end first, so that the clients that follow them still hear of it.
        _ = tokio::time::timeout(app.limits.farewell, app.requests.stop()).await;
        app.closing.cancel();
        app.tracker.close();
        let closed = async {
            app.tracker.wait().await;
            _ = accepting.await;
        };
        if tokio::time::timeout(app.limits.farewell, closed).await.is_err() {
            tracing::warn!("some clients did not let go in time");
        }
        Ok(())
    }
}

fn router(app: &App, directory: Option<&Path>) -> Result<Router, PageError> {
    let router = Router::new()
        .route("/v1/version", get(version))
        .route("/v1/ws", get(socket::upgrade))
        // HEAD is apart: by default it would run the handler of GET, and use the address up.
        .route(downloads::ROUTE, get(downloads::download).head(wrong_method))
        .merge(v1::router(app))
        .method_not_allowed_fallback(wrong_method);
    let router = page::add(router, directory)?;
    Ok(router
        .layer(middleware::from_fn_with_state(Arc::clone(app), gate::guard))
        .layer(middleware::from_fn_with_state(Arc::clone(app), headers::add))
        .with_state(Arc::clone(app)))
}

/// Tells any caller what answers here, and no more than that.
async fn version() -> Json<serde_json::Value> {
    Json(serde_json::json!({ "name": "stagewright", "protocol": protocol::VERSION }))
}

async fn wrong_method() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "This address does not take that method.",
    )
}
