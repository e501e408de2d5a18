//! Answers about a plan that go beyond the plan itself.
//!
//! ```text
//! Analysis + a log of a build        -> trace      what ran, when, how long, what came from the cache
//! ```
//!
//! Each answer is plain data and one function, in a file of its own. They stand above [`crate::analyze`], which
//! calls none of them: whoever only plans does not carry them along.

mod ops;
mod trace;

pub use trace::{
    InternalKind, InternalRun, MatchedBy, Run, RunState, RunStatus, Trace, TraceTotals, TraceWarning,
    TracedOp, TracedStep, trace,
};
