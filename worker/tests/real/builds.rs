//! Builds that really run.

use std::collections::BTreeMap;

use serde_json::json;
use stagewright_core::protocol::{BuildState, Event};

use crate::client::get;
use crate::image::tree;
use crate::process::{Worker, cached_and_run, can_build, follow, plan, send_context, start};

const DIAMOND: &str = include_str!("../../../static/examples/diamond/Dockerfile");

fn diamond_context() -> BTreeMap<&'static str, Vec<u8>> {
    BTreeMap::from([
        (
            "left.txt",
            include_bytes!("../../../static/examples/diamond/left.txt").to_vec(),
        ),
        (
            "right.txt",
            include_bytes!("../../../static/examples/diamond/right.txt").to_vec(),
        ),
    ])
}

#[tokio::test]
async fn diamond_is_built_cached_and_downloaded() {
    let state = tempfile::tempdir().unwrap();
    let Some(worker) = Worker::start(state.path()) else {
        return;
    };
    let (mut client, welcome) = worker.client(None).await;
    if !can_build(&welcome) {
        return;
    }
    let analysis = plan(&mut client, DIAMOND).await;
    let files = diamond_context();
    let context = send_context(&mut client, &files).await;
    let id = start(&mut client, &analysis, Some(&context)).await;
    let events = follow(&mut client, &id).await;
    let Event::Done(image) = &events.last().unwrap().event else {
        panic!("{:#?}", events.last())
    };
    assert!(!image.layers.is_empty());
    let (cached, _) = cached_and_run(&events);
    assert_eq!(cached, [""; 0], "nothing is cached on a new worker");

    for format in ["oci", "docker"] {
        let output = client
            .call("build.output", json!({ "id": id, "format": format }))
            .await
            .unwrap();
        let archive = get(worker.address, output["path"].as_str().unwrap()).await;
        assert_eq!((archive.status, archive.whole), (200, true));
        if format == "oci" {
            let text = |name| String::from_utf8(files[name].clone()).unwrap();
            let wanted = format!("base\n{}base\n{}", text("left.txt"), text("right.txt"));
            let tree = tree(&archive.body);
            assert_eq!(tree["work/all.txt"].content, wanted.as_bytes());
        }
    }

    let again = start(&mut client, &analysis, Some(&context)).await;
    let events = follow(&mut client, &again).await;
    assert!(matches!(&events.last().unwrap().event, Event::Done(second) if second.digest == image.digest));
    let (_, run) = cached_and_run(&events);
    assert!(run.iter().all(|name| !name.contains("RUN")), "{run:?}");

    let changed = BTreeMap::from([
        ("left.txt", b"changed\n".to_vec()),
        ("right.txt", files["right.txt"].clone()),
    ]);
    let context = send_context(&mut client, &changed).await;
    let third = start(&mut client, &analysis, Some(&context)).await;
    let events = follow(&mut client, &third).await;
    assert!(matches!(&events.last().unwrap().event, Event::Done(third) if third.digest != image.digest));
    let (cached, run) = cached_and_run(&events);
    assert!(
        cached.iter().any(|name| name.contains("cat base.txt right.txt")),
        "{cached:?}"
    );
    assert!(
        run.iter().any(|name| name.contains("cat base.txt left.txt")),
        "{run:?}"
    );
}

#[tokio::test]
async fn killed_worker_comes_back_and_reuses_what_was_finished() {
    let state = tempfile::tempdir().unwrap();
    let Some(worker) = Worker::start(state.path()) else {
        return;
    };
    let (mut client, welcome) = worker.client(None).await;
    if !can_build(&welcome) {
        return;
    }
    let slow = "FROM alpine:latest\nRUN echo first > /first\nRUN until [ -e /go ]; do sleep 1; done\n";
    let analysis = plan(&mut client, slow).await;
    let id = start(&mut client, &analysis, None).await;
    client.call("build.attach", json!({ "id": id })).await.unwrap();
    let begun = |event: &Event| match event {
        Event::Status(status) => status
            .vertexes
            .iter()
            .any(|step| step.name.contains("until") && step.started.is_some()),
        Event::Layer(_) | Event::Cancelled => false,
        Event::Done(_) | Event::Failed(_) => panic!("{event:?}"),
    };
    let mut seen = 0;
    loop {
        let event = client.event().await;
        seen += 1;
        assert_eq!(event.seq, seen);
        if begun(&event.event) {
            break;
        }
    }
    worker.kill();

    let worker = Worker::start(state.path()).unwrap();
    let (mut client, welcome) = worker.client(Some(&welcome.session)).await;
    assert_eq!(
        (welcome.builds[0].id.as_str(), welcome.builds[0].state),
        (id.as_str(), BuildState::Lost)
    );
    // Its events are still there, and say how it ended.
    let events = follow(&mut client, &id).await;
    assert!(
        matches!(events.last().unwrap().event, Event::Failed(_)),
        "{:?}",
        events.last()
    );
    assert!(events.len() as u64 > seen);

    let quick = "FROM alpine:latest\nRUN echo first > /first\nRUN cat /first\n";
    let analysis = plan(&mut client, quick).await;
    let id = start(&mut client, &analysis, None).await;
    let events = follow(&mut client, &id).await;
    assert!(
        matches!(events.last().unwrap().event, Event::Done(_)),
        "{:#?}",
        events.last()
    );
    let (cached, _) = cached_and_run(&events);
    assert!(
        cached.iter().any(|name| name.contains("echo first")),
        "{events:#?}"
    );
}

#[tokio::test]
async fn failing_step_and_cancelled_build_say_so() {
    let state = tempfile::tempdir().unwrap();
    let Some(worker) = Worker::start(state.path()) else {
        return;
    };
    let (mut client, welcome) = worker.client(None).await;
    if !can_build(&welcome) {
        return;
    }
    let analysis = plan(&mut client, "FROM alpine:latest\nRUN echo why >&2; exit 7\n").await;
    let id = start(&mut client, &analysis, None).await;
    let events = follow(&mut client, &id).await;
    let Event::Failed(failure) = &events.last().unwrap().event else {
        panic!("{:#?}", events.last())
    };
    assert_eq!(failure.exit_code, Some(7), "{failure:?}");
    assert_eq!(failure.vertex, analysis.stages[0].steps[0].vertex);

    let analysis = plan(&mut client, "FROM alpine:latest\nRUN sleep 1000\n").await;
    let id = start(&mut client, &analysis, None).await;
    client.call("build.cancel", json!({ "id": id })).await.unwrap();
    let events = follow(&mut client, &id).await;
    assert_eq!(events.last().unwrap().event, Event::Cancelled);
}

#[tokio::test]
async fn stopped_worker_cancels_and_records_its_builds() {
    let state = tempfile::tempdir().unwrap();
    let Some(worker) = Worker::start(state.path()) else {
        return;
    };
    let (mut client, welcome) = worker.client(None).await;
    if !can_build(&welcome) {
        return;
    }
    let analysis = plan(&mut client, "FROM alpine:latest\nRUN sleep 1000\n").await;
    let id = start(&mut client, &analysis, None).await;
    client.call("build.attach", json!({ "id": id })).await.unwrap();
    client.event().await;
    let stopping = tokio::task::spawn_blocking(move || worker.stop());
    while client.event().await.event != Event::Cancelled {}
    stopping.await.unwrap();

    let worker = Worker::start(state.path()).unwrap();
    let (_, welcome) = worker.client(Some(&welcome.session)).await;
    assert_eq!(welcome.builds[0].state, BuildState::Cancelled);
}

#[tokio::test]
async fn build_steps_cannot_reach_the_worker() {
    let state = tempfile::tempdir().unwrap();
    let Some(worker) = Worker::start(state.path()) else {
        return;
    };
    let (mut client, welcome) = worker.client(None).await;
    if !can_build(&welcome) {
        return;
    }
    // From outside a step the same address answers.
    assert_eq!(get(worker.address, "/v1/version").await.status, 200);
    let port = worker.address.port();
    let reach = format!("FROM alpine:latest\nRUN wget -T 5 -O - http://127.0.0.1:{port}/v1/version\n");
    let analysis = plan(&mut client, &reach).await;
    let id = start(&mut client, &analysis, None).await;
    let events = follow(&mut client, &id).await;
    let Event::Failed(failure) = &events.last().unwrap().event else {
        panic!("{:#?}", events.last())
    };
    assert!(
        failure.exit_code.is_some_and(|code| code != 0 && code != 127),
        "{failure:?}"
    );

    let host = "# syntax=docker/dockerfile:1\nFROM alpine:latest\nRUN --network=host true\n";
    let analysis = plan(&mut client, host).await;
    let definition = analysis.definition.as_ref().unwrap();
    let ops: Vec<_> = definition
        .ops
        .iter()
        .map(|op| stagewright_core::protocol::WireOp {
            bytes: op.bytes.clone(),
            name: op.name.clone(),
        })
        .collect();
    let request = json!({ "ops": ops, "digest": definition.digest, "imageConfig": analysis.image_config, "title": "host" });
    let refused = client.call("build.start", request).await.unwrap_err();
    assert!(refused.message.contains("network.host"), "{}", refused.message);
}
