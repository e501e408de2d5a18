//! What a build frontend is asked besides building: which targets there are, and what a target takes.
//!
//! The answers have the shape of BuildKit's subrequests `frontend.targets` and `frontend.outline`, without the text of
//! the file that BuildKit adds to each.

mod llb;
mod outline;
mod targets;

pub use llb::llb;
pub use outline::{Argument, Grant, Outline, outline};
pub use targets::{Target, Targets, targets};

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Diagnostic, Severity};
use crate::span::LineRange;
use crate::syntax::Node;

/// Where something stands in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// Its lines, a range for each.
    pub ranges: Vec<Range>,
}

/// From a line to a line, both included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// The first line.
    pub start: Position,
    /// The last line.
    pub end: Position,
}

/// A place in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The line, from 1.
    pub line: u32,
}

impl From<LineRange> for Location {
    fn from(lines: LineRange) -> Self {
        let range = |line| Range {
            start: Position { line },
            end: Position { line },
        };
        Self {
            ranges: (lines.start..=lines.end.max(lines.start)).map(range).collect(),
        }
    }
}

/// What the comments above an instruction say of a name: the line that begins with it, without it.
fn description(node: &Node<'_>, name: &str) -> String {
    let about = |comment: &&str| comment.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned);
    if name.is_empty() {
        return String::new();
    }
    node.comments.iter().find_map(about).unwrap_or_default()
}

/// The findings that stand in the way of an answer; nothing where there is none.
fn errors(mut diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    diagnostics.retain(|finding| finding.severity == Severity::Error);
    diagnostics
}
