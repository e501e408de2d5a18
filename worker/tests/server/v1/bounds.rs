//! What is too much, too large or too slow.

use std::time::Duration;

use serde_json::json;
use stagewright::server::{Limits, Pace, Rate};
use stagewright::token::Scope;
use stagewright_core::digest::Digest;
use tokio::io::AsyncWriteExt as _;

use super::refused;
use crate::client::{Ask, read_answer};
use crate::worker::{Setup, Worker};

async fn with(limits: Limits) -> Worker {
    Worker::with(Setup {
        limits,
        ..Setup::default()
    })
    .await
}

#[tokio::test]
async fn a_token_that_asks_too_often_is_told_to_wait_and_others_are_not() {
    let worker = with(Limits {
        asking: Rate {
            burst: 3,
            per_second: 1,
        },
        ..Limits::default()
    })
    .await;
    let (busy, other) = (
        worker.token_for(&[Scope::Build]),
        worker.token_for(&[Scope::Build]),
    );
    let list = Ask::get("/v1/builds").by(&busy);
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(list.send(worker.address).await.status);
    }
    assert_eq!(statuses, [200, 200, 200, 429]);
    let answer = list.send(worker.address).await;
    refused(&answer, 429, "Retry-After");
    assert_eq!(answer.header("retry-after"), Some("1"));
    let answer = Ask::get("/v1/builds").by(&other).send(worker.address).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn pieces_of_contexts_have_a_measure_of_their_own() {
    let worker = with(Limits {
        asking: Rate {
            burst: 1,
            per_second: 1,
        },
        uploading: Rate {
            burst: 3,
            per_second: 1,
        },
        ..Limits::default()
    })
    .await;
    let token = worker.token_for(&[Scope::Build]);
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let put = Ask::new("PUT", &format!("/v1/blobs/{}", Digest::of(b"x"))).by(&token);
        statuses.push(put.send(worker.address).await.status);
    }
    assert_eq!(statuses, [404, 404, 404, 429]);
    let list = Ask::get("/v1/builds").by(&token);
    assert_eq!(list.send(worker.address).await.status, 200);
    refused(&list.send(worker.address).await, 429, "too often");
}

#[tokio::test]
async fn guessing_is_slowed_down_and_keeps_no_good_token_out() {
    let worker = with(Limits {
        refused: Rate {
            burst: 2,
            per_second: 1,
        },
        ..Limits::default()
    })
    .await;
    let mut statuses = Vec::new();
    for guess in 0..4 {
        let guess = Ask::get("/v1/builds").by(&format!("sw_{guess}"));
        statuses.push(guess.send(worker.address).await.status);
    }
    assert_eq!(statuses, [401, 401, 429, 429]);
    let token = worker.token_for(&[Scope::Build]);
    let answer = Ask::get("/v1/builds").by(&token).send(worker.address).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_document_past_its_size_is_refused_unread() {
    let worker = with(Limits {
        message: 1000,
        ..Limits::default()
    })
    .await;
    let token = worker.token_for(&[Scope::Build]);
    let offer = Ask::new("POST", "/v1/contexts").by(&token);
    let announced = offer.json(&json!({ "entries": [], "x": "x".repeat(1000) }));
    refused(&announced.send(worker.address).await, 413, "1000 bytes");
    // One that does not say how large it is.
    let mut stream = Ask::new("POST", "/v1/contexts")
        .by(&token)
        .header("content-type", "application/json")
        .header("transfer-encoding", "chunked\r\nx-content-length: 0")
        .begin(worker.address)
        .await;
    for _ in 0..3 {
        _ = stream
            .write_all(format!("190\r\n{}\r\n", " ".repeat(400)).as_bytes())
            .await;
    }
    refused(&read_answer(&mut stream).await, 413, "1000 bytes");
}

#[tokio::test]
async fn bodies_that_are_read_at_once_have_so_much_room_together() {
    let worker = with(Limits {
        bodies: 64 << 10,
        ..Limits::default()
    })
    .await;
    let token = worker.token_for(&[Scope::Build]);
    let offer = Ask::new("POST", "/v1/contexts")
        .by(&token)
        .header("content-type", "application/json");
    let waiting = offer
        .clone()
        .header("content-length", "60000")
        .begin(worker.address)
        .await;
    let small = offer.clone().bytes(b"{}".to_vec());
    let large = offer.bytes(vec![b' '; 6000]);
    loop {
        // The first may not have been read yet.
        let answer = large.send(worker.address).await;
        if answer.status == 503 {
            refused(&answer, 503, "room for");
            assert_eq!(answer.header("retry-after"), Some("1"));
            break;
        }
    }
    assert_eq!(small.send(worker.address).await.status, 422);
    drop(waiting);
    while large.send(worker.address).await.status == 503 {}
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let worker = with(Limits {
        pace: Pace {
            idle: Duration::from_millis(50),
            ..Limits::default().pace
        },
        ..Limits::default()
    })
    .await;
    let token = worker.token_for(&[Scope::Build]);
    for path in [
        "/v1/contexts".to_owned(),
        format!("/v1/blobs/{}", Digest::of(b"x")),
    ] {
        let method = if path.ends_with("contexts") { "POST" } else { "PUT" };
        let mut stream = Ask::new(method, &path)
            .by(&token)
            .header("content-type", "application/json")
            .header("content-length", "100")
            .begin(worker.address)
            .await;
        let answer = read_answer(&mut stream).await;
        if method == "POST" {
            refused(&answer, 408, "too slowly");
        } else {
            // Nobody asked for that content, so that there is nothing to wait for.
            assert!([404, 408].contains(&answer.status), "{}", answer.status);
        }
    }
}

#[tokio::test]
async fn a_body_that_drips_is_given_up() {
    let worker = with(Limits {
        pace: Pace {
            idle: Duration::from_secs(10),
            grace: Duration::from_millis(200),
            bytes_per_second: 1 << 20,
        },
        ..Limits::default()
    })
    .await;
    let token = worker.token_for(&[Scope::Build]);
    let mut stream = Ask::new("POST", "/v1/contexts")
        .by(&token)
        .header("content-type", "application/json")
        .header("content-length", "100000")
        .begin(worker.address)
        .await;
    let (mut reading, mut writing) = stream.split();
    let dripping = async {
        while writing.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        std::future::pending::<()>().await;
    };
    let answer = tokio::select! {
        answer = read_answer(&mut reading) => answer,
        () = dripping => unreachable!(),
    };
    refused(&answer, 408, "too slowly");
}

#[tokio::test]
async fn followers_are_bounded_and_their_place_is_given_back() {
    let worker = with(Limits {
        streams: 1,
        ..Limits::default()
    })
    .await;
    let token = worker.token_for(&[Scope::Build]);
    let id = super::page(&worker).await.start_build("watched").await;
    let follow = Ask::get(&format!("/v1/builds/{id}/events")).by(&token);
    let first = follow.begin(worker.address).await;
    let answer = loop {
        // The first may not have been answered yet.
        let answer = tokio::time::timeout(Duration::from_millis(200), follow.send(worker.address)).await;
        if let Ok(answer) = answer {
            break answer;
        }
    };
    refused(&answer, 503, "followed at once");
    assert!(answer.header("retry-after").is_some());
    drop(first);
    worker.backend.act(&id, crate::backend::Act::Finish).await;
    loop {
        let answer = follow.send(worker.address).await;
        if answer.status == 200 {
            break;
        }
        assert_eq!(answer.status, 503);
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_given_up() {
    let worker = with(Limits {
        silence: Duration::from_millis(300),
        streams: 1,
        ..Limits::default()
    })
    .await;
    let token = worker.token_for(&[Scope::Build]);
    let id = super::page(&worker).await.start_build("loud").await;
    let follow = Ask::get(&format!("/v1/builds/{id}/events")).by(&token);
    let _stuck = follow.begin(worker.address).await;
    // More than every buffer in between holds.
    worker.backend.act(&id, crate::backend::Act::Report(3_000)).await;
    worker.backend.act(&id, crate::backend::Act::Finish).await;
    // Its place comes free although it holds the connection.
    loop {
        let answer = follow.send(worker.address).await;
        if answer.status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
