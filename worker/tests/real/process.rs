//! A worker process, and a client that plans and builds as the page does.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use futures_util::SinkExt as _;
use serde_json::json;
use stagewright_core::Input;
use stagewright_core::analysis::{Analysis, Options};
use stagewright_core::digest::Digest;
use stagewright_core::protocol::{
    BuildEvent, ContentFrame, ContextAnswer, ContextEntry, ContextEntryKind, Event, OfferContext, StartBuild,
    Welcome, WireOp,
};
use tokio_tungstenite::tungstenite::Message;

use crate::client::Client;
use crate::line::Port;

/// Most bytes of content in one frame.
const MOST_CONTENT: usize = ContentFrame::MAX_DATA;

pub(crate) struct Worker {
    process: Child,
    pub(crate) address: SocketAddr,
    token: String,
}

impl Worker {
    /// `None`, with the reason printed, where there is nothing to build from.
    pub(crate) fn start(state: &Path) -> Option<Self> {
        Self::start_as(state, None)
    }

    /// The same under one more name, in which case it does not print where it listens.
    pub(crate) fn start_as(state: &Path, host: Option<&str>) -> Option<Self> {
        let Some(config) = std::env::var_os("STAGEWRIGHT_TEST_CONFIG").map(PathBuf::from) else {
            println!("skipped: STAGEWRIGHT_TEST_CONFIG names no configuration with images");
            return None;
        };
        // Another one where figures are taken: that which is made along with the tests is not optimized.
        let program = std::env::var_os("STAGEWRIGHT_TEST_PROGRAM");
        let own = host.map(|_| Port::free().given_up());
        let listen = format!("127.0.0.1:{}", own.unwrap_or(0));
        let mut process = Command::new(program.unwrap_or(env!("CARGO_BIN_EXE_stagewright").into()))
            .args(["serve", "--listen", &listen, "--state"])
            .arg(state)
            .arg("--config")
            .arg(config)
            .args(host.iter().flat_map(|host| ["--host", host]))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let url = lines.by_ref().find_map(|line| {
            line.unwrap()
                .strip_prefix("playground: http://")
                .map(String::from)
        });
        let url = url.expect("the worker ended before it printed its address");
        let (address, token) = url.split_once("/#token=").unwrap();
        let this = Self {
            process,
            address: own.map_or_else(|| address.parse().unwrap(), |port| ([127, 0, 0, 1], port).into()),
            token: token.into(),
        };
        // What it prints later has to go somewhere.
        std::thread::spawn(move || lines.for_each(drop));
        Some(this)
    }

    /// Bytes of memory that it holds now.
    pub(crate) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
    }

    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn stop(mut self) {
        let id = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        assert!(self.process.wait().unwrap().success());
    }

    /// A client, its session, and what the worker says of itself.
    pub(crate) async fn client(&self, session: Option<&str>) -> (Client, Welcome) {
        let mut client = Client::connect(self.address).await;
        let hello = match session {
            Some(session) => json!({ "session": session }),
            None => json!({ "token": self.token }),
        };
        let welcome = client.call("hello", hello).await.unwrap();
        (client, serde_json::from_value(welcome).unwrap())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended already.
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

/// Whether builds run here; says why not.
pub(crate) fn can_build(welcome: &Welcome) -> bool {
    if !welcome.can_build {
        println!(
            "skipped: this machine cannot run builds: {}",
            welcome.missing.join(" ")
        );
    }
    welcome.can_build
}

/// Plans `dockerfile`, asking the worker for the images it names.
pub(crate) async fn plan(client: &mut Client, dockerfile: &str) -> Analysis {
    let mut input = Input {
        source: dockerfile.into(),
        options: Options::default(),
    };
    loop {
        let analysis = stagewright_core::analyze(&input);
        assert!(!analysis.has_errors(), "{:?}", analysis.diagnostics);
        let Some(image) = analysis
            .images
            .iter()
            .find(|image| image.needed && !image.resolved)
        else {
            return analysis;
        };
        let request = json!({ "reference": image.reference, "platform": image.platform });
        let facts = client.call("image.resolve", request).await.unwrap();
        input
            .options
            .images
            .insert(image.reference.clone(), serde_json::from_value(facts).unwrap());
    }
}

/// Offers files as the context, and sends what is lacking.
pub(crate) async fn send_context(client: &mut Client, files: &BTreeMap<&str, Vec<u8>>) -> Digest {
    let files = files.iter().map(|(path, data)| (*path, (0o644, data.clone())));
    send_files(client, &files.collect()).await
}

/// The same of files with modes of their own.
pub(crate) async fn send_files(client: &mut Client, files: &BTreeMap<&str, (u32, Vec<u8>)>) -> Digest {
    let entries = files.iter().map(|(path, (mode, data))| ContextEntry {
        path: (*path).into(),
        mode: *mode,
        kind: ContextEntryKind::File {
            digest: Digest::of(data),
            size: data.len() as u64,
        },
    });
    let offer = OfferContext {
        name: "context".into(),
        entries: entries.collect(),
    };
    let answer = client
        .call("context.offer", serde_json::to_value(offer).unwrap())
        .await
        .unwrap();
    let answer: ContextAnswer = serde_json::from_value(answer).unwrap();
    for lacking in answer.lacks {
        let data = files
            .values()
            .map(|(_, data)| data)
            .find(|data| Digest::of(data) == lacking.digest)
            .unwrap();
        let from = usize::try_from(lacking.have).unwrap();
        let mut offset = lacking.have;
        // An empty file is one frame too.
        let last = data[from..].is_empty().then_some(&[][..]);
        for piece in data[from..].chunks(MOST_CONTENT).chain(last) {
            let frame = ContentFrame {
                digest: lacking.digest.clone(),
                offset,
                data: piece,
            };
            client.socket.send(Message::binary(frame.encode())).await.unwrap();
            offset += piece.len() as u64;
        }
        assert_eq!(client.notification().await["method"], "content.received");
    }
    answer.id
}

/// Hands the plan over and returns the build's id.
pub(crate) async fn start(client: &mut Client, analysis: &Analysis, context: Option<&Digest>) -> String {
    let definition = analysis.definition.as_ref().unwrap();
    let ops = definition.ops.iter().map(|op| WireOp {
        bytes: op.bytes.clone(),
        name: op.name.clone(),
    });
    let request = StartBuild {
        ops: ops.collect(),
        digest: definition.digest.clone(),
        image_config: analysis.image_config.as_ref().unwrap().to_value(),
        contexts: context
            .map(|id| ("context".to_owned(), id.clone()))
            .into_iter()
            .collect(),
        title: "diamond".into(),
        no_cache: false,
    };
    let started = client
        .call("build.start", serde_json::to_value(request).unwrap())
        .await
        .unwrap();
    started["id"].as_str().unwrap().into()
}

/// Follows a build from its first event to its last.
pub(crate) async fn follow(client: &mut Client, id: &str) -> Vec<BuildEvent> {
    client.call("build.attach", json!({ "id": id })).await.unwrap();
    let mut events = Vec::new();
    loop {
        let event = client.event().await;
        assert_eq!(event.seq, events.len() as u64 + 1);
        let last = matches!(event.event, Event::Done(_) | Event::Failed(_) | Event::Cancelled);
        events.push(event);
        if last {
            return events;
        }
    }
}

/// The steps that were taken from the cache and those that ran, by name.
pub(crate) fn cached_and_run(events: &[BuildEvent]) -> (Vec<String>, Vec<String>) {
    let mut last = BTreeMap::new();
    for event in events {
        if let Event::Status(status) = &event.event {
            for vertex in &status.vertexes {
                last.insert(vertex.digest.clone(), (vertex.name.clone(), vertex.cached));
            }
        }
    }
    let (cached, run): (Vec<_>, Vec<_>) = last.into_values().partition(|(_, cached)| *cached);
    let names = |steps: Vec<(String, bool)>| steps.into_iter().map(|(name, _)| name).collect();
    (names(cached), names(run))
}
