//! What those are told who watch over a worker.

use stagewright::token::Scope;

use super::page;
use crate::backend::Act;
use crate::client::{Ask, get};
use crate::worker::Worker;

#[tokio::test]
async fn health_is_told_to_anybody_and_nothing_else_with_it() {
    let worker = Worker::start().await;
    for (path, body) in [
        ("/healthz", r#"{"status":"ok"}"#),
        ("/readyz", r#"{"status":"ready"}"#),
    ] {
        let answer = get(worker.address, path).await;
        assert_eq!((answer.status, answer.body.as_slice()), (200, body.as_bytes()));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}

#[tokio::test]
async fn figures_follow_what_happens() {
    let worker = Worker::start().await;
    let token = worker.token_for(&[Scope::Plan]);
    let mut client = page(&worker).await;
    let id = client.start_build("counted").await;
    client.start_build("still at work").await;
    worker.backend.act(&id, Act::Report(3)).await;
    worker.backend.act(&id, Act::Finish).await;
    let text = loop {
        let answer = Ask::get("/metrics").by(&token).send(worker.address).await;
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.header("content-type"),
            Some("text/plain; version=0.0.4; charset=utf-8")
        );
        let text = String::from_utf8(answer.body).unwrap();
        if text.contains("stagewright_builds_ended_total{state=\"done\"} 1\n") {
            break text;
        }
    };
    for line in [
        "stagewright_builds{state=\"done\"} 1",
        "stagewright_builds{state=\"running\"} 1",
        "stagewright_queue_length 0",
        "stagewright_steps_total{result=\"run\"} 3",
        "stagewright_build_duration_seconds_bucket{le=\"+Inf\"} 1",
        "stagewright_build_duration_seconds_count 1",
        "# TYPE stagewright_build_duration_seconds histogram",
    ] {
        assert!(text.lines().any(|told| told == line), "{line}\n{text}");
    }
    // Each family is explained, and each line is a comment or a name and a number.
    for line in text.lines().filter(|line| !line.starts_with("# ")) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let family = name.split('{').next().unwrap();
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| family.strip_suffix(end))
            .unwrap_or(family);
        assert!(text.contains(&format!("# TYPE {family} ")), "{line}");
    }
}
