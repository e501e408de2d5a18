//! Answers about a plan that go beyond the plan itself.
//!
//! ```text
//! Input + a change                   -> what_if    what runs again, what stays cached, and why
//! Input + a listing of files         -> context    what enters the build context, who reads it, what for nothing
//! two Analyses                       -> diff       in what two plans differ
//! Input                              -> reasons    why each stage is built or not, what each name means
//! Input                              -> image      what the final image holds, and which step made it so
//! Analysis + durations               -> schedule   when each step runs, what decides, what would save time
//! Analysis + a log of a build        -> trace      what ran, when, how long, what came from the cache
//! ```
//!
//! Each answer is plain data and one function, in a file of its own. They stand above [`crate::analyze`], which
//! calls none of them: whoever only plans does not carry them along.

mod alignment;
mod context;
mod diff;
mod image;
mod ops;
mod reasons;
mod schedule;
mod selection;
mod trace;
mod what_if;
mod work;

pub use context::{ContextFile, ContextReport, FileReport, KeepOut, ReaderReport, RuleReport, Sum, context};
pub use diff::{Diff, EdgeDiff, Fate, StageDiff, StepDiff, StepPlace, ValueDiff, WordDiff, diff};
pub use image::{
    BaseReport, CommandReport, HealthReport, HistoryReport, ImageReport, LayerReport, Setting, Source, image,
};
pub use reasons::{Meaning, NamePlace, NameReason, NameRule, Need, Reasons, StageReason, reasons};
pub use schedule::{
    Basis, Durations, Limited, LimitedOp, Phase, Schedule, ScheduledOp, StageWindow, Suggestion,
    SuggestionKind, schedule,
};
pub use trace::{
    InternalKind, InternalRun, MatchedBy, Run, RunState, RunStatus, Trace, TraceTotals, TraceWarning,
    TracedOp, TracedStep, trace,
};
pub use what_if::{
    Cause, CauseKind, Change, GoneStep, OpForecast, Outcome, StepForecast, Totals, WhatIf, what_if,
};
