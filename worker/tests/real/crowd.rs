//! Many who watch, and many who build at once.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;
use stagewright_core::digest::Digest;
use stagewright_core::protocol::{BuildState, Event};

use crate::client::Client;
use crate::process::{Worker, can_build, follow, plan, start};

/// Who watches one build.
const WATCHERS: usize = 100;

/// Builds that are asked for at once.
const BUILDS: usize = 30;

/// What a worker may take up for all of them together: a megabyte and more for each, half as much again as what was seen where the
/// output came in thousands of pieces. A log of 4 MB that was held for each would be 400.
const MOST_GROWTH: u64 = 128 << 20;

/// Two steps that talk a lot, some 4 MB together.
const TALKING: &str = "FROM alpine:latest\n\
    RUN i=0; while [ $i -lt 30000 ]; do echo \"line $i of what the first step has to say, at some length\"; i=$((i+1)); done\n\
    RUN i=0; while [ $i -lt 30000 ]; do echo \"line $i of what the second step has to say, at some length\"; i=$((i+1)); done\n";

/// The build of so many: two steps that all have, each of which gives something else whenever it runs, and one of its own.
fn sharing(number: usize) -> String {
    format!(
        "FROM alpine:latest\nRUN cat /proc/sys/kernel/random/uuid > /first\nRUN sleep 1; cat /proc/sys/kernel/random/uuid > /second\nRUN echo {number} > /own\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_watchers_miss_nothing_and_cost_nothing() {
    let state = tempfile::tempdir().unwrap();
    let Some(worker) = Worker::start(state.path()) else {
        return;
    };
    let (mut client, welcome) = worker.client(None).await;
    if !can_build(&welcome) {
        return;
    }
    let analysis = plan(&mut client, TALKING).await;
    let before = worker.resident();
    let id = start(&mut client, &analysis, None).await;
    let begun = Instant::now();
    let mut watchers = Vec::new();
    for number in 0..WATCHERS {
        let (address, session, id) = (worker.address, welcome.session.clone(), id.clone());
        watchers.push(tokio::spawn(async move {
            // They come one after the other, to a build that is at work, and every tenth is slow.
            tokio::time::sleep(Duration::from_millis(number as u64 * 10)).await;
            let mut watcher = Client::connect(address).await;
            let hello = json!({ "session": session });
            watcher.call("hello", hello).await.unwrap();
            let pause = (number % 10 == 0).then_some(Duration::from_millis(20));
            watch(&mut watcher, &id, pause).await
        }));
    }
    let mut most = before;
    let mut seen = BTreeSet::new();
    for watcher in watchers {
        let mut watcher = watcher;
        let heard = loop {
            tokio::select! {
                heard = &mut watcher => break heard.unwrap(),
                () = tokio::time::sleep(Duration::from_millis(50)) => most = most.max(worker.resident()),
            }
        };
        seen.insert(heard);
    }
    let [(events, _)] = Vec::from_iter(seen).try_into().expect("all heard the same");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let growth = most.saturating_sub(before);
    println!(
        "{WATCHERS} watchers, {events} events each in {:.1} s; the worker had {} kB before, {} kB at most, {} kB after",
        begun.elapsed().as_secs_f64(),
        before >> 10,
        most >> 10,
        worker.resident() >> 10,
    );
    assert!(growth < MOST_GROWTH, "{growth} bytes more");
}

/// Follows a build; gives the number of its events, and the digest of all that they say.
async fn watch(client: &mut Client, id: &str, pause: Option<Duration>) -> (u64, Digest) {
    client.call("build.attach", json!({ "id": id })).await.unwrap();
    let mut told = Vec::new();
    let mut last = 0;
    loop {
        let event = client.event().await;
        last += 1;
        assert_eq!(event.seq, last);
        told.push(Digest::of(&serde_json::to_vec(&event.event).unwrap()));
        match event.event {
            Event::Done(_) => return (last, Digest::of(&serde_json::to_vec(&told).unwrap())),
            Event::Failed(_) | Event::Cancelled => panic!("{event:?}"),
            Event::Status(_) | Event::Layer(_) => {}
        }
        if let Some(pause) = pause
            && last % 20 == 0
        {
            tokio::time::sleep(pause).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_that_are_asked_for_at_once_run_what_they_share_once() {
    let state = tempfile::tempdir().unwrap();
    let Some(worker) = Worker::start(state.path()) else {
        return;
    };
    let (mut client, welcome) = worker.client(None).await;
    if !can_build(&welcome) {
        return;
    }
    let mut plans = Vec::new();
    for number in 0..BUILDS {
        plans.push(plan(&mut client, &sharing(number)).await);
    }
    let before = worker.resident();
    let begun = Instant::now();
    let mut ids = Vec::new();
    for plan in &plans {
        ids.push(start(&mut client, plan, None).await);
    }
    let builds = client.call("build.list", json!(null)).await.unwrap();
    let waiting = builds.as_array().unwrap().iter();
    let waiting = waiting
        .filter(|build| build["state"] == json!(BuildState::Queued))
        .count();
    assert!(waiting > 0, "all of {BUILDS} builds run at the same time");
    let mut layers = BTreeSet::new();
    for id in &ids {
        let events = follow(&mut client, id).await;
        let Some(Event::Done(image)) = events.last().map(|last| &last.event) else {
            panic!("{:#?}", events.last())
        };
        // Those of the base image and of the two shared steps.
        layers.insert(
            image
                .layers
                .iter()
                .rev()
                .skip(1)
                .map(|layer| layer.digest.clone())
                .collect::<Vec<_>>(),
        );
    }
    println!(
        "{BUILDS} builds, {waiting} of them waiting at first, in {:.1} s; the worker had {} kB before, {} kB after",
        begun.elapsed().as_secs_f64(),
        before >> 10,
        worker.resident() >> 10,
    );
    assert_eq!(layers.len(), 1, "one execution of what they share: {layers:#?}");
}
