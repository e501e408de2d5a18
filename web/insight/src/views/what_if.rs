//! What if: a change that is thought of, and what it would have run again, with the chain of reasons for each step.

use stagewright_core::Input;
use stagewright_core::analysis::Analysis;
use stagewright_core::insight::{self, Outcome, StepForecast, WhatIf};
use stagewright_core::layout::PALETTE;

use crate::human::count;
use crate::markup::Markup;
use crate::question::{Change, Mark, Question};

pub(super) fn draw(question: &Question, page: &mut Markup) -> Vec<Mark> {
    let analysis = stagewright_core::analyze(&question.input);
    let forecast = forecast(question);
    page.element("div", &[("class", "sheet")], |page| {
        page.element("div", &[("class", "view-head")], |page| {
            choice(question, &analysis, page);
        });
        match &forecast {
            None => page.leaf("p", &[("class", "muted")], nothing_chosen(question)),
            Some(forecast) if !forecast.planned => page.leaf(
                "p",
                &[("class", "muted")],
                "Nothing can be said while an error stands in the way of the target. Problems says which.",
            ),
            Some(forecast) => draw_forecast(forecast, page),
        }
    });
    forecast.as_ref().map(marks).unwrap_or_default()
}

fn nothing_chosen(question: &Question) -> &'static str {
    match question.change {
        Change::SinceBefore => {
            "No build was started and no plan was kept yet, so there is nothing to compare with."
        }
        _ => "Choose a change above: the drawing then shows what runs again, and below stands why.",
    }
}

/// What the change would come to; `None` where none is thought of.
fn forecast(question: &Question) -> Option<WhatIf> {
    let mut change = insight::Change::default();
    match &question.change {
        Change::Nothing => return None,
        Change::File(path) => change.context.push(path.clone()),
        Change::Arg(name, value) => {
            change.build_args.insert(name.clone(), Some(value.clone()));
        }
        Change::Image(reference) => {
            change.images.insert(reference.clone(), None);
        }
        Change::NoCache => change.no_cache = true,
        Change::SinceBefore => {
            let before = question.before.as_ref()?;
            return Some(insight::what_if(before, &difference(before, &question.input)));
        }
    }
    Some(insight::what_if(&question.input, &change))
}

/// The change from one input to another.
fn difference(before: &Input, now: &Input) -> insight::Change {
    let (old, new) = (&before.options, &now.options);
    let gone = old
        .build_args
        .keys()
        .filter(|name| !new.build_args.contains_key(*name));
    let mut build_args: std::collections::BTreeMap<String, Option<String>> =
        gone.map(|name| (name.clone(), None)).collect();
    for (name, value) in &new.build_args {
        build_args.insert(name.clone(), Some(value.clone()));
    }
    let others = new
        .images
        .iter()
        .filter(|(name, facts)| old.images.get(*name) != Some(facts));
    insight::Change {
        source: Some(now.source.clone()),
        target: Some(new.target.clone().unwrap_or_default()),
        build_args,
        images: others
            .map(|(name, facts)| (name.clone(), Some(facts.clone())))
            .collect(),
        ..insight::Change::default()
    }
}

/// The menu of changes.
fn choice(question: &Question, analysis: &Analysis, page: &mut Markup) {
    let chosen = match &question.change {
        Change::Nothing => String::new(),
        Change::File(path) => format!("file {path}"),
        Change::Arg(name, _) => format!("arg {name}"),
        Change::Image(reference) => format!("image {reference}"),
        Change::NoCache => "no-cache".to_owned(),
        Change::SinceBefore => "before".to_owned(),
    };
    let option = |page: &mut Markup, value: &str, text: &str| {
        let selected = if value == chosen { "selected" } else { "" };
        page.leaf("option", &[("value", value), ("selected", selected)], text);
    };
    page.element("label", &[], |page| {
        page.text("What if");
        let select = [("data-do", "change"), ("data-testid", "change")];
        page.element("select", &select, |page| {
            option(page, "", "nothing changed");
            page.element("optgroup", &[("label", "A file")], |page| {
                for file in &question.files {
                    option(
                        page,
                        &format!("file {}", file.path),
                        &format!("{} changed", file.path),
                    );
                }
            });
            if !analysis.args.is_empty() {
                page.element("optgroup", &[("label", "A build arg")], |page| {
                    for arg in &analysis.args {
                        option(
                            page,
                            &format!("arg {}", arg.name),
                            &format!("{} had another value", arg.name),
                        );
                    }
                });
            }
            if !analysis.images.is_empty() {
                page.element(
                    "optgroup",
                    &[("label", "An image, under the same name")],
                    |page| {
                        for image in &analysis.images {
                            option(
                                page,
                                &format!("image {}", image.reference),
                                &format!("{} were updated", image.name),
                            );
                        }
                    },
                );
            }
            page.element("optgroup", &[("label", "Everything at once")], |page| {
                option(page, "no-cache", "nothing came from the cache");
                if question.before.is_some() {
                    option(page, "before", "what was typed since the plan was kept");
                }
            });
        });
    });
    if let Change::Arg(name, value) = &question.change {
        page.element("label", &[], |page| {
            page.text(&format!("{name}="));
            let field = [
                ("data-do", format!("arg {name}")),
                ("value", value.clone()),
                ("data-testid", "change-value".to_owned()),
                ("spellcheck", "false".to_owned()),
                ("autocomplete", "off".to_owned()),
            ];
            let field: Vec<(&'static str, &str)> = field
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            page.leaf("input", &field, "");
        });
    }
    page.leaf("span", &[("class", "spring")], "");
    let keep = [
        ("data-do", "remember"),
        ("data-testid", "keep-plan"),
        (
            "title",
            "From now on, see what the changes since this moment would run again. Starting a build does the same",
        ),
    ];
    page.leaf("button", &keep, "Keep this plan to compare");
}

fn draw_forecast(forecast: &WhatIf, page: &mut Markup) {
    page.leaf(
        "p",
        &[("class", "muted"), ("data-testid", "forecast")],
        &summary(forecast),
    );
    page.element("ol", &[("class", "forecast")], |page| {
        for step in &forecast.steps {
            if runs(step.outcome).is_some_and(|(runs, _)| runs) {
                draw_step(forecast, step, page);
            }
        }
        for gone in &forecast.gone {
            page.element("li", &[("class", "forecast-step gone")], |page| {
                page.element("p", &[], |page| {
                    page.leaf("code", &[], &gone.text);
                    page.leaf(
                        "span",
                        &[("class", "forecast-word")],
                        &format!("gone from {}", gone.label),
                    );
                });
            });
        }
    });
}

/// `2 steps rerun · 1 step may · 5 steps stay cached`.
fn summary(forecast: &WhatIf) -> String {
    let totals = &forecast.totals;
    let verb = |number: usize, one: &'static str, many: &'static str| if number == 1 { one } else { many };
    let parts = [
        (totals.new, verb(totals.new, "is new", "are new")),
        (totals.reruns, verb(totals.reruns, "reruns", "rerun")),
        (totals.may_rerun, "may rerun"),
        (totals.cached, verb(totals.cached, "stays cached", "stay cached")),
        (totals.gone, verb(totals.gone, "is gone", "are gone")),
    ];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, verb)| format!("{} {verb}", count(*number, "step")))
        .collect();
    if parts.is_empty() {
        "Nothing is built, so nothing reruns.".to_owned()
    } else {
        parts.join(" · ")
    }
}

fn draw_step(forecast: &WhatIf, step: &StepForecast, page: &mut Markup) {
    let class = format!("forecast-step stage-colour-{}", step.stage % PALETTE);
    let outcome = runs(step.outcome).map_or("", |(_, word)| word);
    let row = [
        ("class", class.as_str()),
        ("data-testid", "rerun"),
        ("data-outcome", outcome),
    ];
    page.element("li", &row, |page| {
        let at = match step.step {
            Some(index) => format!("step {} {index}", step.stage),
            None => format!("step {}", step.stage),
        };
        page.element(
            "button",
            &[("class", "forecast-go"), ("data-do", &at), ("title", &step.text)],
            |page| {
                page.leaf("span", &[("class", "swatch")], "");
                page.leaf("code", &[], &step.text);
                page.leaf("span", &[("class", "forecast-word")], outcome);
            },
        );
        let chain = step.decides.map(|op| forecast.chain(op)).unwrap_or_default();
        page.element("ol", &[("class", "reasons")], |page| {
            if chain.is_empty() {
                page.leaf("li", &[], &step.reason);
            }
            for cause in chain {
                page.leaf("li", &[], &cause.text);
            }
        });
    });
}

/// Whether a step runs, and the word for it; `None` where nothing is said of it.
fn runs(outcome: Outcome) -> Option<(bool, &'static str)> {
    match outcome {
        Outcome::Reruns => Some((true, "reruns")),
        Outcome::MayRerun => Some((true, "may rerun")),
        Outcome::New => Some((true, "new")),
        Outcome::Cached => Some((false, "cached")),
        Outcome::Skipped | Outcome::Config | Outcome::Unknown => None,
    }
}

fn marks(forecast: &WhatIf) -> Vec<Mark> {
    let mark = |step: &StepForecast| {
        let (runs, text) = runs(step.outcome)?;
        // The rows of the drawing have room for one word.
        let text = if step.outcome == Outcome::MayRerun {
            "maybe"
        } else {
            text
        };
        Some(Mark {
            stage: step.stage,
            step: step.step?,
            runs,
            text: text.to_owned(),
        })
    };
    forecast.steps.iter().filter_map(mark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::question::ContextFile;

    const SOURCE: &str =
        "FROM scratch AS one\nARG A=1\nCOPY a /\nRUN x $A\nFROM scratch\nCOPY b /\nCOPY --from=one /a /c\n";

    fn question(change: Change) -> Question {
        let file = |path: &str| ContextFile {
            path: path.into(),
            size: 1,
        };
        Question {
            input: Input {
                source: SOURCE.into(),
                ..Input::default()
            },
            files: vec![file("a"), file("b")],
            change,
            ..Question::default()
        }
    }

    fn drawn(question: &Question) -> (String, Vec<String>) {
        let mut page = Markup::default();
        let marks = draw(question, &mut page);
        let mark = |mark: Mark| format!("{}.{} {}", mark.stage, mark.step, mark.text);
        (page.finish(), marks.into_iter().map(mark).collect())
    }

    #[test]
    fn without_a_change_the_drawing_stays_as_it_is() {
        let (html, marks) = drawn(&question(Change::Nothing));
        assert!(marks.is_empty());
        assert!(html.contains("Choose a change above"), "{html}");
        assert!(
            html.contains("<option value=\"file a\">a changed</option>"),
            "{html}"
        );
    }

    #[test]
    fn a_changed_file_reruns_what_reads_it_and_what_follows() {
        let (html, marks) = drawn(&question(Change::File("b".into())));
        assert_eq!(marks.first().map(String::as_str), Some("0.1 cached"), "{marks:?}");
        assert!(marks.contains(&"1.0 reruns".to_owned()), "{marks:?}");
        assert!(html.contains("data-outcome=\"reruns\""), "{html}");
        assert!(
            html.contains("<option value=\"file b\" selected=\"selected\">"),
            "{html}"
        );
    }

    #[test]
    fn a_build_arg_asks_for_its_value() {
        let (html, marks) = drawn(&question(Change::Arg("A".into(), "2".into())));
        assert!(html.contains("<input data-do=\"arg A\" value=\"2\""), "{html}");
        assert!(marks.contains(&"0.2 reruns".to_owned()), "{marks:?}");
    }

    #[test]
    fn what_was_typed_since_is_compared_with_the_plan_that_was_kept() {
        let mut asked = question(Change::SinceBefore);
        let mut before = asked.input.clone();
        before.source = before.source.replace("RUN x", "RUN y");
        assert!(drawn(&asked).0.contains("nothing to compare with"));
        asked.before = Some(before);
        let (_, marks) = drawn(&asked);
        assert!(
            marks.contains(&"0.1 cached".to_owned()) && marks.contains(&"1.0 cached".to_owned()),
            "{marks:?}"
        );
        assert!(!marks.contains(&"0.2 cached".to_owned()), "{marks:?}");
    }
}
