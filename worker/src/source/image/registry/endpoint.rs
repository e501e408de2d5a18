//! One repository at one registry, and what its answers mean.

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode};
use stagewright_core::digest::Digest;

use super::Failure;
use crate::config::Credentials;
use crate::said::innermost;
use crate::source::image::error::ImageError;
use crate::source::image::reference::Reference;

/// Characters of a network error that people are shown at most.
const LONGEST_REASON: usize = 200;

/// Where a repository is.
#[derive(Debug, Clone)]
pub(in crate::source::image) struct Endpoint {
    /// The image it is asked for, for messages.
    pub(in crate::source::image) reference: Reference,
    /// What people call the registry.
    pub(in crate::source::image) registry: String,
    /// `host[:port]` to connect to.
    pub(in crate::source::image) host: String,
    /// The repository there.
    pub(in crate::source::image) repository: String,
    /// Whether to do without TLS.
    pub(in crate::source::image) plain_http: bool,
    /// Who to say we are.
    pub(in crate::source::image) credentials: Option<Credentials>,
}

/// How long a registry wants us to wait, where it says so in seconds.
fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    let plain = text.len() < 10 && text.bytes().all(|byte| byte.is_ascii_digit());
    plain
        .then(|| text.parse().ok().map(Duration::from_secs))
        .flatten()
}

impl Endpoint {
    /// What a token is asked for: some actions in this repository.
    pub(super) fn scope(&self, actions: &str) -> String {
        format!("repository:{}:{actions}", self.repository)
    }

    fn boxed(&self) -> Box<Reference> {
        Box::new(self.reference.clone())
    }

    pub(super) fn check(&self, expected: &Digest, bytes: Vec<u8>) -> Result<Vec<u8>, ImageError> {
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
    pub(super) fn accept(&self, response: Response) -> Result<Response, Failure> {
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
                let after = retry_after(&response);
                let error = ImageError::RateLimited {
                    reference: self.boxed(),
                    registry: self.registry.clone(),
                    after: after.map(|after| after.as_secs().to_string()),
                };
                Err(match after {
                    Some(after) => Failure::Later(error, after),
                    None => Failure::Lasting(error),
                })
            }
            _ if status.is_server_error() => {
                let error = self.answer(format!("failed ({status}); try again later"));
                Err(match retry_after(&response) {
                    Some(after) => Failure::Later(error, after),
                    None => Failure::Passing(error),
                })
            }
            _ => Err(Failure::Lasting(self.answer(format!(
                "gave an answer that a registry should not give ({status})"
            )))),
        }
    }

    pub(super) fn denied(&self) -> ImageError {
        let known = self.credentials.is_some();
        ImageError::Denied {
            reference: self.boxed(),
            registry: self.registry.clone(),
            known,
        }
    }

    pub(super) fn answer(&self, reason: String) -> ImageError {
        ImageError::Answer {
            reference: self.boxed(),
            registry: self.registry.clone(),
            reason,
        }
    }

    pub(super) fn unreachable(&self, reason: &str) -> ImageError {
        let registry = if self.registry == self.host {
            self.registry.clone()
        } else {
            format!("{} ({})", self.registry, self.host)
        };
        ImageError::Unreachable {
            reference: self.boxed(),
            registry,
            reason: reason.to_owned(),
        }
    }

    pub(super) fn network(&self, error: &reqwest::Error) -> Failure {
        if error.is_redirect() {
            return Failure::Lasting(self.answer(format!("misbehaves: {}", innermost(error))));
        }
        // A host that does not answer now will not a second later; a connection that broke may have been bad luck.
        match (error.is_timeout(), error.is_connect()) {
            (true, _) => Failure::Lasting(self.unreachable("it does not answer in time")),
            (false, true) => Failure::Lasting(self.unreachable(&self.reason(error))),
            (false, false) => Failure::Passing(self.unreachable(&self.reason(error))),
        }
    }
    /// What went wrong below HTTP, with what to do about it where that is known.
    fn reason(&self, error: &reqwest::Error) -> String {
        let mut reason = innermost(error);
        if reason.contains("InvalidContentType") && !self.plain_http {
            return format!(
                "it does not speak TLS; if it is meant to be used without, set plain-http = true under \
                 [registry.\"{}\"] in the worker's configuration",
                self.registry
            );
        }
        // A certificate's complaint may list every name that the certificate is for.
        if let Some((end, _)) = reason.char_indices().nth(LONGEST_REASON) {
            reason.truncate(end);
            reason.push('…');
        }
        reason
    }
}
