//! A daemon that answers as the test wants it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bollard_buildkit_proto::google::{protobuf, rpc};
use bollard_buildkit_proto::moby::buildkit::v1 as api;
use bollard_buildkit_proto::moby::buildkit::v1::control_server::{Control, ControlServer};
use bollard_buildkit_proto::pb;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use prost::Message as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status, Streaming};

/// What it does with a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conduct {
    /// It begins, and does not end by itself.
    Works,
    /// Its step fails.
    Fails,
}

/// A daemon; dropped, it goes on.
pub(super) struct Fake {
    service: Service,
    gone: CancellationToken,
}

#[derive(Clone)]
struct Service {
    conduct: Conduct,
    solving: Arc<watch::Sender<usize>>,
    others: Arc<watch::Sender<usize>>,
}

impl Fake {
    fn new(conduct: Conduct) -> Self {
        Self {
            service: Service {
                conduct,
                solving: Arc::new(watch::Sender::new(0)),
                others: Arc::new(watch::Sender::new(0)),
            },
            gone: CancellationToken::new(),
        }
    }

    /// One that listens on a socket.
    pub(super) fn on(path: &Path, conduct: Conduct) -> Self {
        let fake = Self::new(conduct);
        let (service, gone) = (fake.service.clone(), fake.gone.clone());
        let listener = tokio::net::UnixListener::bind(path).unwrap();
        let listen = async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(
                    gone.clone()
                        .run_until_cancelled_owned(serve(stream, service.clone())),
                );
            }
        };
        tokio::spawn(fake.gone.clone().run_until_cancelled_owned(listen));
        fake
    }

    /// One that encrypts and asks for certificates; and its port.
    pub(super) async fn with_certificates(folder: &Path) -> (Self, u16) {
        let fake = Self::new(Conduct::Works);
        let (service, acceptor) = (fake.service.clone(), acceptor(folder));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let listen = async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (service, acceptor) = (service.clone(), acceptor.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, service).await;
                    }
                });
            }
        };
        tokio::spawn(fake.gone.clone().run_until_cancelled_owned(listen));
        (fake, port)
    }

    /// Ends without a word.
    pub(super) fn vanish(&self) {
        self.gone.cancel();
    }

    /// Builds of others begin in it.
    pub(super) fn is_busy_with(&self, others: usize) {
        self.service.others.send_replace(others);
    }

    /// Waits until so many builds are at work in it.
    pub(super) async fn solving(&self, count: usize) {
        let mut solving = self.service.solving.subscribe();
        let waited =
            tokio::time::timeout(Duration::from_secs(20), solving.wait_for(|now| *now == count)).await;
        assert!(
            waited.is_ok(),
            "{} builds are at work, not {count}",
            *self.service.solving.borrow()
        );
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, service: Service) {
    let routes = Routes::new(ControlServer::new(service)).prepare();
    let server = http2::Builder::new(TokioExecutor::new());
    _ = server
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes))
        .await;
}

/// A build at work.
struct Working(Arc<watch::Sender<usize>>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

type Answers<T> = ReceiverStream<Result<T, Status>>;

fn unknown<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("an early version"))
}

/// Answers of which some are there already, and which end when their sender does.
fn answers<T>(first: Vec<T>) -> (Answers<T>, tokio::sync::mpsc::Sender<Result<T, Status>>) {
    let (sender, receiver) = tokio::sync::mpsc::channel(16);
    for answer in first {
        assert!(sender.try_send(Ok(answer)).is_ok());
    }
    (ReceiverStream::new(receiver), sender)
}

#[tonic::async_trait]
impl Control for Service {
    async fn disk_usage(
        &self,
        _: Request<api::DiskUsageRequest>,
    ) -> Result<Response<api::DiskUsageResponse>, Status> {
        unknown()
    }

    type PruneStream = Answers<api::UsageRecord>;

    async fn prune(&self, _: Request<api::PruneRequest>) -> Result<Response<Self::PruneStream>, Status> {
        unknown()
    }

    async fn solve(
        &self,
        request: Request<api::SolveRequest>,
    ) -> Result<Response<api::SolveResponse>, Status> {
        self.solving.send_modify(|count| *count += 1);
        let _working = Working(Arc::clone(&self.solving));
        if self.conduct == Conduct::Works {
            std::future::pending::<()>().await;
        }
        let definition = request.into_inner().definition.unwrap();
        let digest = stagewright_core::digest::Digest::of(&definition.def[0]);
        let message = "process \"/bin/sh -c make\" did not complete successfully: exit code: 7";
        let vertex = protobuf::Any {
            type_url: "github.com/moby/buildkit/errdefs.Vertex+json".into(),
            value: format!("{{\"digest\":\"{digest}\"}}").into_bytes(),
        };
        let details = rpc::Status {
            code: Code::Unknown.into(),
            message: message.into(),
            details: vec![vertex],
        };
        Err(Status::with_details(
            Code::Unknown,
            message,
            details.encode_to_vec().into(),
        ))
    }

    type StatusStream = Answers<api::StatusResponse>;

    async fn status(&self, _: Request<api::StatusRequest>) -> Result<Response<Self::StatusStream>, Status> {
        let step = super::request().graph.vertices[0].digest.to_string();
        let response = api::StatusResponse {
            vertexes: vec![api::Vertex {
                digest: step,
                name: "[1/1] RUN make".into(),
                started: Some(protobuf::Timestamp::default()),
                ..api::Vertex::default()
            }],
            ..api::StatusResponse::default()
        };
        let (stream, sender) = answers(vec![response]);
        if self.conduct == Conduct::Works {
            tokio::spawn(async move { sender.closed().await });
        }
        Ok(Response::new(stream))
    }

    type SessionStream = Answers<api::BytesMessage>;

    async fn session(
        &self,
        request: Request<Streaming<api::BytesMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        assert!(request.metadata().contains_key("x-docker-expose-session-uuid"));
        let (stream, sender) = answers(Vec::new());
        tokio::spawn(async move { sender.closed().await });
        Ok(Response::new(stream))
    }

    async fn list_workers(
        &self,
        _: Request<api::ListWorkersRequest>,
    ) -> Result<Response<api::ListWorkersResponse>, Status> {
        let platform = pb::Platform {
            os: "linux".into(),
            architecture: "riscv64".into(),
            ..pb::Platform::default()
        };
        Ok(Response::new(api::ListWorkersResponse {
            record: vec![api::types::WorkerRecord {
                platforms: vec![platform],
                ..api::types::WorkerRecord::default()
            }],
        }))
    }

    async fn info(&self, _: Request<api::InfoRequest>) -> Result<Response<api::InfoResponse>, Status> {
        Ok(Response::new(api::InfoResponse {
            buildkit_version: Some(api::types::BuildkitVersion {
                version: "v1.2.3".into(),
                ..api::types::BuildkitVersion::default()
            }),
        }))
    }

    type ListenBuildHistoryStream = Answers<api::BuildHistoryEvent>;

    async fn listen_build_history(
        &self,
        request: Request<api::BuildHistoryRequest>,
    ) -> Result<Response<Self::ListenBuildHistoryStream>, Status> {
        assert!(request.get_ref().active_only && request.get_ref().early_exit);
        let others = *self.others.borrow();
        let (stream, _) = answers(vec![api::BuildHistoryEvent::default(); others]);
        Ok(Response::new(stream))
    }

    async fn update_build_history(
        &self,
        _: Request<api::UpdateBuildHistoryRequest>,
    ) -> Result<Response<api::UpdateBuildHistoryResponse>, Status> {
        unknown()
    }
}

/// Makes an authority with a certificate for a daemon and one for a client, and a stranger with one of its own; whether
/// this machine can.
pub(super) fn certificates(folder: &Path) -> bool {
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        command
            .args(arguments.split(' '))
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc";
    let authority = |name: &str| {
        openssl(&format!(
            "req -x509 {key} -keyout {name}.key -out {name}.pem -subj /CN={name} -days 2"
        ))
    };
    let signed = |name: &str, by: &str, host: &str| {
        openssl(&format!(
            "req -x509 {key} -keyout {name}.key -out {name}.pem -subj /CN={name} -days 2 -CA {by}.pem -CAkey {by}.key \
             -addext subjectAltName=DNS:{host} -addext basicConstraints=critical,CA:FALSE"
        ))
    };
    authority("ca")
        && authority("other")
        && signed("server", "ca", "builder.example")
        && signed("client", "ca", "client.example")
        && signed("stranger", "other", "client.example")
}

fn acceptor(folder: &Path) -> TlsAcceptor {
    let read = |name: &str| -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_file_iter(folder.join(name))
            .unwrap()
            .map(Result::unwrap)
            .collect()
    };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in read("ca.pem") {
        roots.add(certificate).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(read("server.pem"), key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}
