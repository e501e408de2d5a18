//! What proves to a registry who we are: a user's password, or a token that its token server gave (Docker Registry v2
//! token authentication).

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Url;
use reqwest::header::HeaderValue;
use serde::Deserialize;

use super::endpoint::Endpoint;
use super::{Failure, RegistryClient, read_bounded};
use crate::config::Credentials;

const LONGEST_TOKEN: u64 = 1 << 20;

/// Host, and what may be done there.
type TokenKey = (String, String);

#[derive(Clone)]
pub(super) struct Token {
    pub(super) header: HeaderValue,
    pub(super) expires: Option<Instant>,
}

/// The tokens that are still good.
#[derive(Default)]
pub(super) struct Tokens {
    known: Mutex<BTreeMap<TokenKey, Token>>,
}

impl Tokens {
    pub(super) fn known(&self, endpoint: &Endpoint, scope: &str) -> Option<Token> {
        let tokens = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        tokens
            .get(&key(endpoint, scope))
            .filter(|token| token.expires.is_none_or(|end| Instant::now() < end))
            .cloned()
    }

    pub(super) fn remember(&self, endpoint: &Endpoint, scope: &str, token: Token) {
        let mut tokens = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|_, token| token.expires.is_none_or(|end| Instant::now() < end));
        tokens.insert(key(endpoint, scope), token);
    }

    pub(super) fn forget(&self, endpoint: &Endpoint, scope: &str) {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&key(endpoint, scope));
    }
}

fn key(endpoint: &Endpoint, scope: &str) -> TokenKey {
    (endpoint.host.clone(), scope.to_owned())
}

impl RegistryClient {
    /// Asks the token server that the registry named (Docker Registry v2 token authentication).
    pub(super) async fn fetch_token(
        &self,
        endpoint: &Endpoint,
        realm: &str,
        service: Option<&str>,
        scope: &str,
    ) -> Result<Token, Failure> {
        let lasting = |reason: String| Failure::Lasting(endpoint.answer(reason));
        let mut url = Url::parse(realm)
            .map_err(|_| lasting(format!("asks for a token from {realm:?}, which is no address")))?;
        let plain = match url.scheme() {
            "https" => false,
            "http" if endpoint.plain_http => true,
            // What travels here opens the registry: it does not go unprotected where the registry itself is protected.
            _ => {
                return Err(lasting(format!(
                    "asks for a token from {realm}, which is not reached by HTTPS"
                )));
            }
        };
        if let Some(service) = service {
            url.query_pairs_mut().append_pair("service", service);
        }
        for scope in scope.split(' ') {
            url.query_pairs_mut().append_pair("scope", scope);
        }
        let client = self.connections.client(plain).map_err(lasting)?;
        let mut request = client.get(url);
        if let Some(credentials) = &endpoint.credentials {
            request = request.basic_auth(&credentials.username, Some(&credentials.password));
        }
        let response = request.send().await.map_err(|error| endpoint.network(&error))?;
        let asked = Instant::now();
        let bytes = read_bounded(endpoint.accept(response)?, LONGEST_TOKEN)
            .await
            .map_err(|problem| problem.of(endpoint))?;
        let answer: TokenAnswer = serde_json::from_slice(&bytes)
            .map_err(|error| lasting(format!("uses a token server whose answer is malformed: {error}")))?;
        let text = answer.token.or(answer.access_token).unwrap_or_default();
        let mut header = HeaderValue::try_from(format!("Bearer {text}"))
            .map_err(|_| lasting("uses a token server whose token cannot be sent".to_owned()))?;
        header.set_sensitive(true);
        // A token without a word on its life lives a minute; one that is about to end is not worth keeping.
        let life = answer.expires_in.unwrap_or(60).saturating_sub(5).min(3600);
        Ok(Token {
            header,
            expires: asked.checked_add(Duration::from_secs(life)),
        })
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

pub(super) fn basic(credentials: &Credentials) -> Option<HeaderValue> {
    use base64::Engine as _;
    let pair = format!("{}:{}", credentials.username, credentials.password);
    let text = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
    let mut header = HeaderValue::try_from(text).ok()?;
    header.set_sensitive(true);
    Some(header)
}
