//! `stagewright explain`: why a build is as it is, and what a change would do to it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;
use stagewright_core::insight::{
    self, Change, Durations, ImageReport, Outcome, Reasons, RunState, Schedule, Trace, WhatIf,
};
use stagewright_core::{Analysis, analyze};

use super::report::{Format, broken};
use super::style::{COLUMNS, Style, cut, wrapped};
use super::{Failure, dockerfile, print, report};

/// Explain a build: why it is so, how long it takes, what a change reruns
///
/// With a stage or the number of a line, as in `stagewright explain builder`, only that is explained. With --changed, --set-arg, --changed-image or --against
/// it says what would run again after that change, and why; with --trace it lays the log of a real build over the
/// plan. Ends with 1 where the file cannot be built, with 2 where a file cannot be read, else with 0.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A stage, by name, or a line of the Dockerfile; what stands in the place of PATH and is none is taken for it
    #[arg(
        long,
        short = 's',
        value_name = "STAGE|LINE",
        visible_aliases = ["stage", "line"]
    )]
    of: Option<String>,

    #[command(flatten)]
    dockerfile: dockerfile::Arguments,

    /// What if this path of the build context changed; may be given several times, and end in `/` for a folder
    #[arg(long, value_name = "CONTEXT-PATH")]
    changed: Vec<String>,

    /// What if this build argument had another value; without `=VALUE`, if it were not set
    #[arg(long, value_name = "NAME[=VALUE]")]
    set_arg: Vec<String>,

    /// What if this image had other files
    #[arg(long, value_name = "IMAGE")]
    changed_image: Vec<String>,

    /// What if this were the Dockerfile
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,

    /// Lay a log over the plan: what `docker buildx build --progress=rawjson` prints
    #[arg(long, value_name = "LOG")]
    trace: Option<PathBuf>,

    /// How many steps may run at once
    #[arg(long, value_name = "STEPS")]
    parallel: Option<usize>,

    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let mut of = arguments.of.clone();
    let mut found = arguments.dockerfile.clone();
    if of.is_none() {
        of = found.take_name();
    }
    let dockerfile = found.read()?;
    let analysis = analyze(&dockerfile.input);
    if analysis.definition.is_none() {
        return Err(broken(&dockerfile, &analysis.diagnostics));
    }
    let place = of.as_deref().map(|of| place(&analysis, of)).transpose()?;
    let change = change(arguments)?;
    let what_if = (change != Change::default()).then(|| insight::what_if(&dockerfile.input, &change));
    let trace = match &arguments.trace {
        Some(path) => Some(insight::trace(&analysis, &dockerfile::text(path)?.1)),
        None => None,
    };
    let durations = trace.as_ref().map_or(Durations::Guessed, Durations::Measured);
    let schedule = insight::schedule(&analysis, durations, arguments.parallel);
    let reasons = insight::reasons(&dockerfile.input);
    let image = insight::image(&dockerfile.input);
    if arguments.format == Format::Json {
        print(&report::json(&json!({
            "reasons": reasons,
            "schedule": schedule,
            "image": image,
            "whatIf": what_if,
            "trace": trace,
        }))?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let style = Style::out();
    let mut text = String::new();
    if what_if.is_none() && trace.is_none() {
        stages(&mut text, style, &analysis, &reasons, place);
        if place.is_none() {
            if let Some(image) = &image {
                contents(&mut text, style, image);
            }
            times(&mut text, style, &schedule);
        }
    }
    if let Some(what_if) = &what_if {
        forecast(&mut text, style, &analysis, what_if, place);
    }
    if let Some(trace) = &trace {
        laid(&mut text, style, &analysis, trace, place);
        times(&mut text, style, &schedule);
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// A stage, and a step of it where a line was named.
type Place = (usize, Option<usize>);

fn place(analysis: &Analysis, of: &str) -> Result<Place, Failure> {
    let stages = &analysis.stages;
    if let Some(stage) = stages.iter().find(|stage| stage.label.eq_ignore_ascii_case(of)) {
        return Ok((stage.index, None));
    }
    if let Ok(line) = of.parse::<u32>()
        && let Some(stage) = stages
            .iter()
            .find(|stage| (stage.lines.start..=stage.lines.end).contains(&line))
    {
        let step = stage
            .steps
            .iter()
            .position(|step| (step.lines.start..=step.lines.end).contains(&line));
        return Ok((stage.index, step));
    }
    let labels: Vec<&str> = stages.iter().map(|stage| stage.label.as_str()).collect();
    Err(
        Failure::new(Failure::USAGE, format!("there is no stage and no line {of}"))
            .hint(format!("stages are: {}", labels.join(", "))),
    )
}

fn change(arguments: &Arguments) -> Result<Change, Failure> {
    let mut build_args = BTreeMap::new();
    for arg in &arguments.set_arg {
        let (name, value) = match arg.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (arg.as_str(), None),
        };
        build_args.insert(name.to_owned(), value);
    }
    let source = match &arguments.against {
        Some(path) => Some(dockerfile::text(path)?.1),
        None => None,
    };
    Ok(Change {
        context: arguments
            .changed
            .iter()
            .map(|path| path.trim_start_matches("./").to_owned())
            .collect(),
        build_args,
        images: arguments
            .changed_image
            .iter()
            .map(|image| (image.clone(), None))
            .collect(),
        source,
        ..Change::default()
    })
}

fn within(place: Option<Place>, stage: usize, step: Option<usize>) -> bool {
    place.is_none_or(|(only, wanted)| only == stage && (wanted.is_none() || wanted == step))
}

/// Why each stage is built, and what its names mean.
fn stages(text: &mut String, style: Style, analysis: &Analysis, reasons: &Reasons, place: Option<Place>) {
    for reason in &reasons.stages {
        if place.is_some_and(|(only, _)| only != reason.stage) {
            continue;
        }
        let verb = if reason.built {
            style.good("built")
        } else {
            style.dim("not built")
        };
        _ = writeln!(text, "{} {verb}", style.bold(&reason.label));
        _ = writeln!(text, "  {}", wrapped(&reason.text, 2, 2));
        for need in reasons.chain(reason.stage) {
            if need.text != reason.text {
                _ = writeln!(
                    text,
                    "  {}",
                    style.dim(&wrapped(&format!("↳ {}", need.text), 2, 4))
                );
            }
        }
        for name in &reasons.names {
            if name.stage == Some(reason.stage) && within(place, reason.stage, name.step) {
                _ = writeln!(text, "  {}", wrapped(&name.text, 2, 2));
            }
        }
        if let Some((stage, Some(step))) = place
            && let Some(step) = analysis.stages.get(stage).and_then(|stage| stage.steps.get(step))
        {
            let line = style.dim(&format!("{:>4}", step.lines.start));
            _ = writeln!(text, "  {line}  {}", cut(&step.text, COLUMNS - 8));
            if let Some(vertex) = &step.vertex {
                _ = writeln!(text, "  op {vertex}");
            }
        }
        text.push('\n');
    }
}

/// What the image holds.
fn contents(text: &mut String, style: Style, image: &ImageReport) {
    _ = writeln!(text, "{} for {}", style.bold("The image"), image.platform);
    let base = match &image.base {
        Some(base) => base.reference.clone(),
        None => "nothing".into(),
    };
    let layers = match image.layers.len() {
        1 => "1 layer".to_owned(),
        many => format!("{many} layers"),
    };
    _ = writeln!(text, "  {layers} known, over {base}");
    for layer in &image.layers {
        let line = layer
            .lines
            .map(|lines| lines.start.to_string())
            .unwrap_or_default();
        let by = cut(&layer.created_by, COLUMNS - 8);
        _ = writeln!(text, "  {}  {by}", style.dim(&format!("{line:>4}")));
    }
    let place = format!("as {} in {}", image.user.value, image.working_dir.value);
    let runs = if image.command.line.is_empty() {
        "nothing".to_owned()
    } else {
        image.command.line.join(" ")
    };
    _ = writeln!(text, "  runs {}", wrapped(&format!("{runs}, {place}"), 7, 7));
    for sentence in image.command.explanation.iter().chain(&image.notes) {
        _ = writeln!(text, "  {}", style.dim(&wrapped(sentence, 2, 2)));
    }
    text.push('\n');
}

/// What decides how long the build takes.
fn times(text: &mut String, style: Style, schedule: &Schedule) {
    let basis = if schedule.assumptions.is_empty() {
        "measured"
    } else {
        "partly guessed"
    };
    _ = writeln!(
        text,
        "{} {} ({basis}), {} one after the other, up to {} at once",
        style.bold("Time"),
        duration(schedule.makespan),
        duration(schedule.work),
        schedule.widest
    );
    _ = writeln!(text, "  {}", style.dim("what decides:"));
    for &op in &schedule.critical_path {
        let Some(op) = schedule.ops.get(op) else { continue };
        _ = writeln!(
            text,
            "  {:>8}  {}",
            duration(op.duration),
            cut(&op.name, COLUMNS - 12)
        );
    }
    if let Some(limited) = &schedule.limited {
        _ = writeln!(
            text,
            "  {} with {} at once",
            duration(limited.makespan),
            limited.parallel
        );
    }
    for suggestion in schedule.suggestions.iter().take(3) {
        _ = writeln!(text, "  {}", style.accent(&wrapped(&suggestion.text, 2, 2)));
    }
}

/// What a change reruns.
fn forecast(text: &mut String, style: Style, before: &Analysis, what_if: &WhatIf, place: Option<Place>) {
    let mut stage = None;
    for step in &what_if.steps {
        if !within(place, step.stage, step.step) {
            continue;
        }
        if stage != Some(step.stage) {
            let label = before
                .stages
                .get(step.stage)
                .map_or("", |stage| stage.label.as_str());
            _ = writeln!(text, "{}", style.bold(label));
            stage = Some(step.stage);
        }
        let word = match step.outcome {
            Outcome::Skipped => style.dim("skipped"),
            Outcome::Config => style.dim("config "),
            Outcome::Cached => style.good("cached "),
            Outcome::MayRerun => style.accent("perhaps"),
            Outcome::Reruns => style.bad("reruns "),
            Outcome::New => style.bad("new    "),
            Outcome::Unknown => style.dim("unknown"),
        };
        let line = style.dim(&format!("{:>4}", step.lines.start));
        _ = writeln!(text, "{line}  {word}  {}", cut(&step.text, COLUMNS - 15));
        if !matches!(step.outcome, Outcome::Cached | Outcome::Config | Outcome::Skipped) {
            _ = writeln!(
                text,
                "               {}",
                style.dim(&wrapped(&step.reason, 15, 15))
            );
        }
        if let (Some((_, Some(_))), Some(op)) = (place, step.decides) {
            for cause in what_if.chain(op) {
                _ = writeln!(
                    text,
                    "               {}",
                    wrapped(&format!("↳ {}", cause.text), 15, 17)
                );
            }
        }
    }
    let totals = &what_if.totals;
    _ = writeln!(
        text,
        "{} rerun, {} perhaps, {} new, {} stay cached.",
        totals.reruns, totals.may_rerun, totals.new, totals.cached
    );
}

/// What a build did.
fn laid(text: &mut String, style: Style, analysis: &Analysis, trace: &Trace, place: Option<Place>) {
    let mut stage = None;
    for step in &trace.steps {
        if !within(place, step.stage, step.step) {
            continue;
        }
        let Some(written) = analysis.stages.get(step.stage) else {
            continue;
        };
        if stage != Some(step.stage) {
            _ = writeln!(text, "{}", style.bold(&written.label));
            stage = Some(step.stage);
        }
        let word = match step.state {
            None => style.dim("not seen "),
            Some(RunState::Waiting) => style.dim("waiting  "),
            Some(RunState::Cached) => style.good("cached   "),
            Some(RunState::Done) => style.good("done     "),
            Some(RunState::Running) => style.accent("running  "),
            Some(RunState::Cancelled) => style.accent("cancelled"),
            Some(RunState::Failed) => style.bad("failed   "),
        };
        let (line, code) = match step.step.and_then(|step| written.steps.get(step)) {
            Some(step) => (step.lines.start, step.text.as_str()),
            None => (written.lines.start, "FROM"),
        };
        let took = step.duration.map(duration).unwrap_or_default();
        let line = style.dim(&format!("{line:>4}"));
        _ = writeln!(text, "{line}  {word} {took:>8}  {}", cut(code, COLUMNS - 27));
        if !step.error.is_empty() {
            _ = writeln!(text, "      {}", style.bad(&wrapped(&step.error, 6, 6)));
        }
    }
    let totals = &trace.totals;
    _ = writeln!(
        text,
        "{} of {} ops found in the log: {} ran, {} cached, {} failed; {} in all.\n",
        totals.found,
        totals.ops,
        totals.ran,
        totals.cached,
        totals.failed,
        duration(totals.wall)
    );
}

/// Nanoseconds as people read them.
fn duration(nanoseconds: u64) -> String {
    let milliseconds = nanoseconds / 1_000_000;
    match milliseconds {
        0 => "0s".into(),
        1..1_000 => format!("{milliseconds}ms"),
        1_000..60_000 => format!("{}.{}s", milliseconds / 1_000, milliseconds % 1_000 / 100),
        _ => format!("{}m{:02}s", milliseconds / 60_000, milliseconds % 60_000 / 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        let shown = [0, 5_000_000, 1_250_000_000, 61_000_000_000].map(duration);
        assert_eq!(shown, ["0s", "5ms", "1.2s", "1m01s"]);
    }
}
