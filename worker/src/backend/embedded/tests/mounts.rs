//! `RUN --mount`: what a step sees, and what is kept of it.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn mounts_show_their_files_and_leave_nothing_in_the_layer() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    let dockerfile = "FROM base AS other\nRUN echo from a stage > /data\nFROM base\n\
        RUN --mount=type=bind,target=/ctx --mount=type=bind,from=other,source=/data,target=/mnt/data \
        --mount=type=tmpfs,target=/scratch --mount=type=cache,target=/cache,id=kept \
        cat /ctx/a.txt /mnt/data > /seen; touch /scratch/x; echo more >> /cache/log; cat /cache/log >> /seen\n";
    let outcome = worker.build(dockerfile, &[("a.txt", "from the context\n")]).await;
    let seen = worker.file(&outcome, "seen");
    assert_eq!(seen.as_deref(), Some("from the context\nfrom a stage\nmore\n"));
    assert_eq!(worker.file(&outcome, "mnt/data"), None);
    // A cache outlives the build, and what is in it is no part of the key.
    let again = worker
        .build(&dockerfile.replace("touch", "true;touch"), &[("a.txt", "")])
        .await;
    assert_eq!(
        worker.file(&again, "seen").as_deref(),
        Some("from a stage\nmore\nmore\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_cache_has_the_owner_and_mode_that_were_asked_for_and_outlives_a_build_without_cache() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    let dockerfile = "FROM base\nRUN --mount=type=cache,target=/c,id=x,uid=1000,gid=7,mode=0711 \
        ls -ldn /c; echo more >> /c/log; cat /c/log\n";
    let first = worker.build(dockerfile, &[]).await;
    assert!(first.log().contains("drwx--x--x"), "{}", first.log());
    assert!(first.log().contains("1000     7"), "{}", first.log());
    let id = worker.start_with(dockerfile, &[], true).await;
    let second = worker.outcome(id).await;
    assert!(second.log().contains("more\nmore\n"), "{}", second.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_begins_with_the_files_of_a_stage_and_with_others_is_another_cache() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    let dockerfile = |seed: &str, turn: u32| {
        format!(
            "FROM base AS seed\nRUN mkdir -p /d/in; echo {seed} > /d/in/file\nFROM base\n\
             RUN --mount=type=cache,target=/c,id=x,from=seed,source=/d echo {turn} >> /c/in/file; cat /c/in/file\n"
        )
    };
    assert!(
        worker
            .build(&dockerfile("one", 1), &[])
            .await
            .log()
            .contains("one\n1\n")
    );
    assert!(
        worker
            .build(&dockerfile("one", 2), &[])
            .await
            .log()
            .contains("one\n1\n2\n")
    );
    let other = worker.build(&dockerfile("two", 2), &[]).await;
    assert!(other.log().contains("two\n2\n"), "{}", other.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_cache_has_one_user_at_a_time_and_private_ones_have_a_directory_each() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    let two = |mount: &str, command: &str| {
        let stage = |name: &str| {
            format!("FROM base AS {name}\nRUN --mount=type=cache,target=/c,{mount} : {name}; {command}\n")
        };
        format!(
            "{}{}FROM base\nCOPY --from=one /tmp /a\nCOPY --from=two /tmp /b\n",
            stage("one"),
            stage("two")
        )
    };
    let alone = "test ! -e /c/busy && touch /c/busy && sleep 0.3 && rm /c/busy";
    worker
        .build(&two("id=locked,sharing=locked", alone), &[])
        .await
        .image();
    let alone = "touch /c/$(cat /proc/sys/kernel/random/uuid) && sleep 0.5 && set -- /c/* && test $# = 1";
    worker
        .build(&two("id=private,sharing=private", alone), &[])
        .await
        .image();
    // With a shared one each waits for what the other writes, so neither may wait for the other's end.
    let together = "i=0; touch /c/$(cat /proc/sys/kernel/random/uuid); while set -- /c/*; test $# -lt 2; do sleep 0.1; i=$((i+1)); test $i -lt 100 || exit 1; done";
    worker.build(&two("id=shared", together), &[]).await.image();
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_ends_where_it_was_told_to() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    let dockerfile = "FROM base\nRUN --mount=type=tmpfs,target=/t,size=64k \
        cat /bin/busybox > /t/large 2>/tmp/said; test -s /t/large && ls -ln /t/large; test $(cat /t/large | busybox wc -c) = 65536\n";
    worker.build(dockerfile, &[]).await.image();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_to_a_bind_mount_is_thrown_away_and_one_that_is_read_only_says_so() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    let dockerfile = "FROM base AS other\nRUN mkdir /d; echo old > /d/file\nFROM base\n\
        RUN --mount=type=bind,from=other,source=/d,target=/d,rw --mount=type=bind,target=/ctx,rw \
        echo new > /d/file; echo new > /ctx/a.txt; echo more > /ctx/b.txt; cat /d/file /ctx/a.txt\n\
        RUN --mount=type=bind,from=other,source=/d,target=/d --mount=type=bind,target=/ctx \
        cat /d/file /ctx/a.txt; test ! -e /ctx/b.txt && ! touch /d/file && ! touch /ctx/a.txt\n";
    let outcome = worker.build(dockerfile, &[("a.txt", "context\n")]).await;
    outcome.image();
    assert!(outcome.log().contains("new\nnew\n"), "{}", outcome.log());
    assert!(outcome.log().contains("old\ncontext\n"), "{}", outcome.log());
    assert!(
        outcome.log().contains("Read-only file system"),
        "{}",
        outcome.log()
    );
    assert_eq!(worker.file(&outcome, "d/file"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_may_lie_in_another_that_can_be_written_to() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    let dockerfile = "FROM base\nWORKDIR /app\n\
        RUN --mount=type=bind,target=.,rw --mount=type=cache,target=node_modules --mount=type=cache,target=/root/.cache \
        --mount=type=tmpfs,target=/root/.cache/deep/tmp \
        echo x > node_modules/x; echo y > /root/.cache/deep/tmp/y; cat a.txt node_modules/x /root/.cache/deep/tmp/y\n\
        RUN --mount=type=cache,target=/app/node_modules --mount=type=cache,target=/root/.cache \
        cat node_modules/x; test ! -e /root/.cache/deep/tmp/y\n";
    let outcome = worker.build(dockerfile, &[("a.txt", "context\n")]).await;
    outcome.image();
    assert!(outcome.log().contains("context\nx\ny\n"), "{}", outcome.log());
    assert_eq!(worker.file(&outcome, "app/node_modules/x"), None);
}
