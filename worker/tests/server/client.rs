//! The other side: a WebSocket client, and HTTP by hand where a test needs to write the headers itself.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use stagewright_core::protocol::{BuildEvent, RpcError};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<TcpStream>,
    next: u64,
    /// Notifications that came while something else was waited for.
    pub(crate) notifications: VecDeque<Value>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::connect_with(address, &[]).await.unwrap()
    }

    /// Connects with these headers in place of the usual; the error is the status of the refusal.
    pub(crate) async fn connect_with(address: SocketAddr, headers: &[(&str, &str)]) -> Result<Self, u16> {
        let mut request = format!("ws://{address}/v1/ws").into_client_request().unwrap();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            request
                .headers_mut()
                .insert(name, HeaderValue::from_str(value).unwrap());
        }
        let stream = TcpStream::connect(address).await.unwrap();
        match tokio_tungstenite::client_async(request, stream).await {
            Ok((socket, _)) => Ok(Self {
                socket,
                next: 1,
                notifications: VecDeque::new(),
            }),
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) async fn send_text(&mut self, text: impl Into<String>) {
        self.socket.send(Message::text(text.into())).await.unwrap();
    }

    /// Sends a request and returns its id.
    pub(crate) async fn ask(&mut self, method: &str, params: Value) -> u64 {
        let id = self.next;
        self.next += 1;
        self.send_text(json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string())
            .await;
        id
    }

    /// The next message that is a text; `None` where the connection ended.
    pub(crate) async fn message(&mut self) -> Option<Value> {
        loop {
            match self.socket.next().await? {
                Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).unwrap()),
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(_) | Err(_) => return None,
            }
        }
    }

    /// The answer to `id`; other answers on the way are a fault, notifications are kept.
    pub(crate) async fn answer(&mut self, id: u64) -> Result<Value, RpcError> {
        loop {
            let message = self.message().await.expect("the connection ended");
            if message.get("method").is_some() {
                self.notifications.push_back(message);
                continue;
            }
            assert_eq!(message["id"], json!(id), "{message}");
            return match message.get("error") {
                Some(error) => Err(serde_json::from_value(error.clone()).unwrap()),
                None => Ok(message["result"].clone()),
            };
        }
    }

    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Result<Value, RpcError> {
        let id = self.ask(method, params).await;
        self.answer(id).await
    }

    /// The next notification; an answer in its place is a fault.
    pub(crate) async fn notification(&mut self) -> Value {
        if let Some(kept) = self.notifications.pop_front() {
            return kept;
        }
        let message = self.message().await.expect("the connection ended");
        assert!(message.get("method").is_some(), "{message}");
        message
    }

    pub(crate) async fn event(&mut self) -> BuildEvent {
        let notification = self.notification().await;
        assert_eq!(notification["method"], "build.event", "{notification}");
        serde_json::from_value(notification["params"].clone()).unwrap()
    }

    /// Starts a build of an empty image and returns its id.
    pub(crate) async fn start_build(&mut self, title: &str) -> String {
        let started = self.call("build.start", empty_build(title)).await.unwrap();
        started["id"].as_str().unwrap().to_owned()
    }

    /// Reads to the end of the connection and returns how it was closed.
    pub(crate) async fn closed(&mut self) -> Option<CloseFrame> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Close(frame))) => return frame,
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }
}

/// The smallest build there is.
pub(crate) fn empty_build(title: &str) -> Value {
    let config =
        json!({ "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": [] } });
    let digest = stagewright_core::digest::Digest::of(b"");
    json!({ "ops": [], "digest": digest, "imageConfig": config, "title": title })
}

/// An answer over plain HTTP.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
    /// Whether the body came to its proper end.
    pub(crate) whole: bool,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.lines().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Answer {
    http(
        address,
        &format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"),
    )
    .await
}

/// A request under construction.
#[derive(Clone)]
pub(crate) struct Ask {
    head: String,
    body: Vec<u8>,
}

impl Ask {
    pub(crate) fn new(method: &str, path: &str) -> Self {
        Self {
            head: format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n"),
            body: Vec::new(),
        }
    }

    pub(crate) fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        write!(self.head, "{name}: {value}\r\n").unwrap();
        self
    }

    /// Shows a token.
    pub(crate) fn by(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn json(self, value: &Value) -> Self {
        self.header("content-type", "application/json")
            .bytes(value.to_string().into_bytes())
    }

    pub(crate) fn bytes(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }

    /// The request as it goes out.
    pub(crate) fn raw(&self, address: SocketAddr) -> Vec<u8> {
        let mut head = self.head.clone();
        if !head.contains("host: ") {
            write!(head, "host: {address}\r\n").unwrap();
        }
        if !head.contains("content-length: ") {
            write!(head, "content-length: {}\r\n", self.body.len()).unwrap();
        }
        [head.as_bytes(), b"\r\n", &self.body].concat()
    }

    pub(crate) async fn send(&self, address: SocketAddr) -> Answer {
        exchange(address, &self.raw(address)).await
    }

    /// Sends it and leaves the connection open.
    pub(crate) async fn begin(&self, address: SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&self.raw(address)).await.unwrap();
        stream
    }
}

/// Sends a request as it is, and reads the answer to the connection's end.
pub(crate) async fn http(address: SocketAddr, request: &str) -> Answer {
    exchange(address, request.as_bytes()).await
}

async fn exchange(address: SocketAddr, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A request that is refused early is not read to its end.
    _ = stream.write_all(request).await;
    read_answer(&mut stream).await
}

/// Reads an answer to the connection's end.
pub(crate) async fn read_answer(stream: &mut (impl AsyncRead + Unpin)) -> Answer {
    let mut bytes = Vec::new();
    // A connection that is reset gives what came before.
    _ = stream.read_to_end(&mut bytes).await;
    let end = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .expect("an answer with a head");
    let headers = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = headers.split(' ').nth(1).unwrap().parse().unwrap();
    let mut answer = Answer {
        status,
        headers,
        body: Vec::new(),
        whole: false,
    };
    let raw = &bytes[end + 4..];
    if answer.header("transfer-encoding") == Some("chunked") {
        (answer.body, answer.whole) = dechunk(raw);
    } else {
        let length: Option<usize> = answer
            .header("content-length")
            .map(|length| length.parse().unwrap());
        answer.whole = length.is_none_or(|length| length == raw.len());
        answer.body = raw.to_vec();
    }
    answer
}

fn dechunk(mut raw: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(end) = raw.windows(2).position(|two| two == b"\r\n") else {
            return (body, false);
        };
        let size = usize::from_str_radix(std::str::from_utf8(&raw[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return (body, true);
        }
        let Some(chunk) = raw.get(end + 2..end + 2 + size) else {
            return (body, false);
        };
        body.extend_from_slice(chunk);
        raw = raw.get(end + 4 + size..).unwrap_or_default();
    }
}
