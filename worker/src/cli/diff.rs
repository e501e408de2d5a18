//! `stagewright diff`: in what two builds differ.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use stagewright_core::insight::{self, Diff, Fate, StepPlace, ValueDiff};
use stagewright_core::{Analysis, Input};

use super::report::{Format, json};
use super::style::{COLUMNS, Style, cut, wrapped};
use super::{Failure, dockerfile, print};

/// Show in what two Dockerfiles differ as builds
///
/// Stages, steps, what flows between them, and the image's configuration; not white space and comments, and a step that
/// moved is not one that went and another that came. Ends with 0 where both are the same build, with 1 where they
/// differ, with 2 where a file cannot be read.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The earlier Dockerfile; `-` is standard input, as in `git show HEAD:Dockerfile | stagewright diff - Dockerfile`
    #[arg(value_name = "BEFORE")]
    before: PathBuf,

    /// The later one
    #[arg(value_name = "AFTER")]
    after: PathBuf,

    /// The stage to build in both [default: the last one]
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,

    /// Set a build argument in both
    #[arg(long, value_name = "NAME[=VALUE]")]
    build_arg: Vec<String>,

    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let (_, before) = dockerfile::text(&arguments.before)?;
    let (_, after) = dockerfile::text(&arguments.after)?;
    let args = dockerfile::named_values("--build-arg", &arguments.build_arg, |name| {
        std::env::var(name).ok()
    })?;
    let analysis = |source: String| {
        let mut input = Input {
            source,
            ..Input::default()
        };
        input.options.target.clone_from(&arguments.target);
        input.options.build_args.clone_from(&args);
        stagewright_core::analyze(&input)
    };
    let (before, after) = (analysis(before), analysis(after));
    let diff = insight::diff(&before, &after);
    match arguments.format {
        Format::Json => print(&json(&diff)?)?,
        Format::Text => print(&text(Style::out(), &diff, &before, &after))?,
    }
    Ok(if diff.same_build {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(Failure::WORK)
    })
}

fn mark(style: Style, fate: Fate) -> String {
    match fate {
        Fate::Added => style.good("+"),
        Fate::Removed => style.bad("-"),
        Fate::Changed => style.accent("~"),
        Fate::Moved => style.dim(">"),
        Fate::Renamed => style.dim("="),
    }
}

fn text(style: Style, diff: &Diff, before: &Analysis, after: &Analysis) -> String {
    let mut text = String::new();
    if !diff.stages.is_empty() {
        _ = writeln!(text, "{}", style.bold("Stages"));
        for stage in &diff.stages {
            _ = writeln!(text, "  {} {}", mark(style, stage.fate), stage.label);
            values(&mut text, style, "      ", &stage.changes);
        }
    }
    if !diff.steps.is_empty() {
        _ = writeln!(text, "{}", style.bold("Steps"));
        let mut label = None;
        for step in &diff.steps {
            let place = step.after.as_ref().or(step.before.as_ref());
            let Some(place) = place else { continue };
            if label != Some(&place.label) {
                _ = writeln!(text, "  {}", style.dim(&place.label));
                label = Some(&place.label);
            }
            let line = |text: &mut String, mark: &str, place: &StepPlace| {
                let code = cut(&place.text, COLUMNS - 13);
                _ = writeln!(
                    text,
                    "    {mark} {}  {code}",
                    style.dim(&format!("{:>4}", place.lines.start))
                );
            };
            match (step.fate, &step.before, &step.after) {
                (Fate::Changed, Some(before), Some(after)) => {
                    line(&mut text, &style.bad("-"), before);
                    line(&mut text, &style.good("+"), after);
                }
                (fate, ..) => line(&mut text, &mark(style, fate), place),
            }
        }
    }
    if !diff.edges.is_empty() {
        _ = writeln!(text, "{}", style.bold("What flows"));
        for edge in &diff.edges {
            _ = writeln!(text, "  {} {}", mark(style, edge.fate), wrapped(&edge.text, 4, 4));
        }
    }
    for (heading, list) in [
        ("Images", &diff.images),
        ("Arguments", &diff.args),
        ("Configuration of the image", &diff.image_config),
    ] {
        if !list.is_empty() {
            _ = writeln!(text, "{}", style.bold(heading));
            values(&mut text, style, "  ", list);
        }
    }
    let verdict = match (&before.definition, &after.definition) {
        (Some(_), Some(_)) if diff.same_build => "The same build, op for op.",
        (Some(_), Some(_)) => "Another build.",
        _ => "One of the two cannot be built; stagewright check says why.",
    };
    let same = match diff.same_steps {
        1 => "1 step is the same".to_owned(),
        many => format!("{many} steps are the same"),
    };
    _ = writeln!(text, "{verdict} {same}.");
    text
}

fn values(text: &mut String, style: Style, indent: &str, values: &[ValueDiff]) {
    for value in values {
        let shown = |value: &Option<serde_json::Value>| match value {
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => "nothing".into(),
        };
        let line = match value.fate {
            Fate::Added => format!("{}: {}", value.name, shown(&value.after)),
            Fate::Removed => format!("{}: {}", value.name, shown(&value.before)),
            Fate::Changed | Fate::Moved | Fate::Renamed => {
                format!(
                    "{}: {} -> {}",
                    value.name,
                    shown(&value.before),
                    shown(&value.after)
                )
            }
        };
        _ = writeln!(
            text,
            "{indent}{} {}",
            mark(style, value.fate),
            cut(&line, COLUMNS - indent.len() - 2)
        );
    }
}
