//! `stagewright outline`: what a build can be given.

use std::fmt::Write as _;
use std::process::ExitCode;

use stagewright_core::calls::{Grant, Location, Outline, outline};

use super::dockerfile::Dockerfile;
use super::report::{Format, broken, json};
use super::style::{Style, wrapped};
use super::{Failure, dockerfile, print};

/// Show what a build can be given: arguments, secrets, agents
///
/// Only what the target uses is listed. A description is what the comment above it says: the line that begins with its
/// name. Ends with 1 where the file has errors, with 2 where it cannot be read, else with 0.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    dockerfile: dockerfile::Arguments,

    /// How to print it; the JSON is what `docker build --call=outline,format=json` has, without the file's text
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    answer(&arguments.dockerfile.read()?, arguments.format)
}

/// Prints what the build of a Dockerfile can be given.
pub(super) fn answer(dockerfile: &Dockerfile, format: Format) -> Result<ExitCode, Failure> {
    let outline = outline(&dockerfile.input).map_err(|errors| broken(dockerfile, &errors))?;
    match format {
        Format::Json => print(&json(&outline)?)?,
        Format::Text => print(&text(Style::out(), &outline))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn text(style: Style, outline: &Outline) -> String {
    let mut text = String::new();
    let name = if outline.name.is_empty() {
        "the last stage"
    } else {
        &outline.name
    };
    text.push_str(&style.bold(name));
    if !outline.description.is_empty() {
        _ = write!(
            text,
            ": {}",
            wrapped(&outline.description, name.chars().count() + 2, 2)
        );
    }
    text.push('\n');
    if !outline.args.is_empty() {
        _ = write!(text, "\n{}\n", style.bold("Arguments (--build-arg NAME=VALUE)"));
    }
    let width = outline
        .args
        .iter()
        .map(|arg| arg.name.chars().count())
        .max()
        .unwrap_or(0)
        .min(24);
    for arg in &outline.args {
        let value = if arg.value.is_empty() {
            "not set".to_owned()
        } else {
            format!("= {}", arg.value)
        };
        row(&mut text, style, &arg.name, width, &value, &arg.location);
        if !arg.description.is_empty() {
            _ = writeln!(text, "      {}", style.dim(&wrapped(&arg.description, 6, 6)));
        }
    }
    grants(&mut text, style, "Secrets (--secret id=NAME)", &outline.secrets);
    grants(&mut text, style, "Agents (--ssh NAME)", &outline.ssh);
    if outline.args.is_empty() && outline.secrets.is_empty() && outline.ssh.is_empty() {
        text.push_str("It takes nothing.\n");
    }
    text
}

fn grants(text: &mut String, style: Style, heading: &str, grants: &[Grant]) {
    if grants.is_empty() {
        return;
    }
    _ = write!(text, "\n{}\n", style.bold(heading));
    let width = grants
        .iter()
        .map(|grant| grant.name.chars().count())
        .max()
        .unwrap_or(0)
        .min(24);
    for grant in grants {
        let required = if grant.required { "required" } else { "optional" };
        row(text, style, &grant.name, width, required, &grant.location);
    }
}

fn row(text: &mut String, style: Style, name: &str, width: usize, value: &str, location: &Location) {
    let line = location.ranges.first().map_or(0, |range| range.start.line);
    _ = writeln!(
        text,
        "{}  {} {value}",
        style.dim(&format!("{line:>4}")),
        style.accent(&format!("{name:<width$}"))
    );
}
