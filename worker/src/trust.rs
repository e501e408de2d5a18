//! TLS without root certificates.

use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, RootCertStore};

/// Trusts no server at all. For connections that do without TLS, where a machine may have no root certificates: one that
/// turns out to need TLS fails rather than going unchecked.
pub(crate) fn nobody() -> Result<ClientConfig, String> {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS is not available ({error})"))?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    Ok(config)
}
