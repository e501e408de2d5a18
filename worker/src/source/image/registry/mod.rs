//! A client of the OCI distribution API, as far as pulling needs it.
//!
//! It is our own because it has to hold against registries that mean harm: every answer has a longest length, every
//! wait an end, content comes only from the registry that was asked, and no credentials travel to a place or by a way
//! that its owner did not name.

mod blob;
mod challenge;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::redirect;
use reqwest::{Client, Response, StatusCode, Url};
use serde::Deserialize;
use stagewright_core::digest::Digest;

use self::challenge::Challenge;
use super::error::ImageError;
use super::manifest::{ACCEPT, LONGEST_MANIFEST};
use super::reference::Reference;
use crate::config::Credentials;

/// Where a repository is.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    /// The image it is asked for, for messages.
    pub(super) reference: Reference,
    /// What people call the registry.
    pub(super) registry: String,
    /// `host[:port]` to connect to.
    pub(super) host: String,
    /// The repository there.
    pub(super) repository: String,
    /// Whether to do without TLS.
    pub(super) plain_http: bool,
    /// Who to say we are.
    pub(super) credentials: Option<Credentials>,
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For a connection, TLS included.
    pub(super) connect: Duration,
    /// For the next bytes.
    pub(super) read: Duration,
    /// For a manifest or token as a whole.
    pub(super) document: Duration,
    /// Before the first new attempt; doubled for each one that follows.
    pub(super) pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(20),
            document: Duration::from_secs(30),
            pause: Duration::from_millis(250),
        }
    }
}

/// Attempts at a request whose answer was lost or was the server's own failure.
const ATTEMPTS: u32 = 3;
const LONGEST_TOKEN: u64 = 1 << 20;
const MOST_REDIRECTS: usize = 5;

pub(super) struct RegistryClient {
    patience: Patience,
    plain: OnceLock<Result<Client, String>>,
    secure: OnceLock<Result<Client, String>>,
    tokens: Mutex<BTreeMap<TokenKey, Token>>,
}

/// Host and repository.
type TokenKey = (String, String);

#[derive(Clone)]
struct Token {
    header: HeaderValue,
    expires: Option<Instant>,
}

/// A request that did not lead to an answer.
pub(super) enum Failure {
    /// Trying again may help.
    Passing(ImageError),
    /// Trying again will not help.
    Lasting(ImageError),
}

impl Failure {
    pub(super) fn into_error(self) -> ImageError {
        match self {
            Self::Passing(error) | Self::Lasting(error) => error,
        }
    }
}

impl RegistryClient {
    pub(super) fn new(patience: Patience) -> Self {
        Self {
            patience,
            plain: OnceLock::new(),
            secure: OnceLock::new(),
            tokens: Mutex::default(),
        }
    }

    /// The bytes of a manifest or index, by tag or digest. They are checked against the digest.
    pub(super) async fn manifest(
        &self,
        endpoint: &Endpoint,
        selector: &Selector,
    ) -> Result<Vec<u8>, ImageError> {
        let path = format!("manifests/{selector}");
        let bytes = self
            .document(endpoint, &path, LONGEST_MANIFEST, Some(ACCEPT))
            .await?;
        match selector {
            Selector::Digest(expected) => endpoint.check(expected, bytes),
            Selector::Tag(_) => Ok(bytes),
        }
    }

    /// A small blob. Its bytes are checked against the digest.
    pub(super) async fn small_blob(
        &self,
        endpoint: &Endpoint,
        digest: &Digest,
        limit: u64,
    ) -> Result<Vec<u8>, ImageError> {
        let bytes = self
            .document(endpoint, &format!("blobs/{digest}"), limit, None)
            .await?;
        endpoint.check(digest, bytes)
    }

    async fn document(
        &self,
        endpoint: &Endpoint,
        path: &str,
        limit: u64,
        accept: Option<&'static str>,
    ) -> Result<Vec<u8>, ImageError> {
        let mut attempt = 0;
        loop {
            let once = async {
                let response = self.get(endpoint, path, &headers(accept)).await?;
                read_bounded(response, limit)
                    .await
                    .map_err(|problem| problem.of(endpoint))
            };
            let failure = match tokio::time::timeout(self.patience.document, once).await {
                Ok(Ok(bytes)) => return Ok(bytes),
                Ok(Err(failure)) => failure,
                Err(_) => Failure::Lasting(endpoint.unreachable("it took too long to answer")),
            };
            attempt += 1;
            match failure {
                Failure::Passing(_) if attempt < ATTEMPTS => self.pause(attempt).await,
                failure => return Err(failure.into_error()),
            }
        }
    }

    async fn pause(&self, attempt: u32) {
        tokio::time::sleep(self.patience.pause * 2_u32.saturating_pow(attempt.saturating_sub(1).min(6)))
            .await;
    }

    /// Asks for a path of the repository and gives the answer where it is a good one (2xx). Answers a challenge.
    async fn get(&self, endpoint: &Endpoint, path: &str, headers: &HeaderMap) -> Result<Response, Failure> {
        let scheme = if endpoint.plain_http { "http" } else { "https" };
        let url = format!("{scheme}://{}/v2/{}/{path}", endpoint.host, endpoint.repository);
        let url = Url::parse(&url)
            .map_err(|error| Failure::Lasting(endpoint.answer(format!("has no address: {error}"))))?;
        let known = self.token(endpoint);
        let response = self.send(endpoint, url.clone(), headers, known.as_ref()).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return endpoint.accept(response);
        }
        self.forget_token(endpoint);
        let lines = response.headers().get_all(WWW_AUTHENTICATE);
        let challenge = Challenge::choose(lines.iter().filter_map(|line| line.to_str().ok()));
        drop(response);
        let authorization = match (challenge, &endpoint.credentials) {
            (Some(Challenge::Bearer { realm, service }), _) => {
                self.fetch_token(endpoint, &realm, service.as_deref()).await?
            }
            (Some(Challenge::Basic), Some(credentials)) => {
                let header = basic(credentials).ok_or_else(|| Failure::Lasting(endpoint.denied()))?;
                Token {
                    header,
                    expires: None,
                }
            }
            (Some(Challenge::Basic), None) | (None, _) => return Err(Failure::Lasting(endpoint.denied())),
        };
        self.remember_token(endpoint, authorization.clone());
        endpoint.accept(self.send(endpoint, url, headers, Some(&authorization)).await?)
    }

    async fn send(
        &self,
        endpoint: &Endpoint,
        url: Url,
        headers: &HeaderMap,
        authorization: Option<&Token>,
    ) -> Result<Response, Failure> {
        let client = self
            .client(endpoint.plain_http)
            .map_err(|reason| Failure::Lasting(endpoint.answer(reason)))?;
        let mut request = client.get(url).headers(headers.clone());
        if let Some(token) = authorization {
            request = request.header(AUTHORIZATION, token.header.clone());
        }
        request.send().await.map_err(|error| endpoint.network(&error))
    }

    /// Asks the token server that the registry named (Docker Registry v2 token authentication).
    async fn fetch_token(
        &self,
        endpoint: &Endpoint,
        realm: &str,
        service: Option<&str>,
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
        url.query_pairs_mut()
            .append_pair("scope", &format!("repository:{}:pull", endpoint.repository));
        let client = self.client(plain).map_err(lasting)?;
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

    fn token(&self, endpoint: &Endpoint) -> Option<Token> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens
            .get(&endpoint.token_key())
            .filter(|token| token.expires.is_none_or(|end| Instant::now() < end))
            .cloned()
    }

    fn remember_token(&self, endpoint: &Endpoint, token: Token) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|_, token| token.expires.is_none_or(|end| Instant::now() < end));
        tokens.insert(endpoint.token_key(), token);
    }

    fn forget_token(&self, endpoint: &Endpoint) {
        self.tokens
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&endpoint.token_key());
    }

    /// The client without or with TLS; made when it is first needed, since a machine without any root certificates
    /// can still use plain registries.
    fn client(&self, plain: bool) -> Result<&Client, String> {
        let slot = if plain { &self.plain } else { &self.secure };
        slot.get_or_init(|| build_client(plain, self.patience))
            .as_ref()
            .map_err(Clone::clone)
    }
}

fn build_client(plain: bool, patience: Patience) -> Result<Client, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
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
        // Plain registries stand on this machine or near it: no proxy. Without root certificates, TLS servers are
        // not trusted at all, so a redirect to one fails rather than going unchecked.
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("cannot be reached: TLS is not available ({error})"))?
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
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

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

fn basic(credentials: &Credentials) -> Option<HeaderValue> {
    use base64::Engine as _;
    let pair = format!("{}:{}", credentials.username, credentials.password);
    let text = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
    let mut header = HeaderValue::try_from(text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

fn headers(accept: Option<&'static str>) -> HeaderMap {
    accept
        .map(|types| (reqwest::header::ACCEPT, HeaderValue::from_static(types)))
        .into_iter()
        .collect()
}

/// Which manifest of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Selector {
    Tag(String),
    Digest(Digest),
}

impl std::fmt::Display for Selector {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tag(tag) => formatter.write_str(tag),
            Self::Digest(digest) => digest.fmt(formatter),
        }
    }
}

enum BodyProblem {
    TooLong(u64),
    Broken(reqwest::Error),
}

impl BodyProblem {
    fn of(self, endpoint: &Endpoint) -> Failure {
        match self {
            Self::TooLong(limit) => Failure::Lasting(endpoint.answer(format!(
                "sent more than the {limit} bytes that were expected at most"
            ))),
            Self::Broken(error) => endpoint.network(&error),
        }
    }
}

async fn read_bounded(mut response: Response, limit: u64) -> Result<Vec<u8>, BodyProblem> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(BodyProblem::Broken)? {
        if bytes.len() as u64 + chunk.len() as u64 > limit {
            return Err(BodyProblem::TooLong(limit));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// The deepest cause: `reqwest`'s own message repeats the address, which the message around it names already.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

impl Endpoint {
    fn token_key(&self) -> TokenKey {
        (self.host.clone(), self.repository.clone())
    }

    fn boxed(&self) -> Box<Reference> {
        Box::new(self.reference.clone())
    }

    fn check(&self, expected: &Digest, bytes: Vec<u8>) -> Result<Vec<u8>, ImageError> {
        let actual = Digest::of(&bytes);
        if actual == *expected {
            return Ok(bytes);
        }
        let origin = self.registry.clone();
        Err(ImageError::WrongDigest {
            reference: self.boxed(),
            origin,
            expected: expected.clone(),
            actual,
        })
    }

    /// Lets a good answer through and says what is wrong with any other.
    fn accept(&self, response: Response) -> Result<Response, Failure> {
        let status = response.status();
        match status {
            _ if status.is_success() => Ok(response),
            StatusCode::NOT_FOUND => {
                let registry = self.registry.clone();
                Err(Failure::Lasting(ImageError::NotFound {
                    reference: self.boxed(),
                    registry,
                }))
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Failure::Lasting(self.denied())),
            StatusCode::TOO_MANY_REQUESTS => {
                let after = response
                    .headers()
                    .get(RETRY_AFTER)
                    .and_then(|value| value.to_str().ok());
                let after =
                    after.filter(|text| text.len() < 10 && text.bytes().all(|byte| byte.is_ascii_digit()));
                Err(Failure::Lasting(ImageError::RateLimited {
                    reference: self.boxed(),
                    registry: self.registry.clone(),
                    after: after.map(str::to_owned),
                }))
            }
            _ if status.is_server_error() => Err(Failure::Passing(
                self.answer(format!("failed ({status}); try again later")),
            )),
            _ => Err(Failure::Lasting(self.answer(format!(
                "gave an answer that a registry should not give ({status})"
            )))),
        }
    }

    fn denied(&self) -> ImageError {
        let known = self.credentials.is_some();
        ImageError::Denied {
            reference: self.boxed(),
            registry: self.registry.clone(),
            known,
        }
    }

    fn answer(&self, reason: String) -> ImageError {
        ImageError::Answer {
            reference: self.boxed(),
            registry: self.registry.clone(),
            reason,
        }
    }

    fn unreachable(&self, reason: &str) -> ImageError {
        let registry = match self.registry == self.host {
            true => self.registry.clone(),
            false => format!("{} ({})", self.registry, self.host),
        };
        ImageError::Unreachable {
            reference: self.boxed(),
            registry,
            reason: reason.to_owned(),
        }
    }

    fn network(&self, error: &reqwest::Error) -> Failure {
        if error.is_redirect() {
            return Failure::Lasting(self.answer(format!("misbehaves: {}", innermost(error))));
        }
        // A host that does not answer now will not a second later; a connection that broke may have been bad luck.
        match (error.is_timeout(), error.is_connect()) {
            (true, _) => Failure::Lasting(self.unreachable("it does not answer in time")),
            (false, true) => Failure::Lasting(self.unreachable(&innermost(error))),
            (false, false) => Failure::Passing(self.unreachable(&innermost(error))),
        }
    }
}
