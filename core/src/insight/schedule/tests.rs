use std::collections::BTreeMap;
use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::analysis::Input;
use crate::analyze;
use crate::insight::trace;

const DIAMOND: &str = "\
FROM base AS base
RUN one
FROM base AS left
RUN two
RUN three
FROM base AS right
RUN four
FROM base
COPY --from=left /l /
COPY --from=right /r /
";

fn plan(source: &str) -> Analysis {
    analyze(&Input {
        source: source.into(),
        ..Input::default()
    })
}

fn op(schedule: &Schedule, text: &str) -> ScheduledOp {
    let found = schedule.ops.iter().find(|op| op.name.contains(text));
    found.unwrap_or_else(|| panic!("no {text}")).clone()
}

#[test]
fn independent_stages_run_at_the_same_time() {
    let schedule = schedule(&plan(DIAMOND), Durations::Unit, None);
    assert_eq!(schedule.makespan, 5 * SECOND);
    assert_eq!(schedule.work, 6 * SECOND);
    assert_eq!(schedule.widest, 2);
    let (two, four) = (op(&schedule, "two"), op(&schedule, "four"));
    assert_eq!((two.start, two.finish, two.slack), (SECOND, 2 * SECOND, 0));
    // It is needed by the second copy, which comes a second later than the first.
    assert_eq!(
        (four.start, four.slack, four.critical),
        (SECOND, 2 * SECOND, false)
    );
    let path: Vec<&str> = schedule
        .critical_path
        .iter()
        .map(|op| schedule.ops[*op].name.as_str())
        .collect();
    assert_eq!(path.len(), 6, "{path:?}");
    assert!(path[1].contains("one") && path[3].contains("three") && path[5].contains("right"));
    let phase = schedule.phases.iter().find(|phase| phase.ops.len() == 2).unwrap();
    assert_eq!((phase.start, phase.end), (SECOND, 2 * SECOND));
    let windows: Vec<(usize, u64, u64)> = schedule
        .stages
        .iter()
        .map(|window| (window.stage, window.start / SECOND, window.finish / SECOND))
        .collect();
    assert_eq!(windows, [(0, 0, 1), (1, 1, 3), (2, 1, 2), (3, 3, 5)]);
}

#[test]
fn one_lane_takes_as_long_as_all_work() {
    let schedule = schedule(&plan(DIAMOND), Durations::Unit, Some(1));
    let limited = schedule.limited.unwrap();
    assert_eq!((limited.parallel, limited.makespan), (1, schedule.work));
    assert!(
        limited
            .ops
            .iter()
            .all(|op| op.lane.is_none() == (op.start == op.finish))
    );
}

#[test]
fn savings_say_how_much_shorter_the_build_would_be() {
    let schedule = schedule(&plan(DIAMOND), Durations::Unit, None);
    assert_eq!(op(&schedule, "one").saving, SECOND);
    assert_eq!(op(&schedule, "three").saving, SECOND);
    assert_eq!(op(&schedule, "four").saving, 0);
    let kinds: Vec<SuggestionKind> = schedule
        .suggestions
        .iter()
        .map(|suggestion| suggestion.kind)
        .collect();
    assert!(kinds.contains(&SuggestionKind::Step) && kinds.contains(&SuggestionKind::Split));
    let stage = schedule
        .suggestions
        .iter()
        .find(|suggestion| suggestion.kind == SuggestionKind::Stage)
        .unwrap();
    assert!(stage.text.contains("waits for stage left"), "{}", stage.text);
    // The stage itself is done after three, whoever waits for it.
    assert_eq!(stage.makespan, 3 * SECOND);
}

#[test]
fn guesses_go_by_what_a_command_says_and_are_listed() {
    let source = "FROM a\nRUN apt-get install -y x\nRUN make\nRUN true\nWORKDIR /w\nCOPY . .\n";
    let schedule = schedule(&plan(source), Durations::Guessed, None);
    let seconds = |text: &str| op(&schedule, text).duration / SECOND;
    assert_eq!(
        (
            seconds("apt-get"),
            seconds("make"),
            seconds("true"),
            seconds("FROM")
        ),
        (20, 30, 2, 5)
    );
    assert_eq!(schedule.assumptions.len(), 5);
    assert!(op(&schedule, "make").basis == Basis::Guessed);
}

#[test]
fn measured_durations_come_from_a_trace_and_the_rest_is_guessed() {
    let plan = plan("FROM a\nRUN make\nRUN true\n");
    let ops = &plan.definition.as_ref().unwrap().ops;
    let make = ops.iter().find(|op| op.name.contains("make")).unwrap();
    let log = serde_json::json!({ "vertexes": [{ "digest": make.digest, "name": make.name, "started": 5, "completed": 12 }] });
    let trace = trace(&plan, &log.to_string());
    let schedule = schedule(&plan, Durations::Measured(&trace), None);
    assert_eq!(
        (op(&schedule, "make").duration, op(&schedule, "make").basis),
        (7, Basis::Measured)
    );
    assert_eq!(
        (op(&schedule, "true").duration, op(&schedule, "true").basis),
        (2 * SECOND, Basis::Guessed)
    );
    assert!(!schedule.assumptions.is_empty());
}

#[test]
fn nothing_takes_no_time() {
    for source in ["", "FROM scratch\nCMD x\n", "FROM a\nNONSENSE\n"] {
        let schedule = schedule(&plan(source), Durations::Unit, Some(0));
        assert_eq!(
            (schedule.makespan, schedule.critical_path.len(), schedule.widest),
            (0, 0, 0)
        );
        assert_eq!(schedule.limited.unwrap().parallel, 1);
    }
}

#[test]
fn durations_for_people() {
    for (nanoseconds, expected) in [
        (0, "0 ms"),
        (850_000_000, "850 ms"),
        (12 * SECOND, "12 s"),
        (12_345_000_000, "12.3 s"),
        (245 * SECOND, "4 min 5 s"),
    ] {
        assert_eq!(human(nanoseconds), expected);
    }
}

#[test]
fn an_answer_survives_json() {
    let schedule = schedule(&plan(DIAMOND), Durations::Guessed, Some(2));
    let text = serde_json::to_string(&schedule).unwrap();
    assert_eq!(serde_json::from_str::<Schedule>(&text).unwrap(), schedule);
}

/// The longest path by trying all of them, with some ops taking no time and one edge missing.
fn longest(
    inputs: &[Vec<usize>],
    lengths: &[u64],
    free: Option<usize>,
    missing: Option<(usize, usize)>,
) -> u64 {
    let mut finish: BTreeMap<usize, u64> = BTreeMap::new();
    for (op, inputs) in inputs.iter().enumerate() {
        let start = inputs
            .iter()
            .filter(|input| missing != Some((**input, op)))
            .map(|input| finish[input])
            .max();
        let length = if free == Some(op) { 0 } else { lengths[op] };
        finish.insert(op, start.unwrap_or(0) + length);
    }
    finish.into_values().max().unwrap_or(0)
}

/// A file whose stages copy from earlier ones.
fn graph() -> impl Strategy<Value = String> {
    prop::collection::vec((0..4usize, prop::collection::vec(0..6usize, 0..3), 0..3u32), 1..7).prop_map(
        |stages| {
            let mut text = String::new();
            for (index, (base, copies, commands)) in stages.iter().enumerate() {
                let base = if *base < index {
                    format!("s{base}")
                } else {
                    format!("i{base}")
                };
                let _ = writeln!(text, "FROM {base} AS s{index}");
                for command in 0..*commands {
                    let _ = writeln!(text, "RUN {index} {command}");
                }
                for copy in copies.iter().filter(|copy| **copy < index) {
                    let _ = writeln!(text, "COPY --from=s{copy} /x{index} /");
                }
                let _ = writeln!(text, "RUN end {index}");
            }
            text
        },
    )
}

proptest! {
    /// Start, slack and every saving equal what comes out when the change is really made.
    #[test]
    fn savings_are_what_the_changed_graph_gives(source in graph(), seed in any::<u32>()) {
        let plan = plan(&source);
        let ops = Ops::of(&plan);
        let lengths: Vec<u64> = (0..ops.len()).map(|op| u64::from(seed.rotate_left(u32::try_from(op).unwrap()) % 7)).collect();
        let paths = Paths::of(&ops, &lengths);
        prop_assert_eq!(paths.makespan, longest(&ops.inputs, &lengths, None, None));
        for op in 0..ops.len() {
            let free = longest(&ops.inputs, &lengths, Some(op), None);
            prop_assert_eq!(paths.makespan - paths.saving(op), free, "op {}", op);
            let mut slower = lengths.clone();
            slower[op] += paths.slack(op);
            prop_assert_eq!(longest(&ops.inputs, &slower, None, None), paths.makespan);
            slower[op] += 1;
            prop_assert_eq!(longest(&ops.inputs, &slower, None, None), paths.makespan + 1);
            for &input in ops.inputs(op) {
                let without = longest(&ops.inputs, &lengths, None, Some((input, op)));
                prop_assert_eq!(paths.without_edge(&ops, input, op), without);
            }
        }
        let sum: u64 = paths.critical_path(&ops).iter().map(|op| lengths[*op]).sum();
        prop_assert_eq!(sum, paths.makespan);
    }

    /// No more than so many run at once, nothing begins before its inputs end, and the time is within the known bounds.
    #[test]
    fn lanes_are_kept(source in graph(), parallel in 1..4usize) {
        let schedule = schedule(&plan(&source), Durations::Guessed, Some(parallel));
        let plan = plan(&source);
        let ops = Ops::of(&plan);
        let limited = schedule.limited.unwrap();
        for (op, placed) in limited.ops.iter().enumerate() {
            prop_assert_eq!(placed.finish - placed.start, schedule.ops[op].duration);
            for &input in ops.inputs(op) {
                prop_assert!(limited.ops[input].finish <= placed.start);
            }
            for (other, beside) in limited.ops.iter().enumerate() {
                let overlap = other != op && placed.start < beside.finish && beside.start < placed.finish;
                prop_assert!(!(overlap && placed.lane.is_some() && placed.lane == beside.lane));
            }
            prop_assert!(placed.lane.is_none_or(|lane| lane < parallel));
        }
        let lanes = u64::try_from(parallel).unwrap();
        prop_assert!(limited.makespan >= schedule.makespan && limited.makespan <= schedule.work);
        prop_assert!(limited.makespan <= schedule.work / lanes + schedule.makespan + 1);
    }
}
