use std::fmt::Write as _;

use serde_json::{Value, json};

use super::*;
use crate::analysis::{ImageFacts, Input, LocalIdentity};
use crate::digest::Digest;
use crate::{Analysis, analyze};

const TWO_STAGES: &str = "\
FROM golang AS build
COPY go.mod /src/
COPY . /src
RUN go build
FROM alpine
COPY --from=build /app /
COPY <<one /etc/one
1
one
COPY <<two /etc/two
2
two
CMD /app
";

fn input(source: &str) -> Input {
    Input {
        source: source.into(),
        ..Input::default()
    }
}

/// The same plan as a builder has it: in a session of its own, every image looked up.
fn as_built(source: &str, session: &str) -> Analysis {
    let mut input = input(source);
    let images = analyze(&input).images;
    for image in images {
        let facts = ImageFacts {
            digest: Digest::of(image.reference.as_bytes()),
            config: json!({
                "architecture": "amd64", "os": "linux",
                "rootfs": { "type": "layers", "diff_ids": [Digest::of(b"layer")] },
            }),
            size: 0,
            note: None,
        };
        input.options.images.insert(image.reference, facts);
    }
    input.options.local = LocalIdentity::Session(session.into());
    analyze(&input)
}

fn line(value: &Value) -> String {
    format!("{value}\n")
}

/// A log of `analysis`, a second for each op.
fn log_of(analysis: &Analysis) -> String {
    assert!(!analysis.has_errors(), "{:?}", analysis.diagnostics);
    let definition = analysis.definition.as_ref().unwrap();
    let (_, ops) = definition.ops.split_last().unwrap();
    let mut log = String::new();
    let declared: Vec<Value> = ops
        .iter()
        .rev()
        .map(|op| json!({ "digest": op.digest, "inputs": op.inputs, "name": op.name }))
        .collect();
    log += &line(&json!({ "vertexes": declared }));
    for (second, op) in ops.iter().enumerate() {
        let vertex = json!({
            "digest": op.digest, "inputs": op.inputs, "name": op.name,
            "started": format!("2026-01-01T00:{:02}:{:02}Z", second / 60, second % 60),
            "completed": format!("2026-01-01T00:{:02}:{:02}.5Z", second / 60, second % 60),
        });
        log += &line(&json!({ "vertexes": [vertex] }));
    }
    log
}

/// Every op is found, and each is the one at its own place.
fn lies_well(plan: &Analysis, log: &str, built: &Analysis) {
    let trace = trace(plan, log);
    assert_eq!(trace.missing, [0; 0]);
    assert_eq!(trace.strangers, []);
    let built = &built.definition.as_ref().unwrap().ops;
    for (op, built) in trace.ops.iter().zip(built) {
        assert_eq!(
            op.run.as_ref().unwrap().digest,
            built.digest.as_str(),
            "{}",
            built.name
        );
    }
}

#[test]
fn another_session_and_unknown_images_do_not_hide_an_op() {
    for source in [
        TWO_STAGES,
        include_str!("../../../tests/everything.Dockerfile"),
        "FROM a AS x\nRUN one\nFROM a AS y\nRUN one\nFROM scratch\nCOPY --from=x /o /\nCOPY --link --from=y /o /\n",
        "FROM scratch\nADD https://example.com/a /\nADD https://example.com/a /\nCOPY a b /c/\n",
        "FROM a\nRUN --mount=from=b,target=/b --mount=target=/s make\nRUN --mount=from=b,target=/b make\n",
    ] {
        let built = as_built(source, "other");
        let log = log_of(&built);
        lies_well(&analyze(&input(source)), &log, &built);
        lies_well(&as_built(source, "mine"), &log, &built);
        lies_well(&built, &log, &built);
    }
}

#[test]
fn a_step_more_in_the_plan_costs_that_step_only() {
    let built = as_built(TWO_STAGES, "other");
    let edited = TWO_STAGES.replace("RUN go build", "RUN go vet\nRUN go build");
    let trace = trace(&analyze(&input(&edited)), &log_of(&built));
    let missing: Vec<Option<usize>> = trace.missing.iter().map(|op| trace.ops[*op].step).collect();
    assert_eq!(missing, [Some(2)]);
    assert_eq!(trace.strangers, []);
}

#[test]
fn digests_count_before_names() {
    let plan = analyze(&input("FROM scratch\nCOPY a /\n"));
    let ops = &plan.definition.as_ref().unwrap().ops;
    let vertex = json!({ "digest": ops[1].digest, "name": "renamed", "started": 1, "completed": 3 });
    let other = json!({ "digest": "sha256:other", "name": ops[1].name, "started": 1, "completed": 2 });
    let trace = trace(&plan, &line(&json!({ "vertexes": [other, vertex] })));
    assert_eq!(trace.ops[1].matched, Some(MatchedBy::Digest));
    assert_eq!(trace.ops[1].run.as_ref().unwrap().duration, Some(2));
    assert_eq!(trace.missing, [0]);
    assert_eq!(trace.strangers.len(), 1);
}

/// A log as it may come out of a CI system: a plan of two steps, the second of which fails.
fn failing() -> (Analysis, String) {
    let plan = analyze(&input(
        "FROM a AS good\nRUN slow\nFROM a\nCOPY --from=good /o /\nRUN false\n",
    ));
    let ops = plan.definition.as_ref().unwrap().ops.clone();
    let digest = |text: &str| {
        ops.iter()
            .find(|op| op.name.contains(text))
            .unwrap()
            .digest
            .clone()
    };
    let (base, slow, copy, fails) = (digest("FROM"), digest("slow"), digest("COPY"), digest("false"));
    let mut log = String::from("\u{feff}some text before {\"vertexes\": \n");
    for (prefix, value, end) in [
        (
            "",
            json!({"vertexes": [
                { "digest": "sha256:d", "name": "[internal] load build definition from Dockerfile",
                  "started": "2026-01-01T00:00:00Z", "completed": "2026-01-01T00:00:00.25Z" },
                { "digest": "sha256:e", "name": "exporting to image" },
                { "digest": base, "name": "FROM", "started": "2026-01-01T00:00:01Z", "completed": "2026-01-01T00:00:01Z" },
            ]}),
            "\r\n",
        ),
        (
            "2026-01-01T00:00:00Z ",
            json!({"vertexes": null, "later": 1, "statuses": [
                { "id": "layer", "vertex": base, "name": "extracting", "current": 1, "total": 10, "timestamp": "x" },
                { "id": "layer", "vertex": base, "name": "extracting", "current": 10, "total": 10 },
                { "id": 7, "vertex": 8 },
            ]}),
            "\n",
        ),
        (
            "#1 {x} ",
            json!({"vertexes": [{ "digest": base, "started": "2026-01-01T00:00:02Z",
            "completed": "2026-01-01T00:00:02.000000001Z", "cached": true, "name": "FROM" }]}),
            " trailing\n",
        ),
        (
            "",
            json!({"vertexes": [
                { "digest": slow, "name": "slow", "started": "2026-01-01T00:00:02Z", "completed": "2026-01-01T00:00:04Z",
                  "error": "process \"slow\" did not complete successfully: exit code: 137: context canceled" },
                { "digest": fails, "name": "fails", "started": "2026-01-01T00:00:02Z", "completed": "2026-01-01T00:00:03Z",
                  "error": "process \"false\" did not complete successfully: exit code: 7" },
                { "digest": copy, "name": "COPY" },
            ]}),
            "\n",
        ),
        (
            "",
            json!({"logs": [
            { "vertex": fails, "stream": 2, "data": "b29wcwphbmQ=" },
            { "vertex": fails, "stream": 1, "data": "IG1vcmUK" },
        ], "warnings": [{ "vertex": slow, "level": 2, "short": "YmV3YXJl", "detail": ["b25l"], "url": "https://example.com",
            "range": [{ "start": { "line": 4 }, "end": { "line": 5 } }, { "start": { "line": 2 } }] }]}),
            "\n",
        ),
        (
            "",
            json!({"id": "b", "seq": 1, "event": { "status": { "vertexes": [{ "digest": "sha256:e", "name": "exporting to image",
            "started": "2026-01-01T00:00:05Z" }] } } }),
            "\n",
        ),
    ] {
        let _ = write!(log, "{prefix}{value}{end}");
    }
    log.push_str("{\"vertexes\":[{\"digest\":\"sha256:d\",\"na");
    (plan, log)
}

#[test]
fn the_last_report_counts_and_failures_are_told_apart() {
    let (plan, log) = failing();
    let trace = trace(&plan, &log);
    let step = |stage: usize, step: Option<usize>| {
        trace
            .steps
            .iter()
            .find(|found| (found.stage, found.step) == (stage, step))
            .unwrap()
    };
    let base = step(0, None);
    assert_eq!(
        (base.state, base.cached, base.duration),
        (Some(RunState::Cached), true, Some(1))
    );
    assert_eq!(step(0, Some(0)).state, Some(RunState::Cancelled));
    assert_eq!(step(1, Some(0)).state, Some(RunState::Waiting));
    let failed = step(1, Some(1));
    assert_eq!(failed.state, Some(RunState::Failed));
    assert_eq!(
        (failed.start, failed.end),
        (Some(2_000_000_000), Some(3_000_000_000))
    );
    let run = trace.ops[failed.ops[0]].run.as_ref().unwrap();
    assert_eq!((run.exit_code, run.log_lines, run.log_bytes), (Some(7), 2, 14));
    assert_eq!(run.log_tail, "oops\nand more\n");
    let base = trace.ops[base.ops[0]].run.as_ref().unwrap();
    assert_eq!(base.statuses.len(), 1);
    assert_eq!((base.statuses[0].current, base.statuses[0].total), (10, 10));
    let kinds: Vec<InternalKind> = trace.internal.iter().map(|internal| internal.kind).collect();
    assert_eq!(kinds, [InternalKind::Definition, InternalKind::Export]);
    assert_eq!(trace.internal[1].run.state, RunState::Running);
    assert_eq!(trace.began.as_deref(), Some("2026-01-01T00:00:00Z"));
    let warning = &trace.warnings[0];
    assert_eq!(
        (warning.short.as_str(), warning.level, &warning.detail),
        ("beware", 2, &vec!["one".to_owned()])
    );
    assert_eq!(warning.lines, Some(LineRange { start: 2, end: 5 }));
    assert_eq!(trace.ops[warning.op.unwrap()].step, Some(0));
    let totals = &trace.totals;
    let states = (
        totals.ran,
        totals.cached,
        totals.failed,
        totals.cancelled,
        totals.unfinished,
    );
    assert_eq!(states, (0, 1, 1, 1, 1));
    assert_eq!((totals.ops, totals.found, totals.wall), (4, 4, 5_000_000_000));
    assert_eq!((totals.lines, totals.skipped_lines), (6, 2));
}

#[test]
fn an_answer_survives_json() {
    let (plan, log) = failing();
    let found = trace(&plan, &log);
    let text = serde_json::to_string(&found).unwrap();
    assert_eq!(serde_json::from_str::<Trace>(&text).unwrap(), found);
}

#[test]
fn a_plan_that_cannot_be_built_has_nothing_to_lay_on() {
    let (_, log) = failing();
    let trace = trace(&analyze(&input("FROM a\nNONSENSE\n")), &log);
    assert_eq!((trace.ops.len(), trace.steps.len()), (0, 0));
    assert_eq!(trace.internal.len(), 2);
}

#[test]
fn long_output_is_kept_by_its_end() {
    let plan = analyze(&input("FROM scratch\nCOPY a /\n"));
    let digest = &plan.definition.as_ref().unwrap().ops[1].digest;
    let mut log = line(&json!({ "vertexes": [{ "digest": digest, "started": 1, "error": "no" }] }));
    for number in 0..5000 {
        log += &line(&json!({ "logs": [{ "vertex": digest, "data": format!("not base64 {number} é\n") }] }));
    }
    let trace = trace(&plan, &log);
    let run = trace.ops[1].run.as_ref().unwrap();
    assert_eq!(run.log_lines, 5000);
    assert!(run.log_tail.starts_with("not base64 ") && run.log_tail.ends_with("not base64 4999 é\n"));
    assert!(run.log_tail.len() <= 4096);
}

proptest::proptest! {
    #[test]
    fn any_text_is_taken(text in "(\\{?\"?(vertexes|statuses|logs|warnings|digest|event|status)?\"?[:,\\[\\]{}0-9a\"\\\\]{0,4}\r?\n?){0,30}", torn in 0usize..4000) {
        let (plan, log) = failing();
        trace(&plan, &text);
        let torn = torn.min(log.len());
        let whole = String::from_utf8_lossy(&log.as_bytes()[..torn]).into_owned();
        let found = trace(&plan, &(whole + &text));
        proptest::prop_assert_eq!(found.ops.len(), 4);
    }
}
