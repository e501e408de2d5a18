//! What every answer tells the browser not to do.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

use super::App;
use super::gate::Gate;

/// The headers of every answer.
#[derive(Debug)]
pub(super) struct SecurityHeaders(HeaderMap);

impl SecurityHeaders {
    pub(super) fn new(gate: &Gate) -> Self {
        // Some browsers do not count `ws:` of the same host as 'self', so it is named.
        let sockets: Vec<String> = gate
            .policy_hosts()
            .map(|host| format!("{}://{host}", gate.socket_scheme()))
            .collect();
        let policy = format!(
            "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; \
             img-src 'self' data: blob:; connect-src 'self' {}; frame-ancestors 'none'; base-uri 'none'; \
             form-action 'none'",
            sockets.join(" ")
        );
        let mut headers = HeaderMap::new();
        // Names and ports make up the policy, so it is always a valid header value; without one nothing would be
        // allowed, which is the safe way to be wrong.
        let policy =
            HeaderValue::try_from(policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"));
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        for (name, value) in [
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (
                HeaderName::from_static("cross-origin-opener-policy"),
                "same-origin",
            ),
            (
                HeaderName::from_static("cross-origin-resource-policy"),
                "same-origin",
            ),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        Self(headers)
    }
}

/// Adds them, to refusals too.
pub(super) async fn add(State(app): State<App>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in &app.headers.0 {
        response.headers_mut().insert(name, value.clone());
    }
    response
}
