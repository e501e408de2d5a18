//! Contexts and their content: offered, sent, resumed.

use serde_json::{Value, json};
use stagewright::token::Scope;
use stagewright_core::digest::Digest;
use tokio::io::AsyncWriteExt as _;

use super::refused;
use crate::client::{Answer, Ask};
use crate::worker::{Setup, Worker};

fn offer_of(content: &[u8]) -> Value {
    json!({ "entries": [
        { "path": "a", "mode": 0o644, "kind": { "file": { "digest": Digest::of(content), "size": content.len() } } },
        { "path": "empty", "mode": 0o755, "kind": "directory" },
        { "path": "link", "mode": 0o777, "kind": { "symlink": { "target": "a" } } },
    ] })
}

async fn offer(worker: &Worker, token: &str, offer: &Value) -> Answer {
    Ask::new("POST", "/v1/contexts")
        .by(token)
        .json(offer)
        .send(worker.address)
        .await
}

async fn put(worker: &Worker, token: &str, digest: &Digest, offset: usize, bytes: &[u8]) -> Answer {
    Ask::new("PUT", &format!("/v1/blobs/{digest}?offset={offset}"))
        .by(token)
        .bytes(bytes.to_vec())
        .send(worker.address)
        .await
}

async fn head(worker: &Worker, token: &str, digest: &Digest) -> Answer {
    Ask::new("HEAD", &format!("/v1/blobs/{digest}"))
        .by(token)
        .send(worker.address)
        .await
}

#[tokio::test]
async fn only_what_lacks_travels_and_the_same_context_costs_nothing() {
    let worker = Worker::start().await;
    let token = worker.token_for(&[Scope::Build]);
    let content = vec![7; 3 << 20];
    let digest = Digest::of(&content);
    let answer = offer(&worker, &token, &offer_of(&content)).await;
    assert_eq!(answer.status, 200);
    let answered = answer.json();
    assert_eq!(answered["lacks"], json!([{ "digest": digest, "have": 0 }]));
    let sent = put(&worker, &token, &digest, 0, &content).await;
    assert_eq!(sent.status, 201);
    assert_eq!(
        sent.json(),
        json!({ "digest": digest, "have": content.len(), "complete": true })
    );
    let again = offer(&worker, &token, &offer_of(&content)).await.json();
    assert_eq!((&again["id"], &again["lacks"]), (&answered["id"], &json!([])));
    // Sent again although it is here: nothing is wrong with that.
    assert_eq!(put(&worker, &token, &digest, 0, &content).await.status, 201);
}

#[tokio::test]
async fn a_client_killed_in_the_upload_goes_on_where_it_stopped() {
    let worker = Worker::start().await;
    let token = worker.token_for(&[Scope::Build]);
    let content: Vec<u8> = (0..5_000_000_u32).map(|number| (number % 251) as u8).collect();
    let digest = Digest::of(&content);
    offer(&worker, &token, &offer_of(&content)).await;
    let mut stream = Ask::new("PUT", &format!("/v1/blobs/{digest}"))
        .by(&token)
        .header("content-length", &content.len().to_string())
        .begin(worker.address)
        .await;
    stream.write_all(&content[..2_000_000]).await.unwrap();
    stream.flush().await.unwrap();
    drop(stream);
    let have = loop {
        let standing = head(&worker, &token, &digest).await;
        assert_eq!(
            (standing.status, standing.header("upload-complete")),
            (200, Some("?0"))
        );
        let have: usize = standing.header("upload-offset").unwrap().parse().unwrap();
        if have == 2_000_000 {
            break have;
        }
        tokio::task::yield_now().await;
    };
    // The worker may die as well.
    let worker = worker.restart().await;
    assert_eq!(
        head(&worker, &token, &digest).await.header("upload-offset"),
        Some("2000000")
    );
    let answered = offer(&worker, &token, &offer_of(&content)).await.json();
    assert_eq!(answered["lacks"], json!([{ "digest": digest, "have": have }]));
    let rest = loop {
        let rest = put(&worker, &token, &digest, have, &content[have..]).await;
        // The worker before was ended and not killed: in this process it may hold the file a moment longer.
        if rest.status != 409 {
            break rest;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(rest.status, 201);
    let standing = head(&worker, &token, &digest).await;
    assert_eq!(standing.header("upload-complete"), Some("?1"));
    assert_eq!(standing.header("upload-offset"), Some("5000000"));
}

#[tokio::test]
async fn pieces_out_of_order_or_of_something_else_are_refused() {
    let worker = Worker::start().await;
    let token = worker.token_for(&[Scope::Build]);
    let content = b"some content";
    let digest = Digest::of(content);
    refused(
        &put(&worker, &token, &digest, 0, content).await,
        404,
        "no context",
    );
    assert_eq!(head(&worker, &token, &digest).await.status, 404);
    offer(&worker, &token, &offer_of(content)).await;
    let piece = put(&worker, &token, &digest, 0, b"some").await;
    assert_eq!((piece.status, &piece.json()["have"]), (202, &json!(4)));
    let gap = put(&worker, &token, &digest, 6, b"ontent").await;
    refused(&gap, 409, "send from there");
    assert_eq!(gap.header("upload-offset"), Some("4"));
    refused(
        &put(&worker, &token, &digest, 4, b" cabbage").await,
        422,
        "thrown away",
    );
    assert_eq!(
        head(&worker, &token, &digest).await.header("upload-offset"),
        Some("0")
    );
    refused(
        &put(&worker, &token, &digest, 0, b"some content and more").await,
        422,
        "12 bytes",
    );
    assert_eq!(put(&worker, &token, &digest, 0, content).await.status, 201);
    refused(
        &Ask::new("PUT", "/v1/blobs/sha256:abc")
            .by(&token)
            .send(worker.address)
            .await,
        400,
        "64 hex digits",
    );
}

#[tokio::test]
async fn a_tar_is_offered_and_sent_in_the_same_way() {
    let worker = Worker::start().await;
    let token = worker.token_for(&[Scope::Build]);
    let tar = vec![0; 1024];
    let digest = Digest::of(&tar);
    let archive = json!({ "archive": { "digest": digest, "size": tar.len() } });
    let answered = offer(&worker, &token, &archive).await.json();
    assert_eq!(
        answered,
        json!({ "id": digest, "lacks": [{ "digest": digest, "have": 0 }] })
    );
    assert_eq!(put(&worker, &token, &digest, 0, &tar).await.status, 201);
    let answered = offer(&worker, &token, &archive).await.json();
    assert_eq!(answered, json!({ "id": digest, "lacks": [] }));
    let huge = json!({ "archive": { "digest": Digest::of(b"huge"), "size": u64::MAX } });
    refused(&offer(&worker, &token, &huge).await, 413, "bytes");
}

#[tokio::test]
async fn what_is_no_context_is_refused_in_a_sentence() {
    let worker = Worker::with(Setup::default()).await;
    let token = worker.token_for(&[Scope::Build]);
    let digest = Digest::of(b"x");
    for (body, status, said) in [
        (json!({}), 422, "one of the two"),
        (
            json!({ "entries": [], "archive": { "digest": digest, "size": 1 } }),
            422,
            "one of the two",
        ),
        (
            json!({ "entries": [{ "path": "../x", "mode": 0, "kind": "directory" }] }),
            422,
            "../x",
        ),
        (
            json!({ "entries": [{ "path": "x", "mode": -1, "kind": "directory" }] }),
            422,
            "entries[0].mode",
        ),
        (json!({ "entries": [], "name": "context" }), 422, "name"),
        (json!([]), 422, ""),
    ] {
        refused(&offer(&worker, &token, &body).await, status, said);
    }
    let no_json = Ask::new("POST", "/v1/contexts")
        .by(&token)
        .header("content-type", "application/json")
        .bytes(b"{".to_vec());
    refused(&no_json.send(worker.address).await, 400, "no JSON");
    let form = Ask::new("POST", "/v1/contexts").by(&token).bytes(b"{}".to_vec());
    refused(&form.send(worker.address).await, 415, "application/json");
}
