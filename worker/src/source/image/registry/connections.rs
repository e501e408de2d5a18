//! HTTP with TLS and without.

use std::sync::OnceLock;

use reqwest::{Client, redirect};

use super::Patience;
use crate::said::innermost;
use crate::trust;

const MOST_REDIRECTS: usize = 5;

/// The clients without and with TLS; each made when it is first needed, since a machine without any root certificates
/// can still use plain registries.
pub(super) struct Connections {
    patience: Patience,
    plain: OnceLock<Result<Client, String>>,
    secure: OnceLock<Result<Client, String>>,
}

impl Connections {
    pub(super) fn new(patience: Patience) -> Self {
        Self {
            patience,
            plain: OnceLock::new(),
            secure: OnceLock::new(),
        }
    }

    /// The client to use; the error completes a sentence that begins with the registry's name.
    pub(super) fn client(&self, plain: bool) -> Result<&Client, String> {
        let slot = if plain { &self.plain } else { &self.secure };
        slot.get_or_init(|| build_client(plain, self.patience))
            .as_ref()
            .map_err(Clone::clone)
    }
}

fn build_client(plain: bool, patience: Patience) -> Result<Client, String> {
    let redirects = redirect::Policy::custom(|attempt| {
        let downgrade = attempt
            .previous()
            .last()
            .is_some_and(|from| from.scheme() == "https")
            && attempt.url().scheme() != "https";
        if downgrade {
            attempt.error("it redirects from HTTPS to an address without")
        } else if attempt.previous().len() > MOST_REDIRECTS {
            attempt.error("it redirects without end")
        } else {
            attempt.follow()
        }
    });
    let builder = Client::builder()
        .user_agent(concat!("stagewright/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(patience.connect)
        .read_timeout(patience.read)
        .redirect(redirects);
    let builder = if plain {
        // Plain registries stand on this machine or near it: no proxy.
        let tls = trust::nobody().map_err(|error| format!("cannot be reached: {error}"))?;
        builder.no_proxy().tls_backend_preconfigured(tls)
    } else {
        // Fails where another part of the process has chosen one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        builder
    };
    builder.build().map_err(|error| {
        format!(
            "cannot be reached by HTTPS: {} (are the system's CA certificates installed?)",
            innermost(&error)
        )
    })
}
