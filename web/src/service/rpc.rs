//! JSON-RPC 2.0 over one WebSocket.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use futures_channel::oneshot;
use gloo::events::EventListener;
use serde::Serialize;
use serde::de::DeserializeOwned;
use stagewright_core::digest::Digest;
use stagewright_core::protocol::{ContentFrame, ContentReceived, ContentRefused, Request, Response, RpcError, error_code, method};
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
    #[error("The worker's answer to {method} cannot be read ({problem}). Reload the page, so that it fits the worker.")]
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

/// Whoever waits for an answer.
type Waiting = oneshot::Sender<Result<serde_json::Value, RpcError>>;

/// One connection.
pub(crate) struct Rpc {
    socket: WebSocket,
    next_id: Cell<u64>,
    waiting: RefCell<BTreeMap<u64, Waiting>>,
    uploads: RefCell<BTreeMap<Digest, oneshot::Sender<Result<(), RpcError>>>>,
    listeners: RefCell<Vec<EventListener>>,
}

/// Something a connection says by itself.
pub(crate) type OnNotification = Box<dyn Fn(&str, serde_json::Value)>;

impl Rpc {
    /// Opens a connection. `None` where there is nobody to talk to.
    pub(crate) async fn open(address: &str, on_notification: OnNotification) -> Option<(Rc<Self>, oneshot::Receiver<()>)> {
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
                let text = event.dyn_ref::<MessageEvent>().and_then(|message| message.data().as_string());
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
    pub(crate) async fn call<R: DeserializeOwned>(&self, method: &'static str, params: &impl Serialize) -> Result<R, CallError> {
        let unreadable = |problem: serde_json::Error| CallError::Unreadable { method, problem: problem.to_string() };
        let id = self.next_id.replace(self.next_id.get() + 1);
        let params = serde_json::to_value(params).map_err(unreadable)?;
        let request = Request { jsonrpc: "2.0".into(), id: Some(id), method: method.into(), params };
        let text = serde_json::to_string(&request).map_err(unreadable)?;
        let (sender, answer) = oneshot::channel();
        self.waiting.borrow_mut().insert(id, sender);
        if self.socket.ready_state() != WebSocket::OPEN || self.socket.send_with_str(&text).is_err() {
            self.waiting.borrow_mut().remove(&id);
            return Err(CallError::Closed);
        }
        match answer.await {
            Ok(Ok(result)) => serde_json::from_value(result).map_err(unreadable),
            Ok(Err(error)) => Err(CallError::Refused(error)),
            Err(_) => Err(CallError::Closed),
        }
    }

    /// Sends a file's content from `have` on, and waits until the worker has all of it.
    pub(crate) async fn upload(&self, digest: &Digest, bytes: &[u8], have: u64) -> Result<(), CallError> {
        let (sender, received) = oneshot::channel();
        self.uploads.borrow_mut().insert(digest.clone(), sender);
        let mut offset = usize::try_from(have).unwrap_or(usize::MAX).min(bytes.len());
        loop {
            let end = offset.saturating_add(ContentFrame::MAX_DATA).min(bytes.len());
            let data = bytes.get(offset..end).unwrap_or_default();
            let frame = ContentFrame { digest: digest.clone(), offset: offset as u64, data }.encode();
            if self.socket.ready_state() != WebSocket::OPEN || self.socket.send_with_u8_array(&frame).is_err() {
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
        let waiting = self.uploads.borrow_mut().remove(digest);
        if let Some(waiting) = waiting {
            let _ = waiting.send(outcome);
        }
    }

    /// Ends the connection.
    pub(crate) fn close(&self) {
        let _ = self.socket.close();
    }

    fn take_in(&self, text: &str, on_notification: &OnNotification) {
        // A frame with a method is a notification: a worker asks nothing of a page.
        if let Ok(notification) = serde_json::from_str::<Request>(text) {
            match notification.method.as_str() {
                method::CONTENT_RECEIVED => {
                    if let Ok(received) = serde_json::from_value::<ContentReceived>(notification.params) {
                        self.end_upload(&received.digest, Ok(()));
                    }
                }
                method::CONTENT_REFUSED => {
                    if let Ok(refused) = serde_json::from_value::<ContentRefused>(notification.params) {
                        self.end_upload(&refused.digest, Err(refused.error));
                    }
                }
                name => on_notification(name, notification.params),
            }
            return;
        }
        let Ok(response) = serde_json::from_str::<Response>(text) else { return };
        let waiting = response.id.and_then(|id| self.waiting.borrow_mut().remove(&id));
        if let Some(waiting) = waiting {
            let _ = waiting.send(match response.error {
                Some(error) => Err(error),
                // `null` is a result too, and serde cannot tell it from none.
                None => Ok(response.result.unwrap_or(serde_json::Value::Null)),
            });
        } else if let Some(error) = response.error.filter(|error| error.code != error_code::PARSE) {
            gloo::console::warn!(error.message);
        }
    }
}
