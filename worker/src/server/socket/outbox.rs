//! The way out of a connection: one task writes, everyone else hands it messages and waits where it is behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::super::limits::Limits;

/// Hands messages to the writer. Cheap to clone; when the last one is dropped, the writer ends.
#[derive(Clone)]
pub(super) struct Outbox {
    queue: mpsc::Sender<Message>,
    liveness: Arc<Liveness>,
}

/// The connection is gone; whoever wanted to say something may stop.
pub(super) struct Gone;

impl Outbox {
    /// Waits until there is room. Messages arrive in the order in which this was called.
    pub(super) async fn send(&self, message: Message) -> Result<(), Gone> {
        self.queue.send(message).await.map_err(|_| Gone)
    }

    /// Notes that the client said something.
    pub(super) fn heard(&self) {
        self.liveness.note();
    }

    /// Asks the client now and then whether it is there, and returns when it has been silent for too long.
    pub(super) async fn watch(&self, limits: &Limits) {
        let mut pulse = tokio::time::interval(limits.ping.max(Duration::from_millis(1)));
        pulse.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            pulse.tick().await;
            if self.liveness.silence() > limits.silence {
                return;
            }
            // Where the queue is full there is enough to be acknowledged without a ping.
            _ = self.queue.try_send(Message::Ping(Bytes::new()));
        }
    }
}

/// When the client last gave a sign of life: it said something, or took something that was not a ping. A ping into
/// the kernel's buffer proves nothing, an answer that fitted only because the client made room does.
struct Liveness {
    began: Instant,
    last: AtomicU64,
}

impl Liveness {
    fn note(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.fetch_max(now, Ordering::Relaxed);
    }

    fn silence(&self) -> Duration {
        self.began
            .elapsed()
            .saturating_sub(Duration::from_millis(self.last.load(Ordering::Relaxed)))
    }
}

/// Starts the writer. It ends when all outboxes are gone, or when the connection is known to be broken, and then at once.
pub(super) fn open(sink: SplitSink<WebSocket, Message>, limits: &Limits) -> Writing {
    let broken = CancellationToken::new();
    let (queue, messages) = mpsc::channel(limits.outbox.max(1));
    let liveness = Arc::new(Liveness {
        began: Instant::now(),
        last: AtomicU64::new(0),
    });
    let writer = tokio::spawn(write(sink, messages, Arc::clone(&liveness), broken.clone()));
    Writing {
        outbox: Outbox { queue, liveness },
        writer,
        broken,
        share: limits.farewell / 4,
    }
}

async fn write(
    mut sink: SplitSink<WebSocket, Message>,
    mut messages: mpsc::Receiver<Message>,
    liveness: Arc<Liveness>,
    broken: CancellationToken,
) {
    while let Some(message) = messages.recv().await {
        let counts = !matches!(message, Message::Ping(_));
        let sent = tokio::select! {
            sent = sink.send(message) => sent.is_ok(),
            () = broken.cancelled() => false,
        };
        if !sent {
            broken.cancel();
            break;
        }
        if counts {
            liveness.note();
        }
    }
}

/// What a connection has to write with, from its first word to its last.
pub(super) struct Writing {
    pub(super) outbox: Outbox,
    writer: JoinHandle<()>,
    /// Cancelled where the connection broke.
    pub(super) broken: CancellationToken,
    /// Each part of an end gets its share, so that all of it fits into the time that the server gives it.
    share: Duration,
}

impl Writing {
    /// Returns a while after `closing` was cancelled: where the client is slow, whoever talks with it may be waiting for it and
    /// not see that it is over.
    pub(super) async fn overdue(&self, closing: &CancellationToken) {
        closing.cancelled().await;
        tokio::time::sleep(self.share).await;
    }

    /// Ends the connection, with a last word where there is somebody to hear it.
    pub(super) async fn end(
        self,
        last_word: Option<(u16, &'static str)>,
        mut stream: SplitStream<WebSocket>,
    ) {
        let Some((code, reason)) = last_word else {
            self.broken.cancel();
            return;
        };
        // What was said before stands in the queue before it; a client that does not read does not hold us up.
        let close = Message::Close(Some(CloseFrame {
            code,
            reason: Utf8Bytes::from_static(reason),
        }));
        _ = tokio::time::timeout(self.share, self.outbox.send(close)).await;
        drop(self.outbox);
        let settled = async {
            _ = self.writer.await;
            // What the client sent meanwhile is read and let go: closing on unread data would reset the connection and could
            // cost the client our last words.
            while let Some(Ok(_)) = stream.next().await {}
        };
        if tokio::time::timeout(self.share, settled).await.is_err() {
            self.broken.cancel();
        }
    }
}
