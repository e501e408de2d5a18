//! The WebSocket: JSON-RPC 2.0 in text frames, file content in binary ones ([`stagewright_core::protocol`]).
//!
//! ```text
//! reader ── hello ── call ────> methods      each call is a task of its own; answers come when they are ready
//!    │                │
//!    ├─ content ──────┤
//!    └─ attachments ──┴───────> outbox ──> the client, at the client's pace
//! ```
//!
//! What a client does not take waits where it comes from: the outbox is short, and a build's events are pulled from
//! its record one by one. So a slow client loses nothing and costs little.

mod connection;
mod errors;
mod follow;
mod methods;
mod outbox;
mod rpc;

use std::sync::Arc;

use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::App;
use super::problem::Problem;
pub(super) use follow::follow;

/// Answers a WebSocket handshake; the gate has looked at its `Host` and `Origin` before.
pub(super) async fn upgrade(
    State(app): State<App>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => {
            return not_upgraded(&rejection).into_response();
        }
    };
    let full = |what: &str| Problem::new(StatusCode::SERVICE_UNAVAILABLE, what).into_response();
    if app.draining.is_cancelled() {
        return full("This worker is shutting down.");
    }
    let Ok(place) = Arc::clone(&app.sockets).try_acquire_owned() else {
        return full("This worker has as many clients as it takes. Close a playground that you do not need.");
    };
    let Ok(doorway) = Arc::clone(&app.strangers).try_acquire_owned() else {
        return full("Too many clients are connecting at once. Try again in a few seconds.");
    };
    upgrade
        .max_message_size(app.limits.message)
        .max_frame_size(app.limits.message)
        // Each client has it for as long as it is there; what is larger is read in several turns.
        .read_buffer_size(16 << 10)
        .on_upgrade(async move |socket| {
            let tracker = app.tracker.clone();
            tracker
                .track_future(connection::run(app, socket, place, doorway))
                .await;
        })
}

/// For a request that is no WebSocket handshake.
pub(super) fn not_upgraded(rejection: &WebSocketUpgradeRejection) -> Problem {
    Problem::new(
        StatusCode::UPGRADE_REQUIRED,
        format!("This address speaks WebSocket only: {rejection}"),
    )
    .with(header::UPGRADE, HeaderValue::from_static("websocket"))
}
