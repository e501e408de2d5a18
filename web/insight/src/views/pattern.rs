//! The builder pattern: two Dockerfiles and a script between them, as one graph and as the one file that does the same.

use stagewright_core::convert::{Became, Conversion, Pattern, SourceFile, convert};
use stagewright_core::diagnostic::Severity;
use stagewright_core::layout::svg::{self, SvgOptions, Theme};
use stagewright_core::layout::{LayoutOptions, layout};

use crate::human::count;
use crate::markup::Markup;
use crate::question::{Question, TextFile};

/// What the file is called that is made.
const NAME: &str = "Dockerfile.converted";

pub(super) fn draw(question: &Question, page: &mut Markup) {
    let Some(script) = &question.script else {
        let text = "This view takes a script that builds several Dockerfiles: docker build, docker create, docker cp. \
                    The example of the builder pattern has one.";
        return page.leaf("p", &[("class", "empty")], text);
    };
    let conversion = convert(&pattern(question, script));
    page.element("div", &[("class", "sheet pattern")], |page| {
        page.element("div", &[("class", "view-head")], |page| {
            page.leaf("p", &[("class", "muted")], &about(&conversion, script));
            page.leaf("span", &[("class", "spring")], "");
            if let Some(text) = &conversion.dockerfile {
                let open = format!("open {NAME}");
                let button = [
                    ("data-do", open.as_str()),
                    ("value", text.as_str()),
                    ("data-testid", "open-converted"),
                ];
                page.leaf("button", &button, "Open as a file");
            }
        });
        findings(&conversion, page);
        picture(&conversion, question.dark, page);
        if let Some(text) = &conversion.dockerfile {
            page.leaf(
                "pre",
                &[("class", "converted"), ("data-testid", "converted")],
                text,
            );
        }
        if let Some(command) = &conversion.command {
            page.element("p", &[("class", "muted")], |page| {
                page.text("In the place of the script: ");
                page.leaf("code", &[], command);
            });
        }
        notes(&conversion, script, page);
    });
}

fn pattern(question: &Question, script: &TextFile) -> Pattern {
    let file = |file: &TextFile| SourceFile {
        name: file.path.clone(),
        text: file.text.clone(),
    };
    // A file that was made here before is no part of what it was made from.
    let dockerfiles = question.dockerfiles.iter().filter(|file| file.path != NAME);
    Pattern {
        script: file(script),
        dockerfiles: dockerfiles.map(file).collect(),
        files: Some(question.files.iter().map(|file| file.path.clone()).collect()),
        images: question.input.options.images.clone(),
        ..Pattern::default()
    }
}

fn about(conversion: &Conversion, script: &TextFile) -> String {
    let graph = &conversion.graph;
    let stages = count(graph.analysis.stages.len(), "stage");
    let carried = match graph.handovers.len() {
        1 => "1 file carried by hand".to_owned(),
        number => format!("{number} files carried by hand"),
    };
    match &conversion.dockerfile {
        Some(_) => format!(
            "{} and its Dockerfiles: {stages}, {carried}. As one file:",
            script.path
        ),
        None => format!("{} cannot be made into one file yet:", script.path),
    }
}

fn findings(conversion: &Conversion, page: &mut Markup) {
    // A Dockerfile that the script has nothing to do with is no fault of the script.
    let mut findings = conversion
        .findings
        .iter()
        .filter(|finding| finding.diagnostic.code != "unused-dockerfile")
        .peekable();
    if findings.peek().is_none() {
        return;
    }
    page.element("ul", &[("class", "problems")], |page| {
        for finding in findings {
            let found = &finding.diagnostic;
            let severity = match found.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Info => "info",
            };
            let class = format!("problem problem-{severity}");
            page.element(
                "li",
                &[("class", &class), ("data-testid", "conversion-finding")],
                |page| {
                    let show = format!("show {}", finding.file);
                    page.element("button", &[("class", "problem-go"), ("data-do", &show)], |page| {
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
                            page.text(&found.message);
                            if let Some(hint) = &found.hint {
                                page.leaf("span", &[("class", "hint")], hint);
                            }
                        });
                        let place = format!("{}, line {}", finding.file, found.lines.start);
                        page.leaf("span", &[("class", "problem-line")], &place);
                    });
                },
            );
        }
    });
}

/// All builds of the script in one drawing.
fn picture(conversion: &Conversion, dark: bool, page: &mut Markup) {
    let analysis = &conversion.graph.analysis;
    if analysis.stages.is_empty() {
        return;
    }
    let options = SvgOptions {
        theme: if dark { Theme::Dark } else { Theme::Light },
        title: Some("The builds of the script, and what is carried between them".to_owned()),
    };
    let drawing = layout(analysis, &LayoutOptions::default());
    page.element(
        "figure",
        &[("class", "picture"), ("data-testid", "pattern-picture")],
        |page| {
            page.drawing(&svg::render_svg(analysis, &drawing, &options));
        },
    );
}

/// What became of each command of the script.
fn notes(conversion: &Conversion, script: &TextFile, page: &mut Markup) {
    if conversion.notes.is_empty() {
        return;
    }
    let show = format!("show {}", script.path);
    page.element("section", &[("class", "stage-list")], |page| {
        page.element("h3", &[], |page| {
            page.element("button", &[("class", "link"), ("data-do", &show)], |page| {
                page.text(&script.path);
            });
            page.leaf("span", &[("class", "muted")], "line by line");
        });
        page.element("ul", &[("class", "notes")], |page| {
            for note in &conversion.notes {
                page.element("li", &[], |page| {
                    page.leaf("span", &[("class", "note-line")], &note.lines.start.to_string());
                    page.leaf("span", &[("class", "note-word")], word(note.became));
                    page.leaf("span", &[], &note.message);
                });
            }
        });
    });
}

fn word(became: Became) -> &'static str {
    match became {
        Became::Stage => "FROM",
        Became::Copy => "COPY",
        Became::Run => "RUN",
        Became::Nothing => "not needed",
        Became::Beside => "stays",
        Became::Unclear => "unclear",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Question {
        let file = |name: &str| {
            let folder = concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../static/examples/builder-pattern"
            );
            TextFile {
                path: name.into(),
                text: std::fs::read_to_string(format!("{folder}/{name}")).unwrap(),
            }
        };
        Question {
            dockerfiles: vec![file("Dockerfile.build"), file("Dockerfile")],
            script: Some(file("build.sh")),
            files: ["Dockerfile", "Dockerfile.build", "app.go", "build.sh"]
                .map(|path| crate::ContextFile {
                    path: path.into(),
                    size: 1,
                })
                .into(),
            ..Question::default()
        }
    }

    fn drawn(question: &Question) -> String {
        let mut page = Markup::default();
        draw(question, &mut page);
        page.finish()
    }

    #[test]
    fn the_example_becomes_one_file_that_can_be_opened() {
        let html = drawn(&example());
        assert!(
            html.contains("data-do=\"open Dockerfile.converted\" value=\""),
            "{html}"
        );
        assert!(html.contains("COPY --from="), "{html}");
        assert!(html.contains("<svg"), "{html}");
    }

    #[test]
    fn what_was_made_before_changes_nothing() {
        let mut question = example();
        let first = drawn(&question);
        question.dockerfiles.push(TextFile {
            path: NAME.into(),
            text: "FROM other\n".into(),
        });
        assert_eq!(drawn(&question), first);
    }

    #[test]
    fn without_a_script_the_view_says_what_it_takes() {
        assert!(drawn(&Question::default()).contains("takes a script"));
    }
}
