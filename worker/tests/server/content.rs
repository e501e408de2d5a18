//! A context travels by content, and an interrupted upload goes on where it stopped.

use futures_util::SinkExt as _;
use serde_json::{Value, json};
use stagewright_core::digest::Digest;
use stagewright_core::protocol::{ContentFrame, error_code};
use tokio_tungstenite::tungstenite::Message;

use crate::client::Client;
use crate::worker::Worker;

fn offer(files: &[(&str, &[u8])]) -> Value {
    let entries: Vec<Value> = files
        .iter()
        .map(|(path, data)| {
            json!({ "path": path, "mode": 0o644, "kind": { "file": { "digest": Digest::of(data), "size": data.len() } } })
        })
        .collect();
    json!({ "name": "context", "entries": entries })
}

async fn send(client: &mut Client, whole: &[u8], from: usize, to: usize) {
    let frame = ContentFrame {
        digest: Digest::of(whole),
        offset: from as u64,
        data: &whole[from..to],
    };
    client.socket.send(Message::binary(frame.encode())).await.unwrap();
}

#[tokio::test]
async fn only_what_is_lacking_travels_and_an_upload_resumes() {
    let worker = Worker::start().await;
    let (mut client, session) = worker.client().await;
    let big: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    let files: [(&str, &[u8]); 3] = [("app.go", b"package main"), ("big", &big), ("empty", b"")];
    let answer = client.call("context.offer", offer(&files)).await.unwrap();
    assert_eq!(answer["lacks"].as_array().unwrap().len(), 3);

    send(&mut client, b"package main", 0, 12).await;
    assert_eq!(
        client.notification().await["params"]["digest"],
        json!(Digest::of(b"package main"))
    );
    send(&mut client, b"", 0, 0).await;
    assert_eq!(client.notification().await["method"], "content.received");
    send(&mut client, &big, 0, 1_000_000).await;
    // An answer to a later call tells that the piece before it was stored.
    client.call("build.list", json!(null)).await.unwrap();
    drop(client);

    let worker = worker.restart().await;
    let mut client = worker.client_of(&session).await;
    let again = client.call("context.offer", offer(&files)).await.unwrap();
    assert_eq!(again["id"], answer["id"]);
    assert_eq!(
        again["lacks"],
        json!([{ "digest": Digest::of(&big), "have": 1_000_000 }])
    );
    send(&mut client, &big, 1_000_000, 2_000_000).await;
    send(&mut client, &big, 2_000_000, 3_000_000).await;
    assert_eq!(
        client.notification().await["params"]["digest"],
        json!(Digest::of(&big))
    );
    let complete = client.call("context.offer", offer(&files)).await.unwrap();
    assert_eq!(complete["lacks"], json!([]));
}

#[tokio::test]
async fn content_that_nobody_asked_for_or_that_lies_is_refused() {
    let worker = Worker::start().await;
    let (mut client, _) = worker.client().await;
    send(&mut client, b"unasked", 0, 7).await;
    let refused = client.notification().await;
    assert_eq!(refused["method"], "content.refused");
    assert_eq!(refused["params"]["digest"], json!(Digest::of(b"unasked")));
    assert_eq!(refused["params"]["error"]["code"], json!(error_code::NOT_FOUND));

    client
        .call("context.offer", offer(&[("file", b"truth")]))
        .await
        .unwrap();
    let lie = ContentFrame {
        digest: Digest::of(b"truth"),
        offset: 0,
        data: b"lies!",
    };
    client.socket.send(Message::binary(lie.encode())).await.unwrap();
    let refused = client.notification().await;
    assert!(
        refused["params"]["error"]["message"]
            .as_str()
            .unwrap()
            .contains("send it again"),
        "{refused}"
    );
    client
        .call("context.offer", offer(&[("file", b"truth")]))
        .await
        .unwrap();
    send(&mut client, b"truth", 0, 5).await;
    assert_eq!(client.notification().await["method"], "content.received");
}

#[tokio::test]
async fn pieces_behind_a_refused_one_are_complained_of_once() {
    let worker = Worker::start().await;
    let (mut client, _) = worker.client().await;
    client
        .call("context.offer", offer(&[("file", b"0123456789")]))
        .await
        .unwrap();
    for start in [2, 4, 6, 8] {
        send(&mut client, b"0123456789", start, start + 2).await;
    }
    assert!(
        client.notification().await["params"]["error"]["message"]
            .as_str()
            .unwrap()
            .contains("send from there")
    );
    client.call("build.list", json!(null)).await.unwrap();
}

#[tokio::test]
async fn paths_that_lead_out_of_the_context_are_refused() {
    let worker = Worker::start().await;
    let (mut client, _) = worker.client().await;
    for path in [
        "../x",
        "/etc/passwd",
        "a/../../x",
        "a//b",
        "",
        ".",
        "a/./b",
        "a\0b",
    ] {
        let refused = client
            .call("context.offer", offer(&[(path, b"x")]))
            .await
            .unwrap_err();
        assert_eq!(refused.code, error_code::INVALID_PARAMS, "{path:?}");
    }
}
