//! A client of the OCI distribution API, as far as pulling and pushing need it.
//!
//! It is our own because it has to hold against registries that mean harm: every answer has a longest length, every
//! wait an end, content comes only from the registry that was asked, and no credentials travel to a place or by a way
//! that its owner did not name.

mod blob;
mod challenge;
mod connections;
mod endpoint;
mod token;
mod upload;

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Response, StatusCode, Url};
use stagewright_core::digest::Digest;

use self::challenge::Challenge;
use self::connections::Connections;
use self::token::{Token, Tokens, basic};
use super::error::ImageError;
use super::manifest::{ACCEPT, LONGEST_MANIFEST};

pub(super) use self::endpoint::Endpoint;
pub(super) use self::upload::{Sent, Upload};

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
    /// For a registry that asks to be asked again later; one that wants more is not waited for.
    pub(super) later: Duration,
    /// For a registry that takes no bytes of an upload, or has all of them and says nothing.
    pub(super) halt: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(20),
            document: Duration::from_secs(30),
            pause: Duration::from_millis(250),
            later: Duration::from_mins(1),
            halt: Duration::from_mins(1),
        }
    }
}

/// Attempts at a request whose answer was lost or was the server's own failure.
const ATTEMPTS: u32 = 3;
pub(super) struct RegistryClient {
    patience: Patience,
    connections: Connections,
    /// For requests that say a lot before they are answered.
    uploads: Connections,
    tokens: Tokens,
}

/// A request that did not lead to an answer.
pub(super) enum Failure {
    /// Trying again may help.
    Passing(ImageError),
    /// Trying again may help after that time, as the registry says.
    Later(ImageError, Duration),
    /// Trying again will not help.
    Lasting(ImageError),
}

impl Failure {
    pub(super) fn into_error(self) -> ImageError {
        match self {
            Self::Passing(error) | Self::Later(error, _) | Self::Lasting(error) => error,
        }
    }
}

impl RegistryClient {
    pub(super) fn new(patience: Patience) -> Self {
        Self {
            patience,
            connections: Connections::new(patience),
            uploads: Connections::new(Patience {
                read: upload::LONGEST,
                ..patience
            }),
            tokens: Tokens::default(),
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
            self.before_another(failure, attempt, ATTEMPTS).await?;
        }
    }

    /// Waits until it is time for another attempt after `attempt` that failed; the error where there is to be none.
    async fn before_another(&self, failure: Failure, attempt: u32, most: u32) -> Result<(), ImageError> {
        match failure {
            Failure::Passing(_) if attempt < most => self.pause(attempt).await,
            Failure::Later(_, after) if attempt < most && after <= self.patience.later => {
                tokio::time::sleep(after).await;
            }
            failure => return Err(failure.into_error()),
        }
        Ok(())
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
        let scope = endpoint.scope("pull");
        let known = self.tokens.known(endpoint, &scope);
        let response = self.send(endpoint, url.clone(), headers, known.as_ref()).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return endpoint.accept(response);
        }
        let authorization = self.authorize(endpoint, &scope, &response).await?;
        drop(response);
        endpoint.accept(self.send(endpoint, url, headers, Some(&authorization)).await?)
    }

    /// Gets what a registry wants to see that answered so, for the actions of `scope`.
    async fn authorize(
        &self,
        endpoint: &Endpoint,
        scope: &str,
        response: &Response,
    ) -> Result<Token, Failure> {
        self.tokens.forget(endpoint, scope);
        let lines = response.headers().get_all(WWW_AUTHENTICATE);
        let challenge = Challenge::choose(lines.iter().filter_map(|line| line.to_str().ok()));
        let authorization = match (challenge, &endpoint.credentials) {
            (Some(Challenge::Bearer { realm, service }), _) => {
                self.fetch_token(endpoint, &realm, service.as_deref(), scope)
                    .await?
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
        self.tokens.remember(endpoint, scope, authorization.clone());
        Ok(authorization)
    }

    async fn send(
        &self,
        endpoint: &Endpoint,
        url: Url,
        headers: &HeaderMap,
        authorization: Option<&Token>,
    ) -> Result<Response, Failure> {
        let client = self
            .connections
            .client(endpoint.plain_http)
            .map_err(|reason| Failure::Lasting(endpoint.answer(reason)))?;
        let mut request = client.get(url).headers(headers.clone());
        if let Some(token) = authorization {
            request = request.header(AUTHORIZATION, token.header.clone());
        }
        request.send().await.map_err(|error| endpoint.network(&error))
    }
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
