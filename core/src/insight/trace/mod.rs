//! A log of a build, laid over the plan of the build.
//!
//! The log is what `buildx build --progress=rawjson` and `buildctl build --progress=rawjson` print, or what this
//! project's worker reports. Times in the answer are nanoseconds since the first vertex of the log began: as numbers
//! they stay exact in JavaScript too.

mod lay;
mod log;
#[cfg(test)]
mod tests;
mod time;

use serde::{Deserialize, Serialize};

use super::ops::Ops;
use crate::Analysis;
use crate::span::LineRange;
use log::{Log, Vertex};
use time::Moment;

/// A build as it went, by the parts of its plan.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trace {
    /// When the first vertex began, as written in the log. All times are counted from here.
    pub began: Option<String>,
    /// Every op of the definition in its order, the terminal one left out.
    pub ops: Vec<TracedOp>,
    /// The steps that became ops, and the images that stages start from, in the order of the file.
    pub steps: Vec<TracedStep>,
    /// What the builder did around the plan: loading, looking up, exporting.
    pub internal: Vec<InternalRun>,
    /// Vertices of the log that are no op of this plan, and no part of the builder's own work either.
    pub strangers: Vec<Run>,
    /// Indices of the ops that the log does not speak of.
    pub missing: Vec<usize>,
    /// What the builder warned of, in the log's order.
    pub warnings: Vec<TraceWarning>,
    /// Sums over all of it.
    pub totals: TraceTotals,
}

/// An op of the plan and what the log says of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TracedOp {
    /// Index into [`crate::analysis::Definition::ops`].
    pub op: usize,
    /// The stage it was written in, where there is one.
    pub stage: Option<usize>,
    /// The step it was written as, where there is one.
    pub step: Option<usize>,
    /// How it was found in the log; `None` where it was not.
    pub matched: Option<MatchedBy>,
    /// What the log says of it; `None` where it says nothing.
    pub run: Option<Run>,
}

/// How an op was found in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MatchedBy {
    /// By its digest: it is the same op.
    Digest,
    /// By its name and by its inputs, or by what it is an input of.
    Structure,
    /// By its name alone.
    Name,
}

/// What a log says of a vertex; the last report counts.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Its digest in the log.
    pub digest: String,
    /// Its name in the log.
    pub name: String,
    /// How it stands.
    pub state: RunState,
    /// When it began, as written.
    pub started: Option<String>,
    /// When it ended, as written.
    pub completed: Option<String>,
    /// When it began, in nanoseconds since [`Trace::began`].
    pub start: Option<u64>,
    /// When it ended, in nanoseconds since [`Trace::began`].
    pub end: Option<u64>,
    /// From its begin to its end, in nanoseconds.
    pub duration: Option<u64>,
    /// Whether its result was there already.
    pub cached: bool,
    /// Why it failed; empty where it did not.
    pub error: String,
    /// The exit code that the error names.
    pub exit_code: Option<i32>,
    /// Why it ran or came from the cache, where the worker said so.
    pub reason: String,
    /// Lines that it printed.
    pub log_lines: u64,
    /// Bytes that it printed.
    pub log_bytes: u64,
    /// The end of what it printed (4 KiB at most), where it failed.
    pub log_tail: String,
    /// Progress within it, such as transfers; of each the last report.
    pub statuses: Vec<RunStatus>,
}

/// How a vertex stands at the end of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RunState {
    /// It was spoken of, but did not begin.
    #[default]
    Waiting,
    /// Its result was there already.
    Cached,
    /// It ran to its end.
    Done,
    /// It began, and the log ends before it does.
    Running,
    /// It was stopped because something else failed.
    Cancelled,
    /// It failed.
    Failed,
}

/// Progress within a vertex.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunStatus {
    /// Names it within the vertex.
    pub id: String,
    /// What goes on, such as `transferring`.
    pub name: String,
    /// How much is done, mostly in bytes.
    pub current: u64,
    /// How much there is; 0 where that is unknown.
    pub total: u64,
    /// When it began, in nanoseconds since [`Trace::began`].
    pub start: Option<u64>,
    /// When it ended, in nanoseconds since [`Trace::began`].
    pub end: Option<u64>,
}

/// A step, or the image that a stage starts from, with all ops that it became.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TracedStep {
    /// Index of the stage.
    pub stage: usize,
    /// Index of the step; `None` for the image that the stage starts from.
    pub step: Option<usize>,
    /// Indices into [`Trace::ops`], in the order of the definition.
    pub ops: Vec<usize>,
    /// The worst state of its ops; `None` where the log speaks of none of them.
    pub state: Option<RunState>,
    /// When its first op began, in nanoseconds since [`Trace::began`].
    pub start: Option<u64>,
    /// When its last op ended, in nanoseconds since [`Trace::began`].
    pub end: Option<u64>,
    /// What its ops took together, in nanoseconds.
    pub duration: Option<u64>,
    /// Whether all that is known of it came from the cache.
    pub cached: bool,
    /// Why it failed; empty where it did not.
    pub error: String,
}

/// Something that the builder did around the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InternalRun {
    /// What it was for.
    pub kind: InternalKind,
    /// What the log says of it.
    pub run: Run,
}

/// What a vertex of the builder's own was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum InternalKind {
    /// Loading the Dockerfile.
    Definition,
    /// Loading .dockerignore.
    Ignore,
    /// Looking an image up.
    Metadata,
    /// Loading a context that this plan does not use.
    Context,
    /// Writing the result.
    Export,
    /// Reading or writing a cache elsewhere.
    Cache,
    /// Logging in to a registry.
    Auth,
    /// Anything else.
    Other,
}

/// Something that the builder warned of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TraceWarning {
    /// Digest of the vertex it belongs to.
    pub vertex: String,
    /// Index into [`Trace::ops`], where it belongs to one of them.
    pub op: Option<usize>,
    /// 1 is the most important.
    pub level: u64,
    /// One line.
    pub short: String,
    /// More lines.
    pub detail: Vec<String>,
    /// Where it is explained.
    pub url: String,
    /// The lines of the Dockerfile that it speaks of.
    pub lines: Option<LineRange>,
}

/// Sums over a build.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TraceTotals {
    /// From the first begin to the last end, in nanoseconds.
    pub wall: u64,
    /// What all ops of the plan took together, in nanoseconds.
    pub work: u64,
    /// Ops of the plan.
    pub ops: usize,
    /// Of these, those that the log speaks of.
    pub found: usize,
    /// Of these, those that ran to their end.
    pub ran: usize,
    /// Of these, those whose results were there already.
    pub cached: usize,
    /// Of these, those that failed.
    pub failed: usize,
    /// Of these, those that were stopped because something else failed.
    pub cancelled: usize,
    /// Of these, those that did not begin or did not end.
    pub unfinished: usize,
    /// Lines that all vertices printed.
    pub log_lines: u64,
    /// Bytes that all vertices printed.
    pub log_bytes: u64,
    /// Bytes of build contexts that travelled.
    pub context_bytes: u64,
    /// Lines of the log that hold a status.
    pub lines: u64,
    /// Lines of the log with something else on them.
    pub skipped_lines: u64,
}

/// Lays a log over a plan. Never fails: what cannot be read is passed over, and what does not fit is listed.
pub fn trace(analysis: &Analysis, log: &str) -> Trace {
    let ops = Ops::of(analysis);
    let log = log::read(log);
    let laid = lay::lay(&ops, &log);
    let first = log.vertices.iter().filter_map(|vertex| vertex.started.as_ref());
    let first = first.min_by_key(|moment| moment.at);
    let clock = Clock {
        zero: first.map_or(0, |moment| moment.at),
    };
    let began = first.map(|moment| moment.written.clone());
    let mut runs: Vec<Option<Run>> = log
        .vertices
        .iter()
        .map(|vertex| Some(clock.run(vertex)))
        .collect();
    let mut totals = totals(&log, &runs);

    let mut traced = Vec::with_capacity(ops.len());
    for (op, planned) in ops.list.iter().enumerate() {
        let found = laid.vertices.get(op).copied().flatten();
        let run = found.and_then(|(vertex, _)| runs.get_mut(vertex)?.take());
        traced.push(TracedOp {
            op,
            stage: planned.stage,
            step: planned.step,
            matched: found.map(|(_, by)| by).filter(|_| run.is_some()),
            run,
        });
    }
    totals.count(&traced);
    let missing = traced
        .iter()
        .filter(|op| op.run.is_none())
        .map(|op| op.op)
        .collect();
    let mut internal = Vec::new();
    let mut strangers = Vec::new();
    for (run, vertex) in runs.into_iter().zip(&log.vertices) {
        let Some(run) = run else { continue };
        match kind(vertex) {
            Some(kind) => internal.push(InternalRun { kind, run }),
            None => strangers.push(run),
        }
    }
    let warnings = log.warnings.iter().map(|warning| TraceWarning {
        vertex: warning.vertex.clone(),
        op: log
            .index(&warning.vertex)
            .and_then(|vertex| laid.ops.get(vertex).copied().flatten()),
        level: warning.level,
        short: warning.short.clone(),
        detail: warning.detail.clone(),
        url: warning.url.clone(),
        lines: warning.lines,
    });
    Trace {
        began,
        steps: steps(&ops, &traced),
        internal,
        strangers,
        missing,
        warnings: warnings.collect(),
        totals,
        ops: traced,
    }
}

/// Counts from the begin of a build.
struct Clock {
    /// Nanoseconds since 1970.
    zero: i64,
}

impl Clock {
    fn since(&self, moment: Option<&Moment>) -> Option<u64> {
        u64::try_from(moment?.at.checked_sub(self.zero)?).ok()
    }

    fn run(&self, vertex: &Vertex) -> Run {
        let (start, end) = (
            self.since(vertex.started.as_ref()),
            self.since(vertex.completed.as_ref()),
        );
        let state = state(vertex);
        let statuses = vertex.statuses.iter().map(|status| RunStatus {
            id: status.id.clone(),
            name: status.name.clone(),
            current: status.current,
            total: status.total,
            start: self.since(status.started.as_ref()),
            end: self.since(status.completed.as_ref()),
        });
        Run {
            digest: vertex.digest.clone(),
            name: vertex.name.clone(),
            state,
            started: vertex.started.as_ref().map(|moment| moment.written.clone()),
            completed: vertex.completed.as_ref().map(|moment| moment.written.clone()),
            start,
            end,
            duration: start.zip(end).map(|(start, end)| end.saturating_sub(start)),
            cached: vertex.cached,
            error: vertex.error.clone(),
            exit_code: exit_code(&vertex.error),
            reason: vertex.reason.clone(),
            log_lines: vertex.output.lines(),
            log_bytes: vertex.output.bytes,
            log_tail: if state == RunState::Failed {
                vertex.output.tail()
            } else {
                String::new()
            },
            statuses: statuses.collect(),
        }
    }
}

fn state(vertex: &Vertex) -> RunState {
    if vertex.error.contains("context canceled") {
        RunState::Cancelled
    } else if !vertex.error.is_empty() {
        RunState::Failed
    } else if vertex.cached {
        RunState::Cached
    } else if vertex.completed.is_some() {
        RunState::Done
    } else if vertex.started.is_some() {
        RunState::Running
    } else {
        RunState::Waiting
    }
}

/// The number behind the last "exit code:" of an error.
fn exit_code(error: &str) -> Option<i32> {
    let (_, rest) = error.rsplit_once("exit code: ")?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    rest.get(..digits)?.parse().ok()
}

/// What a vertex that is no op of the plan was for; `None` where it looks like an op of another plan.
fn kind(vertex: &Vertex) -> Option<InternalKind> {
    let name = vertex.name.as_str();
    let says = |text: &str| name.contains(text);
    if says("load build definition") || says("load remote build context") {
        Some(InternalKind::Definition)
    } else if says("load .dockerignore") {
        Some(InternalKind::Ignore)
    } else if says("load metadata for") || name.starts_with("resolve image config for") {
        Some(InternalKind::Metadata)
    } else if loads_context(name) {
        Some(InternalKind::Context)
    } else if name.starts_with("[auth]") {
        Some(InternalKind::Auth)
    } else if !vertex.inputs.is_empty() {
        None
    } else if [
        "exporting",
        "pushing",
        "sending",
        "naming to",
        "writing image",
        "importing to",
    ]
    .iter()
    .any(|begin| name.starts_with(begin))
    {
        Some(if says("cache") {
            InternalKind::Cache
        } else {
            InternalKind::Export
        })
    } else if says("cache manifest") || name.starts_with("preparing build cache") {
        Some(InternalKind::Cache)
    } else if name.starts_with("[internal]") {
        Some(InternalKind::Other)
    } else {
        None
    }
}

/// Steps and bases with the ops that they became, in the order of the file.
fn steps(ops: &Ops<'_>, traced: &[TracedOp]) -> Vec<TracedStep> {
    let mut placed: Vec<(super::ops::Place, usize)> = ops
        .places
        .iter()
        .enumerate()
        .flat_map(|(op, places)| places.iter().map(move |place| (*place, op)))
        .collect();
    placed.sort_unstable();
    let mut steps: Vec<TracedStep> = Vec::new();
    for ((stage, step), op) in placed {
        let known = steps
            .last()
            .is_some_and(|last| (last.stage, last.step) == (stage, step));
        if !known {
            steps.push(TracedStep {
                stage,
                step,
                ops: Vec::new(),
                state: None,
                start: None,
                end: None,
                duration: None,
                cached: false,
                error: String::new(),
            });
        }
        let (Some(entry), Some(found)) = (steps.last_mut(), traced.get(op)) else {
            continue;
        };
        entry.ops.push(op);
        let Some(run) = &found.run else { continue };
        entry.cached = run.cached && (entry.cached || entry.state.is_none());
        entry.state = entry.state.max(Some(run.state));
        entry.start = entry.start.into_iter().chain(run.start).min();
        entry.end = entry.end.max(run.end);
        entry.duration = match (entry.duration, run.duration) {
            (Some(sum), Some(more)) => Some(sum.saturating_add(more)),
            (sum, more) => sum.or(more),
        };
        if entry.error.is_empty() {
            entry.error.clone_from(&run.error);
        }
    }
    steps
}

fn totals(log: &Log, runs: &[Option<Run>]) -> TraceTotals {
    let runs = || runs.iter().flatten();
    let sum = |values: &mut dyn Iterator<Item = u64>| values.fold(0u64, u64::saturating_add);
    let transfers = runs().flat_map(|run| {
        let statuses = run.statuses.iter();
        statuses.filter(move |status| status.name == "transferring" && loads_context(&run.name))
    });
    TraceTotals {
        wall: runs().filter_map(|run| run.end.max(run.start)).max().unwrap_or(0),
        log_lines: sum(&mut runs().map(|run| run.log_lines)),
        log_bytes: sum(&mut runs().map(|run| run.log_bytes)),
        context_bytes: sum(&mut transfers.map(|status| status.current)),
        lines: log.lines,
        skipped_lines: log.skipped,
        ..TraceTotals::default()
    }
}

/// Whether a vertex of that name loads a build context.
fn loads_context(name: &str) -> bool {
    name.contains("load build context") || name.contains("load from client")
}

impl TraceTotals {
    fn count(&mut self, ops: &[TracedOp]) {
        self.ops = ops.len();
        for run in ops.iter().filter_map(|op| op.run.as_ref()) {
            self.found += 1;
            self.work = self.work.saturating_add(run.duration.unwrap_or(0));
            *match run.state {
                RunState::Done => &mut self.ran,
                RunState::Cached => &mut self.cached,
                RunState::Failed => &mut self.failed,
                RunState::Cancelled => &mut self.cancelled,
                RunState::Waiting | RunState::Running => &mut self.unfinished,
            } += 1;
        }
    }
}
