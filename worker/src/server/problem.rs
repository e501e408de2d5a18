//! What an HTTP request is answered with where it cannot be done: `application/problem+json` (RFC 9457).

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;

/// A refusal, in a sentence that says what to do next.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// What a program can make use of besides.
    members: Vec<(&'static str, Value)>,
}

#[derive(Serialize)]
struct Body<'a> {
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(flatten)]
    members: BTreeMap<&'static str, Value>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            headers: Vec::new(),
            members: Vec::new(),
        }
    }

    /// For what ended without an answer of its own. What happened is in the worker's log.
    pub(super) fn failed_inside() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The worker failed inside; its own output says more.",
        )
    }

    /// The same with a header that goes along.
    pub(super) fn with(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The same with a member of its own, for programs.
    pub(super) fn and(mut self, name: &'static str, value: impl Serialize) -> Self {
        // What cannot be written is left out: the sentence says it all.
        if let Ok(value) = serde_json::to_value(value) {
            self.members.push((name, value));
        }
        self
    }

    /// The same with when to come again, in whole seconds and so never too early.
    pub(super) fn retry_after(self, time: Duration) -> Self {
        let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
        self.with(header::RETRY_AFTER, seconds.max(1))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let body = Body {
            title,
            status: self.status.as_u16(),
            detail: &self.detail,
            members: self.members.into_iter().collect(),
        };
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.extend(self.headers);
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}
