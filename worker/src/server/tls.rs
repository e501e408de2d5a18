//! TLS by certificate files.
//!
//! The files are looked at again when a connection comes and they were not looked at for a second. Where one of them is
//! another by then, both are read, and serve from then on if they belong together: a certificate that was renewed needs
//! no restart, and one that is being written does no harm.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::stamp::Stamp;

/// How long what is known of the files is taken for true.
const TRUSTED: Duration = Duration::from_secs(1);

/// Where a worker's certificate is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and those that lead to the one that clients trust, in PEM, its own first.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {what} {path}: {reason}", path = path.display())]
pub struct TlsError {
    what: &'static str,
    path: PathBuf,
    reason: String,
}

/// Makes TLS connections of TCP connections.
pub(super) struct Tls {
    files: TlsFiles,
    current: Mutex<Current>,
}

struct Current {
    config: Arc<ServerConfig>,
    stamps: [Stamp; 2],
    looked: Instant,
}

impl Tls {
    /// Reads the files, which have to be good now.
    pub(super) fn open(files: TlsFiles) -> Result<Self, TlsError> {
        let stamps = stamps(&files);
        let config = read(&files)?;
        Ok(Self {
            files,
            current: Mutex::new(Current {
                config,
                stamps,
                looked: Instant::now(),
            }),
        })
    }

    /// Greets a client.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let config = self.config(TRUSTED);
        TlsAcceptor::from(config).accept(stream).await
    }

    fn config(&self, trusted: Duration) -> Arc<ServerConfig> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.looked.elapsed() >= trusted {
            current.looked = Instant::now();
            let stamps = stamps(&self.files);
            if stamps != current.stamps {
                match read(&self.files) {
                    Ok(config) => {
                        tracing::info!(certificate = %self.files.certificate.display(), "read the certificate again");
                        current.config = config;
                        current.stamps = stamps;
                    }
                    Err(error) => {
                        // It is tried again: what failed may have been the disk, and not the files.
                        tracing::warn!(%error, "the certificate stays as it was");
                    }
                }
            }
        }
        Arc::clone(&current.config)
    }
}

fn stamps(files: &TlsFiles) -> [Stamp; 2] {
    [&files.certificate, &files.key].map(|path| Stamp::of(path))
}

fn read(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let fault = |what, path: &Path, reason: String| TlsError {
        what,
        path: path.to_owned(),
        reason,
    };
    let path = &files.certificate;
    let unreadable = |error: rustls::pki_types::pem::Error| fault("the certificate", path, explained(&error));
    let chain = CertificateDer::pem_file_iter(path)
        .map_err(unreadable)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(unreadable)?;
    if chain.is_empty() {
        let reason = "there is no CERTIFICATE in it; it has to be PEM".to_owned();
        return Err(fault("the certificate", path, reason));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| fault("the private key", &files.key, explained(&error)))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let unusable = |error: rustls::Error| fault("the certificate and its key", path, error.to_string());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn explained(error: &rustls::pki_types::pem::Error) -> String {
    match error {
        rustls::pki_types::pem::Error::Io(error) => error.to_string(),
        rustls::pki_types::pem::Error::NoItemsFound => "there is none in it; it has to be PEM".to_owned(),
        error => error.to_string(),
    }
}
