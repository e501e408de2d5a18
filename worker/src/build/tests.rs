//! The life of builds on a backend that does what a test tells it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use proptest::prelude::*;
use stagewright_core::analysis::ImageFacts;
use stagewright_core::digest::Digest;
use stagewright_core::llb::{
    ExecOp, Input, Meta, Mount, NetMode, Op, OpKind, SecurityMode, SourceOp, marshal,
};
use stagewright_core::protocol::{ResolveImage, SolveStatus, VertexWarning, WireOp};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::backend::BackendDescription;
use crate::content::ContentStore;
use crate::source::local::ContextLimits;

type End = Result<ImageSummary, BuildFailure>;

/// Ends a build when the test says so, and tells as many events as the build's title says.
#[derive(Default)]
struct Puppet {
    running: Mutex<Vec<(String, oneshot::Sender<End>)>>,
}

impl Puppet {
    /// Ends the build called `title`, which has to be running.
    async fn end(&self, title: &str, how: Result<ImageSummary, BuildFailure>) {
        loop {
            let found = {
                let mut running = self.running.lock().unwrap();
                running
                    .iter()
                    .position(|(name, _)| name == title)
                    .map(|at| running.remove(at))
            };
            match found {
                Some((_, end)) => {
                    // Whether anyone still waits for it does not matter.
                    let _ = end.send(how);
                    return;
                }
                None => tokio::task::yield_now().await,
            }
        }
    }

    fn is_running(&self, title: &str) -> bool {
        self.running.lock().unwrap().iter().any(|(name, _)| name == title)
    }
}

impl Backend for Puppet {
    fn describe(&self) -> BackendDescription {
        BackendDescription {
            can_build: true,
            ..BackendDescription::default()
        }
    }

    fn resolve_image(&self, _: ResolveImage) -> BoxFuture<'_, Result<ImageFacts, BackendError>> {
        Box::pin(async { Err(BackendError::NotFound("there are no images here".into())) })
    }

    fn solve(
        &self,
        request: SolveRequest,
        events: EventSink,
        cancel: CancellationToken,
    ) -> BoxFuture<'_, Result<ImageSummary, BuildFailure>> {
        Box::pin(async move {
            let (end, ended) = oneshot::channel();
            let count: usize = request
                .title
                .rsplit('-')
                .next()
                .and_then(|count| count.parse().ok())
                .unwrap_or(0);
            (0..count).for_each(|number| events.status(warning(number)));
            assert!(!request.title.starts_with("panic"), "the backend has a fault");
            self.running.lock().unwrap().push((request.title, end));
            tokio::select! {
                how = ended => how.unwrap_or_else(|_| Err(failure())),
                () = cancel.cancelled() => Err(failure()),
            }
        })
    }

    fn export<'a>(
        &'a self,
        _: &'a Digest,
        naming: &'a Naming,
        _: OutputFormat,
        mut out: Box<dyn Write + Send>,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        Box::pin(async move {
            let name = naming.names.first().map(ToString::to_string).unwrap_or_default();
            out.write_all(name.as_bytes())
                .map_err(|e| BackendError::Internal(e.to_string()))
        })
    }
}

const ASKED: Option<KeptRequest<'_>> = Some(KeptRequest {
    kept: b"{}",
    told: b"{}",
    resumable: true,
});

fn warning(number: usize) -> SolveStatus {
    let short = format!("event {number}").into_bytes();
    let warnings = vec![VertexWarning {
        vertex: Digest::of(b"v"),
        level: 1,
        short,
    }];
    SolveStatus {
        warnings,
        ..SolveStatus::default()
    }
}

fn failure() -> BuildFailure {
    BuildFailure {
        message: "it did not go well".into(),
        vertex: None,
        exit_code: Some(1),
    }
}

fn image() -> ImageSummary {
    let digest = Digest::of(b"image");
    ImageSummary {
        digest: digest.clone(),
        config: digest,
        layers: Vec::new(),
        size: 0,
    }
}

fn builds(state: &Path, limits: BuildLimits) -> (Builds, Arc<Puppet>) {
    let content = ContentStore::open(state.join("content")).unwrap();
    let contexts = Contexts::open(state, content, ContextLimits::default()).unwrap();
    let puppet = Arc::new(Puppet::default());
    (
        Builds::open(state, Arc::clone(&puppet) as Arc<dyn Backend>, contexts, limits).unwrap(),
        puppet,
    )
}

/// A build of one op, in the form in which clients send it.
fn request(title: &str, kind: OpKind) -> StartBuild {
    let op = marshal(&Op {
        kind: Some(kind),
        ..Op::default()
    });
    let inputs = vec![Input {
        digest: Digest::of(&op),
        index: 0,
    }];
    let terminal = marshal(&Op {
        inputs,
        ..Op::default()
    });
    let digests = [Digest::of(&op).to_string(), Digest::of(&terminal).to_string()];
    StartBuild {
        digest: Digest::of(digests.join("\n").as_bytes()),
        ops: [op, terminal]
            .map(|bytes| WireOp {
                bytes,
                name: "step".into(),
            })
            .to_vec(),
        image_config: serde_json::json!({}),
        contexts: BTreeMap::new(),
        title: title.into(),
        no_cache: false,
    }
}

fn source(identifier: &str) -> OpKind {
    OpKind::Source(SourceOp::new(identifier.into(), Vec::new()))
}

fn start(builds: &Builds, title: &str) -> BuildId {
    builds.start(request(title, source("docker-image://a"))).unwrap()
}

async fn numbers(builds: &Builds, id: &str, since: u64) -> Vec<u64> {
    let (_, events) = builds.attach(id, since).unwrap();
    events.map(|event| event.seq).collect().await
}

#[tokio::test]
async fn a_follower_gets_every_event_after_its_last_one_once_and_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let (builds, puppet) = builds(directory.path(), BuildLimits::default());
    let id = start(&builds, "told-300");
    // Some attach before, some while, some after it runs; each from another point.
    let live: Vec<_> = (0..=302)
        .step_by(7)
        .map(|since| {
            let (builds, id) = (builds.clone(), id.clone());
            (
                since,
                tokio::spawn(async move { numbers(&builds, &id, since).await }),
            )
        })
        .collect();
    puppet.end("told-300", Ok(image())).await;
    for (since, task) in live {
        assert_eq!(
            task.await.unwrap(),
            (since + 1..=301).collect::<Vec<_>>(),
            "since {since}"
        );
    }
    for since in 0..=301 {
        assert_eq!(
            numbers(&builds, &id, since).await,
            (since + 1..=301).collect::<Vec<_>>()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// However events and followers interleave, a follower sees no gap and nothing twice.
    #[test]
    fn no_interleaving_loses_or_repeats_an_event(
        events in 1_usize..600,
        attach_at in 0_usize..600,
        since in 0_u64..700,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let record = Record::create(directory.path(), 1, "title".into(), Digest::of(b""), u64::MAX, None).unwrap();
        let follow = |record: &Arc<Record>| {
            let stream = EventStream::new(Arc::clone(record), since);
            runtime.spawn(stream.map(|event| event.seq).collect::<Vec<_>>())
        };
        let mut follower = None;
        for number in 0..events {
            if number == attach_at {
                follower = Some(follow(&record));
            }
            record.append(Event::Status(warning(number)));
        }
        record.append(Event::Done(image()));
        record.append(Event::Status(warning(0)));
        let follower = follower.unwrap_or_else(|| follow(&record));
        let seen = runtime.block_on(follower).unwrap();
        prop_assert_eq!(seen, (since + 1..=events as u64 + 1).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_record_cut_at_any_byte_opens_as_a_lost_build_with_all_whole_events() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("builds");
    fs::create_dir(&root).unwrap();
    let record = Record::create(&root, 1, "title".into(), Digest::of(b""), u64::MAX, None).unwrap();
    (0..3).for_each(|number| record.append(Event::Status(warning(number))));
    drop(record);
    let path = root.join("1/events.jsonl");
    let (whole, summary) = (
        fs::read(&path).unwrap(),
        fs::read(root.join("1/build.json")).unwrap(),
    );
    for cut in 0..=whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        fs::write(root.join("1/build.json"), &summary).unwrap();
        let kept = whole[..cut].split(|byte| *byte == b'\n').count() as u64 - 1;
        let (builds, _) = builds(directory.path(), BuildLimits::default());
        let summary = builds.list().remove(0);
        assert_eq!(
            (summary.state, summary.last_seq),
            (BuildState::Lost, kept + 1),
            "cut at {cut}"
        );
        assert_eq!(
            numbers(&builds, "1", 0).await,
            (1..=kept + 1).collect::<Vec<_>>(),
            "cut at {cut}"
        );
        let (_, events) = builds.attach("1", kept).unwrap();
        let last = events.collect::<Vec<_>>().await;
        assert!(
            matches!(&last[0].event, Event::Failed(failure) if failure.message.contains("start the build again"))
        );
    }
}

#[tokio::test]
async fn builds_wait_their_turn_and_too_many_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let limits = BuildLimits {
        running: 1,
        queued: 1,
        ..BuildLimits::default()
    };
    let (builds, puppet) = builds(directory.path(), limits);
    let (first, second) = (start(&builds, "first"), start(&builds, "second"));
    let refused = builds.start(request("third", source("docker-image://a")));
    assert!(matches!(refused, Err(StartError::Limit(_))));
    while !puppet.is_running("first") {
        tokio::task::yield_now().await;
    }
    assert!(!puppet.is_running("second"));
    assert_eq!(builds.attach(&second, 0).unwrap().0.state, BuildState::Queued);
    assert!(matches!(
        builds.image(&second),
        Err(BuildsError::NoImage { state: "queued", .. })
    ));
    puppet.end("first", Ok(image())).await;
    puppet.end("second", Err(failure())).await;
    numbers(&builds, &second, 0).await;
    assert_eq!(builds.attach(&first, 0).unwrap().0.state, BuildState::Done);
    assert_eq!(builds.attach(&second, 0).unwrap().0.state, BuildState::Failed);
    assert_eq!(builds.image(&first).unwrap(), image());
}

#[tokio::test]
async fn a_build_can_be_cancelled_while_it_waits_and_while_it_runs() {
    let directory = tempfile::tempdir().unwrap();
    let limits = BuildLimits {
        running: 1,
        ..BuildLimits::default()
    };
    let (builds, puppet) = builds(directory.path(), limits);
    let (running, waiting) = (start(&builds, "running"), start(&builds, "waiting"));
    while !puppet.is_running("running") {
        tokio::task::yield_now().await;
    }
    builds.cancel(&waiting).unwrap();
    assert_eq!(numbers(&builds, &waiting, 0).await, [1]);
    builds.cancel(&running).unwrap();
    assert_eq!(numbers(&builds, &running, 0).await, [1]);
    for id in [&running, &waiting] {
        assert_eq!(builds.attach(id, 0).unwrap().0.state, BuildState::Cancelled);
    }
}

#[tokio::test]
async fn a_fault_in_the_backend_ends_the_build_with_words() {
    let directory = tempfile::tempdir().unwrap();
    let (builds, _) = builds(directory.path(), BuildLimits::default());
    let id = start(&builds, "panic-2");
    let (_, events) = builds.attach(&id, 0).unwrap();
    let events: Vec<_> = events.collect().await;
    assert!(
        matches!(&events.last().unwrap().event, Event::Failed(failure) if failure.message.contains("fault"))
    );
}

#[tokio::test]
async fn old_builds_are_forgotten_and_their_numbers_are_not_used_again() {
    let directory = tempfile::tempdir().unwrap();
    let limits = BuildLimits {
        remembered: 2,
        ..BuildLimits::default()
    };
    let (first, puppet) = builds(directory.path(), limits.clone());
    for number in 1..=4 {
        let title = format!("build{number}");
        let id = start(&first, &title);
        puppet.end(&title, Ok(image())).await;
        numbers(&first, &id, 0).await;
    }
    let ids: Vec<_> = first.list().into_iter().map(|summary| summary.id).collect();
    assert_eq!(ids, ["4", "3"]);
    assert!(matches!(first.attach("1", 0), Err(BuildsError::Unknown(_))));
    drop(first);
    let (second, puppet) = builds(directory.path(), limits.clone());
    assert_eq!(start(&second, "next"), "5");
    puppet.end("next", Ok(image())).await;
    numbers(&second, "5", 0).await;
    // Not even where nothing is left that tells of them.
    for id in ["5", "4"] {
        second.forget(id).unwrap();
    }
    assert!(second.list().is_empty());
    drop(second);
    let (third, _) = builds(directory.path(), limits);
    assert_eq!(start(&third, "next"), "6");
}

#[tokio::test]
async fn build_that_cannot_be_recorded_is_in_nobodys_way() {
    let directory = tempfile::tempdir().unwrap();
    let (builds, _) = builds(directory.path(), BuildLimits::default());
    fs::create_dir(directory.path().join("builds/1")).unwrap();
    let refused = builds.start(request("first", source("docker-image://a")));
    assert!(matches!(refused, Err(StartError::Record(_))));
    assert_eq!(start(&builds, "second"), "2");
}

#[test]
fn of_a_build_that_cannot_be_recorded_nothing_is_left() {
    // So deep that its folder can be made and no file in it: paths have 4095 bytes at most.
    let directory = tempfile::tempdir().unwrap();
    let mut root = directory.path().to_owned();
    while root.as_os_str().len() < 4085 {
        let left = 4085 - root.as_os_str().len();
        root.push("d".repeat((left - 1).clamp(1, 200)));
    }
    fs::create_dir_all(&root).unwrap();
    assert!(Record::create(&root, 1, "title".into(), Digest::of(b""), u64::MAX, ASKED).is_err());
    assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
}

#[tokio::test]
async fn a_full_record_keeps_states_and_drops_logs() {
    let directory = tempfile::tempdir().unwrap();
    let record = Record::create(directory.path(), 1, "title".into(), Digest::of(b""), 200, None).unwrap();
    for _ in 0..50 {
        let log = stagewright_core::protocol::VertexLog {
            vertex: Digest::of(b"v"),
            stream: 1,
            data: vec![b'x'; 100],
            timestamp: String::new(),
        };
        record.append(Event::Status(SolveStatus {
            logs: vec![log],
            ..SolveStatus::default()
        }));
    }
    record.append(Event::Status(warning(0)));
    record.append(Event::Done(image()));
    let events: Vec<_> = EventStream::new(record, 0).collect().await;
    assert_eq!(events.len(), 3);
    assert!(matches!(events[2].event, Event::Done(_)));
}

#[tokio::test]
async fn what_a_client_may_not_ask_for_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (builds, _) = builds(directory.path(), BuildLimits::default());
    let exec = |change: fn(&mut ExecOp)| {
        let meta = Meta {
            args: vec!["true".into()],
            cwd: "/".into(),
            ..Meta::default()
        };
        let root = Mount {
            input: -1,
            dest: "/".into(),
            ..Mount::default()
        };
        let mut exec = ExecOp {
            meta: Some(meta),
            mounts: vec![root],
            ..ExecOp::default()
        };
        change(&mut exec);
        OpKind::Exec(exec)
    };
    let refused = |kind: OpKind| builds.start(request("asked", kind)).unwrap_err();
    for kind in [
        exec(|exec| exec.network = NetMode::Host as i32),
        exec(|exec| exec.security = SecurityMode::Insecure as i32),
        exec(|exec| exec.cdi_devices.push(stagewright_core::llb::CdiDevice::default())),
        exec(|exec| exec.meta.as_mut().unwrap().cgroup_parent = "/up".into()),
    ] {
        assert!(matches!(refused(kind), StartError::NotAllowed(_)));
    }
    // What the owner allows to all, and what a caller in this process allows to one.
    let own = tempfile::tempdir().unwrap();
    let limits = BuildLimits {
        entitlements: [Entitlement::NetworkHost].into(),
        ..BuildLimits::default()
    };
    let (free, _) = self::builds(own.path(), limits);
    let host = || request("asked", exec(|exec| exec.network = NetMode::Host as i32));
    let insecure = || {
        request(
            "asked",
            exec(|exec| exec.security = SecurityMode::Insecure as i32),
        )
    };
    assert!(free.start(host()).is_ok());
    let refusal = free.start(insecure()).unwrap_err();
    assert!(refusal.to_string().contains("security.insecure"), "{refusal}");
    let extras = Extras {
        entitlements: [Entitlement::SecurityInsecure].into(),
        ..Extras::default()
    };
    assert!(free.start_with(insecure(), extras).is_ok());
    assert!(matches!(
        refused(source("local://context")),
        StartError::Context(_)
    ));
    let mut other = request("asked", source("docker-image://a"));
    other.digest = Digest::of(b"another plan");
    assert!(matches!(builds.start(other), Err(StartError::Invalid(_))));
    let mut title = request("two\nlines", source("docker-image://a"));
    assert!(matches!(builds.start(title.clone()), Err(StartError::Invalid(_))));
    title.title = "fine".into();
    title.image_config = serde_json::json!([]);
    assert!(matches!(builds.start(title), Err(StartError::Invalid(_))));
    assert!(builds.list().is_empty());
}

#[test]
fn build_that_was_cancelled_is_not_taken_up_by_the_next_worker_and_one_that_was_not_is() {
    let folder = tempfile::tempdir().unwrap();
    for (number, cancelled, state) in [(1, true, BuildState::Cancelled), (2, false, BuildState::Queued)] {
        let digest = Digest::of(b"");
        let record = Record::create(folder.path(), number, "title".into(), digest, u64::MAX, ASKED).unwrap();
        assert!(record.started());
        if cancelled {
            record.cancel.cancel();
        }
        record.interrupt();
        assert!(record.cancel.is_cancelled());
        record.give_up();
        assert_eq!(record.summary().state, state);
    }
}

#[test]
fn what_it_took_to_begin_anew_is_dropped_once_a_build_has_ended_and_what_may_be_told_stays() {
    let folder = tempfile::tempdir().unwrap();
    let create = |number| {
        let digest = Digest::of(b"");
        Record::create(folder.path(), number, "title".into(), digest, u64::MAX, ASKED).unwrap()
    };
    create(1).append(Event::Done(image()));
    create(2).lose("It cannot begin anew.");
    let dead = create(3);
    // Killed after its end was recorded, and before the rest was done.
    let kept = fs::read(dead.directory().join(record::KEPT_FILE)).unwrap();
    dead.append(Event::Cancelled);
    fs::write(dead.directory().join(record::KEPT_FILE), kept).unwrap();
    create(4);
    let (_, shelf) = Shelf::open(folder.path(), u64::MAX).unwrap();
    for (number, record) in (1..).zip(shelf.all()) {
        let waits = record.kept().is_some();
        assert_eq!((waits, record.asked().is_some()), (number == 4, true), "{number}");
    }
}

#[test]
fn of_what_nobody_was_told_of_nothing_stays_and_of_a_damaged_record_nothing_secret() {
    let folder = tempfile::tempdir().unwrap();
    let create = |number| {
        let digest = Digest::of(b"");
        let record = Record::create(folder.path(), number, "title".into(), digest, u64::MAX, ASKED).unwrap();
        (
            record.directory().to_owned(),
            record.directory().join(record::SUMMARY_FILE),
        )
    };
    let (begun, summary) = create(1);
    fs::remove_file(summary).unwrap();
    fs::remove_file(begun.join(record::EVENTS_FILE)).unwrap();
    // Another's name for the same number is not that build.
    fs::create_dir(folder.path().join("02")).unwrap();
    let (damaged, summary) = create(2);
    fs::write(summary, "").unwrap();
    // What the system cannot read now may be whole at the next start.
    let (unreadable, summary) = create(3);
    fs::remove_file(&summary).unwrap();
    fs::create_dir(&summary).unwrap();
    let (next, shelf) = Shelf::open(folder.path(), u64::MAX).unwrap();
    assert_eq!((next, shelf.all().count()), (4, 0));
    assert!(!begun.exists());
    let stays =
        |directory: &Path| [record::EVENTS_FILE, record::KEPT_FILE].map(|name| directory.join(name).exists());
    assert_eq!(
        (stays(&damaged), stays(&unreadable)),
        ([true, false], [true, true])
    );
}

#[test]
fn a_record_that_the_next_worker_goes_by_gives_way_only_to_what_is_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let changes: [fn(&Record); 3] = [
        |record| record.planned(Digest::of(b"plan")),
        |record| {
            record.interrupt();
            record.give_up();
        },
        |record| record.append(Event::Done(image())),
    ];
    let mut number = 0;
    for (asked, reopened) in [(ASKED, false), (ASKED, true), (None, false)] {
        for change in changes {
            number += 1;
            let digest = Digest::of(b"");
            let mut record =
                Record::create(folder.path(), number, "title".into(), digest, u64::MAX, asked).unwrap();
            if reopened {
                let (_, shelf) = Shelf::open(folder.path(), u64::MAX).unwrap();
                record = shelf.get(number).unwrap();
            }
            assert!(record.started());
            // A disk that takes what is written, and can never say that it is there.
            let summary = record.directory().join(record::SUMMARY_FILE);
            let disk = record.directory().join("build.json.new");
            let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
            rustix::fs::mknodat(rustix::fs::CWD, &disk, kind, mode, 0).unwrap();
            let _open = fs::File::options().read(true).write(true).open(&disk).unwrap();
            change(&record);
            let is_old = fs::symlink_metadata(&summary).unwrap().is_file();
            assert_eq!(
                is_old,
                asked.is_some(),
                "{number}: only what nobody keeps does not wait"
            );
            fs::remove_dir_all(record.directory()).unwrap();
        }
    }
}
