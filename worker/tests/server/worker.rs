//! A worker in this process, on a port of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use stagewright::build::{BuildLimits, Builds};
use stagewright::config::Config;
use stagewright::content::ContentStore;
use stagewright::request::Requests;
use stagewright::server::{Limits, Server, ServerError, Settings, TlsFiles};
use stagewright::source::local::{ContextLimits, Contexts};
use stagewright::token::{Scope, Tokens};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::backend::Scripted;
use crate::client::Client;

pub(crate) struct Worker {
    pub(crate) address: SocketAddr,
    pub(crate) backend: Arc<Scripted>,
    pub(crate) builds: Builds,
    pub(crate) state: Arc<TempDir>,
    pub(crate) stop: CancellationToken,
    pub(crate) running: JoinHandle<Result<(), ServerError>>,
    announced: Arc<Mutex<Vec<String>>>,
}

/// How a test's worker differs from the usual.
#[derive(Default)]
pub(crate) struct Setup {
    pub(crate) limits: Limits,
    pub(crate) page: Option<PathBuf>,
    pub(crate) allow: Vec<&'static str>,
    pub(crate) state: Option<Arc<TempDir>>,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) hosts: Vec<&'static str>,
}

impl Worker {
    pub(crate) async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        let state = setup
            .state
            .unwrap_or_else(|| Arc::new(tempfile::tempdir().unwrap()));
        let backend = Scripted::new();
        let content = ContentStore::open(state.path().join("content")).unwrap();
        let contexts = Contexts::open(state.path(), content, ContextLimits::default()).unwrap();
        let shared: Arc<Scripted> = Arc::clone(&backend);
        let builds = Builds::open(state.path(), shared, contexts, BuildLimits::default()).unwrap();
        let announced = Arc::new(Mutex::new(Vec::new()));
        let shown = Arc::clone(&announced);
        let settings = Settings {
            listen: "127.0.0.1:0".parse().unwrap(),
            page: setup.page,
            state: state.path().to_owned(),
            tls: setup.tls,
            hosts: setup
                .hosts
                .into_iter()
                .map(|host| host.parse().unwrap())
                .collect(),
            allow_origins: setup
                .allow
                .into_iter()
                .map(|origin| origin.parse().unwrap())
                .collect(),
            limits: setup.limits,
        };
        let requests = Requests::open(state.path(), builds.clone(), &Config::default()).unwrap();
        let server = Server::bind(settings, requests, move |url| {
            shown.lock().unwrap().push(url.to_owned());
        })
        .await
        .unwrap();
        let address = server.address();
        let stop = CancellationToken::new();
        let running = tokio::spawn(server.run(stop.clone()));
        Self {
            address,
            backend,
            builds,
            state,
            stop,
            running,
            announced,
        }
    }

    /// Stops it in order and starts another one on the same state.
    pub(crate) async fn restart(self) -> Self {
        let state = Arc::clone(&self.state);
        self.stop.cancel();
        self.running.await.unwrap().unwrap();
        drop(self.builds);
        Self::with(Setup {
            state: Some(state),
            ..Setup::default()
        })
        .await
    }

    /// The addresses announced so far.
    pub(crate) fn announced(&self) -> Vec<String> {
        self.announced.lock().unwrap().clone()
    }

    /// The token in force.
    pub(crate) async fn token(&self) -> String {
        loop {
            // The server announces it when it begins to run.
            if let Some(url) = self.announced().last() {
                return url.split_once("#token=").unwrap().1.to_owned();
            }
            tokio::task::yield_now().await;
        }
    }

    /// The requests of this worker, as another server might have them.
    pub(crate) fn requests(&self) -> Requests {
        Requests::open(self.state.path(), self.builds.clone(), &Config::default()).unwrap()
    }

    /// A fresh token of the API that allows this.
    pub(crate) fn token_for(&self, scopes: &[Scope]) -> String {
        let scopes = scopes.iter().copied().collect();
        Tokens::of(self.state.path())
            .create(None, scopes, None)
            .unwrap()
            .0
    }

    /// A client that has been let in by the token, and its session.
    pub(crate) async fn client(&self) -> (Client, String) {
        let mut client = Client::connect(self.address).await;
        let welcome = client
            .call("hello", serde_json::json!({ "token": self.token().await }))
            .await
            .unwrap();
        (client, welcome["session"].as_str().unwrap().to_owned())
    }

    /// A client that has been let in by a session.
    pub(crate) async fn client_of(&self, session: &str) -> Client {
        let mut client = Client::connect(self.address).await;
        client
            .call("hello", serde_json::json!({ "session": session }))
            .await
            .unwrap();
        client
    }
}
