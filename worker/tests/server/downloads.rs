//! Downloads: one use, a short life, and never half an archive that looks whole.

use std::time::Duration;

use serde_json::json;
use stagewright::server::Limits;
use stagewright_core::protocol::{OutputReady, error_code};

use crate::backend::Act;
use crate::client::{Client, get, http};
use crate::worker::{Setup, Worker};

async fn built(worker: &Worker, client: &mut Client) -> String {
    let id = client.start_build("href counter").await;
    worker.backend.act(&id, Act::Finish).await;
    client.call("build.attach", json!({ "id": id })).await.unwrap();
    client.event().await;
    id
}

async fn output(client: &mut Client, id: &str) -> OutputReady {
    let ready = client
        .call("build.output", json!({ "id": id, "format": "oci" }))
        .await
        .unwrap();
    serde_json::from_value(ready).unwrap()
}

#[tokio::test]
async fn address_is_good_for_one_download() {
    let worker = Worker::start().await;
    *worker.backend.export.lock().unwrap() = (100, false);
    let (mut client, _) = worker.client().await;
    let id = built(&worker, &mut client).await;
    let ready = output(&mut client, &id).await;
    assert_eq!(ready.file_name, "href-counter.oci.tar");
    let answer = get(worker.address, &ready.path).await;
    assert_eq!(
        (answer.status, answer.whole, answer.body.len()),
        (200, true, 100 << 16)
    );
    assert_eq!(answer.header("content-type"), Some("application/x-tar"));
    assert_eq!(
        answer.header("content-disposition"),
        Some("attachment; filename=\"href-counter.oci.tar\"")
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("set-cookie"), None);
    assert_eq!(get(worker.address, &ready.path).await.status, 404);
}

#[tokio::test]
async fn archive_that_breaks_off_does_not_look_whole() {
    let worker = Worker::start().await;
    *worker.backend.export.lock().unwrap() = (100, true);
    let (mut client, _) = worker.client().await;
    let id = built(&worker, &mut client).await;
    let ready = output(&mut client, &id).await;
    let answer = get(worker.address, &ready.path).await;
    assert_eq!((answer.status, answer.whole), (200, false));
    // What fails before the first byte has a status of its own.
    *worker.backend.export.lock().unwrap() = (0, true);
    let ready = output(&mut client, &id).await;
    let answer = get(worker.address, &ready.path).await;
    assert_eq!(answer.status, 500);
    assert!(
        answer.json()["detail"]
            .as_str()
            .unwrap()
            .contains("a layer vanished")
    );
}

#[tokio::test]
async fn address_expires_unused() {
    let limits = Limits {
        ticket: Duration::from_millis(1),
        ..Limits::default()
    };
    let worker = Worker::with(Setup {
        limits,
        ..Setup::default()
    })
    .await;
    let (mut client, _) = worker.client().await;
    let id = built(&worker, &mut client).await;
    let ready = output(&mut client, &id).await;
    tokio::time::sleep(Duration::from_millis(2)).await;
    let answer = get(worker.address, &ready.path).await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
}

#[tokio::test]
async fn looking_at_an_address_does_not_use_it_up() {
    let worker = Worker::start().await;
    let (mut client, _) = worker.client().await;
    let id = built(&worker, &mut client).await;
    let ready = output(&mut client, &id).await;
    let head = format!(
        "HEAD {} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
        ready.path, worker.address
    );
    assert_eq!(http(worker.address, &head).await.status, 405);
    assert_eq!(get(worker.address, &ready.path).await.status, 200);
}

#[tokio::test]
async fn build_without_an_image_has_no_download() {
    let worker = Worker::start().await;
    let (mut client, _) = worker.client().await;
    let id = client.start_build("running").await;
    let refused = client
        .call("build.output", json!({ "id": id, "format": "docker" }))
        .await
        .unwrap_err();
    assert_eq!(refused.code, error_code::NOT_FOUND);
}
