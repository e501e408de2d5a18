//! JSON-RPC 2.0 over one WebSocket.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use futures_channel::oneshot;
use gloo::events::EventListener;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use stagewright_core::digest::Digest;
use stagewright_core::protocol::{ContentFrame, ContentReceived, ContentRefused, RpcError, method};
use wasm_bindgen::JsCast as _;
use web_sys::{BinaryType, MessageEvent, WebSocket};

/// Bytes that may wait in the browser before more file content is handed over.
const SEND_AHEAD: u32 = 4 << 20;

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The worker refused.
    #[error("{}", .0.message)]
    Refused(RpcError),
    /// The connection ended first.
    #[error("The connection to the worker broke. It is being tried again; then press Build once more.")]
    Closed,
    /// The answer is not what the protocol says: page and worker are of different versions.
    #[error(
        "The worker's answer to {method} cannot be read ({problem}). Reload the page, so that it fits the worker."
    )]
    Unreadable {
        /// What was called.
        method: &'static str,
        /// What does not fit.
        problem: String,
    },
}

impl CallError {
    /// Whether the worker said so with this code.
    pub(crate) fn has_code(&self, code: i32) -> bool {
        matches!(self, Self::Refused(error) if error.code == code)
    }
}

/// Whoever waits for a file to have arrived.
type Uploading = oneshot::Sender<Result<(), RpcError>>;
/// Whoever waits for an answer.
type Waiting = oneshot::Sender<Result<Value, RpcError>>;

/// One connection.
pub(crate) struct Rpc {
    socket: WebSocket,
    next_id: Cell<u64>,
    waiting: RefCell<Vec<(u64, Waiting)>>,
    uploads: RefCell<Vec<(Digest, Uploading)>>,
    listeners: RefCell<Vec<EventListener>>,
}

/// Something a connection says by itself.
pub(crate) type OnNotification = Box<dyn Fn(&str, Value)>;

impl Rpc {
    /// Opens a connection. `None` where there is nobody to talk to.
    pub(crate) async fn open(
        address: &str,
        on_notification: OnNotification,
    ) -> Option<(Rc<Self>, oneshot::Receiver<()>)> {
        let socket = WebSocket::new(address).ok()?;
        socket.set_binary_type(BinaryType::Arraybuffer);
        let rpc = Rc::new(Self {
            socket: socket.clone(),
            next_id: Cell::new(1),
            waiting: RefCell::default(),
            uploads: RefCell::default(),
            listeners: RefCell::default(),
        });
        let (opened, is_open) = oneshot::channel();
        let (closed, is_closed) = oneshot::channel();
        let on_open = {
            let opened = Cell::new(Some(opened));
            EventListener::new(&socket, "open", move |_| {
                if let Some(opened) = opened.take() {
                    let _ = opened.send(true);
                }
            })
        };
        let on_message = {
            let rpc = Rc::downgrade(&rpc);
            EventListener::new(&socket, "message", move |event| {
                let text = event
                    .dyn_ref::<MessageEvent>()
                    .and_then(|message| message.data().as_string());
                if let (Some(rpc), Some(text)) = (rpc.upgrade(), text) {
                    rpc.take_in(&text, &on_notification);
                }
            })
        };
        let on_close = {
            let rpc = Rc::downgrade(&rpc);
            let closed = Cell::new(Some(closed));
            EventListener::new(&socket, "close", move |_| {
                if let Some(rpc) = rpc.upgrade() {
                    // Whoever waits learns it by its sender being dropped.
                    rpc.waiting.borrow_mut().clear();
                    rpc.uploads.borrow_mut().clear();
                }
                if let Some(closed) = closed.take() {
                    let _ = closed.send(());
                }
            })
        };
        rpc.listeners.borrow_mut().extend([on_open, on_message, on_close]);
        let mut is_closed = is_closed;
        let is_open = async move {
            let mut is_open = is_open;
            std::future::poll_fn(|context| {
                use std::future::Future as _;
                use std::pin::Pin;
                if let std::task::Poll::Ready(open) = Pin::new(&mut is_open).poll(context) {
                    return std::task::Poll::Ready(open.unwrap_or(false).then_some(()));
                }
                Pin::new(&mut is_closed).poll(context).map(|_| None)
            })
            .await
            .map(|()| is_closed)
        };
        is_open.await.map(|is_closed| (rpc, is_closed))
    }

    /// Calls a method and waits for what it gives.
    pub(crate) async fn call<R: DeserializeOwned>(
        &self,
        method: &'static str,
        params: &impl Serialize,
    ) -> Result<R, CallError> {
        let unreadable = |problem: serde_json::Error| CallError::Unreadable {
            method,
            problem: problem.to_string(),
        };
        let params = serde_json::to_value(params).map_err(unreadable)?;
        let result = self.ask(method, params).await?;
        serde_json::from_value(result).map_err(unreadable)
    }

    /// [`Rpc::call`], less what has to be made anew for every type.
    async fn ask(&self, method: &'static str, params: Value) -> Result<Value, CallError> {
        let id = self.next_id.replace(self.next_id.get() + 1);
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string();
        let (sender, answer) = oneshot::channel();
        self.waiting.borrow_mut().push((id, sender));
        if self.socket.ready_state() != WebSocket::OPEN || self.socket.send_with_str(&request).is_err() {
            self.waiting.borrow_mut().retain(|(waiting, _)| *waiting != id);
            return Err(CallError::Closed);
        }
        match answer.await {
            Ok(answer) => answer.map_err(CallError::Refused),
            Err(_) => Err(CallError::Closed),
        }
    }

    /// Sends a file's content from `have` on, and waits until the worker has all of it.
    pub(crate) async fn upload(&self, digest: &Digest, bytes: &[u8], have: u64) -> Result<(), CallError> {
        let (sender, received) = oneshot::channel();
        self.uploads.borrow_mut().push((digest.clone(), sender));
        let mut offset = usize::try_from(have).unwrap_or(usize::MAX).min(bytes.len());
        loop {
            let end = offset.saturating_add(ContentFrame::MAX_DATA).min(bytes.len());
            let data = bytes.get(offset..end).unwrap_or_default();
            let frame = ContentFrame {
                digest: digest.clone(),
                offset: offset as u64,
                data,
            }
            .encode();
            if self.socket.ready_state() != WebSocket::OPEN || self.socket.send_with_u8_array(&frame).is_err()
            {
                return Err(CallError::Closed);
            }
            offset = end;
            if offset == bytes.len() {
                break;
            }
            while self.socket.buffered_amount() > SEND_AHEAD && self.socket.ready_state() == WebSocket::OPEN {
                gloo::timers::future::TimeoutFuture::new(10).await;
            }
        }
        match received.await {
            Ok(outcome) => outcome.map_err(CallError::Refused),
            Err(_) => Err(CallError::Closed),
        }
    }

    fn end_upload(&self, digest: &Digest, outcome: Result<(), RpcError>) {
        let mut uploads = self.uploads.borrow_mut();
        if let Some(at) = uploads.iter().position(|(waiting, _)| waiting == digest) {
            let _ = uploads.remove(at).1.send(outcome);
        }
    }

    /// Ends the connection.
    pub(crate) fn close(&self) {
        let _ = self.socket.close();
    }

    fn take_in(&self, text: &str, on_notification: &OnNotification) {
        let Ok(mut frame) = serde_json::from_str::<Value>(text) else {
            return;
        };
        let mut take = |name: &str| frame.get_mut(name).map(Value::take);
        // A frame with a method is a notification: a worker asks nothing of a page.
        if let Some(Value::String(name)) = take("method") {
            let params = take("params").unwrap_or_default();
            match name.as_str() {
                method::CONTENT_RECEIVED => {
                    if let Ok(received) = serde_json::from_value::<ContentReceived>(params) {
                        self.end_upload(&received.digest, Ok(()));
                    }
                }
                method::CONTENT_REFUSED => {
                    if let Ok(refused) = serde_json::from_value::<ContentRefused>(params) {
                        self.end_upload(&refused.digest, Err(refused.error));
                    }
                }
                name => on_notification(name, params),
            }
            return;
        }
        let outcome = match take("error").map(serde_json::from_value::<RpcError>) {
            Some(Ok(error)) => Err(error),
            Some(Err(_)) | None => Ok(take("result").unwrap_or_default()),
        };
        let id = take("id").and_then(|id| id.as_u64());
        let mut waiting = self.waiting.borrow_mut();
        if let Some(at) = waiting.iter().position(|(waiting, _)| Some(*waiting) == id) {
            let _ = waiting.remove(at).1.send(outcome);
        }
    }
}
