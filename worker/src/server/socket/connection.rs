//! One client's connection, from `hello` to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocket, close_code};
use futures_util::StreamExt as _;
use futures_util::stream::SplitStream;
use serde_json::Value;
use stagewright_core::digest::Digest;
use stagewright_core::protocol::{
    AttachBuild, BuildId, ContentFrame, ContentRefused, Hello, RpcError, error_code, method,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::task::AbortOnDropHandle;

use super::super::App;
use super::errors::IntoRpc as _;
use super::methods;
use super::outbox::{self, Gone, Outbox};
use super::rpc::{self, Call, answer, error, notification};
use crate::build::BuildsError;

/// Why a connection ends.
enum End {
    /// The client closed it, or it broke.
    Client,
    /// It is closed with this code and sentence.
    Close(u16, &'static str),
    /// The client did not answer any more: there is nobody to say anything to.
    Silent,
}

const SHUTTING_DOWN: End = End::Close(close_code::AWAY, "the worker is shutting down");

impl From<Gone> for End {
    fn from(_: Gone) -> Self {
        Self::Client
    }
}

/// Serves the connection to its end. `doorway` is given back once the client is known.
pub(super) async fn run(
    app: App,
    socket: WebSocket,
    place: OwnedSemaphorePermit,
    doorway: OwnedSemaphorePermit,
) {
    let (sink, mut stream) = socket.split();
    let writing = outbox::open(sink, &app.limits);
    let end = tokio::select! {
        end = converse(&app, &mut stream, &writing.outbox, doorway) => end,
        () = writing.outbox.watch(&app.limits) => End::Silent,
        () = writing.broken.cancelled() => End::Client,
        () = writing.overdue(&app.closing) => SHUTTING_DOWN,
    };
    let last_word = match end {
        End::Close(code, reason) => Some((code, reason)),
        End::Client | End::Silent => None,
    };
    writing.end(last_word, stream).await;
    drop(place);
}

async fn converse(
    app: &App,
    stream: &mut SplitStream<WebSocket>,
    outbox: &Outbox,
    doorway: OwnedSemaphorePermit,
) -> End {
    match tokio::time::timeout(app.limits.hello, greet(app, stream, outbox)).await {
        Ok(Ok(())) => drop(doorway),
        Ok(Err(end)) => return end,
        Err(_) => return End::Close(close_code::POLICY, "no hello came in time"),
    }
    let mut client = Client {
        app: Arc::clone(app),
        outbox: outbox.clone(),
        calls: JoinSet::new(),
        slots: Arc::new(Semaphore::new(app.limits.calls)),
        attachments: BTreeMap::new(),
        broken_content: BTreeSet::new(),
    };
    loop {
        let frame = tokio::select! {
            frame = next(stream, outbox) => frame,
            () = app.closing.cancelled() => {
                client.hear_out().await;
                return SHUTTING_DOWN;
            }
        };
        let handled = match frame {
            Ok(Frame::Text(text)) => client.call(&text).await,
            Ok(Frame::Binary(bytes)) => client.content(bytes).await,
            Err(end) => return end,
        };
        if let Err(Gone) = handled {
            return End::Client;
        }
    }
}

/// A frame that means something.
enum Frame {
    Text(axum::extract::ws::Utf8Bytes),
    Binary(Bytes),
}

async fn next(stream: &mut SplitStream<WebSocket>, outbox: &Outbox) -> Result<Frame, End> {
    loop {
        let message = match stream.next().await {
            None => return Err(End::Client),
            Some(Ok(message)) => message,
            Some(Err(failure)) => {
                tracing::debug!(%failure, "a connection broke");
                return Err(if too_large(&failure) {
                    End::Close(close_code::SIZE, "the message is too large")
                } else {
                    End::Client
                });
            }
        };
        outbox.heard();
        match message {
            Message::Text(text) => return Ok(Frame::Text(text)),
            Message::Binary(bytes) => return Ok(Frame::Binary(bytes)),
            Message::Close(_) => return Err(End::Client),
            // Pings are answered below us.
            Message::Ping(_) | Message::Pong(_) => {}
        }
    }
}

fn too_large(failure: &axum::Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(failure);
    while let Some(inner) = source {
        if inner.to_string().contains("too long") {
            return true;
        }
        source = inner.source();
    }
    false
}

/// Lets the client in, or says why not.
async fn greet(app: &App, stream: &mut SplitStream<WebSocket>, outbox: &Outbox) -> Result<(), End> {
    let refuse = async |id, failure: RpcError| {
        outbox.send(answer(id, Err(failure))).await?;
        Err(End::Close(close_code::POLICY, "the client was not let in"))
    };
    let text = match next(stream, outbox).await? {
        Frame::Text(text) => text,
        Frame::Binary(_) => return refuse(None, say_hello_first()).await,
    };
    let Call { id, method, params } = match rpc::parse(&text) {
        Ok(call) => call,
        Err((id, failure)) => return refuse(id, failure).await,
    };
    if method != method::HELLO {
        return refuse(id, say_hello_first()).await;
    }
    let hello: Hello = match rpc::params(params, r#"{"token"} or {"session"}"#) {
        Ok(hello) => hello,
        Err(failure) => return refuse(id, failure).await,
    };
    let shared = Arc::clone(app);
    let admitted = tokio::task::spawn_blocking(move || {
        let session = shared
            .credentials
            .admit(&hello)
            .map_err(super::errors::IntoRpc::into_rpc)?;
        rpc::result(&methods::welcome(&shared, session))
    });
    match admitted.await.unwrap_or_else(|_| Err(methods::failed_inside())) {
        Ok(welcome) => Ok(outbox.send(answer(id, Ok(welcome))).await?),
        Err(failure) => refuse(id, failure).await,
    }
}

fn say_hello_first() -> RpcError {
    error(
        error_code::UNAUTHORIZED,
        "the first message has to be hello, with a token or a session",
    )
}

/// A client that was let in.
struct Client {
    app: App,
    outbox: Outbox,
    /// Calls at work; they end with the connection. Builds do not.
    calls: JoinSet<()>,
    slots: Arc<Semaphore>,
    attachments: BTreeMap<BuildId, JoinHandle<()>>,
    /// Content of which a piece was refused: the pieces behind it on the way are refused too, and one word is enough.
    broken_content: BTreeSet<Digest>,
}

impl Client {
    async fn call(&mut self, text: &str) -> Result<(), Gone> {
        let Call { id, method, params } = match rpc::parse(text) {
            Ok(call) => call,
            Err((id, failure)) => return self.outbox.send(answer(id, Err(failure))).await,
        };
        match method.as_str() {
            method::HELLO => {
                let failure = error(
                    error_code::INVALID_REQUEST,
                    "hello was said already on this connection",
                );
                return self.reply(id, Err(failure)).await;
            }
            method::BUILD_ATTACH => return self.attach(id, params).await,
            method::CONTEXT_OFFER => self.broken_content.clear(),
            _ => {}
        }
        while self.calls.try_join_next().is_some() {}
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            let most = self.app.limits.calls;
            let failure = format!("more than {most} calls at once; wait for some answers before you go on");
            return self.reply(id, Err(error(error_code::LIMIT, failure))).await;
        };
        let (app, outbox) = (Arc::clone(&self.app), self.outbox.clone());
        self.calls.spawn(async move {
            // A task of its own, so that a call which panics is answered like any other that fails.
            let work = tokio::spawn(async move { methods::call(app, &method, params).await });
            let done = AbortOnDropHandle::new(work)
                .await
                .unwrap_or_else(|_| Err(methods::failed_inside()));
            if id.is_some() {
                // A client that has gone needs no answer.
                _ = outbox.send(answer(id, done)).await;
            }
            drop(slot);
        });
        Ok(())
    }

    /// Answers a call; a notification gets none, whatever came of it.
    async fn reply(&self, id: Option<u64>, result: Result<Value, RpcError>) -> Result<(), Gone> {
        match id {
            Some(_) => self.outbox.send(answer(id, result)).await,
            None => Ok(()),
        }
    }

    /// Answers with the build's summary and goes on with its events. Following a build again on the same connection
    /// begins anew and ends what went before, so that no event comes twice after the second answer.
    async fn attach(&mut self, id: Option<u64>, params: Value) -> Result<(), Gone> {
        let AttachBuild { id: build, since } = match rpc::params(params, r#"{"id", "since"}"#) {
            Ok(attach) => attach,
            Err(failure) => return self.reply(id, Err(failure)).await,
        };
        if let Some(earlier) = self.attachments.remove(&build) {
            earlier.abort();
            // It ends at once, and only its end makes sure that it says nothing more.
            _ = earlier.await;
        }
        self.attachments.retain(|_, attachment| !attachment.is_finished());
        if self.attachments.len() >= self.app.limits.attachments {
            let failure = error(
                error_code::LIMIT,
                "this connection follows as many builds as it may",
            );
            return self.reply(id, Err(failure)).await;
        }
        let (summary, mut events) = match self.app.builds.attach(&build, since) {
            Ok(attached) => attached,
            Err(failure) => return self.reply(id, Err(BuildsError::into_rpc(failure))).await,
        };
        if since > summary.last_seq {
            let failure = format!(
                "build {build} has {} events, so none can follow event {since}: follow it from 0",
                summary.last_seq
            );
            return self
                .reply(id, Err(error(error_code::INVALID_PARAMS, failure)))
                .await;
        }
        self.reply(id, rpc::result(&summary)).await?;
        let outbox = self.outbox.clone();
        let following = tokio::spawn(async move {
            while let Some(event) = events.next().await {
                if outbox
                    .send(notification(method::BUILD_EVENT, &*event))
                    .await
                    .is_err()
                {
                    break;
                }
            }
        });
        self.attachments.insert(build, following);
        Ok(())
    }

    /// Lets the builds that are followed tell their end, before the connection ends with the worker.
    async fn hear_out(&mut self) {
        for following in self.attachments.values_mut() {
            // Whether it ended well does not matter any more.
            _ = following.await;
        }
    }

    /// Takes a piece of a file. The next frame is not read before it is stored: the disk sets the pace.
    async fn content(&mut self, bytes: Bytes) -> Result<(), Gone> {
        let Some(ContentFrame { digest, .. }) = ContentFrame::decode(&bytes) else {
            let failure = format!(
                "a binary frame holds 32 bytes of sha256, 8 bytes of offset and at most {} bytes of content",
                ContentFrame::MAX_DATA
            );
            let failure = error(error_code::INVALID_REQUEST, failure);
            return self.outbox.send(answer(None, Err(failure))).await;
        };
        if self.broken_content.contains(&digest) {
            return Ok(());
        }
        let app = Arc::clone(&self.app);
        let stored = tokio::task::spawn_blocking(move || {
            let frame = ContentFrame::decode(&bytes);
            frame.map_or(Ok(None), |frame| app.builds.contexts().receive(&frame))
        });
        let failure = match stored.await {
            Ok(Ok(None)) => return Ok(()),
            Ok(Ok(Some(received))) => {
                let received = notification(method::CONTENT_RECEIVED, &received);
                return self.outbox.send(received).await;
            }
            Ok(Err(failure)) => failure.into_rpc(),
            Err(_) => methods::failed_inside(),
        };
        self.broken_content.insert(digest.clone());
        let refused = ContentRefused {
            digest,
            error: failure,
        };
        self.outbox
            .send(notification(method::CONTENT_REFUSED, &refused))
            .await
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        for attachment in self.attachments.values() {
            attachment.abort();
        }
    }
}
