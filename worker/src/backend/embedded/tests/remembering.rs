//! What is told of builds afterwards.

use super::*;
use crate::build::history;

const DOCKERFILE: &str = "FROM base\nRUN echo said > /said; echo said\nCOPY a.txt /a.txt\n";

#[tokio::test]
async fn a_past_build_tells_how_it_went_and_its_trace_is_laid_over_its_plan() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let state = ground.directory.path().join("state");
    let worker = ground.worker();
    worker.build(DOCKERFILE, &[("a.txt", "a\n")]).await;
    worker.build(DOCKERFILE, &[("a.txt", "b\n")]).await;
    let failed = worker.build("FROM base\nRUN echo no >&2; exit 3\n", &[]).await;
    let [third, second, first] = &history::list(&state, true).unwrap()[..] else {
        panic!("there are three builds")
    };
    assert_eq!(third.summary.id, failed.id);
    assert_eq!(third.summary.state, BuildState::Failed);
    assert_eq!(third.tally.figures().failed, 1);
    let (before, after) = (first.tally.figures(), second.tally.figures());
    assert_eq!((before.steps, before.cached), (4, 0));
    assert_eq!(
        (after.steps, after.cached),
        (4, 2),
        "the image and the first step"
    );
    assert!(first.tally.figures().ended > first.tally.figures().started);

    let mut log = String::new();
    for event in second.events().unwrap() {
        if let Event::Status(status) = event.event {
            log += &serde_json::to_string(&status).unwrap();
            log.push('\n');
        }
    }
    let analysis = worker.plan(DOCKERFILE, |_| {}).await;
    let trace = stagewright_core::insight::trace(&analysis, &log);
    let totals = &trace.totals;
    assert_eq!((totals.ops, totals.found, totals.cached), (4, 4, 2), "{trace:#?}");
    assert_eq!((totals.skipped_lines, trace.strangers.len()), (0, 0));

    // A worker that starts anew tells the same.
    drop(worker);
    let worker = ground.worker();
    assert_eq!(history::find(&state, "2", true).unwrap().tally.figures(), after);
    worker.builds.forget("2").unwrap();
    assert!(worker.builds.forget("2").is_err());
    assert!(history::find(&state, "2", true).is_none());
    assert!(history::find(&state, "../1", true).is_none());
}
