//! Timeline: when what ran, or would run, step by step in the stage's colour, and which steps decide how long it takes.

use std::collections::BTreeSet;

use stagewright_core::analysis::{Analysis, Stage};
use stagewright_core::insight::{self, RunState, Schedule, Trace, schedule};
use stagewright_core::layout::PALETTE;

use crate::human::{count, duration};
use crate::markup::Markup;
use crate::question::{Built, Durations, Question};

/// How a bar came to its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// Nothing ran: it is what is expected.
    Planned,
    Done,
    Cached,
    Failed,
    Running,
}

impl How {
    fn name(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Done => "done",
            Self::Cached => "cached",
            Self::Failed => "failed",
            Self::Running => "running",
        }
    }
}

/// A stage, and a step of it; `None` for what it starts from.
type Place = (usize, Option<usize>);

/// A step and its time, in milliseconds from the beginning.
#[derive(Debug, Clone, PartialEq)]
struct Bar {
    place: Place,
    start: f64,
    end: f64,
    how: How,
    /// Whether the build would be shorter were this step.
    critical: bool,
}

/// Bars and what is said of them as a whole.
#[derive(Debug, Default)]
struct Times {
    about: String,
    bars: Vec<Bar>,
    /// From the beginning to the last end, in milliseconds.
    all: f64,
    /// What would make the build shorter.
    suggestions: Vec<String>,
    /// What was taken for granted.
    assumptions: Vec<String>,
}

pub(super) fn draw(question: &Question, page: &mut Markup) {
    let analysis = stagewright_core::analyze(&question.input);
    if analysis.definition.is_none() {
        let text = "Nothing runs while an error stands in the way of the target. Problems says which.";
        return page.leaf("p", &[("class", "empty")], text);
    }
    let (record, measured) = match (&question.log, &question.build) {
        (Some(log), _) => (log.path.clone(), Some(log.text.clone())),
        (None, Some(build)) => (format!("Build {}", build.title), Some(rawjson(build))),
        (None, None) => (String::new(), None),
    };
    let trace = measured.map(|text| insight::trace(&analysis, &text));
    let times = match &trace {
        Some(trace) if trace.totals.found > 0 => recorded(&analysis, trace, &record),
        other => Times {
            about: other
                .as_ref()
                .map_or_else(String::new, |trace| nothing_found(trace, &record)),
            ..planned(&analysis, question.durations)
        },
    };
    let is_planned = times.bars.iter().all(|bar| bar.how == How::Planned);
    page.element("div", &[("class", "sheet timeline")], |page| {
        page.element("div", &[("class", "view-head")], |page| {
            if is_planned {
                durations_chooser(question.durations, page);
            }
            page.leaf("span", &[("class", "spring")], "");
            log_chooser(question.log.is_some(), page);
        });
        let about = [("class", "muted"), ("data-testid", "timeline-about")];
        page.leaf("p", &about, &times.about);
        if is_planned {
            page.leaf(
                "p",
                &[("class", "muted")],
                &expectation(&analysis, question.durations),
            );
        }
        for stage in &analysis.stages {
            draw_stage(&analysis, stage, &times, page);
        }
        list("What would make it shorter", &times.suggestions, page);
        list("What was taken for granted", &times.assumptions, page);
    });
}

fn durations_chooser(chosen: Durations, page: &mut Markup) {
    page.element("label", &[], |page| {
        page.text("Times are");
        let select = [("data-do", "durations"), ("data-testid", "durations")];
        page.element("select", &select, |page| {
            for (value, this, text) in [
                ("guessed", Durations::Guessed, "guessed by the kind of step"),
                ("equal", Durations::Equal, "the same for every step"),
            ] {
                let selected = if this == chosen { "selected" } else { "" };
                page.leaf("option", &[("value", value), ("selected", selected)], text);
            }
        });
    });
}

fn log_chooser(has_log: bool, page: &mut Markup) {
    let about = "What docker buildx build --progress=rawjson printed; it can be dropped here too";
    page.element("label", &[("class", "file-button"), ("title", about)], |page| {
        page.text(if has_log {
            "Another log…"
        } else {
            "Open a log…"
        });
        let input = [
            ("type", "file"),
            ("data-do", "log"),
            ("data-testid", "open-log"),
            (
                "aria-label",
                "Open a log that buildx printed with --progress=rawjson",
            ),
        ];
        page.leaf("input", &input, "");
    });
    if has_log {
        page.leaf("button", &[("data-do", "close-log")], "Close the log");
    }
}

/// The page's own build as a log: the same is made of both. The day does not matter, only what passes.
fn rawjson(build: &Built) -> String {
    let begin = build.steps.iter().filter_map(|step| step.started);
    let begin = begin.fold(f64::INFINITY, f64::min);
    let time = |at: Option<f64>| at.map(|at| moment(at - begin));
    let vertex = |step: &crate::BuiltStep| {
        serde_json::json!({
            "digest": step.vertex,
            "started": time(step.started),
            "completed": time(step.completed),
            "cached": step.cached,
            "error": if step.failed { "failed" } else { "" },
        })
    };
    let vertexes: Vec<_> = build.steps.iter().map(vertex).collect();
    serde_json::json!({ "vertexes": vertexes }).to_string()
}

/// Milliseconds as a time of some day.
fn moment(milliseconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a build that takes a day is cut off"
    )]
    let all = milliseconds.clamp(0.0, 86_399_999.0) as u64;
    let (seconds, rest) = (all / 1000, all % 1000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("2000-01-01T{hours:02}:{minutes:02}:{seconds:02}.{rest:03}Z")
}

/// A build as it went.
fn recorded(analysis: &Analysis, trace: &Trace, record: &str) -> Times {
    let schedule = schedule(analysis, insight::Durations::Measured(trace), None);
    let critical = critical(&schedule);
    let bar = |step: &insight::TracedStep| {
        let how = match step.state? {
            RunState::Waiting => return None,
            RunState::Cached => How::Cached,
            RunState::Done => How::Done,
            RunState::Running => How::Running,
            RunState::Cancelled | RunState::Failed => How::Failed,
        };
        let place = (step.stage, step.step);
        Some(Bar {
            place,
            start: milliseconds(step.start?),
            end: milliseconds(step.end.or(step.start)?),
            how,
            critical: critical.contains(&place) && how != How::Cached,
        })
    };
    let totals = &trace.totals;
    let about = format!(
        "{record}: {} in all, {} of {} seen, {} from the cache",
        duration(milliseconds(totals.wall)),
        totals.found,
        count(totals.ops, "op"),
        totals.cached
    );
    Times {
        about,
        bars: trace.steps.iter().filter_map(bar).collect(),
        all: milliseconds(totals.wall),
        suggestions: sentences(&schedule),
        assumptions: Vec::new(),
    }
}

fn nothing_found(trace: &Trace, record: &str) -> String {
    if trace.totals.lines == 0 {
        format!(
            "{record} holds no progress. It has to be what docker buildx build --progress=rawjson printed."
        )
    } else {
        format!("{record} is of another plan than this one, so these are expectations.")
    }
}

/// A build as it is expected.
fn planned(analysis: &Analysis, durations: Durations) -> Times {
    let schedule = expected(analysis, durations);
    let critical = critical(&schedule);
    let mut bars: Vec<Bar> = Vec::new();
    for op in &schedule.ops {
        let Some(stage) = op.stage else { continue };
        let place = (stage, op.step);
        let (start, end) = (milliseconds(op.start), milliseconds(op.finish));
        match bars.iter_mut().find(|bar| bar.place == place) {
            Some(bar) => {
                bar.start = bar.start.min(start);
                bar.end = bar.end.max(end);
            }
            None => bars.push(Bar {
                place,
                start,
                end,
                how: How::Planned,
                critical: critical.contains(&place),
            }),
        }
    }
    bars.sort_by_key(|bar| bar.place);
    Times {
        about: String::new(),
        bars,
        all: milliseconds(schedule.makespan),
        suggestions: sentences(&schedule),
        assumptions: schedule.assumptions,
    }
}

fn expected(analysis: &Analysis, durations: Durations) -> Schedule {
    let durations = match durations {
        Durations::Guessed => insight::Durations::Guessed,
        Durations::Equal => insight::Durations::Unit,
    };
    schedule(analysis, durations, None)
}

/// `42 s where everything runs as soon as it can, 61 s one after the other. …`
fn expectation(analysis: &Analysis, durations: Durations) -> String {
    let schedule = expected(analysis, durations);
    let (makespan, work) = (milliseconds(schedule.makespan), milliseconds(schedule.work));
    let steps = count(schedule.widest, "step");
    format!(
        "{} with nothing in the cache and up to {steps} at once, {} one after the other. The solid bars decide: \
         the build is as long as they are together.",
        duration(makespan),
        duration(work)
    )
}

/// The places that decide how long a build takes.
fn critical(schedule: &Schedule) -> BTreeSet<Place> {
    let ops = schedule
        .critical_path
        .iter()
        .filter_map(|op| schedule.ops.get(*op));
    ops.filter_map(|op| Some((op.stage?, op.step))).collect()
}

fn sentences(schedule: &Schedule) -> Vec<String> {
    schedule
        .suggestions
        .iter()
        .map(|suggestion| suggestion.text.clone())
        .collect()
}

fn list(title: &str, sentences: &[String], page: &mut Markup) {
    if sentences.is_empty() {
        return;
    }
    page.element("details", &[("class", "sentences")], |page| {
        page.leaf("summary", &[], &format!("{title} ({})", sentences.len()));
        page.element("ul", &[], |page| {
            for sentence in sentences {
                page.leaf("li", &[], sentence);
            }
        });
    });
}

fn draw_stage(analysis: &Analysis, stage: &Stage, times: &Times, page: &mut Markup) {
    let bars: Vec<&Bar> = times
        .bars
        .iter()
        .filter(|bar| bar.place.0 == stage.index)
        .collect();
    if bars.is_empty() {
        return;
    }
    let class = format!("stage-list stage-colour-{}", stage.index % PALETTE);
    page.element("section", &[("class", &class)], |page| {
        page.element("h3", &[], |page| {
            page.leaf("span", &[("class", "swatch")], "");
            page.text(&stage.label);
            let first = bars.iter().map(|bar| bar.start).fold(f64::INFINITY, f64::min);
            let last = bars.iter().map(|bar| bar.end).fold(0.0, f64::max);
            let about = format!("from {} to {}", duration(first), duration(last));
            page.leaf("span", &[("class", "muted")], &about);
        });
        for bar in bars {
            draw_bar(analysis, stage, bar, times.all, page);
        }
    });
}

fn draw_bar(analysis: &Analysis, stage: &Stage, bar: &Bar, all: f64, page: &mut Markup) {
    let step = bar.place.1;
    let text = match step.and_then(|step| stage.steps.get(step)) {
        Some(step) => step.text.clone(),
        None => super::base_of(analysis, stage),
    };
    let at = match step {
        Some(step) => format!("step {} {step}", stage.index),
        None => format!("step {}", stage.index),
    };
    let took = if bar.how == How::Cached {
        "cached".to_owned()
    } else {
        duration(bar.end - bar.start)
    };
    let row = [
        (
            "class",
            if bar.critical {
                "bar-row critical"
            } else {
                "bar-row"
            },
        ),
        ("data-do", at.as_str()),
        ("data-testid", "bar"),
        ("data-how", bar.how.name()),
        ("title", text.as_str()),
    ];
    page.element("button", &row, |page| {
        page.leaf("code", &[("class", "bar-name")], &text);
        let track = [("class", "bar-track"), ("aria-hidden", "true")];
        page.element("svg", &track, |page| {
            let (x, width) = (share(bar.start, all), share(bar.end - bar.start, all));
            let class = format!("bar bar-{}", bar.how.name());
            let shape = [
                ("class", class.as_str()),
                ("x", x.as_str()),
                ("width", width.as_str()),
                ("y", "3"),
                ("height", "12"),
                ("rx", "2"),
            ];
            page.leaf("rect", &shape, "");
        });
        page.leaf("span", &[("class", "bar-time")], &took);
    });
}

/// A part of a whole, as CSS writes it. A step that took no time is to be seen all the same.
fn share(part: f64, all: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates; what is shown is between nothing and all"
    )]
    let hundredths = (part / all.max(1.0) * 10_000.0).clamp(0.0, 10_000.0) as u64;
    format!("{}.{:02}%", hundredths / 100, hundredths % 100)
}

fn milliseconds(nanoseconds: u64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "builds do not take the hundred days from which it would show"
    )]
    let exact = nanoseconds as f64;
    exact / 1_000_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::question::{BuiltStep, TextFile};
    use stagewright_core::Input;
    use stagewright_core::digest::Digest;

    const TWO: &str = "FROM scratch AS one\nCOPY a /\nFROM scratch\nCOPY --from=one /a /b\n";

    fn question() -> Question {
        Question {
            input: Input {
                source: TWO.into(),
                ..Input::default()
            },
            ..Question::default()
        }
    }

    fn drawn(question: &Question) -> String {
        let mut page = Markup::default();
        draw(question, &mut page);
        page.finish()
    }

    /// Steps, states and shapes of all bars.
    fn bars(html: &str) -> Vec<String> {
        let value = |part: &str, name: &str| {
            let rest = part.split(&format!(" {name}=\"")).nth(1).unwrap_or_default();
            rest.split('"').next().unwrap_or_default().to_owned()
        };
        html.split("<button class=\"bar-row")
            .skip(1)
            .map(|part| {
                let [at, how, x, width] = ["data-do", "data-how", "x", "width"].map(|name| value(part, name));
                format!("{at}: {how} {x} {width}")
            })
            .collect()
    }

    fn vertices(question: &Question) -> Vec<Digest> {
        let analysis = stagewright_core::analyze(&question.input);
        let steps = analysis.stages.iter().flat_map(|stage| &stage.steps);
        steps.filter_map(|step| step.vertex.clone()).collect()
    }

    #[test]
    fn what_nobody_measured_is_expected() {
        let mut question = question();
        question.durations = Durations::Equal;
        let html = drawn(&question);
        assert_eq!(
            bars(&html),
            [
                "step 0 0: planned 0.00% 50.00%",
                "step 1 0: planned 50.00% 50.00%"
            ]
        );
        assert!(html.contains("bar-row critical"), "{html}");
        assert!(html.contains("value=\"equal\" selected"), "{html}");
    }

    #[test]
    fn a_build_of_this_plan_is_drawn_by_its_digests() {
        let mut question = question();
        let step = |vertex: &Digest, started: f64, completed: f64, cached| BuiltStep {
            vertex: vertex.clone(),
            started: Some(started),
            completed: Some(completed),
            cached,
            failed: false,
        };
        let all = vertices(&question);
        question.build = Some(Built {
            title: "two".into(),
            steps: vec![
                step(&all[0], 1_000.0, 1_250.0, true),
                step(&all[1], 1_250.0, 2_000.0, false),
            ],
            ..Built::default()
        });
        let html = drawn(&question);
        assert_eq!(
            bars(&html),
            ["step 0 0: cached 0.00% 25.00%", "step 1 0: done 25.00% 75.00%"]
        );
        assert!(html.contains("Build two: 1.0 s in all"), "{html}");
    }

    #[test]
    fn a_build_of_another_plan_leaves_expectations() {
        let mut question = question();
        question.build = Some(Built {
            title: "other".into(),
            steps: vec![BuiltStep {
                vertex: Digest::of(b"other"),
                started: Some(0.0),
                completed: Some(1.0),
                cached: false,
                failed: false,
            }],
            ..Built::default()
        });
        let html = drawn(&question);
        assert!(html.contains("Build other is of another plan"), "{html}");
        assert!(bars(&html).iter().all(|bar| bar.contains("planned")), "{html}");
    }

    #[test]
    fn a_log_is_laid_over_the_plan() {
        let mut question = question();
        let digest = vertices(&question).remove(0);
        let line = format!(
            r#"{{"vertexes":[{{"digest":"{digest}","name":"copy","started":"2026-01-01T00:00:00Z","completed":"2026-01-01T00:00:02Z"}}]}}"#
        );
        question.log = Some(TextFile {
            path: "build.log".into(),
            text: line,
        });
        let html = drawn(&question);
        assert_eq!(bars(&html), ["step 0 0: done 0.00% 100.00%"]);
        assert!(html.contains("build.log: 2.0 s in all"), "{html}");
    }

    #[test]
    fn a_file_that_is_no_log_is_said_to_be_none() {
        let mut question = question();
        question.log = Some(TextFile {
            path: "notes.txt".into(),
            text: "hello".into(),
        });
        assert!(drawn(&question).contains("notes.txt holds no progress"));
    }

    #[test]
    fn a_moment_is_a_time_of_day() {
        assert_eq!(moment(0.0), "2000-01-01T00:00:00.000Z");
        assert_eq!(moment(3_723_004.9), "2000-01-01T01:02:03.004Z");
        assert_eq!(moment(f64::NAN), "2000-01-01T00:00:00.000Z");
    }
}
