//! A connection to a `BuildKit`, and in words why there is none.

use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tonic::Status;
use tonic::transport::{Channel, Endpoint, Uri};

use super::address::{Address, Place};
use super::certificates::Certificates;
use super::engine;

/// How long a daemon may take to take a connection, and to say its first word.
pub(super) const PATIENCE: Duration = if cfg!(test) {
    // Tests wait for daemons that never do.
    Duration::from_secs(3)
} else {
    Duration::from_secs(10)
};
/// What may be on its way without having been read, of one call and of all of a connection: contexts and images are
/// large.
pub(super) const STREAM_WINDOW: u32 = 8 << 20;
pub(super) const CONNECTION_WINDOW: u32 = 16 << 20;

/// Bytes in both directions.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// Why a `BuildKit` cannot be asked to build. The text says what to do next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the BuildKit at {address} {reason}")]
pub struct Unreachable {
    address: String,
    reason: String,
}

impl Unreachable {
    /// `reason` goes on where the address ends.
    pub(super) fn new(address: &Address, reason: impl Into<String>) -> Self {
        Self {
            address: address.to_string(),
            reason: reason.into(),
        }
    }
}

/// How a daemon is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Where it listens.
    pub address: Address,
    /// By what the two know each other, where the connection is encrypted.
    pub certificates: Option<Certificates>,
}

impl Route {
    /// Whether secrets may take it. What is not encrypted stays on this machine: whoever can listen in on a build can
    /// change it, and who can reach such a daemon is root where it runs.
    pub fn check(&self) -> Result<(), Unreachable> {
        if self.certificates.is_none() && self.address.leaves_the_machine() {
            return Err(Unreachable::new(
                &self.address,
                "would be spoken to without encryption, and everyone on the way could read and change the build: name \
                 a folder with ca.pem, cert.pem and key.pem with --backend-certs, or reach it through a tunnel \
                 (ssh -L 1234:127.0.0.1:1234 HOST, and tcp://127.0.0.1:1234)",
            ));
        }
        Ok(())
    }

    /// A connection of bytes, encrypted where that is asked for.
    pub(super) async fn wire(&self) -> Result<Box<dyn Wire>, Unreachable> {
        self.check()?;
        match self.address.place() {
            Place::Socket(path) => {
                let connected = within(UnixStream::connect(path)).await;
                let stream = connected.map_err(|error| self.no_socket(path, &error))?;
                Ok(Box::new(stream))
            }
            Place::Port(host, port) => {
                let name = host.trim_start_matches('[').trim_end_matches(']');
                let connected = within(TcpStream::connect((name, *port))).await;
                let stream = connected.map_err(|error| self.no_port(&error))?;
                _ = stream.set_nodelay(true);
                stay_aware(&stream);
                self.encrypted(host, stream).await
            }
        }
    }

    async fn encrypted(&self, host: &str, stream: TcpStream) -> Result<Box<dyn Wire>, Unreachable> {
        let Some(certificates) = &self.certificates else {
            return Ok(Box::new(stream));
        };
        let unusable = |error: super::certificates::CertificateError| {
            Unreachable::new(
                &self.address,
                format!("cannot be reached with these certificates: {error}"),
            )
        };
        let config = certificates.config(self.address.is_engine()).map_err(unusable)?;
        let name = certificates.name(host).map_err(unusable)?;
        let connected = within(TlsConnector::from(config).connect(name, stream)).await;
        let stream = connected.map_err(|error| self.no_trust(&error))?;
        Ok(Box::new(stream))
    }

    /// A connection for calls.
    pub(super) async fn channel(&self) -> Result<Channel, Unreachable> {
        let mut wire = self.wire().await?;
        if self.address.is_engine() {
            wire = engine::upgraded(wire, "/grpc")
                .await
                .map_err(|error| Unreachable::new(&self.address, error.to_string()))?;
        }
        let wire = Arc::new(Mutex::new(Some(TokioIo::new(wire))));
        // A build is bound to its connection: where that is gone, another would not help.
        let once = tower::service_fn(move |_: Uri| {
            let wire = wire.lock().unwrap_or_else(PoisonError::into_inner).take();
            std::future::ready(wire.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionReset)))
        });
        // The name stands in every call's header, and says nothing.
        let endpoint = Endpoint::from_static("http://localhost")
            .connect_timeout(PATIENCE)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        let connected = endpoint.connect_with_connector(once).await;
        connected.map_err(|error| no_word(self, &error))
    }

    fn no_socket(&self, path: &Path, error: &io::Error) -> Unreachable {
        let reason = match error.kind() {
            io::ErrorKind::NotFound => format!(
                "is not there: there is no {}. Start it, or name the socket that it listens on",
                path.display()
            ),
            io::ErrorKind::PermissionDenied => {
                "does not let this user in: run this as a user who may open its socket (for Docker's, one in the group \
                 docker)"
                    .to_owned()
            }
            io::ErrorKind::ConnectionRefused if !is_socket(path) => {
                format!("cannot be reached: {} is no socket", path.display())
            }
            io::ErrorKind::ConnectionRefused => {
                "does not run: its socket is left over from an earlier one. Start it again".to_owned()
            }
            io::ErrorKind::TimedOut => "does not answer: it takes no connections. Look at its log".to_owned(),
            _ => format!("cannot be reached: {error}"),
        };
        Unreachable::new(&self.address, reason)
    }

    fn no_port(&self, error: &io::Error) -> Unreachable {
        let reason = match error.kind() {
            io::ErrorKind::ConnectionRefused => {
                "does not run: nothing listens there. Start it with --addr tcp://…, and see whether the port is right"
                    .to_owned()
            }
            io::ErrorKind::TimedOut => format!(
                "does not answer within {} seconds: see whether the machine runs and its firewall lets this one through",
                PATIENCE.as_secs()
            ),
            _ => format!("cannot be reached: {error}"),
        };
        Unreachable::new(&self.address, reason)
    }

    fn no_trust(&self, error: &io::Error) -> Unreachable {
        let said = error.to_string();
        let reason = if error.kind() == io::ErrorKind::TimedOut {
            "does not answer the handshake: see whether it encrypts its connections".to_owned()
        } else if said.contains("UnknownIssuer") {
            "shows a certificate that ca.pem did not sign: name the authority that signed it".to_owned()
        } else if said.contains("NotValidForName") || said.contains("not valid for name") {
            format!(
                "shows a certificate for another name: use the name that it is for, or server-name ({said})"
            )
        } else if said.contains("Expired") || said.contains("expired") {
            "shows a certificate that is expired: renew it".to_owned()
        } else if said.contains("CorruptMessage") || said.contains("corrupt message") || said.contains("eof")
        {
            "does not encrypt its connections: start it with --tlscert, --tlskey and --tlscacert".to_owned()
        } else {
            format!("cannot be trusted: {said}")
        };
        Unreachable::new(&self.address, reason)
    }
}

/// What is said of a daemon that breaks off, or says something else than a `BuildKit` would.
pub(super) fn no_word(route: &Route, error: &(dyn std::error::Error + 'static)) -> Unreachable {
    let all = chain(error).collect::<Vec<_>>().join(": ");
    let has = |words: [&str; 2]| words.iter().any(|word| all.contains(word));
    let reason = if has(["CertificateRequired", "certificate required"]) {
        "wants to see a certificate of ours: add cert.pem and key.pem".to_owned()
    } else if has(["BadCertificate", "bad certificate"])
        || has(["UnknownCA", "unknown certificate authority"])
        || has(["DecryptError", "decrypt error"])
    {
        "does not take our certificate: use one that its authority signed (--tlscacert)".to_owned()
    } else {
        // A daemon that hangs up at once may have said why, and we not have heard it.
        let instead = match (&route.certificates, route.address.place()) {
            (Some(certificates), _) if certificates.own.is_none() => {
                "see whether it wants to see a certificate of ours (cert.pem and key.pem)"
            }
            (Some(_), _) => {
                "see whether it takes our certificate, which its authority has to have signed (--tlscacert)"
            }
            (None, _) if route.address.is_engine() => "see whether Docker's engine listens there",
            (None, Place::Port(..)) => {
                "see whether a BuildKit listens there, and whether it wants to be spoken to with certificates"
            }
            (None, Place::Socket(_)) => {
                "see whether a BuildKit listens there; for Docker's engine write docker:// and the path"
            }
        };
        format!("does not speak as a BuildKit does ({}): {instead}", told(error))
    };
    Unreachable::new(&route.address, reason)
}

/// What is behind an error, in the words of whoever knows best.
pub(super) fn told(error: &(dyn std::error::Error + 'static)) -> String {
    chain(error).last().unwrap_or_default()
}

fn chain(error: &(dyn std::error::Error + 'static)) -> impl Iterator<Item = String> {
    let first = match error.downcast_ref::<Status>() {
        Some(status) => status.message().to_owned(),
        None => error.to_string(),
    };
    let behind = std::iter::successors(error.source(), |error| error.source());
    std::iter::once(first).chain(behind.map(ToString::to_string))
}

async fn within<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(done) => done,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    std::fs::metadata(path).is_ok_and(|found| found.file_type().is_socket())
}

/// Has the kernel find out when the other machine is gone without a word. A daemon takes it amiss when HTTP/2 asks.
fn stay_aware(stream: &TcpStream) {
    use rustix::net::sockopt;
    let set = || {
        sockopt::set_socket_keepalive(stream, true)?;
        sockopt::set_tcp_keepidle(stream, Duration::from_secs(15))?;
        sockopt::set_tcp_keepintvl(stream, Duration::from_secs(5))?;
        sockopt::set_tcp_keepcnt(stream, 3)
    };
    // Without it such an end is noticed later.
    _ = set();
}
