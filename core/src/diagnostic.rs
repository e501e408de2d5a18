//! What the planner has to say about a place in the source.

use serde::{Deserialize, Serialize};

use crate::span::{LineRange, Span};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The build as written cannot run.
    Error,
    /// The build runs, but likely not as meant.
    Warning,
    /// Something worth knowing.
    Info,
}

/// One finding. The planner never stops at the first: everything it could say about a file comes back together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostic {
    /// How much it matters.
    pub severity: Severity,
    /// A stable kebab-case name of the kind of finding, such as `unknown-instruction`.
    pub code: String,
    /// What happened, in one sentence.
    pub message: String,
    /// Where, in bytes.
    pub span: Span,
    /// Where, in lines: what BuildKit would report.
    pub lines: LineRange,
    /// What to do next, where something can be said.
    pub hint: Option<String>,
}
