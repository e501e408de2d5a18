//! What lint has to say, in the form of the planner's own findings.

use stagewright_core::analysis::Input;
use stagewright_core::diagnostic::Diagnostic;
use stagewright_core::lint::{self, Scope};

/// What had better be written otherwise, in the order of the source.
pub fn remarks(input: &Input) -> Vec<Diagnostic> {
    let remark = |finding: lint::Finding| Diagnostic {
        severity: finding.severity,
        code: finding.rule,
        message: finding.message,
        span: finding.span,
        lines: finding.lines,
        hint: None,
    };
    lint::lint(input, Scope::All).into_iter().map(remark).collect()
}
