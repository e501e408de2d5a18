//! Findings as people read them: the line, and carets under the words that are meant.

use std::fmt::Write as _;
use std::io::Write as _;

use clap::ValueEnum;
use serde::Serialize;
use stagewright_core::diagnostic::{Diagnostic, Severity};

use super::Failure;
use super::dockerfile::Dockerfile;
use super::style::{Style, plain};
pub(super) use crate::request::planning::tally;

/// How a command prints its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

/// An answer for programs.
pub(super) fn json(answer: &impl Serialize) -> Result<String, Failure> {
    let json = serde_json::to_string_pretty(answer)
        .map_err(|error| Failure::new(Failure::WORK, format!("cannot write the answer: {error}")))?;
    Ok(json + "\n")
}

/// Says what is wrong with a file, which therefore has no answer.
pub(super) fn broken(dockerfile: &Dockerfile, diagnostics: &[Diagnostic]) -> Failure {
    let text = findings(
        Style::err(),
        &dockerfile.name,
        &dockerfile.input.source,
        diagnostics,
    );
    // Where standard error is closed, the exit code says it.
    _ = std::io::stderr().write_all(text.as_bytes());
    let tally = tally(diagnostics).unwrap_or_else(|| "no stage".into());
    Failure::new(
        Failure::WORK,
        format!("{} cannot be read: {tally}", dockerfile.name),
    )
}

/// Each finding with its place in `source`, in the order given.
pub(super) fn findings(style: Style, name: &str, source: &str, diagnostics: &[Diagnostic]) -> String {
    let mut text = String::new();
    for diagnostic in diagnostics {
        finding(&mut text, style, name, source, diagnostic);
        text.push('\n');
    }
    text
}

fn finding(text: &mut String, style: Style, name: &str, source: &str, diagnostic: &Diagnostic) {
    let word = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    };
    let start = floor(source, diagnostic.span.start);
    let line_start = source
        .get(..start)
        .and_then(|before| before.rfind('\n'))
        .map_or(0, |newline| newline + 1);
    let line = source
        .get(line_start..)
        .and_then(|rest| rest.lines().next())
        .unwrap_or_default();
    let number = source
        .get(..start)
        .map_or(1, |before| before.matches('\n').count() + 1);
    let before = source.get(line_start..start).unwrap_or_default();
    // Carets stay on the first line; what goes on after it is said by where it ends.
    let end = floor(source, diagnostic.span.end).clamp(start, (line_start + line.len()).max(start));
    let meant = source.get(start..end).unwrap_or_default();

    let margin = number.to_string().len();
    let column = before.chars().count() + 1;
    // Tabs stay tabs under the line, so that the carets stand right whatever a tab's width.
    let indent: String = before
        .chars()
        .map(|letter| if letter == '\t' { '\t' } else { ' ' })
        .collect();
    let carets = "^".repeat(meant.chars().count().max(1));
    let severity = diagnostic.severity;
    let kind = style.severity(severity, &format!("{word}[{}]", diagnostic.code));
    _ = writeln!(text, "{kind}: {}", style.bold(&plain(&diagnostic.message)));
    let arrow = style.dim("-->");
    _ = writeln!(text, "{:margin$}{arrow} {name}:{number}:{column}", "");
    let bar = style.dim("|");
    _ = writeln!(text, "{:margin$} {bar}", "");
    _ = writeln!(text, "{} {bar} {}", style.dim(&number.to_string()), plain(line));
    _ = writeln!(
        text,
        "{:margin$} {bar} {indent}{}",
        "",
        style.severity(severity, &carets)
    );
    for hint in diagnostic.hint.iter().flat_map(|hint| hint.lines()) {
        _ = writeln!(text, "{:margin$} = help: {}", "", plain(hint));
    }
}

/// The nearest character boundary at or before `offset`.
fn floor(source: &str, offset: usize) -> usize {
    let offset = offset.min(source.len());
    (0..=offset)
        .rev()
        .find(|at| source.is_char_boundary(*at))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use stagewright_core::span::{LineRange, Span};

    use super::*;

    fn at(start: usize, end: usize) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            code: "unknown-instruction".into(),
            message: "RNU is no instruction.".into(),
            span: Span::new(start, end),
            lines: LineRange { start: 2, end: 2 },
            hint: Some("write RUN".into()),
        }
    }

    #[test]
    fn carets_stand_under_the_words_meant() {
        let report = findings(
            Style::default(),
            "Dockerfile",
            "FROM é\n\tRNU make\n",
            &[at(9, 12)],
        );
        assert_eq!(
            report,
            "error[unknown-instruction]: RNU is no instruction.\n \
             --> Dockerfile:2:2\n  \
             |\n\
             2 | \tRNU make\n  \
             | \t^^^\n  \
             = help: write RUN\n\n"
        );
    }

    #[test]
    fn any_span_is_reported_without_panic() {
        let source = "FROM é\r\nRUN x";
        for start in 0..20 {
            for end in 0..20 {
                assert!(findings(Style::default(), "f", source, &[at(start, end)]).contains('^'));
            }
        }
        assert!(findings(Style::default(), "f", "", &[at(0, 0)]).contains("f:1:1"));
    }

    #[test]
    fn tally_counts_by_severity() {
        assert_eq!(tally(&[at(0, 0), at(0, 0)]).as_deref(), Some("2 errors"));
        assert_eq!(tally(&[]), None);
    }
}
