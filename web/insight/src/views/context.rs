//! Context: which files are sent, what .dockerignore does with each, and which step reads it.

use stagewright_core::insight::{self, ContextReport, FileReport, Sum};
use stagewright_core::layout::PALETTE;

use crate::human::{count, size};
use crate::markup::Markup;
use crate::question::Question;

/// So many files are listed; a page with more of them is of no use to anyone.
const LISTED: usize = 500;

pub(super) fn draw(question: &Question, page: &mut Markup) {
    let files: Vec<insight::ContextFile> = question
        .files
        .iter()
        .map(|file| insight::ContextFile {
            path: file.path.clone(),
            size: file.size,
            mode: 0o644,
            folder: false,
        })
        .collect();
    let report = insight::context(&question.input, &files);
    page.element("div", &[("class", "sheet")], |page| {
        let about = [("class", "muted view-head"), ("data-testid", "context-about")];
        page.leaf("p", &about, &summary(&report));
        problems(&report, question, page);
        page.element("section", &[("class", "stage-list")], |page| {
            page.element("h3", &[], |page| {
                page.text("Files");
                page.leaf("span", &[("class", "muted")], "of the build context");
            });
            for (file, found) in question.files.iter().zip(&report.files).take(LISTED) {
                draw_file(&report, found, &file.path, file.size, page);
            }
            if question.files.len() > LISTED {
                let rest = format!("and {} more", question.files.len() - LISTED);
                page.leaf("p", &[("class", "muted fact-note")], &rest);
            }
        });
        keep_out(&report, question, page);
    });
}

/// `3 files (12 kB) are sent · 1 file is kept out · 2 files (4 kB) are sent for nothing`.
fn summary(report: &ContextReport) -> String {
    let said = |sum: &Sum, one: &str, many: &str| {
        let number = usize::try_from(sum.files).unwrap_or(usize::MAX);
        let verb = if number == 1 { one } else { many };
        format!("{} ({}) {verb}", count(number, "file"), size(sum.bytes))
    };
    let mut parts = vec![said(&report.sent, "is sent", "are sent")];
    if report.kept_out.files > 0 {
        parts.push(said(&report.kept_out, "is kept out", "are kept out"));
    }
    if report.for_nothing.files > 0 {
        parts.push(said(
            &report.for_nothing,
            "is sent for nothing",
            "are sent for nothing",
        ));
    }
    parts.join(" · ")
}

/// What is wrong with .dockerignore itself.
fn problems(report: &ContextReport, question: &Question, page: &mut Markup) {
    let Some(ignore) = &question.ignore else { return };
    for found in &report.diagnostics {
        let show = format!("show {}", ignore.path);
        page.element("p", &[("class", "muted")], |page| {
            page.element("button", &[("class", "link"), ("data-do", &show)], |page| {
                page.text(&format!("{}, line {}", ignore.path, found.lines.start));
            });
            page.text(&format!(": {}", found.message));
        });
    }
}

fn draw_file(report: &ContextReport, found: &FileReport, path: &str, bytes: u64, page: &mut Markup) {
    let (fate, word) = match (found.enters, found.sent, found.reads) {
        (false, ..) => ("kept-out", kept_out_by(report, found)),
        (true, false, _) => ("unasked", "no step names it".to_owned()),
        (true, true, 0) => ("for-nothing", "sent for nothing".to_owned()),
        (true, true, _) => ("read", String::new()),
    };
    let class = format!("context-file {fate}");
    let row = [
        ("class", class.as_str()),
        ("data-testid", "context-file"),
        ("data-path", path),
        ("data-state", fate),
    ];
    page.element("div", &row, |page| {
        let show = format!("show {path}");
        page.element(
            "button",
            &[("class", "link context-path"), ("data-do", &show)],
            |page| {
                page.leaf("code", &[], path);
            },
        );
        page.element("span", &[("class", "context-readers")], |page| {
            for reader in found
                .readers
                .iter()
                .filter_map(|reader| report.readers.get(*reader))
            {
                let Some(stage) = reader.stage else { continue };
                let at = match reader.step {
                    Some(step) => format!("step {stage} {step}"),
                    None => format!("step {stage}"),
                };
                let class = format!("reader stage-colour-{}", stage % PALETTE);
                let button = [
                    ("class", class.as_str()),
                    ("data-do", at.as_str()),
                    ("title", reader.text.as_str()),
                ];
                page.element("button", &button, |page| page.text(&reader.text));
            }
            page.text(&word);
        });
        page.leaf("span", &[("class", "bar-time")], &size(bytes));
    });
}

/// `kept out by *.md`.
fn kept_out_by(report: &ContextReport, found: &FileReport) -> String {
    match found.rule.and_then(|rule| report.rules.get(rule)) {
        Some(rule) => format!("kept out by {}, line {}", rule.pattern, rule.line),
        None => "kept out".to_owned(),
    }
}

/// Lines that .dockerignore could have.
fn keep_out(report: &ContextReport, question: &Question, page: &mut Markup) {
    // A file that nobody asks for is not sent, with or without a line of its own.
    if report.suggestions.is_empty() || report.for_nothing.files == 0 {
        return;
    }
    let name = question
        .ignore
        .as_ref()
        .map_or(".dockerignore", |file| file.path.as_str());
    let mut text = question
        .ignore
        .as_ref()
        .map(|file| file.text.clone())
        .unwrap_or_default();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for line in &report.suggestions {
        text.push_str(&line.pattern);
        text.push('\n');
    }
    page.element("section", &[("class", "stage-list")], |page| {
        page.element("h3", &[], |page| {
            page.text("Could be kept out");
            page.leaf(
                "span",
                &[("class", "muted")],
                "no step of this build would miss it",
            );
            page.leaf("span", &[("class", "spring")], "");
            let open = format!("open {name}");
            let button = [
                ("data-do", open.as_str()),
                ("value", text.as_str()),
                ("data-testid", "keep-out"),
            ];
            page.leaf("button", &button, &format!("Add to {name}"));
        });
        for line in &report.suggestions {
            page.element("div", &[("class", "context-file")], |page| {
                page.leaf("code", &[("class", "context-path")], &line.pattern);
                let number = usize::try_from(line.saves.files).unwrap_or(usize::MAX);
                page.leaf("span", &[("class", "context-readers")], &count(number, "file"));
                page.leaf("span", &[("class", "bar-time")], &size(line.saves.bytes));
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::question::{ContextFile, TextFile};

    fn question(source: &str, ignore: Option<&str>) -> Question {
        let file = |path: &str, size: u64| ContextFile {
            path: path.into(),
            size,
        };
        let mut question = Question {
            files: vec![
                file("app.go", 100),
                file("README.md", 2_000),
                file("src/x.go", 30),
            ],
            ignore: ignore.map(|text| TextFile {
                path: ".dockerignore".into(),
                text: text.into(),
            }),
            ..Question::default()
        };
        question.input.source = source.into();
        question.input.options.ignore = ignore.map(ToOwned::to_owned);
        question
    }

    /// Path and state of each file.
    fn files(question: &Question) -> (String, Vec<String>) {
        let mut page = Markup::default();
        draw(question, &mut page);
        let html = page.finish();
        let value = |part: &str, name: &str| {
            let rest = part.split(&format!("{name}=\"")).nth(1).unwrap_or_default();
            rest.split('"').next().unwrap_or_default().to_owned()
        };
        let rows = html.split("data-testid=\"context-file\"").skip(1);
        let rows = rows.map(|part| format!("{} {}", value(part, "data-path"), value(part, "data-state")));
        let rows = rows.collect();
        (html, rows)
    }

    #[test]
    fn each_file_says_what_becomes_of_it() {
        let (html, rows) = files(&question("FROM scratch\nCOPY app.go src /\n", Some("*.md\n")));
        assert_eq!(rows, ["app.go read", "README.md kept-out", "src/x.go read"]);
        assert!(html.contains("kept out by *.md, line 1"), "{html}");
        assert!(html.contains("data-do=\"step 0 0\""), "{html}");
    }

    #[test]
    fn what_no_step_names_is_not_sent() {
        let (html, rows) = files(&question("FROM scratch\nCOPY app.go /\n", None));
        assert_eq!(rows, ["app.go read", "README.md unasked", "src/x.go unasked"]);
        assert!(html.contains("1 file (100 B) is sent"), "{html}");
    }
}
