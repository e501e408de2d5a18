//! When each step runs, what runs at the same time, and what decides how long a build takes.
//!
//! All times are nanoseconds. They are as good as the durations they are made of: equal for all, guessed by the kind of
//! instruction (the guesses are listed in the answer), or measured in a build ([`super::trace()`]).

mod guess;
mod paths;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use serde::{Deserialize, Serialize};

use super::ops::Ops;
use super::trace::{RunState, Trace};
use crate::Analysis;
use crate::digest::Digest;
use crate::llb::{self, OpKind};
use paths::Paths;

/// Where durations come from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Durations<'t> {
    /// A second for each step, nothing for what is only brought in or put together.
    Unit,
    /// By the kind of instruction; [`Schedule::assumptions`] says how.
    Guessed,
    /// As in a build; what that build did not run is guessed.
    Measured(&'t Trace),
}

/// When everything of a build runs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// Every op of the definition in its order, the terminal one left out.
    pub ops: Vec<ScheduledOp>,
    /// How long the build takes where everything runs as soon as it can, in nanoseconds.
    pub makespan: u64,
    /// How long it takes where one thing runs after the other: the sum of all durations, in nanoseconds.
    pub work: u64,
    /// The ops that decide the makespan, first to last, by index into `ops`.
    pub critical_path: Vec<usize>,
    /// Most ops that run at one time, of those that take any.
    pub widest: usize,
    /// What runs at the same time, in the order of time; shortened where there is very much of it.
    pub phases: Vec<Phase>,
    /// The same with no more than so many at once, where that was asked for.
    pub limited: Option<Limited>,
    /// By stage that is built, when its first step begins and its last ends, in the order of the file.
    pub stages: Vec<StageWindow>,
    /// What would make the build shorter, the most first; no more than 12.
    pub suggestions: Vec<Suggestion>,
    /// What was taken for granted of durations.
    pub assumptions: Vec<String>,
}

/// An op and when it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScheduledOp {
    /// Index into [`crate::analysis::Definition::ops`].
    pub op: usize,
    /// The stage it was written in, where there is one.
    pub stage: Option<usize>,
    /// The step it was written as, where there is one.
    pub step: Option<usize>,
    /// The name progress shows.
    pub name: String,
    /// How long it takes, in nanoseconds.
    pub duration: u64,
    /// Where that comes from.
    pub basis: Basis,
    /// When it begins at the earliest, in nanoseconds since the build began.
    pub start: u64,
    /// When it ends at the earliest, in nanoseconds since the build began.
    pub finish: u64,
    /// How much longer it could take without making the build longer, in nanoseconds.
    pub slack: u64,
    /// Whether it has none.
    pub critical: bool,
    /// How much shorter the build would be were this op's result there already, in nanoseconds.
    pub saving: u64,
}

/// Where a duration comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Basis {
    /// The same for all.
    Unit,
    /// Guessed by the kind of instruction.
    Guessed,
    /// Measured in a build.
    Measured,
}

/// A stretch of time in which the same ops run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Phase {
    /// When it begins, in nanoseconds since the build began.
    pub start: u64,
    /// When it ends, in nanoseconds since the build began.
    pub end: u64,
    /// What runs in it, by index into [`Schedule::ops`].
    pub ops: Vec<usize>,
}

/// A build in which no more than so many ops run at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limited {
    /// How many run at once at most.
    pub parallel: usize,
    /// How long the build takes, in nanoseconds.
    pub makespan: u64,
    /// By op, when it begins, ends, and in which of the lanes (from 0) it runs.
    pub ops: Vec<LimitedOp>,
}

/// An op of a [`Limited`] build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitedOp {
    /// When it begins, in nanoseconds since the build began.
    pub start: u64,
    /// When it ends, in nanoseconds since the build began.
    pub finish: u64,
    /// The lane it runs in, from 0; what takes no time runs in none.
    pub lane: Option<usize>,
}

/// When a stage is at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageWindow {
    /// Index of the stage.
    pub stage: usize,
    /// When its first op begins, in nanoseconds since the build began.
    pub start: u64,
    /// When its last op ends, in nanoseconds since the build began.
    pub finish: u64,
    /// What its ops take together, in nanoseconds.
    pub work: u64,
}

/// Something that would make the build shorter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Suggestion {
    /// What kind of thing it is.
    pub kind: SuggestionKind,
    /// By how much, in nanoseconds.
    pub saves: u64,
    /// How long the build would take then, in nanoseconds.
    pub makespan: u64,
    /// The op that waits, or the one to make faster, by index into [`Schedule::ops`].
    pub op: usize,
    /// The op that it waits for.
    pub from: Option<usize>,
    /// The suggestion as a sentence.
    pub text: String,
}

/// What a [`Suggestion`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SuggestionKind {
    /// A step decides how long the build takes: keep it cached, or make it faster.
    Step,
    /// A stage waits for another.
    Stage,
    /// Two steps of one stage run one after the other, and could run in stages of their own.
    Split,
}

/// When each step of a plan runs; with `parallel`, also with no more than so many at once.
pub fn schedule(analysis: &Analysis, durations: Durations<'_>, parallel: Option<usize>) -> Schedule {
    let ops = Ops::of(analysis);
    let kinds: Vec<Option<OpKind>> = ops
        .list
        .iter()
        .map(|op| llb::decode(&op.bytes).ok().and_then(|op| op.kind))
        .collect();
    let timed = durations_of(analysis, &ops, &kinds, durations);
    let lengths: Vec<u64> = timed.iter().map(|(length, _)| *length).collect();
    let paths = Paths::of(&ops, &lengths);
    let scheduled =
        |(op, (planned, (duration, basis))): (usize, (&crate::analysis::PlannedOp, &(u64, Basis)))| {
            let slack = paths.slack(op);
            ScheduledOp {
                op,
                stage: planned.stage,
                step: planned.step,
                name: planned.name.clone(),
                duration: *duration,
                basis: *basis,
                start: paths.start(op),
                finish: paths.finish(op),
                slack,
                critical: slack == 0,
                saving: paths.saving(op),
            }
        };
    let list: Vec<ScheduledOp> = ops.list.iter().zip(&timed).enumerate().map(scheduled).collect();
    let (widest, phases) = phases(&list);
    let guessed = timed.iter().any(|(_, basis)| *basis == Basis::Guessed);
    Schedule {
        makespan: paths.makespan,
        work: lengths.iter().fold(0, |sum, length| sum.saturating_add(*length)),
        critical_path: paths.critical_path(&ops),
        widest,
        phases,
        limited: parallel.map(|parallel| limited(&ops, &lengths, &paths, parallel.max(1))),
        stages: windows(&ops, &list),
        suggestions: suggestions(analysis, &ops, &list, &paths),
        assumptions: if guessed { guess::assumptions() } else { Vec::new() },
        ops: list,
    }
}

const SECOND: u64 = 1_000_000_000;

/// How long each op takes.
fn durations_of(
    analysis: &Analysis,
    ops: &Ops<'_>,
    kinds: &[Option<OpKind>],
    durations: Durations<'_>,
) -> Vec<(u64, Basis)> {
    let images = analysis.images.iter();
    let sizes: BTreeMap<&Digest, u64> = images
        .filter_map(|image| Some((image.vertex.as_ref()?, image.size)))
        .collect();
    let guessed = |op: usize, kind: Option<&OpKind>| {
        let size = ops.list.get(op).and_then(|op| sizes.get(&op.digest));
        guess::guess(kind, size.copied().unwrap_or(0))
    };
    let length = |(op, kind): (usize, &Option<OpKind>)| match durations {
        Durations::Unit => match kind {
            Some(OpKind::Exec(_) | OpKind::File(_)) => (SECOND, Basis::Unit),
            _ => (0, Basis::Unit),
        },
        Durations::Guessed => (guessed(op, kind.as_ref()), Basis::Guessed),
        Durations::Measured(trace) => {
            let run = trace.ops.get(op).and_then(|traced| traced.run.as_ref());
            let whole =
                run.filter(|run| matches!(run.state, RunState::Done | RunState::Cached | RunState::Failed));
            match whole.and_then(|run| run.duration) {
                Some(duration) => (duration, Basis::Measured),
                None => (guessed(op, kind.as_ref()), Basis::Guessed),
            }
        }
    };
    kinds.iter().enumerate().map(length).collect()
}

/// What runs at the same time, and how much at most. A hundred steps that run beside a thousand others would make
/// a list of a hundred thousand, so it ends where it gets too long.
fn phases(ops: &[ScheduledOp]) -> (usize, Vec<Phase>) {
    const MOST: usize = 20_000;
    let mut events: Vec<(u64, bool, usize)> = Vec::with_capacity(ops.len() * 2);
    for op in ops.iter().filter(|op| op.finish > op.start) {
        events.push((op.start, true, op.op));
        events.push((op.finish, false, op.op));
    }
    // What ends at a moment ends before what begins then.
    events.sort_unstable();
    let (mut running, mut widest, mut phases, mut entries) = (BTreeSet::new(), 0, Vec::new(), 0);
    let mut since = 0;
    for (at, begins, op) in events {
        if at > since && !running.is_empty() && entries < MOST {
            entries += running.len();
            phases.push(Phase {
                start: since,
                end: at,
                ops: running.iter().copied().collect(),
            });
        }
        since = at;
        if begins {
            running.insert(op);
        } else {
            running.remove(&op);
        }
        widest = widest.max(running.len());
    }
    (widest, phases)
}

/// Runs the build with `parallel` lanes: whenever one is free, what has the longest way to go begins first.
fn limited(ops: &Ops<'_>, lengths: &[u64], paths: &Paths, parallel: usize) -> Limited {
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); ops.len()];
    let mut waiting: Vec<usize> = Vec::with_capacity(ops.len());
    for op in 0..ops.len() {
        let inputs: BTreeSet<usize> = ops.inputs(op).iter().copied().collect();
        waiting.push(inputs.len());
        for input in inputs {
            if let Some(users) = users.get_mut(input) {
                users.push(op);
            }
        }
    }
    let idle = LimitedOp {
        start: 0,
        finish: 0,
        lane: None,
    };
    let mut placed = vec![idle; ops.len()];
    let mut ready: BinaryHeap<(u64, Reverse<usize>)> = BinaryHeap::new();
    for op in (0..ops.len()).filter(|op| waiting.get(*op) == Some(&0)) {
        ready.push((paths.tail(op), Reverse(op)));
    }
    let mut lanes: BinaryHeap<Reverse<usize>> = (0..parallel.min(ops.len())).map(Reverse).collect();
    let mut running: BinaryHeap<Reverse<(u64, usize, Option<usize>)>> = BinaryHeap::new();
    let (mut now, mut makespan) = (0, 0);
    loop {
        // What takes no time needs no lane.
        let mut held = Vec::new();
        while let Some((tail, Reverse(op))) = ready.pop() {
            let length = lengths.get(op).copied().unwrap_or(0);
            let lane = if length == 0 {
                None
            } else {
                lanes.pop().map(|Reverse(lane)| lane)
            };
            if length > 0 && lane.is_none() {
                held.push((tail, Reverse(op)));
                break;
            }
            let finish = now + length;
            if let Some(place) = placed.get_mut(op) {
                *place = LimitedOp {
                    start: now,
                    finish,
                    lane,
                };
            }
            running.push(Reverse((finish, op, lane)));
        }
        ready.extend(held);
        let Some(Reverse((at, op, lane))) = running.pop() else {
            break;
        };
        now = at;
        makespan = makespan.max(at);
        lanes.extend(lane.map(Reverse));
        for &user in users.get(op).into_iter().flatten() {
            if let Some(left) = waiting.get_mut(user) {
                *left -= 1;
                if *left == 0 {
                    ready.push((paths.tail(user), Reverse(user)));
                }
            }
        }
    }
    Limited {
        parallel,
        makespan,
        ops: placed,
    }
}

fn windows(ops: &Ops<'_>, list: &[ScheduledOp]) -> Vec<StageWindow> {
    let mut windows: BTreeMap<usize, StageWindow> = BTreeMap::new();
    for (op, places) in list.iter().zip(&ops.places) {
        for (stage, _) in places {
            let window = windows.entry(*stage).or_insert(StageWindow {
                stage: *stage,
                start: op.start,
                finish: op.finish,
                work: 0,
            });
            window.start = window.start.min(op.start);
            window.finish = window.finish.max(op.finish);
            window.work = window.work.saturating_add(op.duration);
        }
    }
    windows.into_values().collect()
}

/// What would make the build shorter.
fn suggestions(analysis: &Analysis, ops: &Ops<'_>, list: &[ScheduledOp], paths: &Paths) -> Vec<Suggestion> {
    const MOST: usize = 12;
    let label = |stage: usize| {
        let stage = analysis.stages.get(stage);
        stage.map_or_else(String::new, |stage| stage.label.clone())
    };
    let mut found = Vec::new();
    for op in list.iter().filter(|op| op.critical) {
        if op.saving > 0 {
            let makespan = paths.makespan - op.saving;
            found.push(Suggestion {
                kind: SuggestionKind::Step,
                saves: op.saving,
                makespan,
                op: op.op,
                from: None,
                text: format!(
                    "{} is on the critical path: were its result there already, the build would take {} instead of {}.",
                    op.name,
                    human(makespan),
                    human(paths.makespan)
                ),
            });
        }
        for &input in ops.inputs(op.op) {
            let (Some(stage), Some(from)) = (op.stage, list.get(input)) else {
                continue;
            };
            let Some(other) = from.stage.filter(|_| from.critical && from.duration > 0) else {
                continue;
            };
            let (kind, makespan) = if other == stage {
                (SuggestionKind::Split, paths.beside(ops, input, op.op))
            } else {
                (SuggestionKind::Stage, paths.without_edge(ops, input, op.op))
            };
            let saves = paths.makespan.saturating_sub(makespan);
            if saves == 0 || op.duration == 0 {
                continue;
            }
            let text = match kind {
                SuggestionKind::Split => format!(
                    "{} waits for {}. If it does not need what that leaves behind, it could run beside it in a stage of its own, and the build would take {} instead of {}.",
                    op.name,
                    from.name,
                    human(makespan),
                    human(paths.makespan)
                ),
                _ => format!(
                    "{} waits for stage {}. If it needed nothing of that, the build would take {} instead of {}.",
                    op.name,
                    label(other),
                    human(makespan),
                    human(paths.makespan)
                ),
            };
            found.push(Suggestion {
                kind,
                saves,
                makespan,
                op: op.op,
                from: Some(input),
                text,
            });
        }
    }
    found.sort_by_key(|suggestion| (Reverse(suggestion.saves), suggestion.op, suggestion.from));
    found.truncate(MOST);
    found
}

/// A duration for people: `850 ms`, `12.3 s`, `4 min 5 s`.
fn human(nanoseconds: u64) -> String {
    let milliseconds = nanoseconds.div_ceil(1_000_000);
    match milliseconds {
        0..1000 => format!("{milliseconds} ms"),
        1000..60_000 if milliseconds % 1000 < 50 => format!("{} s", milliseconds / 1000),
        1000..60_000 => format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100),
        _ => format!("{} min {} s", milliseconds / 60_000, milliseconds % 60_000 / 1000),
    }
}
