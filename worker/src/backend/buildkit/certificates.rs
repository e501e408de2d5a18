//! By what a `BuildKit` beyond this machine is known, and by what it knows us.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

/// Files with certificates, as `buildctl` and `docker` take them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificates {
    /// Who signed the daemon's certificate.
    pub authority: PathBuf,
    /// What we show of ourselves, and its key; a daemon may not ask for any.
    pub own: Option<(PathBuf, PathBuf)>,
    /// The name in the daemon's certificate, where it is not the one in its address.
    pub server_name: Option<String>,
}

/// Certificates that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CertificateError(String);

impl fmt::Display for CertificateError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Certificates {
    /// Those in a folder, under the names that `buildctl --tlsdir` and `DOCKER_CERT_PATH` have: `ca.pem`, `cert.pem`,
    /// `key.pem`.
    pub fn in_folder(folder: &Path) -> Self {
        let own = (folder.join("cert.pem"), folder.join("key.pem"));
        Self {
            authority: folder.join("ca.pem"),
            own: (own.0.exists() || own.1.exists()).then_some(own),
            server_name: None,
        }
    }

    /// What rustls takes. HTTP/2 is all that a `BuildKit` speaks, and Docker's engine begins with HTTP/1.1.
    pub(super) fn config(&self, engine: bool) -> Result<Arc<ClientConfig>, CertificateError> {
        let mut roots = RootCertStore::empty();
        for certificate in read(&self.authority)? {
            roots
                .add(certificate)
                .map_err(|error| unusable(&self.authority, &error))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| CertificateError(error.to_string()))?
            .with_root_certificates(roots);
        let mut config = match &self.own {
            Some((certificate, key)) => {
                let chain = read(certificate)?;
                let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
                builder
                    .with_client_auth_cert(chain, secret)
                    .map_err(|error| unusable(certificate, &error))?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![if engine {
            b"http/1.1".to_vec()
        } else {
            b"h2".to_vec()
        }];
        Ok(Arc::new(config))
    }

    /// The name that the daemon's certificate has to have.
    pub(super) fn name(&self, host: &str) -> Result<ServerName<'static>, CertificateError> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = self.server_name.as_deref().unwrap_or(host);
        ServerName::try_from(name.to_owned())
            .map_err(|_| CertificateError(format!("{name:?} is no name that a certificate can have")))
    }
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .map_err(|error| unusable(path, &error))?
        .collect();
    match certificates {
        Ok(some) if !some.is_empty() => Ok(some),
        Ok(_) => Err(unusable(path, &"there is no certificate in it")),
        Err(error) => Err(unusable(path, &error)),
    }
}

fn unusable(path: &Path, error: &dyn fmt::Display) -> CertificateError {
    CertificateError(format!("{} cannot be used: {error}", path.display()))
}
