//! Timeline: when what ran, or would run, step by step in the stage's colour.

use stagewright_core::analysis::{Analysis, Stage};
use stagewright_core::digest::Digest;
use stagewright_core::insight::{self, RunState};
use stagewright_core::layout::PALETTE;

use crate::human::{count, duration};
use crate::markup::Markup;
use crate::question::{Built, Question, TextFile};

/// How a bar came to its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Done,
    Cached,
    Failed,
    Running,
}

impl How {
    fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Cached => "cached",
            Self::Failed => "failed",
            Self::Running => "running",
        }
    }
}

/// A step and its time, in milliseconds from the beginning.
#[derive(Debug, Clone, PartialEq)]
struct Bar {
    stage: usize,
    step: Option<usize>,
    start: f64,
    end: f64,
    how: How,
}

/// Bars and what is said of them as a whole.
#[derive(Debug, Default)]
struct Times {
    about: String,
    bars: Vec<Bar>,
    /// From the beginning to the last end, in milliseconds.
    all: f64,
}

pub(super) fn draw(question: &Question, page: &mut Markup) {
    let analysis = stagewright_core::analyze(&question.input);
    let times = match (&question.log, &question.build) {
        (Some(log), _) => of_log(&analysis, log),
        (None, Some(build)) => of_build(&analysis, build),
        (None, None) => Times::default(),
    };
    page.element("div", &[("class", "sheet timeline")], |page| {
        page.element("div", &[("class", "view-head")], |page| {
            page.leaf(
                "p",
                &[("class", "muted"), ("data-testid", "timeline-about")],
                &times.about,
            );
            page.leaf("span", &[("class", "spring")], "");
            log_chooser(question.log.as_ref(), page);
        });
        for stage in &analysis.stages {
            draw_stage(&analysis, stage, &times, page);
        }
    });
}

fn log_chooser(log: Option<&TextFile>, page: &mut Markup) {
    let about = "What docker buildx build --progress=rawjson printed; it can be dropped here too";
    page.element("label", &[("class", "file-button"), ("title", about)], |page| {
        page.text(if log.is_some() {
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
    if log.is_some() {
        page.leaf("button", &[("data-do", "close-log")], "Close the log");
    }
}

/// A log that buildx or buildctl printed, laid over the plan.
fn of_log(analysis: &Analysis, log: &TextFile) -> Times {
    let trace = insight::trace(analysis, &log.text);
    let bar = |step: &insight::TracedStep| {
        let how = match step.state? {
            RunState::Waiting => return None,
            RunState::Cached => How::Cached,
            RunState::Done => How::Done,
            RunState::Running => How::Running,
            RunState::Cancelled | RunState::Failed => How::Failed,
        };
        Some(Bar {
            stage: step.stage,
            step: step.step,
            start: milliseconds(step.start?),
            end: milliseconds(step.end.or(step.start)?),
            how,
        })
    };
    let bars: Vec<Bar> = trace.steps.iter().filter_map(bar).collect();
    let totals = &trace.totals;
    let about = if totals.lines == 0 {
        format!(
            "{} holds no progress. It has to be what `docker buildx build --progress=rawjson` printed.",
            log.path
        )
    } else {
        format!(
            "{}: {} in all, {} of {} in the log, {} from the cache",
            log.path,
            duration(milliseconds(totals.wall)),
            totals.found,
            count(totals.ops, "op"),
            totals.cached
        )
    };
    Times {
        about,
        bars,
        all: milliseconds(totals.wall),
    }
}

/// The page's own build. Its ops are those of the plan, so each is found by its digest.
fn of_build(analysis: &Analysis, build: &Built) -> Times {
    let begin = build.steps.iter().filter_map(|step| step.started);
    let begin = begin.fold(f64::INFINITY, f64::min);
    let bar = |(stage, step, vertex): (usize, Option<usize>, &Digest)| {
        let known = build.steps.iter().find(|step| &step.vertex == vertex)?;
        let how = match (known.failed, known.cached, known.completed) {
            (true, ..) => How::Failed,
            (_, true, _) => How::Cached,
            (.., Some(_)) => How::Done,
            (.., None) => How::Running,
        };
        let start = known.started? - begin;
        let end = known.completed.map_or(start, |end| end - begin);
        Some(Bar {
            stage,
            step,
            start,
            end,
            how,
        })
    };
    let bars: Vec<Bar> = vertices(analysis).filter_map(bar).collect();
    let all = bars.iter().map(|bar| bar.end).fold(0.0, f64::max);
    let cached = bars.iter().filter(|bar| bar.how == How::Cached).count();
    let about = if bars.is_empty() {
        format!("The build {} is of another plan than this one.", build.title)
    } else {
        format!(
            "Build {}: {} in all, {cached} of {} from the cache",
            build.title,
            duration(all),
            count(bars.len(), "step")
        )
    };
    Times { about, bars, all }
}

/// The ops of stages and steps, in the order of the file.
fn vertices(analysis: &Analysis) -> impl Iterator<Item = (usize, Option<usize>, &Digest)> {
    analysis.stages.iter().flat_map(|stage| {
        let base = stage
            .base_vertex
            .iter()
            .map(move |vertex| (stage.index, None, vertex));
        let steps = stage.steps.iter().enumerate();
        base.chain(
            steps.filter_map(move |(index, step)| Some((stage.index, Some(index), step.vertex.as_ref()?))),
        )
    })
}

fn draw_stage(analysis: &Analysis, stage: &Stage, times: &Times, page: &mut Markup) {
    let bars: Vec<&Bar> = times.bars.iter().filter(|bar| bar.stage == stage.index).collect();
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
    let text = match bar.step.and_then(|step| stage.steps.get(step)) {
        Some(step) => step.text.clone(),
        None => super::base_of(analysis, stage),
    };
    let at = match bar.step {
        Some(step) => format!("step {} {step}", stage.index),
        None => format!("step {}", stage.index),
    };
    let took = if bar.how == How::Cached {
        "cached".to_owned()
    } else {
        duration(bar.end - bar.start)
    };
    let row = [
        ("class", "bar-row"),
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
    use crate::question::BuiltStep;
    use stagewright_core::Input;

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
        html.split("<button class=\"bar-row\"")
            .skip(1)
            .map(|part| {
                let [at, how, x, width] = ["data-do", "data-how", "x", "width"].map(|name| value(part, name));
                format!("{at}: {how} {x} {width}")
            })
            .collect()
    }

    #[test]
    fn a_build_of_this_plan_is_drawn_by_its_digests() {
        let mut question = question();
        let analysis = stagewright_core::analyze(&question.input);
        let step = |vertex: &Digest, started: f64, completed: f64, cached| BuiltStep {
            vertex: vertex.clone(),
            started: Some(started),
            completed: Some(completed),
            cached,
            failed: false,
        };
        let all: Vec<_> = vertices(&analysis).collect();
        let (first, last) = (all[0].2, all[1].2);
        question.build = Some(Built {
            title: "two".into(),
            steps: vec![
                step(first, 1_000.0, 1_250.0, true),
                step(last, 1_250.0, 2_000.0, false),
            ],
            ..Built::default()
        });
        let html = drawn(&question);
        assert_eq!(
            bars(&html),
            ["step 0 0: cached 0.00% 25.00%", "step 1 0: done 25.00% 75.00%"]
        );
        assert!(
            html.contains("Build two: 1.0 s in all, 1 of 2 steps from the cache"),
            "{html}"
        );
    }

    #[test]
    fn a_log_is_laid_over_the_plan() {
        let mut question = question();
        let analysis = stagewright_core::analyze(&question.input);
        let digest = vertices(&analysis).next().unwrap().2;
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
        let html = drawn(&question);
        assert!(html.contains("notes.txt holds no progress"), "{html}");
        assert!(bars(&html).is_empty());
    }
}
