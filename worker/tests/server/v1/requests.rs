//! Builds that are asked for by a request.

use serde_json::{Value, json};
use stagewright::token::Scope;
use stagewright_core::digest::Digest;

use super::refused;
use crate::backend::Act;
use crate::client::{Answer, Ask};
use crate::worker::Worker;

async fn start(worker: &Worker, token: &str, request: &Value) -> Answer {
    Ask::new("POST", "/v1/builds")
        .by(token)
        .json(request)
        .send(worker.address)
        .await
}

async fn show(worker: &Worker, token: &str, id: &str) -> Value {
    let answer = Ask::get(&format!("/v1/builds/{id}"))
        .by(token)
        .send(worker.address)
        .await;
    assert_eq!(answer.status, 200);
    answer.json()
}

async fn ended(worker: &Worker, token: &str, id: &str) -> Value {
    loop {
        let build = show(worker, token, id).await;
        if !["queued", "running"].contains(&build["state"].as_str().unwrap()) {
            return build;
        }
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    }
}

/// Offers a context and sends what it lacks; its id.
async fn send(worker: &Worker, token: &str, offer: &Value, content: &[u8]) -> String {
    let answered = Ask::new("POST", "/v1/contexts")
        .by(token)
        .json(offer)
        .send(worker.address)
        .await
        .json();
    let put = Ask::new("PUT", &format!("/v1/blobs/{}", Digest::of(content)))
        .by(token)
        .bytes(content.to_vec());
    assert_eq!(put.send(worker.address).await.status, 201);
    answered["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_is_started_followed_and_told_with_what_was_asked_for() {
    let worker = Worker::start().await;
    let token = worker.token_for(&[Scope::Build]);
    let request = json!({
        "dockerfile": "FROM scratch\nLABEL a=b\n", "labels": ["c=d"], "secrets": ["word=hunter2"], "no-cache": true,
    });
    let started = start(&worker, &token, &request).await;
    assert_eq!(started.status, 201);
    let id = started.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(
        started.header("location"),
        Some(format!("/v1/builds/{id}").as_str())
    );
    worker.backend.act(&id, Act::Report(2)).await;
    worker.backend.act(&id, Act::Finish).await;
    let events = Ask::get(&format!("/v1/builds/{id}/events")).by(&token);
    let events = events.send(worker.address).await;
    let text = String::from_utf8(events.body).unwrap();
    assert!(
        text.contains("planning the build") && text.contains("\"done\""),
        "{text}"
    );
    let build = ended(&worker, &token, &id).await;
    assert_eq!(build["state"], "done");
    assert_eq!(
        build["request"],
        json!({ "dockerfile": "FROM scratch\nLABEL a=b\n", "labels": ["c=d"], "no-cache": true })
    );
    assert!(!build.to_string().contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_context_that_was_sent_is_built_as_files_and_as_a_tar() {
    let worker = Worker::start().await;
    let token = worker.token_for(&[Scope::Build]);
    let dockerfile = b"FROM scratch\nCOPY Dockerfile /\n";
    let file = json!({ "file": { "digest": Digest::of(dockerfile), "size": dockerfile.len() } });
    let entries = json!({ "entries": [{ "path": "Dockerfile", "mode": 0o644, "kind": file }] });
    let content = send(&worker, &token, &entries, dockerfile).await;
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(dockerfile.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, "Dockerfile", &dockerfile[..])
        .unwrap();
    let tar = tar.into_inner().unwrap();
    let archive = json!({ "archive": { "digest": Digest::of(&tar), "size": tar.len() } });
    let upload = send(&worker, &token, &archive, &tar).await;
    for context in [format!("content:{content}"), format!("upload:{upload}")] {
        let started = start(&worker, &token, &json!({ "context": context })).await;
        assert_eq!(started.status, 201, "{context}");
        let id = started.json()["id"].as_str().unwrap().to_owned();
        worker.backend.act(&id, Act::Finish).await;
        assert_eq!(ended(&worker, &token, &id).await["state"], "done", "{context}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn to_push_takes_the_scope_for_it() {
    let worker = Worker::start().await;
    let pushing =
        json!({ "dockerfile": "FROM scratch\nLABEL a=b\n", "tags": ["127.0.0.1:9/a"], "push": true });
    let by_output =
        json!({ "dockerfile": "FROM scratch\nLABEL a=b\n", "outputs": ["type=registry,name=127.0.0.1:9/a"] });
    let caching =
        json!({ "dockerfile": "FROM scratch\nLABEL a=b\n", "cache-to": ["type=registry,ref=127.0.0.1:9/a"] });
    let without = worker.token_for(&[Scope::Build, Scope::Plan]);
    for request in [&pushing, &by_output, &caching] {
        refused(&start(&worker, &without, request).await, 403, "the scope push");
    }
    let only_push = worker.token_for(&[Scope::Push]);
    refused(
        &start(&worker, &only_push, &pushing).await,
        403,
        "the scope build",
    );
    assert!(worker.builds.list().is_empty());
    for scopes in [&[Scope::Build, Scope::Push][..], &[Scope::Admin]] {
        let with = worker.token_for(scopes);
        assert_eq!(start(&worker, &with, &pushing).await.status, 201);
    }
    let (_, session) = worker.client().await;
    refused(
        &start(&worker, &session, &pushing).await,
        403,
        "the page's session",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_for_is_refused_before_it_is_recorded() {
    let worker = Worker::start().await;
    let token = worker.token_for(&[Scope::Admin]);
    for (request, status, said, field) in [
        (
            json!({}),
            422,
            "neither a Dockerfile nor a context",
            json!("dockerfile"),
        ),
        (
            json!({ "dockerfile": "FROM a", "load": true }),
            422,
            "no engine",
            json!("load"),
        ),
        (
            json!({ "dockerfile": "FROM a", "tag": "x" }),
            422,
            "unknown field `tag`",
            Value::Null,
        ),
        (json!({ "context": "/etc" }), 422, "/etc", json!("context")),
        (
            json!({ "context": format!("content:{}", Digest::of(b"unknown")) }),
            422,
            "offer it first",
            json!("context"),
        ),
        (
            json!({ "dockerfile": "FROM a", "network": "host" }),
            403,
            "insecure-entitlements",
            json!("network"),
        ),
    ] {
        let answer = start(&worker, &token, &request).await;
        refused(&answer, status, said);
        assert_eq!(answer.json()["field"], field, "{request}");
    }
    assert!(worker.builds.list().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_says_when_to_come_again() {
    let worker = Worker::start().await;
    let token = worker.token_for(&[Scope::Build]);
    let request = json!({ "dockerfile": "FROM scratch\nLABEL a=b\n" });
    let answer = loop {
        let answer = start(&worker, &token, &request).await;
        if answer.status != 201 {
            break answer;
        }
    };
    refused(&answer, 503, "running or waiting");
    assert_eq!(answer.header("retry-after"), Some("10"));
    let limits = worker.builds.limits();
    assert_eq!(worker.builds.list().len(), limits.queued + limits.running);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_a_build_kept_are_a_download() {
    let worker = Worker::start().await;
    let token = worker.token_for(&[Scope::Build]);
    let started = start(
        &worker,
        &token,
        &json!({ "dockerfile": "FROM scratch\nLABEL a=b\n" }),
    )
    .await;
    let id = started.json()["id"].as_str().unwrap().to_owned();
    worker.backend.act(&id, Act::Finish).await;
    ended(&worker, &token, &id).await;
    let path = format!("/v1/builds/{id}/files");
    let get = async |query: &str| {
        Ask::get(&format!("{path}{query}"))
            .by(&token)
            .send(worker.address)
            .await
    };
    refused(&get("").await, 404, "kept no such files");
    let kept = worker.builds.folder(&id).unwrap().join("files");
    std::fs::create_dir_all(&kept).unwrap();
    std::fs::write(kept.join("linux_amd64.tar"), vec![1; 200_000]).unwrap();
    let answer = get("").await;
    assert_eq!(
        (answer.status, answer.whole, answer.body.len()),
        (200, true, 200_000)
    );
    assert_eq!(answer.header("content-type"), Some("application/x-tar"));
    std::fs::write(kept.join("linux_arm64.tar"), b"arm").unwrap();
    refused(&get("").await, 400, "linux_amd64, linux_arm64");
    assert_eq!(get("?platform=linux/arm64").await.body, b"arm");
    refused(&get("?platform=linux/riscv64").await, 404, "kept no such files");
    assert_eq!(
        show(&worker, &token, &id).await["files"],
        json!(["linux_amd64", "linux_arm64"])
    );
}
