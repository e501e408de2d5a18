//! A build's events on a connection of their own: each a text message, and after the last one the end.

use std::time::Duration;

use axum::extract::ws::{Message, WebSocket, close_code};
use futures_util::StreamExt as _;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::super::App;
use super::outbox;
use crate::build::EventStream;

/// Tells the events until there are no more, the client goes, or the worker does.
pub(in super::super) async fn follow(
    app: App,
    socket: WebSocket,
    mut events: EventStream,
    place: OwnedSemaphorePermit,
) {
    let (sink, mut stream) = socket.split();
    let broken = CancellationToken::new();
    let (outbox, writer) = outbox::open(sink, &app.limits, broken.clone());
    let share = app.limits.farewell / 4;
    let telling = async {
        while let Some(event) = events.next().await {
            let text = serde_json::to_string(&*event).unwrap_or_default();
            if outbox.send(Message::text(text)).await.is_err() {
                return None;
            }
        }
        Some((close_code::NORMAL, "the build has ended"))
    };
    let hearing = async {
        // What a client says here means nothing but that it is there.
        while let Some(Ok(message)) = stream.next().await {
            outbox.heard();
            if matches!(message, Message::Close(_)) {
                break;
            }
        }
    };
    let end = tokio::select! {
        end = telling => end,
        () = hearing => None,
        () = outbox.watch(&app.limits) => None,
        () = broken.cancelled() => None,
        () = overdue(&app.closing, share) => Some((close_code::AWAY, "the worker is shutting down")),
    };
    if let Some((code, reason)) = end {
        let farewell = outbox.send(outbox::close(code, reason));
        _ = tokio::time::timeout(share, farewell).await;
        drop(outbox);
        let settled = async {
            _ = writer.await;
            while let Some(Ok(_)) = stream.next().await {}
        };
        if tokio::time::timeout(share, settled).await.is_err() {
            broken.cancel();
        }
    } else {
        broken.cancel();
    }
    drop(place);
}

/// Returns `grace` after `token` was cancelled.
async fn overdue(token: &CancellationToken, grace: Duration) {
    token.cancelled().await;
    tokio::time::sleep(grace).await;
}
