//! Who may ask for what.

use serde_json::json;
use stagewright::token::{Scope, Tokens};

use super::refused;
use crate::client::{Ask, get};
use crate::worker::Worker;

#[tokio::test]
async fn nothing_is_said_without_a_token() {
    let worker = Worker::start().await;
    for (method, path) in [
        ("GET", "/v1/builds"),
        ("GET", "/v1/builds/1"),
        ("DELETE", "/v1/builds/1"),
        ("POST", "/v1/builds/1/cancel"),
        ("GET", "/v1/builds/1/events"),
        ("GET", "/v1/builds/1/events/ws"),
        ("GET", "/v1/builds/1/logs"),
        ("GET", "/v1/builds/1/layers"),
        ("GET", "/v1/builds/1/image"),
        ("POST", "/v1/contexts"),
        ("PUT", "/v1/blobs/x"),
        ("GET", "/metrics"),
    ] {
        let answer = Ask::new(method, path).send(worker.address).await;
        refused(&answer, 401, "token create");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{path}");
    }
    for wrong in ["sw_guess", "guess", &worker.token().await] {
        let answer = Ask::get("/v1/builds").by(wrong).send(worker.address).await;
        refused(&answer, 401, "not good here");
    }
    let token = worker.token_for(&[Scope::Admin]);
    let twice = Ask::get("/v1/builds")
        .by(&token)
        .by(&token)
        .send(worker.address)
        .await;
    assert_eq!(twice.status, 401);
    let in_the_address = get(worker.address, &format!("/v1/builds?token={token}")).await;
    assert_eq!(in_the_address.status, 401);
}

#[tokio::test]
async fn a_token_allows_what_its_scopes_say() {
    let worker = Worker::start().await;
    let status = async |scopes: &[Scope], method: &str, path: &str| {
        let token = worker.token_for(scopes);
        Ask::new(method, path)
            .by(&token)
            .send(worker.address)
            .await
            .status
    };
    assert_eq!(status(&[Scope::Build], "GET", "/v1/builds").await, 200);
    assert_eq!(status(&[Scope::Admin], "GET", "/v1/builds").await, 200);
    for scopes in [&[][..], &[Scope::Plan], &[Scope::Push]] {
        assert_eq!(status(scopes, "GET", "/v1/builds").await, 403);
        assert_eq!(status(scopes, "POST", "/v1/contexts").await, 403);
        assert_eq!(status(scopes, "GET", "/metrics").await, 200);
    }
    let token = worker.token_for(&[Scope::Plan]);
    let answer = Ask::get("/v1/builds").by(&token).send(worker.address).await;
    refused(&answer, 403, "the scope build");
}

#[tokio::test]
async fn a_token_that_is_made_or_revoked_while_the_worker_serves_counts_at_once() {
    let worker = Worker::start().await;
    let tokens = Tokens::of(worker.state.path());
    let (token, kept) = tokens
        .create(Some("ci"), [Scope::Build].into_iter().collect(), None)
        .unwrap();
    let list = Ask::get("/v1/builds").by(&token);
    assert_eq!(list.send(worker.address).await.status, 200);
    // The day is noted in the background.
    while tokens.list().unwrap()[0].last_used.is_none() {
        tokio::task::yield_now().await;
    }
    tokens.revoke(&kept.id).unwrap();
    refused(&list.send(worker.address).await, 401, "revoked");
}

#[tokio::test]
async fn a_session_of_the_page_may_build_and_plan() {
    let worker = Worker::start().await;
    let (mut client, session) = worker.client().await;
    let id = client.start_build("mine").await;
    let listed = Ask::get("/v1/builds").by(&session).send(worker.address).await;
    assert_eq!(listed.status, 200);
    assert_eq!(listed.json()["builds"][0]["id"], json!(id));
    let metrics = Ask::get("/metrics").by(&session).send(worker.address).await;
    assert_eq!(metrics.status, 200);
}

#[tokio::test]
async fn foreign_pages_and_names_are_refused_whatever_they_show() {
    let worker = Worker::start().await;
    let token = worker.token_for(&[Scope::Admin]);
    let foreign = Ask::get("/v1/builds")
        .by(&token)
        .header("origin", "https://evil.example")
        .send(worker.address)
        .await;
    refused(&foreign, 403, "evil.example");
    let rebound = Ask::get("/v1/builds")
        .by(&token)
        .header("host", "evil.example")
        .send(worker.address)
        .await;
    refused(&rebound, 421, "evil.example");
    for path in ["/healthz", "/readyz", "/v1/openapi.json"] {
        let rebound = Ask::get(path)
            .header("host", "evil.example")
            .send(worker.address)
            .await;
        assert_eq!(rebound.status, 421, "{path}");
    }
}
