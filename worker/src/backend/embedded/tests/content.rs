//! The cache goes by content: what a step reads decides whether it runs, and nothing beside it.

use super::*;

/// A change to a context, and what becomes of the step that reads it.
struct Case {
    /// After `FROM base`; the second line is the step that follows.
    step: &'static str,
    before: &'static [(&'static str, &'static str)],
    after: &'static [(&'static str, &'static str)],
    /// The reason of the step; what follows has run again where this begins with `rerun`.
    reason: &'static str,
}

const CACHED: &str = "cached: the same instruction on the same files as in build 1";

const CASES: &[Case] = &[
    Case {
        step: "COPY a.txt /in/",
        before: &[("a.txt", "1"), ("b.txt", "1")],
        after: &[("a.txt", "1"), ("b.txt", "2"), ("c.txt", "new")],
        reason: CACHED,
    },
    Case {
        step: "COPY a.txt /in/",
        before: &[("a.txt", "1")],
        after: &[("a.txt", "2")],
        reason: "rerun: a.txt changed since build 1",
    },
    Case {
        step: "COPY *.txt /in/",
        before: &[("a.txt", "1"), ("x.md", "1")],
        after: &[("a.txt", "1"), ("x.md", "2"), ("deep/b.txt", "1")],
        reason: CACHED,
    },
    Case {
        step: "COPY *.txt /in/",
        before: &[("a.txt", "1"), ("b.txt", "1")],
        after: &[("a.txt", "1"), ("c.txt", "1")],
        reason: "rerun: c.txt was added and b.txt was removed since build 1",
    },
    Case {
        step: "COPY *.txt /in/",
        before: &[("a.txt", "1")],
        after: &[("a.txt", "1"), ("b.txt", "1")],
        reason: "rerun: b.txt was added since build 1",
    },
    Case {
        step: "COPY src /in/",
        before: &[("src/a.c", "1"), ("README", "1")],
        after: &[("src/a.c", "1"), ("README", "2"), ("srcs/b.c", "1")],
        reason: CACHED,
    },
    Case {
        step: "COPY src /in/",
        before: &[("src/a.c", "1"), ("src/b.c", "1")],
        after: &[("src/a.c", "1")],
        reason: "rerun: src/b.c was removed since build 1",
    },
    Case {
        step: "COPY --exclude=*.md . /in/",
        before: &[("a.c", "1"), ("a.md", "1")],
        after: &[("a.c", "1"), ("a.md", "2"), ("b.md", "1")],
        reason: CACHED,
    },
    Case {
        step: "COPY --exclude=*.md . /in/",
        before: &[("a.c", "1"), ("a.md", "1")],
        after: &[("a.c", "1"), ("a.md", "1"), ("d/a.md", "1")],
        reason: "rerun: d and d/a.md were added since build 1",
    },
    Case {
        step: "COPY --parents */go.mod /in/",
        before: &[("x/go.mod", "1"), ("x/main.go", "1")],
        after: &[("x/go.mod", "1"), ("x/main.go", "2"), ("y/main.go", "1")],
        reason: CACHED,
    },
    Case {
        step: "COPY --parents */go.mod /in/",
        before: &[("x/go.mod", "1")],
        after: &[("x/go.mod", "2")],
        reason: "rerun: x/go.mod changed since build 1",
    },
    Case {
        step: "COPY --link a.txt /in/",
        before: &[("a.txt", "1"), ("b.txt", "1")],
        after: &[("a.txt", "1"), ("b.txt", "2")],
        reason: CACHED,
    },
    Case {
        step: "RUN --mount=type=bind,source=src,target=/m cat /m/a > /seen",
        before: &[("src/a", "1"), ("other", "1")],
        after: &[("src/a", "1"), ("other", "2")],
        reason: CACHED,
    },
    Case {
        step: "RUN --mount=type=bind,source=src,target=/m cat /m/a > /seen",
        before: &[("src/a", "1")],
        after: &[("src/a", "2")],
        reason: "rerun: src/a changed since build 1",
    },
    Case {
        step: "RUN --mount=type=cache,target=/c,id=x,mode=700 --mount=type=bind,source=a,target=/a cat /a",
        before: &[("a", "1"), ("b", "1")],
        after: &[("a", "1"), ("b", "2")],
        reason: CACHED,
    },
    Case {
        step: "ADD a.txt /in/",
        before: &[("a.txt", "1"), ("b.txt", "1")],
        after: &[("a.txt", "1")],
        reason: CACHED,
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn a_step_runs_again_where_what_it_reads_changed_and_names_it() {
    if !possible() {
        return;
    }
    for case in CASES {
        let ground = Ground::new();
        let worker = ground.worker();
        let dockerfile = format!("FROM base\n{}\nRUN echo follows\n", case.step);
        worker.build(&dockerfile, case.before).await.image();
        let second = worker.build(&dockerfile, case.after).await;
        let instruction = second.steps().into_values().find(|step| {
            step.name.contains("] ") && step.name.contains(case.step) && !step.reason.is_empty()
        });
        let reason = instruction.map(|step| step.reason);
        assert_eq!(
            reason.as_deref(),
            Some(case.reason),
            "{}: {:?}",
            case.step,
            case.after
        );
        let follows = second.reason("RUN echo follows");
        let again = follows.starts_with("rerun: what it starts from changed");
        assert_eq!(
            again,
            case.reason.starts_with("rerun"),
            "{}: {follows}",
            case.step
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_ran_again_with_other_times_leaves_what_copies_from_it_cached() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    let dockerfile = "FROM base AS made\nCOPY in.txt /\nRUN mkdir /out && echo same > /out/file && busybox touch -t $(cat /in.txt) /out/file /out\n\
        FROM base\nCOPY --from=made /out /out\nRUN --mount=type=bind,from=made,source=/out,target=/m cat /m/file\nRUN cat /out/file\n";
    let first = worker.build(dockerfile, &[("in.txt", "200001010101")]).await;
    let second = worker.build(dockerfile, &[("in.txt", "201001010101")]).await;
    assert!(
        second.reason("RUN mkdir /out").starts_with("rerun"),
        "{}",
        second.reason("RUN mkdir /out")
    );
    for step in ["COPY --from=made", "RUN --mount=type=bind", "RUN cat /out/file"] {
        assert_eq!(second.reason(step), CACHED, "{step}");
    }
    assert_eq!(second.image(), first.image());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_files_under_another_name_in_another_build_are_the_same_step() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    worker
        .build("FROM base AS one\nCOPY a.txt /x\nRUN cat /x\n", &[("a.txt", "1")])
        .await
        .image();
    // Another stage name, and a further stage that changes how steps are called and counted.
    let second = worker
        .build(
            "FROM base AS other\nRUN true\nFROM base AS two\nCOPY a.txt /x\nRUN cat /x\nCOPY --from=other /etc /e\n",
            &[("a.txt", "1"), ("b.txt", "2")],
        )
        .await;
    for step in ["COPY a.txt /x", "RUN cat /x"] {
        assert_eq!(second.reason(step), CACHED, "{step}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_as_base_is_one_layer_for_the_same_content() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    let dockerfile = "FROM folder AS one\nFROM one\nRUN --mount=from=base,target=/t [\"/t/bin/busybox\", \"cp\", \"/a.txt\", \
        \"/b.txt\"]\nFROM one\nCOPY --from=1 /b.txt /b.txt\n";
    let build = async |files: &[(&str, &str)]| {
        let analysis = worker.plan(dockerfile, |options| {
            let folder = LocalContext {
                name: "context".into(),
                ..LocalContext::default()
            };
            options
                .contexts
                .insert("folder".into(), NamedContext::Local(folder));
        });
        worker
            .outcome(worker.start_plan(analysis.await, files, false))
            .await
    };
    let first = build(&[("a.txt", "1"), ("c.txt", "1")]).await;
    assert_eq!(worker.file(&first, "b.txt").as_deref(), Some("1"));
    assert_eq!(first.image().layers.len(), 2);
    let second = build(&[("a.txt", "1"), ("c.txt", "1")]).await;
    assert_eq!(second.ran(), ["load from client"]);
    assert_eq!(second.image(), first.image());
    let third = build(&[("a.txt", "1"), ("c.txt", "2")]).await;
    assert_eq!(
        third.reason("RUN --mount=from=base"),
        "rerun: c.txt changed since build 2"
    );
    // What is copied is the same, what it is copied onto is not.
    assert_eq!(
        third.reason("COPY --from=1"),
        "rerun: c.txt changed since build 2"
    );
    assert_eq!(worker.file(&third, "c.txt").as_deref(), Some("2"));
}
