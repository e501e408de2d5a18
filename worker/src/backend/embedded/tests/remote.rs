//! Files from web servers and repositories, on this machine.

use std::sync::Mutex;

use stagewright_core::digest::Digest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::source::secret::{Secret, Secrets};

/// A web server with one file, that says what it was asked for.
struct Server {
    url: String,
    file: Arc<Mutex<File>>,
    asked: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Clone, Default)]
struct File {
    content: Vec<u8>,
    headers: Vec<String>,
    status: Option<&'static str>,
}

impl Server {
    async fn start(content: &[u8], headers: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let file = Arc::new(Mutex::new(File {
            content: content.to_vec(),
            headers: headers.iter().map(ToString::to_string).collect(),
            status: None,
        }));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (served, heard) = (Arc::clone(&file), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    if stream.read(&mut byte).await.unwrap() == 0 {
                        break;
                    }
                    request.extend(byte);
                }
                let request = String::from_utf8(request).unwrap().to_lowercase();
                heard.lock().unwrap().push(request.clone());
                let file: File = served.lock().unwrap().clone();
                let same = |header: &String| {
                    let (name, value) = header.split_once(": ").unwrap();
                    let question = match name {
                        "ETag" => "if-none-match",
                        "Last-Modified" => "if-modified-since",
                        _ => return false,
                    };
                    request.contains(&format!("{question}: {value}").to_lowercase())
                };
                let status = match file.status {
                    Some(status) => status,
                    None if file.headers.iter().any(same) => "304 Not Modified",
                    None => "200 OK",
                };
                let body = if status == "200 OK" {
                    file.content
                } else {
                    Vec::new()
                };
                let length = format!("Content-Length: {}", body.len());
                let headers = [file.headers, vec![length, "Connection: close".into()]]
                    .concat()
                    .join("\r\n");
                let response = format!("HTTP/1.1 {status}\r\n{headers}\r\n\r\n");
                stream.write_all(response.as_bytes()).await.unwrap();
                stream.write_all(&body).await.unwrap();
            }
        });
        Self {
            url,
            file,
            asked,
            task,
        }
    }

    fn change(&self, change: impl FnOnce(&mut File)) {
        change(&mut self.file.lock().unwrap());
    }

    fn requests(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn owner() -> Extras {
    Extras {
        local: true,
        ..Extras::default()
    }
}

async fn build(worker: &Worker, dockerfile: &str, extras: Extras) -> Outcome {
    let analysis = worker.plan(dockerfile, |_| {}).await;
    let id = worker.start_extra(analysis, &[], false, extras);
    worker.outcome(id).await
}

/// Whether a step gave that reason. A source and the copy of it have one name, so names do not tell them apart.
fn said(outcome: &Outcome, reason: &str) -> bool {
    let statuses = outcome.events.iter().filter_map(|event| match &event.event {
        Event::Status(status) => Some(status),
        _ => None,
    });
    let reasons: Vec<&str> = statuses
        .flat_map(|status| &status.vertexes)
        .map(|vertex| vertex.reason.as_str())
        .collect();
    println!("{reasons:?}");
    reasons.iter().any(|said| said.contains(reason))
}

/// Time, mode and owner of a file of a build's image, and its content.
fn entry(worker: &Worker, outcome: &Outcome, path: &str) -> (u64, u32, u64, String) {
    let layer = outcome.image().layers.last().unwrap();
    let blob = worker
        .builds
        .contexts()
        .content()
        .open_blob(&layer.digest)
        .unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(blob));
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path().unwrap() == Path::new(path) {
            let header = entry.header().clone();
            let content = std::io::read_to_string(&mut entry).unwrap();
            return (
                header.mtime().unwrap(),
                header.mode().unwrap(),
                header.uid().unwrap(),
                content,
            );
        }
    }
    panic!("there is no {path}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_fetched_once_and_again_only_when_it_changed() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    for header in ["ETag: \"v1\"", "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"] {
        let content = format!("{header}\n");
        let server = Server::start(content.as_bytes(), &[header]).await;
        let dockerfile = format!(
            "FROM base\nADD {}/dir/file.txt /in/\nRUN cat /in/file.txt\n",
            server.url
        );
        let first = build(&worker, &dockerfile, owner()).await;
        let time = if header.starts_with('L') { 784_111_777 } else { 0 };
        first.image();
        let files = build(
            &worker,
            &dockerfile.replace("RUN cat /in/file.txt\n", ""),
            owner(),
        )
        .await;
        assert_eq!(entry(&worker, &files, "in/file.txt"), (time, 0o600, 0, content));
        assert!(said(
            &files,
            "cached: the server says that it did not change since build"
        ));
        assert_eq!(server.requests(), 2);
        server.change(|file| {
            file.content = format!("two {header}\n").into_bytes();
            file.headers = vec!["ETag: \"v2\"".into()];
        });
        let changed = build(&worker, &dockerfile, owner()).await;
        assert!(changed.log().contains("two "), "{}", changed.log());
        assert!(said(&changed, "the server has another file than in build"));
        // Another version of the same bytes changes nothing for what follows.
        server.change(|file| file.headers = vec!["ETag: \"v3\"".into()]);
        let same = build(&worker, &dockerfile, owner()).await;
        assert!(
            said(&same, "downloaded again, and it is the same file as in build") || header.starts_with('L')
        );
        assert!(
            same.reason("RUN cat").starts_with("cached"),
            "{}",
            same.reason("RUN cat")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_a_checksum_is_checked_once_and_then_not_asked_for() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    let server = Server::start(b"content", &["ETag: \"1\""]).await;
    let dockerfile = |checksum: &str| {
        format!(
            "FROM base\nADD --checksum={checksum} --chmod=755 {}/x /x\n",
            server.url
        )
    };
    let right = Digest::of(b"content").to_string();
    let plain = dockerfile(&right).replace(&format!("--checksum={right} "), "");
    build(&worker, &plain, owner()).await.image();
    let first = build(&worker, &dockerfile(&right), owner()).await;
    assert_eq!(entry(&worker, &first, "x").1, 0o755);
    let second = build(&worker, &dockerfile(&right), owner()).await;
    assert_eq!((server.requests(), second.image()), (2, first.image()));
    let wrong = build(&worker, &dockerfile(&Digest::of(b"other").to_string()), owner()).await;
    let said = &wrong.failure().message;
    assert!(
        said.contains(&right) && said.contains("was changed since"),
        "{said}"
    );
    // A server that says what it was not asked makes no other file the right one.
    server.change(|file| file.status = Some("304 Not Modified"));
    let unasked = build(&worker, &dockerfile(&Digest::of(b"other").to_string()), owner()).await;
    assert!(
        unasked.failure().message.contains("was not asked"),
        "{:?}",
        unasked.failure()
    );
    server.change(|file| file.status = None);
    // What was wrong is not kept.
    let right = build(&worker, &dockerfile(&right), owner()).await;
    assert_eq!(right.image(), first.image());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_from_the_web_is_unpacked_where_that_is_asked_for() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(
        Vec::new(),
        flate2::Compression::fast(),
    ));
    let mut header = tar::Header::new_gnu();
    header.set_size(2);
    header.set_mode(0o640);
    header.set_uid(5);
    archive
        .append_data(&mut header, "dir/file", b"in".as_slice())
        .unwrap();
    let bytes = archive.into_inner().unwrap().finish().unwrap();
    let server = Server::start(&bytes, &[]).await;
    let unpacked = build(
        &worker,
        &format!("FROM base\nADD --unpack=true {}/a.tar.gz /in/\n", server.url),
        owner(),
    )
    .await;
    let (_, mode, uid, content) = entry(&worker, &unpacked, "in/dir/file");
    assert_eq!((mode, uid, content.as_str()), (0o640, 5, "in"));
    let as_is = build(
        &worker,
        &format!("FROM base\nADD {}/a.tar.gz /in/\n", server.url),
        owner(),
    )
    .await;
    assert!(worker.file(&as_is, "in/dir/file").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_or_is_not_there_is_an_error_that_says_what_to_do() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    let server = Server::start(b"", &[]).await;
    let dockerfile = format!("FROM base\nADD {}/x /x\n", server.url);
    for (status, says) in [
        ("404 Not Found", "404 Not Found: check the address"),
        ("401 Unauthorized", "HTTP_AUTH_TOKEN_<host>"),
        ("503 Service Unavailable", "try again later"),
    ] {
        server.change(|file| file.status = Some(status));
        let outcome = build(&worker, &dockerfile, owner()).await;
        assert!(
            outcome.failure().message.contains(says),
            "{}",
            outcome.failure().message
        );
    }
    let outsider = build(&worker, &dockerfile, Extras::default()).await;
    assert!(
        outsider.failure().message.contains("the worker's own machine"),
        "{}",
        outsider.failure().message
    );
    drop(server);
    let nobody = build(&worker, &dockerfile, owner()).await;
    assert!(
        nobody.failure().message.contains("no connection"),
        "{}",
        nobody.failure().message
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_proves_who_asks() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    let server = Server::start(b"private", &[]).await;
    let mut secrets = Secrets::default();
    secrets.add_value("HTTP_AUTH_TOKEN_127.0.0.1", Secret::new(b"hunter2".to_vec()));
    let extras = Extras {
        secrets: Arc::new(secrets),
        ..owner()
    };
    build(&worker, &format!("FROM base\nADD {}/x /x\n", server.url), extras)
        .await
        .image();
    let asked = server.asked.lock().unwrap().concat();
    assert!(asked.contains("authorization: bearer hunter2"), "{asked}");
}
