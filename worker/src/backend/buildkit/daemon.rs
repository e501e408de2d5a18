//! One daemon: whether it is well, what it can do, and how many builds of ours are at work in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bollard_buildkit_proto::moby::buildkit::v1::control_client::ControlClient;
use bollard_buildkit_proto::moby::buildkit::v1::{BuildHistoryRequest, InfoRequest, ListWorkersRequest};
use bollard_buildkit_proto::pb;
use stagewright_core::platform::Platform;
use tonic::Status;
use tonic::transport::Channel;

use super::connection::{PATIENCE, Route, Unreachable, no_word};
use super::engine::{self, Engine};

/// A daemon that builds may be given to.
pub(super) struct Daemon {
    pub(super) route: Route,
    at_work: AtomicUsize,
}

/// What a daemon says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Its name and version, for people.
    pub version: String,
    /// What it builds for, its own platform first.
    pub platforms: Vec<Platform>,
    /// Whether it is an engine whose `BuildKit` cannot write archives.
    pub(super) keeps_images: bool,
}

impl Daemon {
    pub(super) fn new(route: Route) -> Self {
        Self {
            route,
            at_work: AtomicUsize::new(0),
        }
    }

    /// How many builds of this worker are at work in it.
    pub(super) fn load(&self) -> usize {
        self.at_work.load(Ordering::Relaxed)
    }

    /// A build begins in it; it ends with what this gives.
    pub(super) fn begin(self: &Arc<Self>) -> AtWork {
        self.at_work.fetch_add(1, Ordering::Relaxed);
        AtWork(Arc::clone(self))
    }

    /// Connects to it and asks how it is, and where that is wanted how many builds are at work in it, whoever began them.
    pub(super) async fn ask(&self, how_busy: bool) -> Result<(Channel, About, usize), Unreachable> {
        let silent = || {
            Unreachable::new(
                &self.route.address,
                format!(
                    "takes the connection, but says nothing for {} seconds: look at its log",
                    PATIENCE.as_secs()
                ),
            )
        };
        let asked = tokio::time::timeout(PATIENCE * 2, self.try_ask()).await;
        let (channel, about) = asked.unwrap_or_else(|_| Err(silent()))?;
        let busy = if how_busy { busy(&channel).await } else { 0 };
        Ok((channel, about, busy))
    }

    async fn try_ask(&self) -> Result<(Channel, About), Unreachable> {
        let address = &self.route.address;
        let engine = if address.is_engine() {
            Some(engine::ask(&self.route).await?)
        } else {
            None
        };
        let channel = self.route.channel().await?;
        let mut client = ControlClient::new(channel.clone());
        let refused = |status: Status| no_word(&self.route, &status);
        let workers = client
            .list_workers(ListWorkersRequest::default())
            .await
            .map_err(refused)?
            .into_inner();
        let workers = workers.record;
        let Some(worker) = workers.first() else {
            return Err(Unreachable::new(
                address,
                "has no worker that could build: look at its configuration",
            ));
        };
        let own = worker
            .buildkit_version
            .as_ref()
            .map(|version| version.version.clone());
        // Not all daemons know the question.
        let version = match client.info(InfoRequest {}).await {
            Ok(info) => info.into_inner().buildkit_version.map(|version| version.version),
            Err(_) => own,
        };
        let version = version.filter(|version| !version.is_empty());
        let about = About {
            version: told(version.as_deref(), engine.as_ref()),
            platforms: worker.platforms.iter().map(platform).collect(),
            keeps_images: engine.is_some_and(|engine| !engine.writes_archives),
        };
        Ok((channel, about))
    }
}

/// How many builds are at work in a daemon; 0 where it does not tell. Early ones do not know the question.
async fn busy(channel: &Channel) -> usize {
    let count = async {
        let request = BuildHistoryRequest {
            active_only: true,
            early_exit: true,
            ..BuildHistoryRequest::default()
        };
        let mut client = ControlClient::new(channel.clone());
        let mut builds = client.listen_build_history(request).await.ok()?.into_inner();
        let mut count = 0;
        while let Ok(Some(_)) = builds.message().await {
            count += 1;
        }
        Some(count)
    };
    tokio::time::timeout(Duration::from_secs(1), count)
        .await
        .ok()
        .flatten()
        .unwrap_or(0)
}

/// A build at work in a daemon.
pub(super) struct AtWork(Arc<Daemon>);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.at_work.fetch_sub(1, Ordering::Relaxed);
    }
}

fn told(version: Option<&str>, engine: Option<&Engine>) -> String {
    let buildkit = version.map_or_else(
        || "BuildKit of an early version".to_owned(),
        |version| format!("BuildKit {version}"),
    );
    match engine {
        Some(engine) => format!("{buildkit} in Docker {}", engine.version),
        None => buildkit,
    }
}

fn platform(told: &pb::Platform) -> Platform {
    Platform {
        os: told.os.clone(),
        architecture: told.architecture.clone(),
        variant: told.variant.clone(),
        ..Platform::default()
    }
}
