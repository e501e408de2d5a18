//! Builds: listed, looked at, cancelled, forgotten, and what came of them.

use serde_json::{Value, json};
use stagewright::token::Scope;
use stagewright_core::digest::Digest;
use stagewright_core::protocol::ImageLayer;

use super::{page, refused};
use crate::backend::Act;
use crate::client::{Answer, Ask};
use crate::worker::Worker;

struct Caller {
    worker: Worker,
    token: String,
}

impl Caller {
    async fn new() -> Self {
        let worker = Worker::start().await;
        let token = worker.token_for(&[Scope::Build]);
        Self { worker, token }
    }

    async fn ask(&self, method: &str, path: &str) -> Answer {
        Ask::new(method, path)
            .by(&self.token)
            .send(self.worker.address)
            .await
    }

    async fn json(&self, path: &str) -> Value {
        let answer = self.ask("GET", path).await;
        assert_eq!(answer.status, 200, "{path}");
        answer.json()
    }

    /// A build that has ended, after so many events.
    async fn built(&self, title: &str, events: u64) -> String {
        let mut client = page(&self.worker).await;
        let id = client.start_build(title).await;
        self.worker.backend.act(&id, Act::Report(events)).await;
        self.worker.backend.act(&id, Act::Finish).await;
        while self.json(&format!("/v1/builds/{id}")).await["state"] != "done" {
            tokio::task::yield_now().await;
        }
        id
    }
}

#[tokio::test]
async fn builds_come_in_pages_newest_first_and_by_state() {
    let caller = Caller::new().await;
    let mut client = page(&caller.worker).await;
    for number in 0..5 {
        client.start_build(&format!("build {number}")).await;
    }
    let ids = |listed: &Value| -> Vec<String> {
        let builds = listed["builds"].as_array().unwrap();
        builds
            .iter()
            .map(|build| build["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = caller.json("/v1/builds?limit=2").await;
    assert_eq!(
        (ids(&first), &first["next"]),
        (vec!["5".into(), "4".into()], &json!(4))
    );
    let second = caller.json("/v1/builds?limit=2&before=4").await;
    assert_eq!(
        (ids(&second), &second["next"]),
        (vec!["3".into(), "2".into()], &json!(2))
    );
    let last = caller.json("/v1/builds?limit=2&before=2").await;
    assert_eq!((ids(&last), &last["next"]), (vec!["1".into()], &Value::Null));
    caller.worker.backend.act("1", Act::Finish).await;
    while ids(&caller.json("/v1/builds?state=done").await) != ["1"] {
        tokio::task::yield_now().await;
    }
    for wrong in [
        "state=odd",
        "limit=0",
        "limit=201",
        "before=-1",
        "before=x",
        "page=2",
        "state=done&state=done",
    ] {
        refused(&caller.ask("GET", &format!("/v1/builds?{wrong}")).await, 400, "");
    }
}

#[tokio::test]
async fn one_build_is_told_with_its_image_and_its_steps() {
    let caller = Caller::new().await;
    let id = caller.built("href", 3).await;
    let build = caller.json(&format!("/v1/builds/{id}")).await;
    assert_eq!(build["title"], "href");
    assert_eq!(build["lastSeq"], 4);
    assert_eq!(build["steps"]["steps"], 3);
    assert!(build["image"]["digest"].as_str().unwrap().starts_with("sha256:"));
    for path in ["", "/logs", "/layers", "/image", "/events"] {
        refused(
            &caller.ask("GET", &format!("/v1/builds/77{path}")).await,
            404,
            "no build",
        );
    }
}

#[tokio::test]
async fn a_build_is_cancelled_and_then_forgotten() {
    let caller = Caller::new().await;
    let id = page(&caller.worker).await.start_build("unwanted").await;
    refused(
        &caller.ask("DELETE", &format!("/v1/builds/{id}")).await,
        409,
        "cancel it first",
    );
    refused(
        &caller.ask("GET", &format!("/v1/builds/{id}/image")).await,
        409,
        "no image",
    );
    assert_eq!(
        caller
            .ask("POST", &format!("/v1/builds/{id}/cancel"))
            .await
            .status,
        204
    );
    while caller.json(&format!("/v1/builds/{id}")).await["state"] != "cancelled" {
        tokio::task::yield_now().await;
    }
    // Once more changes nothing.
    assert_eq!(
        caller
            .ask("POST", &format!("/v1/builds/{id}/cancel"))
            .await
            .status,
        204
    );
    assert_eq!(
        caller.ask("DELETE", &format!("/v1/builds/{id}")).await.status,
        204
    );
    assert_eq!(caller.ask("GET", &format!("/v1/builds/{id}")).await.status, 404);
    assert_eq!(
        caller.ask("DELETE", &format!("/v1/builds/{id}")).await.status,
        404
    );
}

#[tokio::test]
async fn an_image_is_streamed_as_a_file() {
    let caller = Caller::new().await;
    *caller.worker.backend.export.lock().unwrap() = (100, false);
    let id = caller.built("href counter", 0).await;
    for (query, name) in [
        ("", "href-counter.oci.tar"),
        ("?format=oci", "href-counter.oci.tar"),
        ("?format=docker", "href-counter.docker.tar"),
    ] {
        let answer = caller.ask("GET", &format!("/v1/builds/{id}/image{query}")).await;
        assert_eq!(
            (answer.status, answer.whole, answer.body.len()),
            (200, true, 100 << 16)
        );
        let disposition = format!("attachment; filename=\"{name}\"");
        assert_eq!(answer.header("content-disposition"), Some(disposition.as_str()));
    }
    *caller.worker.backend.export.lock().unwrap() = (100, true);
    let torn = caller.ask("GET", &format!("/v1/builds/{id}/image")).await;
    assert_eq!((torn.status, torn.whole), (200, false));
    refused(
        &caller
            .ask("GET", &format!("/v1/builds/{id}/image?format=zip"))
            .await,
        400,
        "zip",
    );
}

#[tokio::test]
async fn an_image_whose_layers_are_not_here_is_no_broken_download() {
    let caller = Caller::new().await;
    let content = caller.worker.builds.contexts().content();
    let layer = |digest: Digest| ImageLayer {
        diff_id: digest.clone(),
        digest,
        size: 1,
        vertex: None,
    };
    let here = content.put(b"here").unwrap();
    *caller.worker.backend.layers.lock().unwrap() = vec![layer(here.clone())];
    let whole = caller.built("whole", 0).await;
    assert_eq!(
        caller
            .ask("GET", &format!("/v1/builds/{whole}/image"))
            .await
            .status,
        200
    );
    *caller.worker.backend.layers.lock().unwrap() = vec![layer(here), layer(Digest::of(b"gone"))];
    let torn = caller.built("torn", 0).await;
    refused(
        &caller.ask("GET", &format!("/v1/builds/{torn}/image")).await,
        409,
        "not asked for",
    );
}

#[tokio::test]
async fn logs_are_what_steps_printed_and_end_where_the_build_is() {
    let caller = Caller::new().await;
    let mut client = page(&caller.worker).await;
    let id = client.start_build("talkative").await;
    caller
        .worker
        .backend
        .act(&id, Act::Print("one\n\u{1b}[31mtwo"))
        .await;
    let path = format!("/v1/builds/{id}/logs");
    let text = loop {
        let answer = caller.ask("GET", &path).await;
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
        let text = String::from_utf8(answer.body).unwrap();
        if !text.is_empty() {
            break text;
        }
    };
    assert_eq!(text, "# RUN talk\none\n\u{fffd}[31mtwo");
    let following = tokio::spawn({
        let ask = Ask::get(&format!("{path}?format=ndjson&follow=true")).by(&caller.token);
        let address = caller.worker.address;
        async move { ask.send(address).await }
    });
    caller.worker.backend.act(&id, Act::Print("three\n")).await;
    caller.worker.backend.act(&id, Act::Finish).await;
    let followed = following.await.unwrap();
    assert_eq!(followed.header("content-type"), Some("application/x-ndjson"));
    let lines: Vec<Value> = String::from_utf8(followed.body)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let said: Vec<_> = lines.iter().map(|line| line["text"].as_str().unwrap()).collect();
    assert_eq!(said, ["one\n\u{1b}[31mtwo", "three\n"]);
    assert_eq!(
        (&lines[0]["name"], &lines[0]["stream"]),
        (&json!("RUN talk"), &json!(1))
    );
}

#[tokio::test]
async fn other_methods_are_told_which_there_are() {
    let caller = Caller::new().await;
    let answer = caller.ask("PATCH", "/v1/builds/1").await;
    refused(&answer, 405, "method");
    let allowed = answer.header("allow").unwrap();
    assert!(allowed.contains("GET") && allowed.contains("DELETE"), "{allowed}");
}
