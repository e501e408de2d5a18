//! `stagewright targets`: which stages can be built.

use std::fmt::Write as _;
use std::process::ExitCode;

use stagewright_core::calls::{Targets, targets};

use super::dockerfile::Dockerfile;
use super::report::{Format, broken, json};
use super::style::{Style, wrapped};
use super::{Failure, dockerfile, print};

/// List the stages that can be built
///
/// A description is what the comment above a stage says: the line that begins with its name. Ends with 1 where an
/// instruction cannot be read, with 2 where the file cannot, else with 0.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    dockerfile: dockerfile::Arguments,

    /// How to print them; the JSON is what `docker build --call=targets,format=json` has, without the file's text
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    answer(&arguments.dockerfile.read()?, arguments.format)
}

/// Prints which stages of a Dockerfile can be built.
pub(super) fn answer(dockerfile: &Dockerfile, format: Format) -> Result<ExitCode, Failure> {
    let targets = targets(&dockerfile.input.source).map_err(|errors| broken(dockerfile, &errors))?;
    match format {
        Format::Json => print(&json(&targets)?)?,
        Format::Text => print(&text(Style::out(), &targets))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn text(style: Style, targets: &Targets) -> String {
    let name = |name: &str| {
        if name.is_empty() {
            "(no name)".to_owned()
        } else {
            name.to_owned()
        }
    };
    let width = targets
        .targets
        .iter()
        .map(|target| name(&target.name).chars().count())
        .max()
        .unwrap_or(0);
    let width = width.min(24);
    let mut text = String::new();
    if targets.targets.is_empty() {
        text.push_str("There is no stage in this file.\n");
    }
    for target in &targets.targets {
        let line = target.location.ranges.first().map_or(0, |range| range.start.line);
        let name = format!("{:<width$}", name(&target.name));
        let platform = match target.platform.as_str() {
            "" => String::new(),
            platform => format!(" for {platform}"),
        };
        let default = if target.default { ", built by default" } else { "" };
        let base = &target.base;
        _ = writeln!(
            text,
            "{}  {} from {base}{platform}{default}",
            style.dim(&format!("{line:>4}")),
            style.bold(&name)
        );
        if !target.description.is_empty() {
            _ = writeln!(text, "      {}", style.dim(&wrapped(&target.description, 6, 6)));
        }
    }
    text
}
