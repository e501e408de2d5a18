//! Daemons that are not as they should be, and builds that are given up: with a daemon of the test's own.

mod daemon;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stagewright_core::digest::Digest;
use stagewright_core::llb::{ExecOp, Input, Meta, Mount, Op, OpKind, marshal};
use stagewright_core::protocol::{BuildFailure, Event, ImageSummary, WireOp};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::daemon::{Conduct, Fake};
use super::*;
use crate::backend::Extras;
use crate::backend::graph::Graph;
use crate::content::ContentStore;
use crate::source::local::ContextLimits;

/// A worker whose builds go to these addresses.
struct Ground {
    folder: tempfile::TempDir,
}

impl Ground {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn backend(&self, routes: Vec<Route>) -> Arc<BuildkitBackend> {
        let (state, config) = (self.path("state"), Config::default());
        let content = ContentStore::open(state.join("content")).unwrap();
        let contexts = Contexts::open(&state, content, ContextLimits::default()).unwrap();
        let embedded = EmbeddedBackend::open(&state, &config, contexts.clone()).unwrap();
        Arc::new(BuildkitBackend::new(
            routes,
            &state,
            &config,
            contexts,
            Arc::new(embedded),
        ))
    }
}

fn unix(path: &Path) -> Route {
    Route {
        address: format!("unix://{}", path.display()).parse().unwrap(),
        certificates: None,
    }
}

/// One step on nothing.
fn request() -> SolveRequest {
    let op = |kind, inputs| Op {
        inputs,
        kind,
        ..Op::default()
    };
    let exec = ExecOp {
        meta: Some(Meta {
            args: vec!["make".into()],
            cwd: "/".into(),
            ..Meta::default()
        }),
        mounts: vec![Mount {
            input: -1,
            dest: "/".into(),
            ..Mount::default()
        }],
        ..ExecOp::default()
    };
    let step = marshal(&op(Some(OpKind::Exec(exec)), Vec::new()));
    let input = Input {
        digest: Digest::of(&step),
        index: 0,
    };
    let end = marshal(&op(None, vec![input]));
    let ops = vec![
        WireOp {
            bytes: step,
            name: "[1/1] RUN make".into(),
        },
        WireOp {
            bytes: end,
            name: String::new(),
        },
    ];
    let digests: Vec<String> = ops.iter().map(|op| Digest::of(&op.bytes).to_string()).collect();
    let graph = Graph::read(ops, &Digest::of(digests.join("\n").as_bytes())).unwrap();
    SolveRequest {
        build: "1".into(),
        title: "test".into(),
        graph: Arc::new(graph),
        image_config: serde_json::json!({}),
        contexts: BTreeMap::new(),
        no_cache: false,
        extras: Extras {
            tell_exports: true,
            ..Extras::default()
        },
    }
}

/// A build under way.
struct Started {
    cancel: CancellationToken,
    events: Arc<Mutex<Vec<Event>>>,
    ending: JoinHandle<Result<ImageSummary, BuildFailure>>,
}

impl Started {
    fn new(backend: &Arc<BuildkitBackend>) -> Self {
        let (cancel, events) = (CancellationToken::new(), Arc::new(Mutex::new(Vec::new())));
        let sink = {
            let events = Arc::clone(&events);
            EventSink::new(move |event| events.lock().unwrap().push(event))
        };
        let (backend, given) = (Arc::clone(backend), cancel.clone());
        let ending = tokio::spawn(async move { backend.solve(request(), sink, given).await });
        Self {
            cancel,
            events,
            ending,
        }
    }

    async fn failure(self) -> BuildFailure {
        let ended = tokio::time::timeout(Duration::from_secs(30), self.ending).await;
        ended.expect("nothing hangs").unwrap().expect_err("it fails")
    }

    /// What was told of things that are no steps, and what was printed.
    fn told(&self) -> String {
        let events = self.events.lock().unwrap();
        let statuses = events.iter().filter_map(|event| match event {
            Event::Status(status) => Some(status),
            _ => None,
        });
        let words = statuses.flat_map(|status| {
            let names = status.vertexes.iter().map(|vertex| vertex.name.clone());
            let logs = status
                .logs
                .iter()
                .map(|log| String::from_utf8_lossy(&log.data).into_owned());
            names.chain(logs).collect::<Vec<_>>()
        });
        words.collect::<Vec<_>>().join("\n")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_build_ends_in_the_daemon() {
    let ground = Ground::new();
    let fake = Fake::on(&ground.path("sock"), Conduct::Works);
    let backend = ground.backend(vec![unix(&ground.path("sock"))]);
    let build = Started::new(&backend);
    fake.solving(1).await;
    // What the daemon says of its steps comes by another call.
    while !build.told().contains("RUN make") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    build.cancel.cancel();
    let events = Arc::clone(&build.events);
    build.failure().await;
    fake.solving(0).await;
    // The step that was at work is told to be over.
    let events = events.lock().unwrap();
    let over = events.iter().any(|event| match event {
        Event::Status(status) => status
            .vertexes
            .iter()
            .any(|step| step.error == "cancelled" && step.completed.is_some()),
        _ => false,
    });
    assert!(over, "{events:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn daemon_that_vanishes_fails_the_build_and_is_named() {
    let ground = Ground::new();
    let fake = Fake::on(&ground.path("sock"), Conduct::Works);
    let backend = ground.backend(vec![unix(&ground.path("sock"))]);
    let build = Started::new(&backend);
    fake.solving(1).await;
    fake.vanish();
    let failure = build.failure().await;
    assert!(
        failure.message.contains("is gone") && failure.message.contains("sock"),
        "{failure:?}"
    );
    // The next one says at once that nobody is there.
    let failure = Started::new(&backend).failure().await;
    assert!(failure.message.contains("does not run"), "{failure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_step_is_told_with_the_plan_s_digest_and_its_exit_code() {
    let ground = Ground::new();
    let _fake = Fake::on(&ground.path("sock"), Conduct::Fails);
    let backend = ground.backend(vec![unix(&ground.path("sock"))]);
    let failure = Started::new(&backend).failure().await;
    assert_eq!(
        failure.vertex,
        Some(request().graph.vertices[0].digest.clone()),
        "{failure:?}"
    );
    assert_eq!(failure.exit_code, Some(7));
    assert!(
        failure.message.starts_with("[1/1] RUN make: process"),
        "{failure:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_way_is_said() {
    let ground = Ground::new();
    std::fs::write(ground.path("file"), "").unwrap();
    drop(std::os::unix::net::UnixListener::bind(ground.path("left")).unwrap());
    let other = tokio::net::UnixListener::bind(ground.path("other")).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = other.accept().await {
            use tokio::io::AsyncWriteExt as _;
            _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2p1\r\n").await;
        }
    });
    let address = |text: String| Route {
        address: text.parse().unwrap(),
        certificates: None,
    };
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    for (route, said) in [
        (unix(&ground.path("none")), "is not there"),
        (unix(&ground.path("file")), "is no socket"),
        (unix(&ground.path("left")), "does not run"),
        (unix(&ground.path("other")), "does not speak as a BuildKit does"),
        (
            address(format!("docker://{}", ground.path("other").display())),
            "does not speak as Docker's engine does",
        ),
        (
            address(format!("tcp://127.0.0.1:{port}")),
            "nothing listens there",
        ),
        (address("tcp://192.0.2.1:1234".into()), "without encryption"),
    ] {
        let found = look(vec![route.clone()]).await;
        let error = found[0].1.as_ref().unwrap_err().to_string();
        assert!(error.contains(said), "{}: {error}", route.address);
        assert!(error.contains(&route.address.to_string()), "{error}");
    }
}

#[tokio::test]
async fn daemon_that_says_nothing_is_not_waited_for_for_ever() {
    let ground = Ground::new();
    let listener = std::os::unix::net::UnixListener::bind(ground.path("sock")).unwrap();
    let found = look(vec![unix(&ground.path("sock"))]).await;
    let error = found[0].1.as_ref().unwrap_err().to_string();
    assert!(error.contains("says nothing"), "{error}");
    drop(listener);
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_go_to_whoever_has_the_least_to_do_and_those_that_are_unwell_are_passed_over() {
    let ground = Ground::new();
    let (one, two) = (ground.path("one"), ground.path("two"));
    let (first, second) = (Fake::on(&one, Conduct::Works), Fake::on(&two, Conduct::Works));
    let backend = ground.backend(vec![unix(&ground.path("gone")), unix(&one), unix(&two)]);
    let mut builds = vec![Started::new(&backend)];
    first.solving(1).await;
    let told = builds[0].told();
    assert!(
        told.contains("building in BuildKit v1.2.3") && told.contains("gone is not there"),
        "{told}"
    );
    builds.push(Started::new(&backend));
    second.solving(1).await;
    builds.push(Started::new(&backend));
    first.solving(2).await;
    for build in &builds {
        build.cancel.cancel();
    }
    for build in builds {
        build.failure().await;
    }
    // Builds of others count as well.
    first.is_busy_with(3);
    let build = Started::new(&backend);
    second.solving(1).await;
    build.cancel.cancel();
    build.failure().await;
    let description = tokio::task::spawn_blocking(move || backend.describe())
        .await
        .unwrap();
    assert!(
        description.can_build && description.missing.len() == 1,
        "{description:?}"
    );
    assert_eq!(description.platform.architecture, "riscv64");
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_asked_for_on_both_sides() {
    let ground = Ground::new();
    if !daemon::certificates(ground.folder.path()) {
        println!("skipped: this machine has no openssl");
        return;
    }
    let (_fake, port) = Fake::with_certificates(ground.folder.path()).await;
    let certificates = |authority: &str, own: Option<&str>, name: &str| Certificates {
        authority: ground.path(&format!("{authority}.pem")),
        own: own.map(|own| {
            (
                ground.path(&format!("{own}.pem")),
                ground.path(&format!("{own}.key")),
            )
        }),
        server_name: Some(name.to_owned()),
    };
    let route = |certificates| Route {
        address: format!("tcp://127.0.0.1:{port}").parse().unwrap(),
        certificates,
    };
    let good = route(Some(certificates("ca", Some("client"), "builder.example")));
    let found = look(vec![good]).await;
    assert!(found[0].1.is_ok(), "{found:?}");
    for (certificates, said) in [
        (
            Some(certificates("other", Some("client"), "builder.example")),
            "that ca.pem did not sign",
        ),
        (
            Some(certificates("ca", Some("client"), "another.example")),
            "for another name",
        ),
        (
            Some(certificates("ca", None, "builder.example")),
            "certificate of ours",
        ),
        (
            Some(certificates("ca", Some("stranger"), "builder.example")),
            "our certificate",
        ),
        (
            Some(certificates("none", None, "builder.example")),
            "none.pem cannot be used",
        ),
        (None, "does not speak as a BuildKit does"),
    ] {
        let found = look(vec![route(certificates)]).await;
        let error = found[0].1.as_ref().unwrap_err().to_string();
        assert!(error.contains(said), "{said}: {error}");
    }
}
