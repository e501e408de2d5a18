//! Following a build: every event, once, in order, whatever happens to the connection.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use stagewright::server::Limits;
use stagewright_core::protocol::{BuildState, BuildSummary, Event, error_code};
use tokio_tungstenite::tungstenite::Message;

use crate::backend::Act;
use crate::client::Client;
use crate::worker::{Setup, Worker};

async fn attach(client: &mut Client, id: &str, since: u64) -> BuildSummary {
    let summary = client
        .call("build.attach", json!({ "id": id, "since": since }))
        .await
        .unwrap();
    serde_json::from_value(summary).unwrap()
}

/// Reads events until the build's end; the numbers have to follow `since` without gaps.
async fn follow(client: &mut Client, since: u64) -> Event {
    let mut expected = since;
    loop {
        let event = client.event().await;
        expected += 1;
        assert_eq!(event.seq, expected);
        match event.event {
            Event::Status(_) | Event::Layer(_) => {}
            Event::Done(_) | Event::Failed(_) | Event::Cancelled => return event.event,
        }
    }
}

#[tokio::test]
async fn past_and_live_events_make_one_row_from_any_point() {
    let worker = Worker::start().await;
    let (mut client, session) = worker.client().await;
    let id = client.start_build("row").await;
    worker.backend.act(&id, Act::Report(50)).await;
    attach(&mut client, &id, 0).await;
    while client.event().await.seq < 20 {}

    let mut followers = Vec::new();
    for since in [0, 1, 7, 20] {
        let mut other = worker.client_of(&session).await;
        attach(&mut other, &id, since).await;
        followers.push(tokio::spawn(async move { follow(&mut other, since).await }));
    }
    worker.backend.act(&id, Act::Report(50)).await;
    worker.backend.act(&id, Act::Finish).await;
    for follower in followers {
        assert!(matches!(follower.await.unwrap(), Event::Done(_)));
    }
    // Afterwards it is told again from the record.
    let mut late = worker.client_of(&session).await;
    let summary = attach(&mut late, &id, 95).await;
    assert_eq!(summary.state, BuildState::Done);
    follow(&mut late, 95).await;
}

#[tokio::test]
async fn reload_during_a_build_finds_it_again() {
    let worker = Worker::start().await;
    let (mut client, session) = worker.client().await;
    let id = client.start_build("reload").await;
    attach(&mut client, &id, 0).await;
    worker.backend.act(&id, Act::Report(10)).await;
    let mut seen = 0;
    while seen < 5 {
        seen = client.event().await.seq;
    }
    drop(client);
    worker.backend.act(&id, Act::Report(10)).await;

    let mut client = Client::connect(worker.address).await;
    let welcome = client.call("hello", json!({ "session": session })).await.unwrap();
    assert_eq!(welcome["builds"][0]["id"], json!(id));
    assert_eq!(welcome["builds"][0]["state"], "running");
    attach(&mut client, &id, seen).await;
    worker.backend.act(&id, Act::Finish).await;
    follow(&mut client, seen).await;
}

#[tokio::test]
async fn following_again_on_the_same_connection_begins_anew() {
    let worker = Worker::start().await;
    let (mut client, _) = worker.client().await;
    let id = client.start_build("twice").await;
    worker.backend.act(&id, Act::Report(30)).await;
    attach(&mut client, &id, 0).await;
    attach(&mut client, &id, 0).await;
    // What came before the second answer belongs to the first.
    client.notifications.clear();
    worker.backend.act(&id, Act::Finish).await;
    follow(&mut client, 0).await;
}

#[tokio::test]
async fn point_beyond_the_newest_event_is_refused() {
    let worker = Worker::start().await;
    let (mut client, _) = worker.client().await;
    let id = client.start_build("beyond").await;
    let refusal = client
        .call("build.attach", json!({ "id": id, "since": 1000 }))
        .await
        .unwrap_err();
    assert_eq!(refusal.code, error_code::INVALID_PARAMS);
    assert!(refusal.message.contains("from 0"), "{}", refusal.message);
}

#[tokio::test]
async fn slow_reader_gets_every_event_and_holds_nobody_up() {
    let worker = Worker::start().await;
    let (mut slow, session) = worker.client().await;
    let id = slow.start_build("slow").await;
    attach(&mut slow, &id, 0).await;
    // Far more than the outbox and the kernel's buffers hold, and the slow client reads nothing of it yet.
    worker.backend.act(&id, Act::Report(3_000)).await;
    worker.backend.act(&id, Act::Finish).await;
    let mut quick = worker.client_of(&session).await;
    attach(&mut quick, &id, 0).await;
    assert!(matches!(follow(&mut quick, 0).await, Event::Done(_)));
    assert!(matches!(follow(&mut slow, 0).await, Event::Done(_)));
}

#[tokio::test]
async fn client_that_does_not_answer_pings_is_given_up() {
    let limits = Limits {
        ping: Duration::from_millis(20),
        silence: Duration::from_millis(1500),
        ..Limits::default()
    };
    let worker = Worker::with(Setup {
        limits,
        ..Setup::default()
    })
    .await;
    // A client answers pings while it reads. This one does not read, so its answers never leave.
    let (mut silent, session) = worker.client().await;
    let mut lively = worker.client_of(&session).await;
    let reading = tokio::spawn(async move {
        let mut pings = 0;
        // Longer than the silence that is allowed.
        while pings < 100 {
            if let Message::Ping(_) = lively.socket.next().await.unwrap().unwrap() {
                pings += 1;
            }
        }
        lively
    });
    let mut lively = reading.await.unwrap();
    lively.call("build.list", json!(null)).await.unwrap();
    let mut end = silent.socket.next().await;
    while let Some(Ok(message)) = end {
        assert!(
            !matches!(message, Message::Close(_)),
            "given up, not closed in order"
        );
        end = silent.socket.next().await;
    }
    assert!(silent.socket.send(Message::text("{}")).await.is_err());
}

#[tokio::test]
async fn cancel_ends_the_build_and_its_followers_hear_of_it() {
    let worker = Worker::start().await;
    let (mut client, _) = worker.client().await;
    let id = client.start_build("cancel").await;
    attach(&mut client, &id, 0).await;
    client.call("build.cancel", json!({ "id": id })).await.unwrap();
    assert_eq!(follow(&mut client, 0).await, Event::Cancelled);
    let listed = client.call("build.list", json!(null)).await.unwrap();
    assert_eq!(listed[0]["state"], "cancelled");
}
