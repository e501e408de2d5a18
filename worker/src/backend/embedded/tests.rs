//! Real builds: planned from a Dockerfile, run on this machine, on a base image made here of busybox.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use futures_util::StreamExt as _;
use stagewright_core::Analysis;
use stagewright_core::analysis::{ImageFacts, Input, LocalContext, NamedContext, Options};
use stagewright_core::platform::Platform;
use stagewright_core::protocol::{
    BuildEvent, BuildFailure, BuildState, ContentFrame, ContextEntry, ContextEntryKind, Event, ImageSummary,
    OfferContext, ResolveImage, StartBuild, Vertex, WireOp,
};

use super::*;
use crate::backend::Extras;
use crate::build::{BuildLimits, Builds};
use crate::content::ContentStore;
use crate::source::local::ContextLimits;
use crate::storage::Storage;

mod content;
mod damage;
mod forecast;
mod loading;
mod merging;
mod mounts;
mod no_cache;
mod pruning;
mod remembering;
mod remote;
mod repositories;
mod secrets;
mod sharing;

const BASE: &str = "docker.io/library/base:latest";

/// Whether this machine can run builds at all; says why not.
fn possible() -> bool {
    static POSSIBLE: OnceLock<bool> = OnceLock::new();
    *POSSIBLE.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let report = probe(directory.path());
        let problems: Vec<&str> = report.problems().collect();
        if !report.can_build() {
            println!("skipped: {}", problems.join(" "));
        } else if !Path::new("/bin/busybox").exists() {
            println!("skipped: there is no /bin/busybox to make a base image of");
            return false;
        }
        report.can_build()
    })
}

/// A worker's state, and a base image beside it.
struct Ground {
    directory: tempfile::TempDir,
}

impl Ground {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        base_image(&directory.path().join("image"));
        Self { directory }
    }

    /// A worker on that state.
    fn worker(&self) -> Worker {
        Self::worker_in(self.directory.path())
    }

    fn worker_in(directory: &Path) -> Worker {
        Self::worker_with(directory, "")
    }

    /// One with more in its configuration, before the first table.
    fn worker_with(directory: &Path, config: &str) -> Worker {
        let image = directory.join("image");
        let config = format!(
            "{config}[[substitute]]\nimage = \"base\"\nfrom = \"oci-layout://{}\"\nnote = \"a stand-in\"\n",
            image.display()
        );
        let config = Config::parse(&config, directory).unwrap();
        let state = directory.join("state");
        let content = ContentStore::open(state.join("content")).unwrap();
        let contexts = Contexts::open(&state, content, ContextLimits::default()).unwrap();
        let backend = loop {
            // A worker that was dropped lets go of its files once its last task has ended.
            match EmbeddedBackend::open(&state, &config, contexts.clone()) {
                Err(error) if error.to_string().contains("another") => std::thread::yield_now(),
                opened => break Arc::new(opened.unwrap()),
            }
        };
        let builds = Builds::open(&state, backend.clone(), contexts, BuildLimits::default()).unwrap();
        let storage = Storage::new(&state, builds.clone(), backend, &config);
        Worker { builds, storage }
    }
}

struct Worker {
    builds: Builds,
    storage: Storage,
}

/// How a build went.
struct Outcome {
    id: String,
    events: Vec<Arc<BuildEvent>>,
}

impl Worker {
    /// Plans a Dockerfile and starts it on a context of these files.
    async fn start(&self, dockerfile: &str, files: &[(&str, &str)]) -> String {
        self.start_with(dockerfile, files, false).await
    }

    async fn start_with(&self, dockerfile: &str, files: &[(&str, &str)], no_cache: bool) -> String {
        let analysis = self.plan(dockerfile, |_| {}).await;
        self.start_plan(analysis, files, no_cache)
    }

    /// Plans a Dockerfile under options.
    async fn plan(&self, dockerfile: &str, set: impl FnOnce(&mut Options)) -> Analysis {
        let request = ResolveImage {
            reference: BASE.into(),
            platform: Platform::default(),
        };
        let facts: ImageFacts = self.builds.backend().resolve_image(request).await.unwrap();
        let mut input = Input {
            source: dockerfile.into(),
            ..Input::default()
        };
        input.options.images.insert(BASE.into(), facts);
        set(&mut input.options);
        let analysis = stagewright_core::analyze(&input);
        assert!(!analysis.has_errors(), "{:?}", analysis.diagnostics);
        analysis
    }

    /// Starts what is planned already.
    fn start_plan(&self, analysis: Analysis, files: &[(&str, &str)], no_cache: bool) -> String {
        self.start_extra(analysis, files, no_cache, Extras::default())
    }

    /// Starts what is planned already, with more beside the plan.
    fn start_extra(
        &self,
        analysis: Analysis,
        files: &[(&str, &str)],
        no_cache: bool,
        extras: Extras,
    ) -> String {
        let definition = analysis.definition.unwrap();
        let again = definition.ops.iter().filter(|op| op.ignore_cache);
        let mut extras = extras;
        extras.no_cache = Arc::new(again.map(|op| op.digest.clone()).collect());
        let context = self.offer(files);
        let request = StartBuild {
            ops: definition
                .ops
                .into_iter()
                .map(|op| WireOp {
                    bytes: op.bytes,
                    name: op.name,
                })
                .collect(),
            digest: definition.digest,
            image_config: analysis.image_config.unwrap().to_value(),
            contexts: BTreeMap::from([("context".to_owned(), context)]),
            title: "test".into(),
            no_cache,
        };
        self.builds.start_with(request, extras).unwrap()
    }

    fn offer(&self, files: &[(&str, &str)]) -> Digest {
        let entry = |(path, content): &(&str, &str)| ContextEntry {
            path: (*path).to_owned(),
            mode: 0o644,
            kind: ContextEntryKind::File {
                digest: Digest::of(content.as_bytes()),
                size: content.len() as u64,
            },
        };
        let offer = OfferContext {
            name: "context".into(),
            entries: files.iter().map(entry).collect(),
        };
        let answer = self.builds.contexts().offer(offer).unwrap();
        for lacking in answer.lacks {
            let (_, content) = files
                .iter()
                .find(|(_, content)| Digest::of(content.as_bytes()) == lacking.digest)
                .unwrap();
            let frame = ContentFrame {
                digest: lacking.digest,
                offset: 0,
                data: content.as_bytes(),
            };
            self.builds.contexts().receive(&frame).unwrap();
        }
        answer.id
    }

    async fn outcome(&self, id: String) -> Outcome {
        let (_, events) = self.builds.attach(&id, 0).unwrap();
        Outcome {
            id,
            events: events.collect().await,
        }
    }

    async fn build(&self, dockerfile: &str, files: &[(&str, &str)]) -> Outcome {
        let id = self.start(dockerfile, files).await;
        self.outcome(id).await
    }

    /// Waits until a build printed `text`.
    async fn printed(&self, id: &str, text: &str) {
        let (_, mut events) = self.builds.attach(id, 0).unwrap();
        while let Some(event) = events.next().await {
            if log(&event).contains(text) {
                return;
            }
        }
        panic!("the build ended without printing {text:?}");
    }

    /// A file of a build's image.
    fn file(&self, outcome: &Outcome, path: &str) -> Option<String> {
        let digests: Vec<_> = outcome
            .image()
            .layers
            .iter()
            .rev()
            .map(|layer| layer.digest.clone())
            .collect();
        for digest in digests {
            let blob = self.builds.contexts().content().open_blob(&digest).unwrap();
            let mut blob = std::io::BufReader::new(blob);
            let compressed = std::io::BufRead::fill_buf(&mut blob)
                .unwrap()
                .starts_with(&[0x1f, 0x8b]);
            let content: Box<dyn std::io::Read> = if compressed {
                Box::new(flate2::bufread::GzDecoder::new(blob))
            } else {
                Box::new(blob)
            };
            let mut archive = tar::Archive::new(content);
            for entry in archive.entries().unwrap() {
                let mut entry = entry.unwrap();
                if entry.path().unwrap() == Path::new(path) {
                    return Some(std::io::read_to_string(&mut entry).unwrap());
                }
            }
        }
        None
    }
}

fn log(event: &BuildEvent) -> String {
    match &event.event {
        Event::Status(status) => status
            .logs
            .iter()
            .map(|log| String::from_utf8_lossy(&log.data).into_owned())
            .collect(),
        _ => String::new(),
    }
}

impl Outcome {
    fn image(&self) -> &ImageSummary {
        match &self.events.last().unwrap().event {
            Event::Done(image) => image,
            other => panic!("the build has no image: {other:?}"),
        }
    }

    fn failure(&self) -> &BuildFailure {
        match &self.events.last().unwrap().event {
            Event::Failed(failure) => failure,
            other => panic!("the build did not fail: {other:?}"),
        }
    }

    fn log(&self) -> String {
        self.events.iter().map(|event| log(event)).collect()
    }

    /// What people were warned of, a line each.
    fn warnings(&self) -> String {
        let texts = self.events.iter().flat_map(|event| match &event.event {
            Event::Status(status) => status.warnings.as_slice(),
            _ => &[],
        });
        texts
            .map(|warning| String::from_utf8_lossy(&warning.short) + "\n")
            .collect()
    }

    /// The last report of every step, by name.
    fn steps(&self) -> BTreeMap<String, Vertex> {
        let mut steps = BTreeMap::new();
        for event in &self.events {
            if let Event::Status(status) = &event.event {
                for vertex in &status.vertexes {
                    steps.insert(vertex.name.clone(), vertex.clone());
                }
            }
        }
        steps
    }

    /// The instructions that ran, without their places.
    fn ran(&self) -> Vec<String> {
        let steps = self.steps();
        let ran = steps
            .iter()
            .filter(|(_, step)| step.started.is_some() && !step.cached);
        let instructions = ran.filter(|(name, _)| !name.starts_with("[internal]") && !name.contains("FROM"));
        let mut names: Vec<String> = instructions
            .map(|(name, _)| {
                name.split_once("] ")
                    .map_or(name.as_str(), |(_, rest)| rest)
                    .to_owned()
            })
            .collect();
        names.sort();
        names
    }

    fn reason(&self, instruction: &str) -> String {
        let steps = self.steps();
        steps
            .iter()
            .find(|(name, _)| name.contains(instruction))
            .unwrap()
            .1
            .reason
            .clone()
    }
}

/// An OCI layout with an image of busybox alone.
fn base_image(layout: &Path) {
    use stagewright_core::digest::Digest;
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |path: &str, mode: u32, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        header.set_entry_type(if path.ends_with('/') {
            tar::EntryType::Directory
        } else {
            tar::EntryType::Regular
        });
        archive.append_data(&mut header, path, content).unwrap();
    };
    for directory in ["bin/", "etc/", "tmp/", "root/"] {
        add(directory, 0o755, b"");
    }
    if let Ok(busybox) = fs::read("/bin/busybox") {
        add("bin/busybox", 0o755, &busybox);
    }
    add(
        "etc/passwd",
        0o644,
        b"root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\n",
    );
    add("etc/group", 0o644, b"root:x:0:\nnode:x:1000:\n");
    for tool in [
        "sh", "cat", "cp", "echo", "sleep", "test", "true", "false", "mkdir", "ls", "id", "seq", "touch",
        "rm",
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_mode(0o777);
        header.set_size(0);
        archive
            .append_link(&mut header, format!("bin/{tool}"), "busybox")
            .unwrap();
    }
    let layer = archive.into_inner().unwrap();
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        fs::write(blobs.join(digest.hex()), bytes).unwrap();
        digest
    };
    let layer_digest = put(&layer);
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux",
        "config": { "Env": ["PATH=/bin"] },
        "rootfs": { "type": "layers", "diff_ids": [layer_digest] },
        "history": [{ "created": "2026-01-01T00:00:00Z", "created_by": "busybox" }],
    })
    .to_string();
    let config_digest = put(config.as_bytes());
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config_digest, "size": config.len() },
        "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer_digest, "size": layer.len() }],
    })
    .to_string();
    let manifest_digest = put(manifest.as_bytes());
    let index = serde_json::json!({
        "schemaVersion": 2,
        "manifests": [{ "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": manifest_digest,
                        "size": manifest.len(), "platform": { "architecture": "amd64", "os": "linux" } }],
    });
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    fs::set_permissions(layout, fs::Permissions::from_mode(0o755)).unwrap();
}

const DIAMOND: &str = "\
FROM base AS source
WORKDIR /src
COPY a.txt b.txt ./
FROM source AS left
RUN cat a.txt > /left
FROM source AS right
RUN cat b.txt > /right
FROM base
COPY --from=left /left /out/
COPY --from=right /right /out/
";

#[tokio::test(flavor = "multi_thread")]
async fn the_diamond_runs_once_then_comes_from_the_cache_then_reruns_what_depends_on_a_change() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    let files = [("a.txt", "left"), ("b.txt", "right"), ("unrelated.md", "1")];
    let cold = worker.build(DIAMOND, &files).await;
    assert_eq!(worker.file(&cold, "out/left").as_deref(), Some("left"));
    assert_eq!(worker.file(&cold, "out/right").as_deref(), Some("right"));
    assert_eq!(cold.ran().len(), 6, "{:?}", cold.ran());
    assert!(cold.warnings().contains("a stand-in"));
    assert_eq!(cold.reason("RUN cat a.txt"), "first build of this step");

    let cached = worker.build(DIAMOND, &files).await;
    assert_eq!(cached.ran(), Vec::<String>::new());
    assert_eq!(cached.image(), cold.image());
    assert_eq!(
        cached.reason("RUN cat a.txt"),
        "cached: the same instruction on the same files as in build 1"
    );

    let unrelated = worker
        .build(
            DIAMOND,
            &[("a.txt", "left"), ("b.txt", "right"), ("unrelated.md", "2")],
        )
        .await;
    assert_eq!(unrelated.ran(), Vec::<String>::new());
    assert_eq!(unrelated.image(), cold.image());

    let changed = worker
        .build(
            DIAMOND,
            &[("a.txt", "new"), ("b.txt", "right"), ("unrelated.md", "2")],
        )
        .await;
    // The second copy stands on the first, whose files are others now.
    assert_eq!(
        changed.ran(),
        [
            "COPY --from=left /left /out/",
            "COPY --from=right /right /out/",
            "COPY a.txt b.txt ./",
            "RUN cat a.txt > /left",
            "RUN cat b.txt > /right",
        ]
    );
    assert_eq!(changed.reason("COPY a.txt"), "rerun: a.txt changed since build 3");
    assert_eq!(worker.file(&changed, "out/left").as_deref(), Some("new"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuilt_stage_with_the_same_output_leaves_what_copies_from_it_cached() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    let dockerfile = "FROM base AS builder\nCOPY in.txt /\nRUN echo constant > /out\nFROM base\nCOPY --from=builder /out /out\nRUN cat /out\n";
    let first = worker.build(dockerfile, &[("in.txt", "1")]).await;
    let second = worker.build(dockerfile, &[("in.txt", "2")]).await;
    assert_eq!(second.ran(), ["COPY in.txt /", "RUN echo constant > /out"]);
    assert_eq!(
        second.reason("RUN echo constant"),
        "rerun: what it starts from changed: [builder 2/3] COPY in.txt / gave other files since build 1"
    );
    assert_eq!(second.image(), first.image());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_command_says_which_with_its_code_and_last_lines_and_stops_the_others() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    let dockerfile = "FROM base AS slow\nRUN sleep 600\nFROM base AS bad\nRUN echo about to fail; exit 3\n\
                      FROM base\nCOPY --from=slow /etc /a\nCOPY --from=bad /etc /b\n";
    let outcome = worker.build(dockerfile, &[]).await;
    let failure = outcome.failure();
    assert_eq!(failure.exit_code, Some(3));
    let steps = outcome.steps();
    let bad = steps.values().find(|step| step.name.contains("exit 3")).unwrap();
    assert_eq!(failure.vertex.as_ref(), Some(&bad.digest));
    assert!(bad.error.contains("exited with code 3"), "{}", bad.error);
    assert!(failure.message.contains("about to fail"), "{}", failure.message);
    assert!(outcome.log().contains("about to fail"));
    let slow = steps.values().find(|step| step.name.contains("sleep")).unwrap();
    assert_eq!(slow.error, "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_source_is_named_with_what_is_like_it() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    let from_context = worker.build("FROM base\nCOPY app /\n", &[("app.go", "x")]).await;
    assert!(
        from_context.failure().message.ends_with(
            "in the build context, \"/app\" is not there: there is \"app.go\"; is that what is meant?"
        ),
        "{}",
        from_context.failure().message
    );
    let dockerfile = "FROM base AS builder\nRUN true\nFROM base\nCOPY --from=builder /etc/passwort /\n";
    let from_stage = worker.build(dockerfile, &[]).await;
    assert!(
        from_stage.failure().message.ends_with(
            "in the files of [builder 2/2] RUN true, \"/etc/passwort\" is not there: there is \"passwd\" in /etc; is that \
             what is meant?"
        ),
        "{}",
        from_stage.failure().message
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_build_ends_and_says_so() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    let id = worker
        .start("FROM base\nRUN echo waiting; sleep 600\n", &[])
        .await;
    worker.printed(&id, "waiting").await;
    worker.builds.cancel(&id).unwrap();
    let outcome = worker.outcome(id).await;
    assert_eq!(outcome.events.last().unwrap().event, Event::Cancelled);
    assert_eq!(worker.builds.list()[0].state, BuildState::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_builds_at_once_share_a_step_and_one_may_leave() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    let dockerfile = "FROM base\nRUN echo uuid: $(cat /proc/sys/kernel/random/uuid); while test ! -e /tmp/x; do sleep 0.1; test $((i=i+1)) -gt 20 && touch /tmp/x; done\n";
    let ids = [
        worker.start(dockerfile, &[]).await,
        worker.start(dockerfile, &[]).await,
        worker.start(dockerfile, &[]).await,
    ];
    for id in &ids {
        worker.printed(id, "uuid: ").await;
    }
    worker.builds.cancel(&ids[0]).unwrap();
    let [one, two, three] = ids;
    let (one, two, three) = (
        worker.outcome(one).await,
        worker.outcome(two).await,
        worker.outcome(three).await,
    );
    assert_eq!(one.events.last().unwrap().event, Event::Cancelled);
    let printed = |outcome: &Outcome| {
        outcome
            .log()
            .lines()
            .find(|line| line.starts_with("uuid: "))
            .unwrap()
            .to_owned()
    };
    assert_eq!(printed(&two), printed(&three));
    assert_eq!(printed(&one), printed(&two));
    assert_eq!(two.image(), three.image());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_cache_everything_runs_again() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    worker.build(DIAMOND, &[("a.txt", "1"), ("b.txt", "2")]).await;
    let id = worker
        .start_with(DIAMOND, &[("a.txt", "1"), ("b.txt", "2")], true)
        .await;
    let again = worker.outcome(id).await;
    assert_eq!(again.ran().len(), 6);
    assert!(
        again
            .reason("RUN cat a.txt")
            .contains("asks that nothing come from the cache")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_steps_and_records_outlive_the_worker() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let files = [("a.txt", "1"), ("b.txt", "2")];
    let first = {
        let worker = ground.worker();
        worker.build(DIAMOND, &files).await
    };
    let image = first.image();
    let worker = ground.worker();
    assert_eq!(worker.outcome(first.id.clone()).await.events, first.events);
    let again = worker.build(DIAMOND, &files).await;
    assert_eq!(
        again.ran(),
        Vec::<String>::new(),
        "{}",
        again.reason("RUN cat a.txt")
    );
    assert_eq!(again.image(), image);
    assert_eq!(again.id, "2");
}

/// Set in the process that is to be killed, to the directory it works in.
const VICTIM: &str = "STAGEWRIGHT_TEST_VICTIM";

/// Not a test of its own: the worker that [`a_killed_worker_loses_no_finished_step`] kills.
#[tokio::test(flavor = "multi_thread")]
async fn victim_of_the_kill_test() {
    let Some(directory) = std::env::var_os(VICTIM) else {
        return;
    };
    let _ = crate::sandbox::isolate_mounts();
    let worker = Ground::worker_in(Path::new(&directory));
    let id = worker.start(KILLED, &[("a.txt", "1")]).await;
    worker.printed(&id, "now").await;
    fs::write(Path::new(&directory).join("ready"), "").unwrap();
    worker.outcome(id).await;
}

const KILLED: &str = "FROM base\nCOPY a.txt /\nRUN cat a.txt > /b.txt\nRUN test -e /go || echo now; while test ! -e /dev/null; do true; done; sleep 1\nRUN true\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_loses_no_finished_step() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let mut victim = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "backend::embedded::tests::victim_of_the_kill_test",
            "--nocapture",
        ])
        .env(VICTIM, ground.directory.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while !ground.directory.path().join("ready").exists() {
        assert!(
            victim.try_wait().unwrap().is_none(),
            "the worker ended before it could be killed"
        );
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    victim.kill().unwrap();
    victim.wait().unwrap();

    let worker = ground.worker();
    assert_eq!(worker.builds.list()[0].state, BuildState::Lost);
    let lost = worker.outcome("1".into()).await;
    assert!(lost.failure().message.contains("start the build again"));
    let numbers: Vec<u64> = lost.events.iter().map(|event| event.seq).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    let again = worker.build(KILLED, &[("a.txt", "1")]).await;
    let cached: Vec<bool> = again.steps().values().map(|step| step.cached).collect();
    assert!(again.reason("COPY a.txt").starts_with("cached"), "{cached:?}");
    assert!(again.reason("RUN cat a.txt").starts_with("cached"));
    assert!(
        again.reason("RUN test -e").starts_with("first build"),
        "{}",
        again.reason("RUN test -e")
    );
    assert_eq!(worker.file(&again, "b.txt").as_deref(), Some("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_users_and_working_directories_are_the_images() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    let dockerfile = "FROM base\nWORKDIR /home/node\nCOPY --chown=node:node a.txt ./\nUSER node\nRUN id > /tmp/id 2>&1 || true; ls -ln a.txt; cat a.txt\n";
    let outcome = worker.build(dockerfile, &[("a.txt", "mine\n")]).await;
    assert!(outcome.log().contains("1000     1000"), "{}", outcome.log());
    assert!(outcome.log().contains("mine"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_this_backend_cannot_do_is_refused_before_anything_runs() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    let dockerfile =
        "FROM base\nRUN echo ran\nFROM --platform=linux/loong64 base\nRUN true\nCOPY --from=0 /bin /b\n";
    let outcome = worker.build(dockerfile, &[]).await;
    let said = &outcome.failure().message;
    assert!(said.contains("this machine runs linux/"), "{said}");
    assert!(!outcome.log().contains("ran"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_whose_layers_cannot_be_had_is_at_fault_and_not_the_step_that_needs_them() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    let blobs = ground.directory.path().join("image/blobs/sha256");
    let largest = fs::read_dir(&blobs).unwrap().map(|entry| entry.unwrap());
    let layer = largest
        .max_by_key(|entry| entry.metadata().unwrap().len())
        .unwrap()
        .path();
    fs::remove_file(layer).unwrap();
    let outcome = worker.build("FROM base\nRUN true\n", &[]).await;
    let steps = outcome.steps();
    let image = steps.values().find(|step| step.name.contains("FROM")).unwrap();
    assert_eq!(outcome.failure().vertex.as_ref(), Some(&image.digest));
    assert!(!image.error.is_empty());
    assert!(
        outcome.failure().message.contains("base"),
        "{}",
        outcome.failure().message
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_linked_copy_twice_is_one_directory_in_the_stack() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    let dockerfile = "FROM base\nCOPY --link a.txt /x/\nCOPY --link a.txt /x/\nRUN cat /x/a.txt\n";
    let outcome = worker.build(dockerfile, &[("a.txt", "linked\n")]).await;
    assert!(outcome.log().contains("linked"), "{}", outcome.log());
    let again = worker
        .build(
            &dockerfile.replace("FROM base", "FROM base\nRUN true"),
            &[("a.txt", "linked\n")],
        )
        .await;
    // What was linked does not depend on what it is put on.
    assert_eq!(
        again
            .steps()
            .values()
            .filter(|step| step.name.contains("COPY") && !step.name.contains("LINK") && step.cached)
            .count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_worker_on_one_state_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let open = || {
        let content = ContentStore::open(directory.path().join("content")).unwrap();
        let contexts = Contexts::open(directory.path(), content, ContextLimits::default()).unwrap();
        EmbeddedBackend::open(directory.path(), &Config::default(), contexts)
    };
    let first = open().unwrap();
    assert!(
        open()
            .err()
            .unwrap()
            .to_string()
            .contains("another worker uses this state directory")
    );
    drop(first);
    assert!(open().is_ok());
}
