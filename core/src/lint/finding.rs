//! What lint says, and how it could be mended.

use serde::{Deserialize, Serialize};

use crate::diagnostic::Severity;
use crate::edit::TextEdit;
use crate::span::{LineRange, Span};
use crate::syntax::Node;

use super::file::Step;
use super::moment::Moment;

/// Something that had better be written otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The rule's name, such as `JSONArgsRecommended`.
    pub rule: String,
    /// Whose rule it is.
    pub origin: Origin,
    /// How much it matters: an error keeps the target from being built, because the file says `# check=error=true`;
    /// what a stage says that the target does not need is information.
    pub severity: Severity,
    /// What was found, in one sentence.
    pub message: String,
    /// Where the rule is explained: an address, or a path from the root of this project; empty where nothing is
    /// published.
    pub url: String,
    /// The instruction, in bytes.
    pub span: Span,
    /// The same in lines.
    pub lines: LineRange,
    /// BuildKit's own check says nothing of this yet: it ends at the first error of a file, and comes to this later.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub beyond_error: bool,
    /// What would mend it; the first is the best.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fixes: Vec<Fix>,
}

/// Whose rule it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Origin {
    /// BuildKit has it too.
    Reference,
    /// It is Stagewright's own.
    Own,
}

/// A way to mend what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fix {
    /// What it does, as the name of a command: "Write AS in upper case".
    pub title: String,
    /// The changes, all to be made together.
    pub edits: Vec<TextEdit>,
    /// Whether the build does the same afterwards: its definition keeps its digest.
    pub safe: bool,
}

/// What a check of a file comes to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// All that was found, in the order of the file.
    pub findings: Vec<Finding>,
    /// Whether an error ends BuildKit's own check; the planner says which.
    pub stopped: bool,
    /// Whether the findings themselves do, because the file says `# check=error=true`.
    pub fails: bool,
}

/// Something that a rule found.
pub(super) struct Found {
    pub(super) span: Span,
    pub(super) lines: LineRange,
    /// The comments that may leave the rule out.
    pub(super) comments: Vec<String>,
    pub(super) message: String,
    /// When BuildKit comes to it; of no account for rules of our own.
    pub(super) when: Moment,
    /// Where it matters more or less than the rule does.
    pub(super) severity: Option<Severity>,
    pub(super) fixes: Vec<Fix>,
}

impl Found {
    /// A finding about an instruction that only the whole file may leave out.
    pub(super) fn of_file(node: &Node<'_>, when: Moment, message: String) -> Self {
        Self {
            span: node.span,
            lines: node.lines,
            comments: Vec::new(),
            message,
            when,
            severity: None,
            fixes: Vec::new(),
        }
    }

    /// A finding about an instruction, which the comments above it may leave out.
    pub(super) fn at(node: &Node<'_>, when: Moment, message: String) -> Self {
        Self::of_file(node, when, message).unless(node)
    }

    /// A finding about how an instruction is written.
    pub(super) fn written(node: &Node<'_>, message: String) -> Self {
        Self::at(node, Moment::reading(node.span.start), message)
    }

    /// A finding about what an instruction does.
    pub(super) fn done(step: &Step<'_>, message: String) -> Self {
        Self::at(&step.node, step.when, message)
    }

    /// Lets the comments above an instruction leave it out.
    pub(super) fn unless(mut self, node: &Node<'_>) -> Self {
        self.comments = node.comments.iter().map(|&comment| comment.to_owned()).collect();
        self
    }

    /// Says that BuildKit comes to it only if the instruction does not fail before.
    pub(super) fn late(mut self) -> Self {
        self.when = self.when.after();
        self
    }

    /// Says how it could be mended.
    pub(super) fn fix(mut self, fix: impl IntoIterator<Item = Fix>) -> Self {
        self.fixes.extend(fix);
        self
    }
}

impl Fix {
    /// A fix after which the build does the same.
    pub(super) fn safe(title: impl Into<String>, edits: Vec<TextEdit>) -> Self {
        Self {
            title: title.into(),
            edits,
            safe: true,
        }
    }

    /// A fix that changes what the build does.
    pub(super) fn changing(title: impl Into<String>, edits: Vec<TextEdit>) -> Self {
        Self {
            safe: false,
            ..Self::safe(title, edits)
        }
    }
}
