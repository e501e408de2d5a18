//! Problems: all that is wrong, and what had better be written otherwise, with what would put it right.

use stagewright_core::diagnostic::{Diagnostic, Severity};
use stagewright_core::lint::{self, Scope};
use stagewright_core::span::{LineRange, Span};

use crate::human::count;
use crate::markup::Markup;
use crate::question::Question;
use crate::source::Excerpt;

/// One thing to say.
struct Problem {
    severity: Severity,
    /// The kind of error, or the rule.
    code: String,
    message: String,
    hint: Option<String>,
    /// Where the rule is explained; empty where nothing is published.
    url: String,
    span: Span,
    lines: LineRange,
}

impl From<Diagnostic> for Problem {
    fn from(found: Diagnostic) -> Self {
        Self {
            severity: found.severity,
            code: found.code,
            message: found.message,
            hint: found.hint,
            url: String::new(),
            span: found.span,
            lines: found.lines,
        }
    }
}

impl From<lint::Finding> for Problem {
    fn from(found: lint::Finding) -> Self {
        Self {
            severity: Severity::Warning,
            code: found.rule,
            message: found.message,
            hint: None,
            url: found.url,
            span: found.span,
            lines: found.lines,
        }
    }
}

pub(super) fn draw(question: &Question, page: &mut Markup) {
    let problems = problems(question);
    if problems.is_empty() {
        let text = format!("Nothing to say about {}.", question.path);
        return page.leaf("p", &[("class", "empty")], &text);
    }
    page.element("div", &[("class", "sheet")], |page| {
        page.leaf("p", &[("class", "muted view-head")], &summary(&problems));
        page.element("ul", &[("class", "problems")], |page| {
            for problem in &problems {
                draw_one(problem, &question.input.source, page);
            }
        });
    });
}

/// The planner's findings, the page's and lint's, by place; where several stand at one place, the worst first.
fn problems(question: &Question) -> Vec<Problem> {
    let analysis = stagewright_core::analyze(&question.input);
    let mut problems: Vec<Problem> = analysis.diagnostics.into_iter().map(Problem::from).collect();
    problems.extend(question.own.iter().cloned().map(Problem::from));
    let findings = lint::lint(&question.input, Scope::All);
    problems.extend(findings.into_iter().map(Problem::from));
    problems.sort_by_key(|problem| (problem.lines.start, problem.severity));
    problems
}

/// `1 error · 2 warnings`.
fn summary(problems: &[Problem]) -> String {
    let kinds = [
        (Severity::Error, "error"),
        (Severity::Warning, "warning"),
        (Severity::Info, "suggestion"),
    ];
    let parts = kinds.iter().filter_map(|(severity, noun)| {
        let number = problems.iter().filter(|one| one.severity == *severity).count();
        (number > 0).then(|| count(number, noun))
    });
    parts.collect::<Vec<_>>().join(" · ")
}

fn draw_one(problem: &Problem, source: &str, page: &mut Markup) {
    let severity = match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "info",
    };
    let line = problem.lines.start.to_string();
    let class = format!("problem problem-{severity}");
    let attributes = [
        ("class", class.as_str()),
        ("data-testid", "problem"),
        ("data-severity", severity),
        ("data-code", problem.code.as_str()),
    ];
    page.element("li", &attributes, |page| {
        page.element(
            "button",
            &[("class", "problem-go"), ("data-do", &format!("line {line}"))],
            |page| {
                page.leaf(
                    "span",
                    &[
                        ("class", "problem-mark"),
                        ("role", "img"),
                        ("aria-label", severity),
                    ],
                    "",
                );
                page.element("span", &[("class", "problem-text")], |page| {
                    page.text(&problem.message);
                    if let Some(hint) = &problem.hint {
                        page.leaf("span", &[("class", "hint")], hint);
                    }
                });
                page.leaf("span", &[("class", "problem-line")], &format!("line {line}"));
            },
        );
        excerpt(source, problem.span, page);
        page.element("p", &[("class", "problem-foot")], |page| {
            page.leaf("code", &[], &problem.code);
            if !problem.url.is_empty() {
                let explained = [
                    ("href", problem.url.as_str()),
                    ("target", "_blank"),
                    ("rel", "noopener noreferrer"),
                ];
                page.leaf("a", &explained, "About this rule");
            }
        });
    });
}

/// The line with the place in it underlined.
fn excerpt(source: &str, span: Span, page: &mut Markup) {
    let Excerpt { before, at, after } = Excerpt::of(source, span);
    if at.is_empty() {
        return;
    }
    page.element("pre", &[("class", "excerpt"), ("aria-hidden", "true")], |page| {
        page.text(before);
        page.leaf("mark", &[], at);
        page.text(after);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use stagewright_core::Input;

    fn drawn(source: &str) -> String {
        let mut page = Markup::default();
        let input = Input {
            source: source.into(),
            ..Input::default()
        };
        let question = Question {
            path: "Dockerfile".into(),
            input,
            ..Question::default()
        };
        draw(&question, &mut page);
        page.finish()
    }

    #[test]
    fn nothing_wrong_is_said_in_a_sentence() {
        assert_eq!(
            drawn("FROM scratch\nCOPY a /\n"),
            "<p class=\"empty\">Nothing to say about Dockerfile.</p>"
        );
    }

    #[test]
    fn errors_and_findings_stand_together_by_line() {
        let html = drawn("FROM scratch AS one\nMAINTAINER me\nRUNN <x>\n");
        let codes: Vec<&str> = html
            .split("data-code=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert_eq!(codes, ["MaintainerDeprecated", "unknown-instruction"]);
        assert!(html.contains("1 error · 1 warning"), "{html}");
        assert!(html.contains("<mark>RUNN</mark> &lt;x&gt;"), "{html}");
        assert!(html.contains("data-do=\"line 3\""), "{html}");
        assert!(html.contains("/maintainer-deprecated/\""), "{html}");
    }
}
