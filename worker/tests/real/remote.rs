//! A build that a worker elsewhere carries out, while the line to it drops, and while whoever asked for it goes.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::Client;
use crate::line::{Drops, Port};
use crate::process::{Worker, can_build};

/// A folder with a context, and a worker elsewhere that answers to the line's name.
async fn elsewhere(dockerfile: &str, port: &Port) -> Option<(tempfile::TempDir, Worker, String, Client)> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("context")).unwrap();
    std::fs::write(folder.path().join("context/Dockerfile"), dockerfile).unwrap();
    let state = folder.path().join("there");
    let worker = Worker::start_as(&state, Some(&port.host()))?;
    let (client, welcome) = worker.client(None).await;
    if !can_build(&welcome) {
        return None;
    }
    let token = Command::new(env!("CARGO_BIN_EXE_stagewright"))
        .args(["token", "create", "--scope", "build", "--state"])
        .arg(&state)
        .output()
        .unwrap();
    let token = String::from_utf8(token.stdout).unwrap().trim().to_owned();
    Some((folder, worker, token, client))
}

fn build(folder: &std::path::Path, port: u16, token: &str, flags: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_stagewright"))
        .args([
            "build",
            "--progress",
            "plain",
            "--remote",
            &format!("http://127.0.0.1:{port}"),
        ])
        .args(flags)
        .arg(folder.join("context"))
        .env("STAGEWRIGHT_TOKEN", token)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn a_line_that_drops_loses_no_word_of_a_build() {
    let talking =
        "FROM alpine:latest\nRUN i=0; while [ $i -lt 4000 ]; do echo \"word $i\"; i=$((i+1)); done\n";
    let port = Port::free();
    let Some((folder, worker, token, _client)) = elsewhere(talking, &port).await else {
        return;
    };
    let drops = Drops {
        answered: 20_000,
        ..Drops::NEVER
    };
    let line = port.lead(worker.address.port(), drops, 3);
    let ended = build(folder.path(), line.port, &token, &[])
        .wait_with_output()
        .unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.success(), "{said}");
    assert!(line.dropped() > 0, "the line never dropped");
    let words: Vec<u32> = said
        .lines()
        .filter_map(|line| line.rsplit_once("word ")?.1.parse().ok())
        .collect();
    assert_eq!(words, (0..4000).collect::<Vec<_>>(), "{said}");
    assert!(said.contains("trying again"), "{said}");
}

#[tokio::test]
async fn a_line_on_which_answers_take_long_is_no_other() {
    let port = Port::free();
    let Some((folder, worker, token, _client)) =
        elsewhere("FROM alpine:latest\nRUN echo one\nRUN echo two\n", &port).await
    else {
        return;
    };
    // Longer than the time from one picture of the progress to the next.
    let drops = Drops {
        answered: 6_000,
        late: Duration::from_millis(300),
        ..Drops::NEVER
    };
    let line = port.lead(worker.address.port(), drops, 1);
    let ended = build(folder.path(), line.port, &token, &[])
        .wait_with_output()
        .unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.success(), "{said}");
    assert!(said.contains(" one") && said.contains(" two"), "{said}");
}

#[tokio::test]
async fn a_worker_that_is_killed_and_starts_again_goes_on_with_the_build_that_is_followed() {
    let port = Port::free();
    let marked = "FROM alpine:latest\nRUN echo first\nRUN sleep 3; echo second\n";
    let Some((folder, worker, token, _client)) = elsewhere(marked, &port).await else {
        return;
    };
    let host = port.host();
    let line = port.lead(worker.address.port(), Drops::NEVER, 0);
    let mut child = build(folder.path(), line.port, &token, &[]);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said = String::new();
    for text in lines.by_ref() {
        let text = text.unwrap();
        said.push_str(&text);
        said.push('\n');
        if text.ends_with(" first") {
            break;
        }
    }
    worker.kill();
    // Longer than its patience would last if each picture of the progress took a part of it.
    std::thread::sleep(Duration::from_secs(5));
    let again = Worker::start_as(&folder.path().join("there"), Some(&host)).unwrap();
    line.lead_to(again.address.port());
    for text in lines {
        said.push_str(&text.unwrap());
        said.push('\n');
    }
    assert_eq!(child.wait().unwrap().code(), Some(0), "{said}");
    assert!(
        said.contains("trying again") && said.contains(" second"),
        "{said}"
    );
}

#[tokio::test]
async fn who_interrupts_the_command_cancels_the_build() {
    let port = Port::free();
    let Some((folder, worker, token, mut client)) =
        elsewhere("FROM alpine:latest\nRUN echo begun; sleep 1000\n", &port).await
    else {
        return;
    };
    let line = port.lead(worker.address.port(), Drops::NEVER, 0);
    let mut child = build(folder.path(), line.port, &token, &[]);
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(
        said.any(|line| line.unwrap().ends_with(" begun")),
        "the step never began"
    );
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    said.for_each(drop);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let builds: Value = client.call("build.list", json!(null)).await.unwrap();
    assert_eq!(builds[0]["state"], "cancelled", "{builds}");
}
