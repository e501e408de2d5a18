//! A build's session: what the daemon asks of whoever builds, while it builds.
//!
//! The daemon calls us, though it is we who connected to it: within the call `Control.Session` bytes go back and forth
//! that are HTTP/2 again, with the daemon as the client. What it may ask for is what this build was given, and nothing
//! else: its own contexts, secrets, agents and images.
//!
//! ```text
//! filesync   files of a context           filesend   what the build exports, on its way back
//! secrets    RUN --mount=type=secret      agents     RUN --mount=type=ssh
//! login      passwords of registries      layouts    images that the build brought along
//! content    blobs, read and written      export     those that are written
//! ```

mod agents;
mod content;
mod export;
mod filesend;
mod filesync;
mod follow;
mod health;
mod layouts;
mod login;
mod pieces;
mod secrets;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bollard_buildkit_proto::health::health_server::HealthServer;
use bollard_buildkit_proto::moby::buildkit::secrets::v1::secrets_server::SecretsServer;
use bollard_buildkit_proto::moby::buildkit::v1::BytesMessage;
use bollard_buildkit_proto::moby::buildkit::v1::control_client::ControlClient;
use bollard_buildkit_proto::moby::filesync::v1::auth_server::AuthServer;
use bollard_buildkit_proto::moby::filesync::v1::file_send_server::FileSendServer;
use bollard_buildkit_proto::moby::filesync::v1::file_sync_server::FileSyncServer;
use bollard_buildkit_proto::moby::sshforward::v1::ssh_server::SshServer;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use stagewright_core::digest::Digest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

use super::connection::{CONNECTION_WINDOW, STREAM_WINDOW};
use crate::config::RegistryConfig;
use crate::content::ContentStore;
use crate::source::local::Manifest;
use crate::source::secret::Secrets;

pub(super) use export::Export;
pub(super) use filesend::Receiving;
pub(super) use layouts::Layouts;
pub(super) use pieces::{Piece, Pieces};

/// What is on its way between two halves of the tunnel.
const PIPE: usize = 1 << 20;
/// Longest message that either side takes. Exports come in pieces of up to 3 MiB.
const LONGEST_MESSAGE: usize = 16 << 20;
/// How long a daemon may say nothing. It asks every few seconds how we are.
const SILENCE: Duration = Duration::from_secs(45);

/// What a session has to give.
pub(super) struct Given {
    /// Contexts by the names of their sources.
    pub(super) contexts: BTreeMap<String, Arc<Manifest>>,
    /// Where their files are.
    pub(super) content: ContentStore,
    pub(super) secrets: Arc<Secrets>,
    /// Sockets of agents by id.
    pub(super) agents: Arc<BTreeMap<String, std::path::PathBuf>>,
    /// Passwords by registry.
    pub(super) registries: Arc<BTreeMap<String, RegistryConfig>>,
    pub(super) layouts: Layouts,
    pub(super) export: Export,
}

impl Given {
    /// Names the content of all contexts together. A daemon keeps what it was sent under this name, and takes a file for
    /// unchanged where its size and time are: in a context all times are the same, so another content needs another name.
    fn shared_key(&self) -> String {
        let contexts = self.contexts.iter();
        let named: Vec<String> = contexts
            .map(|(name, manifest)| format!("{name} {}", manifest.id))
            .collect();
        Digest::of(named.join("\n").as_bytes()).hex().to_owned()
    }
}

/// A session that is open; dropped, it is over.
pub(super) struct Session {
    /// What the daemon knows it by.
    pub(super) id: String,
    receiving: Receiving,
    export: Export,
    heard: Arc<Heard>,
    tasks: JoinSet<Result<(), Status>>,
}

/// When the daemon last said something.
struct Heard {
    began: Instant,
    after: AtomicU64,
}

impl Heard {
    fn now(&self) {
        let after = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.after.store(after, Ordering::Relaxed);
    }

    fn silence(&self) -> Duration {
        let after = Duration::from_millis(self.after.load(Ordering::Relaxed));
        self.began.elapsed().saturating_sub(after)
    }
}

impl Session {
    /// Opens a session of that name over `channel`.
    pub(super) fn open(channel: Channel, id: String, given: Given) -> Self {
        let receiving = Receiving::default();
        let heard = Arc::new(Heard {
            began: Instant::now(),
            after: AtomicU64::new(0),
        });
        let metadata = metadata(&id, &given);
        let export = given.export.clone();
        let routes = routes(given, receiving.clone());
        let (inside, outside) = tokio::io::duplex(PIPE);
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(routes, inside));
        tasks.spawn(tunnel(channel, metadata, outside, Arc::clone(&heard)));
        Self {
            id,
            receiving,
            export,
            heard,
            tasks,
        }
    }

    /// Where the next export goes that comes as one archive.
    pub(super) fn receiving(&self) -> &Receiving {
        &self.receiving
    }

    /// Where the next export goes that comes blob by blob.
    pub(super) fn export(&self) -> &Export {
        &self.export
    }

    /// Ends it: who waits for something to come through it waits no longer.
    pub(super) fn close(&mut self) {
        self.tasks.abort_all();
    }

    /// Waits until the session ends, which it should not before the build does; says why.
    pub(super) async fn ended(&mut self) -> Status {
        let mut ticks = tokio::time::interval(Duration::from_secs(5));
        loop {
            tokio::select! {
                ended = self.tasks.join_next() => return match ended {
                    Some(Ok(Err(status))) => status,
                    _ => Status::unavailable("it ended the session"),
                },
                _ = ticks.tick() => {
                    if self.heard.silence() > SILENCE {
                        return Status::unavailable(format!("nothing was heard of it for {} seconds", SILENCE.as_secs()));
                    }
                }
            }
        }
    }
}

/// What is said of the session as it opens.
fn metadata(id: &str, given: &Given) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    let mut say = |key: &'static str, value: &str| {
        if let Ok(value) = MetadataValue::try_from(value) {
            metadata.append(key, value);
        }
    };
    say("x-docker-expose-session-uuid", id);
    say("x-docker-expose-session-name", "stagewright");
    say("x-docker-expose-session-sharedkey", &given.shared_key());
    for method in [
        "/grpc.health.v1.Health/Check",
        "/moby.filesync.v1.FileSync/DiffCopy",
        "/moby.filesync.v1.FileSend/DiffCopy",
        "/moby.buildkit.secrets.v1.Secrets/GetSecret",
        "/moby.sshforward.v1.SSH/CheckAgent",
        "/moby.sshforward.v1.SSH/ForwardAgent",
        "/moby.filesync.v1.Auth/Credentials",
        "/containerd.services.content.v1.Content/Info",
        "/containerd.services.content.v1.Content/Read",
        "/containerd.services.content.v1.Content/Write",
    ] {
        say("x-docker-expose-session-grpc-method", method);
    }
    metadata
}

fn routes(given: Given, receiving: Receiving) -> Routes {
    let Given {
        contexts,
        content,
        secrets,
        agents,
        registries,
        layouts,
        export,
    } = given;
    let files = FileSyncServer::new(filesync::Files::new(contexts, content));
    let exports =
        FileSendServer::new(filesend::Exports(receiving)).max_decoding_message_size(LONGEST_MESSAGE);
    let mut routes = Routes::default();
    routes = routes
        .add_service(HealthServer::new(health::Well))
        .add_service(files)
        .add_service(exports)
        .add_service(SecretsServer::new(secrets::Given(secrets)))
        .add_service(SshServer::new(agents::Agents(agents)))
        .add_service(AuthServer::new(login::Logins(registries)))
        .add_service(content::Content { layouts, export });
    routes.prepare()
}

/// Answers what the daemon asks through the tunnel.
async fn serve(routes: Routes, inside: DuplexStream) -> Result<(), Status> {
    let mut server = http2::Builder::new(TokioExecutor::new());
    server
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(PIPE);
    let serving = server.serve_connection(TokioIo::new(inside), TowerToHyperService::new(routes));
    serving
        .await
        .map_err(|error| Status::unavailable(format!("the session broke off: {error}")))
}

/// Carries bytes between the daemon's call and the server inside.
async fn tunnel(
    channel: Channel,
    metadata: MetadataMap,
    outside: DuplexStream,
    heard: Arc<Heard>,
) -> Result<(), Status> {
    let (mut from_inside, to_inside) = tokio::io::split(outside);
    let (sender, receiver) = mpsc::channel(16);
    let mut request = Request::new(ReceiverStream::new(receiver));
    *request.metadata_mut() = metadata;
    let up = async move {
        loop {
            let mut data = Vec::with_capacity(64 << 10);
            let read = from_inside.read_buf(&mut data).await;
            if !read.is_ok_and(|count| count > 0) || sender.send(BytesMessage { data }).await.is_err() {
                return;
            }
        }
    };
    let mut client = ControlClient::new(channel).max_decoding_message_size(LONGEST_MESSAGE);
    let down = async move {
        let stream = client.session(request).await?.into_inner();
        pour(stream, to_inside, &heard).await
    };
    // The session is over when the daemon says so, or when we have nothing to say any more.
    tokio::select! {
        ended = down => ended,
        () = up => Ok(()),
    }
}

async fn pour(
    mut stream: Streaming<BytesMessage>,
    mut to_inside: tokio::io::WriteHalf<DuplexStream>,
    heard: &Heard,
) -> Result<(), Status> {
    while let Some(message) = stream.message().await? {
        heard.now();
        if to_inside.write_all(&message.data).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}
