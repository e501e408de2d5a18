//! Whoever is called back.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;
use stagewright::request::SigningKey;

pub(crate) const SECRET: &str = "the secret of whoever is called back";

/// Takes messages on a port of its own.
pub(crate) struct Receiving {
    pub(crate) url: String,
    messages: Receiver<Value>,
}

impl Receiving {
    /// The first `refused` messages are answered with an error.
    pub(crate) fn start(refused: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/ended", listener.local_addr().unwrap());
        let (send, messages) = channel();
        std::thread::spawn(move || {
            for (count, connection) in listener.incoming().enumerate() {
                let mut connection = connection.unwrap();
                let mut reader = BufReader::new(connection.try_clone().unwrap());
                let (mut length, mut headers) = (0, std::collections::BTreeMap::new());
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    if line.trim().is_empty() {
                        break;
                    }
                    if let Some((name, value)) = line.trim().split_once(": ") {
                        let name = name.to_ascii_lowercase();
                        if name == "content-length" {
                            length = value.parse().unwrap();
                        }
                        headers.insert(name, value.to_owned());
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let header = |name: &str| headers.get(name).map_or("", String::as_str);
                let (time, delivery) = (header("stagewright-timestamp"), header("stagewright-delivery"));
                let signed: [&[u8]; 5] = [time.as_bytes(), b".", delivery.as_bytes(), b".", &body];
                let key = SigningKey::new(SECRET.as_bytes().to_vec());
                assert!(
                    key.verifies(&signed, header("stagewright-signature-256")),
                    "{headers:?}"
                );
                let status = if count < refused { "503 Later" } else { "204 Taken" };
                write!(
                    connection,
                    "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )
                .unwrap();
                if count >= refused && send.send(serde_json::from_slice(&body).unwrap()).is_err() {
                    return;
                }
            }
        });
        Self { url, messages }
    }

    /// The next message.
    pub(crate) fn next(&self) -> Value {
        self.messages
            .recv_timeout(Duration::from_mins(2))
            .expect("nobody tells of the build's end")
    }

    /// Whether nothing more came.
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.try_recv().is_err()
    }
}
