//! What every answer tells the browser not to do.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

use super::App;
use super::gate::Gate;

/// The headers of every answer.
#[derive(Debug)]
pub(super) struct SecurityHeaders {
    headers: HeaderMap,
    sockets: String,
}

impl SecurityHeaders {
    pub(super) fn new(gate: &Gate) -> Self {
        // Some browsers do not count `ws:` of the same host as 'self', so it is named.
        let sockets: Vec<String> = gate.policy_hosts().map(|host| format!("ws://{host}")).collect();
        let mut this = Self {
            headers: HeaderMap::new(),
            sockets: sockets.join(" "),
        };
        let policy = this.policy_allowing(&[]);
        this.headers.insert(header::CONTENT_SECURITY_POLICY, policy);
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
            this.headers.insert(name, HeaderValue::from_static(value));
        }
        this
    }

    /// The Content-Security-Policy of an answer with these inline scripts in it, each as `'sha256-…'`.
    pub(super) fn policy_allowing(&self, scripts: &[String]) -> HeaderValue {
        let scripts: String = scripts.iter().map(|script| format!(" {script}")).collect();
        let policy = format!(
            "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'{scripts}; style-src 'self' 'unsafe-inline'; \
             img-src 'self' data: blob:; connect-src 'self' {}; frame-ancestors 'none'; base-uri 'none'; \
             form-action 'none'",
            self.sockets
        );
        // It is made of names, ports and base64, so it is always a valid header value; without one nothing would be
        // allowed, which is the safe way to be wrong.
        HeaderValue::try_from(policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
    }
}

/// Adds them, to refusals too. An answer with a policy of its own keeps it.
pub(super) async fn add(State(app): State<App>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in &app.headers.headers {
        response
            .headers_mut()
            .entry(name)
            .or_insert_with(|| value.clone());
    }
    response
}
