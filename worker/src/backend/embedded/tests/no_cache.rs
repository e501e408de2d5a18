//! Steps that are asked to run although their results are kept.

use super::*;

const STAGES: &str = "\
FROM base AS builder
RUN cat /proc/sys/kernel/random/uuid > /uuid; echo same > /same
FROM base AS other
RUN echo other > /other
FROM base
COPY --from=other /other /
COPY --from=builder /same /
RUN cat /same
";

async fn again(worker: &Worker, stages: &[&str]) -> Outcome {
    let stages = stages.iter().map(ToString::to_string).collect();
    let analysis = worker
        .plan(STAGES, |options| options.no_cache = Some(stages))
        .await;
    let id = worker.start_plan(analysis, &[], false);
    worker.outcome(id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_stage_that_was_named_runs_again_and_says_why() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    let first = worker.build(STAGES, &[]).await;
    let second = again(&worker, &["Builder"]).await;
    assert_eq!(
        second.ran(),
        ["RUN cat /proc/sys/kernel/random/uuid > /uuid; echo same > /same"]
    );
    assert_eq!(
        second.reason("RUN cat /proc"),
        "rerun: the build asks that this step not come from the cache"
    );
    // It gave another file, but not the one that is copied.
    assert!(second.reason("COPY --from=builder").starts_with("cached"));
    assert_eq!(second.image(), first.image());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ran_again_is_what_later_builds_find() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    let dockerfile = "FROM base AS builder\nRUN cat /proc/sys/kernel/random/uuid > /uuid\nFROM base\nCOPY --from=builder /uuid /\n";
    let first = worker.build(dockerfile, &[]).await;
    let analysis = worker
        .plan(dockerfile, |options| {
            options.no_cache = Some(vec!["builder".into()]);
        })
        .await;
    let id = worker.start_plan(analysis, &[], false);
    let second = worker.outcome(id).await;
    let third = worker.build(dockerfile, &[]).await;
    assert_ne!(worker.file(&second, "uuid"), worker.file(&first, "uuid"));
    assert_eq!(
        second.reason("COPY --from=builder"),
        "rerun: what it reads from [builder 2/2] RUN cat /proc/sys/kernel/random/uuid > /uuid changed since build 1"
    );
    assert_eq!(third.ran(), Vec::<String>::new());
    assert_eq!(worker.file(&third, "uuid"), worker.file(&second, "uuid"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_stages_named_means_all_of_them() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    worker.build(STAGES, &[]).await;
    assert_eq!(again(&worker, &[]).await.ran().len(), 5);
}
