//! Problems: all that is wrong, and what had better be written otherwise, with what would put it right.

use stagewright_core::diagnostic::{Diagnostic, Severity};
use stagewright_core::edit::{self, TextEdit};
use stagewright_core::lint::{self, Fix, Scope};
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
    /// What would mend it; the first is the best.
    fixes: Vec<Fix>,
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
            fixes: Vec::new(),
        }
    }
}

impl From<lint::Finding> for Problem {
    fn from(found: lint::Finding) -> Self {
        Self {
            severity: found.severity,
            code: found.rule,
            message: found.message,
            hint: None,
            url: found.url,
            span: found.span,
            lines: found.lines,
            fixes: found.fixes,
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
        page.element("div", &[("class", "view-head")], |page| {
            page.leaf("p", &[("class", "muted")], &summary(&problems));
            page.leaf("span", &[("class", "spring")], "");
            fix_all(question, &problems, page);
        });
        page.element("ul", &[("class", "problems")], |page| {
            for problem in &problems {
                draw_one(problem, question, page);
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

fn draw_one(problem: &Problem, question: &Question, page: &mut Markup) {
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
        excerpt(&question.input.source, problem.span, page);
        page.element("p", &[("class", "problem-foot")], |page| {
            for fix in &problem.fixes {
                fix_button(question, &fix.title, &fix.edits, "fix", page);
            }
            page.leaf("code", &[], &problem.code);
            // Rules of our own are explained by a path in the repository, which the page does not have.
            if problem.url.starts_with("https://") {
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

/// One button for everything that can be mended without the build doing anything else than before.
fn fix_all(question: &Question, problems: &[Problem], page: &mut Markup) {
    let mut edits: Vec<TextEdit> = Vec::new();
    let mut number = 0;
    for problem in problems {
        let Some(fix) = problem.fixes.iter().find(|fix| fix.safe) else {
            continue;
        };
        // Two fixes may want the same letters, as where one moves what the other rewrites: the first is made now.
        let together: Vec<TextEdit> = edits.iter().chain(&fix.edits).cloned().collect();
        if edit::apply(&question.input.source, &together).is_ok() {
            edits = together;
            number += 1;
        }
    }
    if number > 1 {
        let title = format!("Fix all that is safe ({number})");
        fix_button(question, &title, &edits, "fix-all", page);
    }
}

fn fix_button(question: &Question, title: &str, edits: &[TextEdit], id: &str, page: &mut Markup) {
    let edits = serde_json::to_string(edits).unwrap_or_default();
    let what = format!("edit {}", question.version);
    let button = [
        ("data-do", what.as_str()),
        ("value", edits.as_str()),
        ("data-testid", id),
    ];
    page.leaf("button", &button, title);
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
    fn what_is_safe_can_be_fixed_at_once() {
        let source = "FROM scratch as one\nCOPY a /\nFROM scratch as two\nCOPY --from=one /a /\n";
        let html = drawn(source);
        let all = html.split("data-testid=\"fix-all\"").next().unwrap();
        let value = all.rsplit("value=\"").next().unwrap();
        let json = value.trim_end().trim_end_matches('"').replace("&quot;", "\"");
        let edits: Vec<TextEdit> = serde_json::from_str(&json).unwrap();
        assert_eq!(
            edit::apply(source, &edits).unwrap(),
            source.replace(" as ", " AS ")
        );
        assert_eq!(html.matches("data-testid=\"fix\"").count(), 2, "{html}");
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
