//! A build's events on a connection of their own: each a text message, and after the last one the end.

use axum::extract::ws::{Message, WebSocket, close_code};
use futures_util::StreamExt as _;
use tokio::sync::OwnedSemaphorePermit;

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
    let writing = outbox::open(sink, &app.limits);
    let outbox = &writing.outbox;
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
    let last_word = tokio::select! {
        end = telling => end,
        () = hearing => None,
        () = outbox.watch(&app.limits) => None,
        () = writing.broken.cancelled() => None,
        () = writing.overdue(&app.closing) => Some((close_code::AWAY, "the worker is shutting down")),
    };
    writing.end(last_word, stream).await;
    drop(place);
}
