//! The end of a worker: builds are cancelled and recorded, clients are told, nothing hangs.

use std::time::Duration;

use serde_json::json;
use stagewright::server::Limits;
use stagewright_core::protocol::Event;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::backend::Act;
use crate::worker::{Setup, Worker};

#[tokio::test]
async fn stopping_cancels_builds_and_tells_their_followers() {
    let worker = Worker::start().await;
    let (mut client, session) = worker.client().await;
    let id = client.start_build("stopped").await;
    client.call("build.attach", json!({ "id": id })).await.unwrap();
    worker.backend.act(&id, Act::Report(3)).await;
    assert_eq!(client.event().await.seq, 1);
    let restarting = tokio::spawn(worker.restart());
    let mut last = client.event().await;
    while !matches!(last.event, Event::Cancelled) {
        last = client.event().await;
    }
    assert_eq!(last.seq, 4);
    assert_eq!(u16::from(client.closed().await.unwrap().code), 1001);

    let worker = restarting.await.unwrap();
    let mut client = worker.client_of(&session).await;
    let listed = client.call("build.list", json!(null)).await.unwrap();
    assert_eq!(
        (&listed[0]["id"], &listed[0]["state"]),
        (&json!(id), &json!("cancelled"))
    );
}

#[tokio::test]
async fn clients_that_do_not_let_go_do_not_keep_the_worker() {
    let limits = Limits {
        farewell: Duration::from_millis(100),
        ..Limits::default()
    };
    let worker = Worker::with(Setup {
        limits,
        ..Setup::default()
    })
    .await;
    let (_open, _) = worker.client().await;
    let _idle = TcpStream::connect(worker.address).await.unwrap();
    worker.stop.cancel();
    worker.running.await.unwrap().unwrap();
}

#[tokio::test]
async fn connection_without_a_request_is_closed_in_time() {
    let limits = Limits {
        headers: Duration::from_millis(50),
        ..Limits::default()
    };
    let worker = Worker::with(Setup {
        limits,
        ..Setup::default()
    })
    .await;
    let mut idle = TcpStream::connect(worker.address).await.unwrap();
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
}
