//! What is wrong with a Dockerfile, or had better be written otherwise.

use stagewright_core::Input;
use stagewright_core::diagnostic::Diagnostic;
use stagewright_core::lint::{self, Finding, Origin, Scope};

/// What the planner has to say and what lint has, by place, each in both forms. What both say is said once.
pub(crate) fn findings(input: &Input) -> Vec<(Diagnostic, Finding)> {
    let linted = lint::lint(input, scope(input));
    let mut all: Vec<(Diagnostic, Finding)> = Vec::new();
    for diagnostic in stagewright_core::analyze(input).diagnostics {
        let same = |finding: &&Finding| finding.rule == diagnostic.code && finding.lines == diagnostic.lines;
        let finding = linted.iter().find(same).cloned().unwrap_or_else(|| Finding {
            rule: diagnostic.code.clone(),
            origin: Origin::Own,
            severity: diagnostic.severity,
            message: diagnostic.message.clone(),
            url: String::new(),
            span: diagnostic.span,
            lines: diagnostic.lines,
            beyond_error: false,
            fixes: Vec::new(),
        });
        all.push((diagnostic, finding));
    }
    for finding in linted {
        let known = |(diagnostic, _): &(Diagnostic, Finding)| {
            diagnostic.code == finding.rule && diagnostic.lines == finding.lines
        };
        if !all.iter().any(known) {
            all.push((as_diagnostic(&finding), finding));
        }
    }
    all.sort_by_key(|(diagnostic, _)| diagnostic.span.start);
    all
}

/// Which stages are looked at.
pub(crate) fn scope(input: &Input) -> Scope {
    // Without a target the whole file is meant.
    match &input.options.target {
        Some(_) => Scope::Target,
        None => Scope::All,
    }
}

fn as_diagnostic(finding: &Finding) -> Diagnostic {
    let fix = finding.fixes.first().map(|fix| {
        let how = if fix.safe { " (--fix does it)" } else { "" };
        format!("{}{how}", fix.title.trim_end_matches('.'))
    });
    let about = (!finding.url.is_empty()).then(|| format!("see {}", finding.url));
    let hint = match (fix, about) {
        (Some(fix), Some(about)) => Some(format!("{fix}\n{about}")),
        (fix, about) => fix.or(about),
    };
    Diagnostic {
        severity: finding.severity,
        code: finding.rule.clone(),
        message: finding.message.clone(),
        span: finding.span,
        lines: finding.lines,
        hint,
    }
}
