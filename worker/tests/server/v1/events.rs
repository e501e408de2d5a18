//! Following a build over HTTP: every event, once, in order, from wherever a client left off.

use std::time::Duration;

use futures_util::StreamExt as _;
use stagewright::server::Limits;
use stagewright::token::Scope;
use stagewright_core::protocol::{BuildEvent, Event};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use super::{page, refused};
use crate::backend::Act;
use crate::client::{Answer, Ask};
use crate::worker::{Setup, Worker};

/// The events of a stream, whose `id` has to be their number.
fn events(answer: &Answer) -> Vec<BuildEvent> {
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert!(answer.whole);
    let text = std::str::from_utf8(&answer.body).unwrap();
    text.split("\n\n")
        .filter_map(|block| {
            let field = |name: &str| {
                block
                    .lines()
                    .find_map(|line| line.strip_prefix(name).map(|value| value.trim_start().to_owned()))
            };
            let event: BuildEvent = serde_json::from_str(&field("data:")?).unwrap();
            assert_eq!(field("id:"), Some(event.seq.to_string()));
            Some(event)
        })
        .collect()
}

#[track_caller]
fn row(events: &[BuildEvent], since: u64) {
    for (event, seq) in events.iter().zip(since + 1..) {
        assert_eq!(event.seq, seq);
    }
    assert!(matches!(events.last().unwrap().event, Event::Done(_)));
}

#[tokio::test]
async fn a_stream_ends_after_the_last_event_and_goes_on_from_any() {
    let worker = Worker::start().await;
    let token = worker.token_for(&[Scope::Build]);
    let id = page(&worker).await.start_build("streamed").await;
    let path = format!("/v1/builds/{id}/events");
    let live = tokio::spawn({
        let (ask, address) = (Ask::get(&path).by(&token), worker.address);
        async move { ask.send(address).await }
    });
    worker.backend.act(&id, Act::Report(300)).await;
    worker.backend.act(&id, Act::Finish).await;
    let all = events(&live.await.unwrap());
    assert_eq!(all.len(), 301);
    row(&all, 0);
    for since in [1, 299] {
        let by_address = Ask::get(&format!("{path}?since={since}")).by(&token);
        row(&events(&by_address.send(worker.address).await), since);
        // What a client had last counts for more than what its address says.
        let by_header = Ask::get(&format!("{path}?since=5"))
            .by(&token)
            .header("last-event-id", &since.to_string());
        row(&events(&by_header.send(worker.address).await), since);
    }
    let over = Ask::get(&path).by(&token).header("last-event-id", "301");
    assert_eq!(over.send(worker.address).await.status, 204);
    let beyond = Ask::get(&format!("{path}?since=302")).by(&token);
    refused(&beyond.send(worker.address).await, 400, "from 0");
    let odd = Ask::get(&path).by(&token).header("last-event-id", "x");
    refused(&odd.send(worker.address).await, 400, "Last-Event-ID");
}

#[tokio::test]
async fn a_line_that_drops_loses_no_event() {
    let worker = Worker::start().await;
    let token = worker.token_for(&[Scope::Build]);
    let id = page(&worker).await.start_build("dropped").await;
    let path = format!("/v1/builds/{id}/events");
    worker.backend.act(&id, Act::Report(40)).await;
    let mut stream = Ask::get(&path).by(&token).begin(worker.address).await;
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("id: 7\n") {
        let mut buffer = [0; 1000];
        let count = stream.read(&mut buffer).await.unwrap();
        assert_ne!(count, 0);
        seen.extend_from_slice(&buffer[..count]);
    }
    drop(stream);
    worker.backend.act(&id, Act::Report(40)).await;
    worker.backend.act(&id, Act::Finish).await;
    let rest = Ask::get(&path).by(&token).header("last-event-id", "7");
    let rest = events(&rest.send(worker.address).await);
    assert_eq!(rest.len(), 74);
    row(&rest, 7);
}

#[tokio::test]
async fn a_quiet_stream_says_that_it_is_there() {
    let worker = Worker::with(Setup {
        limits: Limits {
            ping: Duration::from_millis(20),
            ..Limits::default()
        },
        ..Setup::default()
    })
    .await;
    let token = worker.token_for(&[Scope::Build]);
    let id = page(&worker).await.start_build("quiet").await;
    let mut stream = Ask::get(&format!("/v1/builds/{id}/events"))
        .by(&token)
        .begin(worker.address)
        .await;
    let mut seen = String::new();
    while seen.lines().filter(|line| line.starts_with(':')).count() < 3 {
        let mut buffer = [0; 1000];
        let count = stream.read(&mut buffer).await.unwrap();
        assert_ne!(count, 0);
        seen.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    assert!(!seen.contains("\ndata:"), "{seen}");
}

async fn follow(worker: &Worker, token: &str, path: &str) -> (Vec<BuildEvent>, Option<u16>) {
    let mut request = format!("ws://{}{path}", worker.address)
        .into_client_request()
        .unwrap();
    request
        .headers_mut()
        .insert("authorization", format!("Bearer {token}").parse().unwrap());
    let stream = TcpStream::connect(worker.address).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    let mut events = Vec::new();
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Text(text) => events.push(serde_json::from_str(&text).unwrap()),
            Message::Close(frame) => return (events, frame.map(|frame| u16::from(frame.code))),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_websocket_tells_the_same() {
    let worker = Worker::start().await;
    let token = worker.token_for(&[Scope::Build]);
    let id = page(&worker).await.start_build("socket").await;
    worker.backend.act(&id, Act::Report(50)).await;
    worker.backend.act(&id, Act::Finish).await;
    let path = format!("/v1/builds/{id}/events/ws");
    let (all, code) = follow(&worker, &token, &path).await;
    assert_eq!((all.len(), code), (51, Some(1000)));
    row(&all, 0);
    let (rest, code) = follow(&worker, &token, &format!("{path}?since=20")).await;
    assert_eq!(code, Some(1000));
    row(&rest, 20);
    let plain = Ask::get(&path).by(&token).send(worker.address).await;
    refused(&plain, 426, "WebSocket");
}

#[tokio::test]
async fn the_end_of_the_worker_is_the_end_of_a_stream() {
    let worker = Worker::start().await;
    let token = worker.token_for(&[Scope::Build]);
    let id = page(&worker).await.start_build("stopped").await;
    let mut stream = Ask::get(&format!("/v1/builds/{id}/events"))
        .by(&token)
        .begin(worker.address)
        .await;
    worker.backend.act(&id, Act::Report(1)).await;
    let mut byte = [0];
    stream.read_exact(&mut byte).await.unwrap();
    worker.stop.cancel();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    let rest = String::from_utf8(rest).unwrap();
    assert!(rest.contains("id: 2\n") && rest.contains("cancelled"), "{rest}");
    worker.running.await.unwrap().unwrap();
}
