//! Requests on a backend that gives what a test tells it.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use stagewright_core::analysis::ImageFacts;
use stagewright_core::digest::Digest;
use stagewright_core::protocol::{
    BuildFailure, BuildState, ContextEntry, ContextEntryKind, Event, ImageSummary, OfferContext,
    OutputFormat, ResolveImage,
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::backend::{Backend, BackendDescription, BackendError, EventSink, FilesOutput, SolveRequest};
use crate::build::BuildLimits;
use crate::content::ContentStore;
use crate::export::Naming;
use crate::source::local::{ContextLimits, Contexts};
use crate::source::secret::Secret;

/// Builds as soon as the test lets it, and notes what it was given.
pub(crate) struct Puppet {
    content: ContentStore,
    go: Semaphore,
    solved: Mutex<Vec<SolveRequest>>,
}

impl Puppet {
    /// An image without layers: its manifest and its configuration.
    fn image(&self, platform: &str) -> (Digest, Digest) {
        let put = |value: Value| {
            let bytes = value.to_string().into_bytes();
            (self.content.put(&bytes).unwrap(), bytes.len())
        };
        let architecture = platform
            .rsplit('/')
            .next()
            .filter(|part| !part.is_empty())
            .unwrap_or("amd64");
        let (config, size) = put(json!({
            "architecture": architecture, "os": "linux", "rootfs": { "type": "layers", "diff_ids": [] },
        }));
        let (manifest, _) = put(json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": size },
            "layers": [],
        }));
        (manifest, config)
    }
}

impl Backend for Puppet {
    fn describe(&self) -> BackendDescription {
        BackendDescription::default()
    }

    fn resolve_image(&self, request: ResolveImage) -> BoxFuture<'_, Result<ImageFacts, BackendError>> {
        let found = request
            .reference
            .starts_with("docker.io/library/base")
            .then(|| ImageFacts {
                digest: Digest::of(b"base"),
                config: json!({ "architecture": request.platform.architecture, "os": "linux", "config": {} }),
                size: 0,
                note: None,
            });
        let answer =
            found.ok_or_else(|| BackendError::NotFound(format!("there is no {}", request.reference)));
        Box::pin(std::future::ready(answer))
    }

    fn solve(
        &self,
        request: SolveRequest,
        _: EventSink,
        cancel: CancellationToken,
    ) -> BoxFuture<'_, Result<ImageSummary, BuildFailure>> {
        Box::pin(async move {
            let failure = |message: &str| BuildFailure {
                message: message.to_owned(),
                vertex: None,
                exit_code: None,
            };
            let files = Arc::clone(&request.extras.files);
            let solved_for = request.extras.part.clone();
            let fails = request.title.contains("fails");
            self.solved.lock().unwrap().push(request);
            tokio::select! {
                () = cancel.cancelled() => return Err(failure("cancelled")),
                go = self.go.acquire() => go.unwrap().forget(),
            }
            if fails {
                return Err(failure("it did not go well"));
            }
            for output in files.iter() {
                if let FilesOutput::Kept(place) = output {
                    fs::write(place, "a tar").unwrap();
                }
            }
            let (digest, config) = self.image(&solved_for);
            Ok(ImageSummary {
                digest,
                config,
                layers: Vec::new(),
                size: 0,
            })
        })
    }

    fn export<'a>(
        &'a self,
        _: &'a Digest,
        _: &'a Naming,
        _: OutputFormat,
        _: Box<dyn Write + Send>,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

pub(crate) struct Worker {
    pub(crate) requests: Requests,
    puppet: Arc<Puppet>,
}

/// A worker that runs one build at a time, each once it is let go.
fn worker(state: &Path) -> Worker {
    configured(state, &Config::default())
}

/// The same with a configuration.
pub(crate) fn configured(state: &Path, config: &Config) -> Worker {
    let content = ContentStore::open(state.join("content")).unwrap();
    let contexts = Contexts::open(state, content.clone(), ContextLimits::default()).unwrap();
    let puppet = Arc::new(Puppet {
        content: content.clone(),
        go: Semaphore::new(0),
        solved: Mutex::default(),
    });
    let limits = BuildLimits {
        running: 1,
        queued: 3,
        ..BuildLimits::default()
    };
    let backend = Arc::clone(&puppet) as Arc<dyn Backend>;
    let builds = Builds::open(state, backend, contexts, limits).unwrap();
    Worker {
        requests: Requests::open(state, builds, config).unwrap(),
        puppet,
    }
}

impl Worker {
    fn start(&self, request: &Value) -> BuildId {
        self.ask(request, Asked::default()).unwrap()
    }

    fn ask(&self, request: &Value, asked: Asked) -> Result<BuildId, RequestError> {
        let request = serde_json::from_value(request.clone()).unwrap();
        self.requests.start(&request, asked)
    }

    /// Lets so many plans be built.
    pub(crate) fn let_go(&self, count: usize) {
        self.puppet.go.add_permits(count);
    }

    pub(crate) fn builds(&self) -> &Builds {
        self.requests.builds()
    }

    pub(crate) fn state(&self, id: &str) -> BuildState {
        self.builds().summary(id).unwrap().state
    }

    pub(crate) async fn end(&self, id: &str) -> BuildState {
        let ended = tokio::time::timeout(Duration::from_secs(20), self.builds().ended(id)).await;
        assert!(ended.is_ok(), "build {id} does not end");
        self.state(id)
    }

    async fn events(&self, id: &str) -> Vec<Event> {
        let (_, events) = self.builds().attach(id, 0).unwrap();
        events.map(|event| event.event.clone()).collect().await
    }

    /// Waits until a build is at its steps.
    pub(crate) async fn at_work(&self, id: &str) {
        let is = || {
            self.puppet
                .solved
                .lock()
                .unwrap()
                .iter()
                .any(|solve| solve.build == id)
        };
        while !is() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A context that is here by its content.
    fn context(&self, files: &[(&str, &str)]) -> Digest {
        let content = self.builds().contexts().content();
        let entries = files.iter().map(|(path, text)| ContextEntry {
            path: (*path).to_owned(),
            mode: 0o644,
            kind: ContextEntryKind::File {
                digest: content.put(text.as_bytes()).unwrap(),
                size: text.len() as u64,
            },
        });
        let offer = OfferContext {
            name: "context".into(),
            entries: entries.collect(),
        };
        self.builds().contexts().offer(offer).unwrap().id
    }
}

fn inline(title: &str) -> Value {
    json!({ "dockerfile": "FROM scratch\nLABEL a=b\n", "tags": title })
}

/// Steps of the events, each with what was said of it last.
fn steps(events: &[Event]) -> BTreeMap<String, String> {
    let mut steps = BTreeMap::new();
    for event in events {
        if let Event::Status(status) = event {
            for vertex in &status.vertexes {
                steps.insert(vertex.name.clone(), format!("{}{}", vertex.reason, vertex.error));
            }
        }
    }
    steps
}

#[tokio::test(flavor = "multi_thread")]
async fn request_is_planned_and_built_and_what_was_done_is_told() {
    let state = tempfile::tempdir().unwrap();
    let worker = worker(state.path());
    let id = worker.context(&[
        (
            "sub/app.Dockerfile",
            "FROM base AS b\nCOPY a /\nFROM scratch\nCOPY --from=b /a /\n",
        ),
        ("sub/app.Dockerfile.dockerignore", "secret\n"),
        (".dockerignore", "other\n"),
        ("a", "1"),
    ]);
    worker.let_go(1);
    let build = worker.start(&json!({
        "context": format!("content:{id}"), "file": "sub/app.Dockerfile", "tags": ["r.io/app:1"], "labels": ["x=y"],
        "outputs": "type=local",
    }));
    assert_eq!(worker.end(&build).await, BuildState::Done);
    let solved = worker.puppet.solved.lock().unwrap().pop().unwrap();
    assert_eq!(solved.contexts, BTreeMap::from([("context".to_owned(), id)]));
    assert_eq!(solved.image_config["config"]["Labels"]["x"], "y");
    assert!(!solved.extras.local && solved.extras.part.is_empty());
    assert_eq!(worker.builds().summary(&build).unwrap().title, "r.io/app:1");
    let steps = steps(&worker.events(&build).await);
    assert!(steps.contains_key("planning the build"), "{steps:?}");
    // Its name is given, and its files are kept.
    let named = ImageNames::of(state.path()).list().unwrap();
    assert_eq!(named[0].name, "r.io/app:1");
    let files = worker.requests.files(&build).unwrap();
    assert_eq!((files.len(), files[0].platform.as_str()), (1, "linux_amd64"));
    assert_eq!(fs::read_to_string(&files[0].path).unwrap(), "a tar");
    let asked = worker.requests.request(&build).unwrap().unwrap();
    assert_eq!(asked.file.as_deref(), Some("sub/app.Dockerfile"));
}

#[tokio::test(flavor = "multi_thread")]
async fn file_with_errors_and_image_that_is_not_there_end_the_build_with_their_place() {
    let state = tempfile::tempdir().unwrap();
    let worker = worker(state.path());
    for (text, said) in [
        ("FROM scratch\nRNU x\n", "Dockerfile:2:"),
        (
            "FROM scratch\nFROM nothing\n",
            "there is no docker.io/library/nothing:latest",
        ),
        (
            "FROM base AS builder\nFROM biulder\n",
            "Dockerfile:2: there is no docker.io/library/biulder:latest (There is no stage biulder, so it is taken \
             for an image. Did you mean builder?)",
        ),
        (
            "FROM base AS builder\nFROM base\nCOPY --from=biulder /x /\n",
            "Dockerfile:3: there is no docker.io/library/biulder:latest (There is no stage biulder",
        ),
        (
            "FROM base AS builder\nFROM base\nRUN --mount=from=bulder,target=/x \\\n  true\n",
            "Did you mean builder?",
        ),
        // Before there was a stage of that name it could be none; the place that is meant is the later one.
        (
            "FROM biulder\nFROM base AS builder\nFROM base\nCOPY --from=1 / /\nCOPY --from=biulder / /\nCOPY --from=0 / /\n",
            "Dockerfile:5: there is no docker.io/library/biulder:latest (There is no stage biulder",
        ),
        ("FROM scratch\nRUN --network=host x\n", "asks for more"),
        ("FROM scratch\nCOPY a /\n", "there is none"),
    ] {
        let build = worker.start(&json!({ "dockerfile": text }));
        assert_eq!(worker.end(&build).await, BuildState::Failed, "{text}");
        let failure = worker.builds().failure(&build).unwrap().unwrap();
        assert!(failure.message.contains(said), "{text}: {}", failure.message);
        assert!(
            !failure.message.contains(state.path().to_str().unwrap()),
            "{}",
            failure.message
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_platforms_are_one_build_with_one_list_of_images() {
    let state = tempfile::tempdir().unwrap();
    let worker = worker(state.path());
    worker.let_go(2);
    let build = worker.start(&json!({
        "dockerfile": "FROM base\nENV a=b\n", "platforms": "linux/amd64,linux/arm64", "outputs": "type=tar",
    }));
    let ended = worker.end(&build).await;
    assert_eq!(ended, BuildState::Done, "{:?}", worker.builds().failure(&build));
    let parts: Vec<String> = {
        let solved = worker.puppet.solved.lock().unwrap();
        solved.iter().map(|solve| solve.extras.part.clone()).collect()
    };
    assert_eq!(parts, ["linux/amd64", "linux/arm64"]);
    let list = worker.builds().image(&build).unwrap().digest;
    let list = worker.builds().contexts().content().read(&list, 1 << 20).unwrap();
    let list: Value = serde_json::from_slice(&list).unwrap();
    let architectures = ["amd64", "arm64"].map(Value::from);
    let listed: Vec<&Value> = (0..2)
        .map(|at| &list["manifests"][at]["platform"]["architecture"])
        .collect();
    assert!(listed.into_iter().eq(&architectures), "{list}");
    assert_eq!(worker.requests.files(&build).unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn newer_request_with_the_same_key_takes_the_place_of_one_that_waits_and_of_no_other() {
    let state = tempfile::tempdir().unwrap();
    let worker = worker(state.path());
    let keyed = |title: &str| {
        let asked = Asked {
            supersedes: Some("hook main".into()),
            ..Asked::default()
        };
        worker.ask(&inline(title), asked).unwrap()
    };
    let first = keyed("first");
    worker.at_work(&first).await;
    let other = worker.start(&inline("other"));
    let second = keyed("second");
    let third = keyed("third");
    assert_eq!(worker.end(&second).await, BuildState::Cancelled);
    assert_eq!(
        worker.builds().superseded_by(&second).unwrap().as_ref(),
        Some(&third)
    );
    let told = steps(&worker.events(&second).await);
    assert!(told["superseded"].contains(&format!("Build {third}")), "{told:?}");
    worker.let_go(3);
    for id in [&first, &other, &third] {
        assert_eq!(worker.end(id).await, BuildState::Done);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn queue_is_bounded_and_what_takes_a_waiting_ones_place_is_not_one_more() {
    let state = tempfile::tempdir().unwrap();
    let worker = worker(state.path());
    let keyed = |key: &str| {
        let asked = Asked {
            supersedes: Some(key.to_owned()),
            ..Asked::default()
        };
        worker.ask(&inline("app"), asked)
    };
    let first = keyed("a").unwrap();
    worker.at_work(&first).await;
    for key in ["b", "c", "d"] {
        keyed(key).unwrap();
    }
    assert!(keyed("b").is_ok());
    let error = keyed("e").unwrap_err();
    assert!(matches!(error, RequestError::Start(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_that_is_killed_keeps_the_queue_in_its_order_and_its_numbers() {
    let state = tempfile::tempdir().unwrap();
    let dead = worker(state.path());
    let running = dead.start(&inline("running"));
    dead.at_work(&running).await;
    let waiting = dead.start(&inline("waiting"));
    let cancelled = dead.start(&inline("cancelled"));
    dead.builds().cancel(&cancelled).unwrap();
    assert_eq!(dead.end(&cancelled).await, BuildState::Cancelled);
    let secret = Asked {
        secrets: {
            let mut secrets = Secrets::default();
            secrets.add_value("token", Secret::new(b"hunter2".to_vec()));
            secrets
        },
        ..Asked::default()
    };
    let secretive = dead.ask(&inline("secretive"), secret).unwrap();
    let before = dead.builds().summary(&running).unwrap().last_seq;
    assert!(before > 0);
    // Nothing of the first is told any more: as if it had been killed, its state is on the disk only.
    let worker = worker(state.path());
    worker.at_work(&running).await;
    assert_eq!(worker.state(&waiting), BuildState::Queued);
    assert_eq!(worker.state(&cancelled), BuildState::Cancelled);
    assert_eq!(worker.end(&secretive).await, BuildState::Lost);
    let why = worker.builds().failure(&secretive).unwrap().unwrap().message;
    assert!(why.contains("secrets, which are kept nowhere"), "{why}");
    worker.let_go(2);
    assert_eq!(worker.end(&running).await, BuildState::Done);
    assert_eq!(worker.end(&waiting).await, BuildState::Done);
    let (_, events) = worker.builds().attach(&running, 0).unwrap();
    let numbers: Vec<u64> = events.map(|event| event.seq).collect().await;
    assert!(numbers.len() as u64 > before);
    assert!(
        numbers.iter().copied().eq(1..=numbers.len() as u64),
        "{numbers:?}"
    );
    let next = worker.start(&inline("next"));
    assert_eq!(next, "5");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_proves_who_asks_is_kept_for_the_owner_alone_until_the_build_has_ended_and_told_to_nobody() {
    let state = tempfile::tempdir().unwrap();
    let worker = worker(state.path());
    let build = worker.start(&json!({
        "dockerfile": "FROM scratch\nLABEL a=b\n", "build-args": "A=https://me:hunter2@x.example/",
        "secrets": "token=hunter3",
    }));
    worker.at_work(&build).await;
    let folder = worker.builds().folder(&build).unwrap();
    let (asked, kept) = (folder.join("asked.json"), folder.join("request.json"));
    for file in [&asked, &kept] {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!fs::read_to_string(file).unwrap().contains("hunter3"));
    }
    assert!(fs::read_to_string(&kept).unwrap().contains("hunter2"));
    worker.let_go(1);
    assert_eq!(worker.end(&build).await, BuildState::Done);
    while kept.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let told = worker.requests.request(&build).unwrap().unwrap();
    assert_eq!(told.build_args, ["A=https://x.example/"]);
    assert!(!fs::read_to_string(&asked).unwrap().contains("hunter"));
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_that_ends_in_order_leaves_its_queue_to_the_next() {
    let state = tempfile::tempdir().unwrap();
    let first = worker(state.path());
    let running = first.start(&inline("running"));
    first.at_work(&running).await;
    let waiting = first.start(&inline("waiting"));
    first.requests.stop().await;
    assert_eq!(first.state(&running), BuildState::Queued);
    let error = first.ask(&inline("late"), Asked::default()).unwrap_err();
    assert!(error.to_string().contains("about to end"), "{error}");
    let past = crate::build::history::list(state.path(), false).unwrap();
    assert!(
        past.iter().all(|build| build.summary.state == BuildState::Queued),
        "{past:?}"
    );
    drop(first);
    let second = worker(state.path());
    second.let_go(2);
    for id in [running, waiting] {
        assert_eq!(second.end(&id).await, BuildState::Done);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn planning_and_checking_build_nothing() {
    let state = tempfile::tempdir().unwrap();
    let worker = worker(state.path());
    let read = |request: Value| serde_json::from_value::<BuildRequest>(request).unwrap();
    let both = read(
        json!({ "dockerfile": "FROM base\nMAINTAINER x\n", "platforms": ["linux/amd64", "linux/arm64"] }),
    );
    let planned = worker.requests.plan(&both).await.unwrap();
    assert_eq!(planned.len(), 2);
    assert!(planned.iter().all(|plan| plan.analysis.definition.is_some()));
    let checked = worker.requests.check(&both).await.unwrap();
    assert!(
        checked
            .findings
            .iter()
            .any(|finding| finding.rule == "MaintainerDeprecated"),
        "{checked:?}"
    );
    let broken = worker
        .requests
        .plan(&read(json!({ "dockerfile": "RNU x" })))
        .await
        .unwrap_err();
    assert!(
        matches!(&broken, RequestError::Dockerfile { findings, .. } if !findings.is_empty()),
        "{broken}"
    );
    let lacking = worker
        .requests
        .plan(&read(json!({ "dockerfile": "FROM nothing" })))
        .await
        .unwrap_err();
    assert!(lacking.to_string().contains("nothing"), "{lacking}");
    assert_eq!(worker.builds().list(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn contexts_that_are_not_here_are_refused_by_their_field() {
    let state = tempfile::tempdir().unwrap();
    let worker = worker(state.path());
    let other = Digest::of(b"other");
    for (request, field) in [
        (json!({ "context": format!("content:{other}") }), "context"),
        (json!({ "context": format!("upload:{other}") }), "context"),
        (
            json!({ "dockerfile": "FROM scratch", "build-contexts": [format!("a=content:{other}")] }),
            "build-contexts",
        ),
    ] {
        let error = worker.ask(&request, Asked::default()).unwrap_err();
        assert_eq!(error.field(), Some(field), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_of_this_machine_are_no_context_for_others() {
    let state = tempfile::tempdir().unwrap();
    let worker = worker(state.path());
    for context in [
        "http://127.0.0.1:1/context.tar",
        "git://localhost/app.git",
        "https://[::1]/app.git",
    ] {
        let build = worker.start(&json!({ "context": context }));
        assert_eq!(worker.end(&build).await, BuildState::Failed);
        let why = worker.builds().failure(&build).unwrap().unwrap().message;
        assert!(why.contains("private-networks"), "{why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn uploaded_archive_is_a_context() {
    let state = tempfile::tempdir().unwrap();
    let worker = worker(state.path());
    let mut tar = tar::Builder::new(Vec::new());
    for (name, text) in [
        ("app/Dockerfile", "FROM scratch\nCOPY app/a /\n"),
        ("app/a", "1"),
        ("dockerfile", "FROM scratch\nCOPY app /\n"),
        ("dockerfile.dockerignore", "app/Dockerfile\n"),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    let blob = worker
        .builds()
        .contexts()
        .content()
        .put(&tar.into_inner().unwrap())
        .unwrap();
    worker.let_go(1);
    let build = worker.start(&json!({ "context": format!("upload:{blob}"), "file": "app/Dockerfile" }));
    let state = worker.end(&build).await;
    assert_eq!(state, BuildState::Done, "{:?}", worker.builds().failure(&build));
    assert_eq!(worker.puppet.solved.lock().unwrap()[0].contexts.len(), 1);
    // At the top there is one in lower case only.
    worker.let_go(1);
    let build = worker.start(&json!({ "context": format!("upload:{blob}") }));
    let state = worker.end(&build).await;
    assert_eq!(state, BuildState::Done, "{:?}", worker.builds().failure(&build));
    let context = {
        let solved = worker.puppet.solved.lock().unwrap();
        let context = solved[1].contexts.values().next().unwrap();
        worker.builds().contexts().get(context).unwrap()
    };
    let paths: Vec<&str> = context.entries.keys().map(String::as_str).collect();
    assert_eq!(paths, ["app", "app/a"]);
}
