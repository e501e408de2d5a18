//! Calls that are wrong, many, or fail: each has its answer, and the connection lives on.

use futures_util::SinkExt as _;
use serde_json::json;
use stagewright::server::Limits;
use stagewright_core::digest::Digest;
use stagewright_core::protocol::error_code;
use tokio_tungstenite::tungstenite::Message;

use crate::client::empty_build;
use crate::worker::{Setup, Worker};

#[tokio::test]
async fn wrong_messages_are_answered_and_the_connection_lives_on() {
    let worker = Worker::start().await;
    let (mut client, _) = worker.client().await;
    for (text, code) in [
        ("{", error_code::PARSE),
        ("[]", error_code::INVALID_REQUEST),
        (
            r#"{"jsonrpc":"1.0","id":null,"method":"x"}"#,
            error_code::INVALID_REQUEST,
        ),
        (r#"{"jsonrpc":"2.0"}"#, error_code::INVALID_REQUEST),
    ] {
        client.send_text(text).await;
        let answer = client.message().await.unwrap();
        assert_eq!(answer["id"], json!(null), "{text}");
        assert_eq!(answer["error"]["code"], json!(code), "{text}");
    }
    client.socket.send(Message::binary(vec![0; 10])).await.unwrap();
    assert_eq!(
        client.message().await.unwrap()["error"]["code"],
        json!(error_code::INVALID_REQUEST)
    );

    let unknown = client.call("build.destroy", json!({})).await.unwrap_err();
    assert_eq!(unknown.code, error_code::METHOD_NOT_FOUND);
    assert!(unknown.message.contains("build.start"), "{}", unknown.message);
    let params = client
        .call("build.attach", json!({ "id": "1", "since": "x" }))
        .await
        .unwrap_err();
    assert_eq!(params.code, error_code::INVALID_PARAMS);
    assert!(params.message.starts_with("params.since: "), "{}", params.message);
    let again = client.call("hello", json!({})).await.unwrap_err();
    assert_eq!(again.code, error_code::INVALID_REQUEST);
    for method in ["build.attach", "build.cancel", "build.output"] {
        let missing = client
            .call(method, json!({ "id": "77", "format": "oci" }))
            .await
            .unwrap_err();
        assert_eq!(missing.code, error_code::NOT_FOUND, "{method}");
    }
    let upstream = client
        .call(
            "image.resolve",
            json!({ "reference": "unreachable", "platform": { "os": "linux", "architecture": "amd64" } }),
        )
        .await
        .unwrap_err();
    assert_eq!(upstream.code, error_code::UPSTREAM);
    client.call("build.list", json!(null)).await.unwrap();
}

#[tokio::test]
async fn fault_inside_the_worker_is_an_answer_too() {
    let worker = Worker::start().await;
    let (mut client, _) = worker.client().await;
    let platform = json!({ "os": "linux", "architecture": "amd64" });
    let fault = client
        .call(
            "image.resolve",
            json!({ "reference": "panic", "platform": platform }),
        )
        .await;
    assert_eq!(fault.unwrap_err().code, error_code::INTERNAL);
    client.call("build.list", json!(null)).await.unwrap();
}

#[tokio::test]
async fn slow_calls_hold_up_no_others_and_are_bounded() {
    let limits = Limits {
        calls: 3,
        ..Limits::default()
    };
    let worker = Worker::with(Setup {
        limits,
        ..Setup::default()
    })
    .await;
    let (mut client, session) = worker.client().await;
    let never = json!({ "reference": "never", "platform": { "os": "linux", "architecture": "amd64" } });
    client.ask("image.resolve", never.clone()).await;
    client.ask("image.resolve", never.clone()).await;
    client.call("build.list", json!(null)).await.unwrap();

    let mut client = worker.client_of(&session).await;
    for _ in 0..3 {
        client.ask("image.resolve", never.clone()).await;
    }
    let refused = client.call("image.resolve", never).await.unwrap_err();
    assert_eq!(refused.code, error_code::LIMIT);
}

#[tokio::test]
async fn notification_is_obeyed_but_not_answered() {
    let worker = Worker::start().await;
    let (mut client, _) = worker.client().await;
    let id = client.start_build("quiet").await;
    client
        .send_text(json!({ "jsonrpc": "2.0", "method": "build.cancel", "params": { "id": id } }).to_string())
        .await;
    client
        .send_text(json!({ "jsonrpc": "2.0", "method": "build.destroy" }).to_string())
        .await;
    client.call("build.attach", json!({ "id": id })).await.unwrap();
    assert_eq!(
        client.event().await.event,
        stagewright_core::protocol::Event::Cancelled
    );
}

#[tokio::test]
async fn plan_other_than_the_one_shown_is_not_run() {
    let worker = Worker::start().await;
    let (mut client, _) = worker.client().await;
    let mut build = empty_build("other");
    build["digest"] = json!(Digest::of(b"what the page showed"));
    let refused = client.call("build.start", build).await.unwrap_err();
    assert_eq!(refused.code, error_code::INVALID_PARAMS);
    let mut build = empty_build("garbage");
    build["ops"] = json!([{ "bytes": "//8=", "name": "x" }]);
    build["digest"] = json!(Digest::of(Digest::of(&[0xff, 0xff]).as_str().as_bytes()));
    assert_eq!(
        client.call("build.start", build).await.unwrap_err().code,
        error_code::INVALID_PARAMS
    );
    assert_eq!(client.call("build.list", json!(null)).await.unwrap(), json!([]));
}

#[tokio::test]
async fn message_beyond_the_bound_ends_the_connection_only() {
    let limits = Limits {
        message: 10_000,
        ..Limits::default()
    };
    let worker = Worker::with(Setup {
        limits,
        ..Setup::default()
    })
    .await;
    let (mut client, session) = worker.client().await;
    // The server may close before all of it was sent.
    _ = client.socket.send(Message::text(" ".repeat(10_001))).await;
    if let Some(frame) = client.closed().await {
        assert_eq!(u16::from(frame.code), 1009);
    }
    worker.client_of(&session).await;
}
