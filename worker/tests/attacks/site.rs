//! A web server that gives out a folder's files to those who prove who they are.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Serves until the process ends.
pub(crate) struct Site {
    pub(crate) port: u16,
    /// The `Authorization` of every request.
    pub(crate) proofs: Arc<Mutex<Vec<String>>>,
}

impl Site {
    /// Serves `folder`. Without an `Authorization`, or with one that `accepts` refuses, the answer is 401.
    pub(crate) fn start(folder: &Path, accepts: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let proofs = Arc::new(Mutex::new(Vec::new()));
        let (heard, folder) = (Arc::clone(&proofs), folder.to_owned());
        let accepts = Arc::new(accepts);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (heard, folder, accepts) = (Arc::clone(&heard), folder.clone(), Arc::clone(&accepts));
                std::thread::spawn(move || answer(stream, &folder, &heard, &*accepts));
            }
        });
        Self { port, proofs }
    }
}

fn answer(mut stream: TcpStream, folder: &Path, heard: &Mutex<Vec<String>>, accepts: &dyn Fn(&str) -> bool) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => request.push(byte[0]),
            _ => return,
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let proof = request
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("authorization"))
        .map(|(_, value)| value.to_owned());
    let path = request.split(' ').nth(1).unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default().trim_start_matches('/');
    let path: PathBuf = folder.join(path);
    let (status, body) = match &proof {
        Some(proof) if accepts(proof) => match std::fs::read(path) {
            Ok(body) => ("200 OK", body),
            Err(_) => ("404 Not Found", Vec::new()),
        },
        _ => (
            "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"here\"",
            Vec::new(),
        ),
    };
    heard.lock().unwrap().extend(proof);
    let start = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    // Whoever has heard enough may close.
    _ = stream.write_all(start.as_bytes());
    _ = stream.write_all(&body);
}
