//! `stagewright history ls`.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::SystemTime;

use serde_json::json;
use stagewright_core::protocol::BuildState;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::super::du::Format;
use super::super::style::{Style, cut};
use super::super::{Failure, machine, measure, print};
use super::{all, word};
use crate::build::history::PastBuild;
use crate::build::tally::Figures;

/// List past builds, the newest first
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// No more than this many
    #[arg(short = 'n', long, value_name = "COUNT")]
    last: Option<usize>,

    /// How to say it
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,

    #[command(flatten)]
    machine: machine::Arguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let look = arguments.machine.look()?;
    let mut builds = all(&look)?;
    builds.truncate(arguments.last.unwrap_or(usize::MAX));
    let now = SystemTime::now();
    print(&match arguments.format {
        Format::Json => {
            let builds = builds.iter().map(|build| json(build, now));
            format!("{:#}\n", builds.collect::<serde_json::Value>())
        }
        Format::Table => table(&builds, now, Style::out()),
    })?;
    Ok(ExitCode::SUCCESS)
}

fn json(build: &PastBuild, now: SystemTime) -> serde_json::Value {
    let figures = build.tally.figures();
    json!({
        "id": build.summary.id,
        "title": build.summary.title,
        "state": build.summary.state,
        "created": build.summary.created,
        "definition": build.summary.digest,
        "image": build.image.as_ref().map(|image| &image.digest),
        "steps": figures.steps,
        "cached": figures.cached,
        "failed": figures.failed,
        "started": figures.started,
        "ended": figures.ended,
        "seconds": seconds(build, &figures, now),
    })
}

fn table(builds: &[PastBuild], now: SystemTime, style: Style) -> String {
    let mut text = format!(
        "{:>5}  {:<24} {:<9} {:>13} {:>8}  {}\n",
        "BUILD", "NAME", "STATE", "STEPS CACHED", "TIME", "WHEN"
    );
    for build in builds {
        let figures = build.tally.figures();
        let state = format!("{:<9}", word(build.summary.state));
        let state = match build.summary.state {
            BuildState::Done => style.good(&state),
            BuildState::Failed | BuildState::Lost => style.bad(&state),
            BuildState::Queued | BuildState::Running | BuildState::Cancelled => state,
        };
        let time =
            seconds(build, &figures, now).map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.1}s"));
        let when = OffsetDateTime::parse(&build.summary.created, &Rfc3339)
            .map(|time| measure::ago(time.into(), now))
            .unwrap_or_default();
        _ = writeln!(
            text,
            "{:>5}  {:<24} {state} {:>13} {time:>8}  {when}",
            build.summary.id,
            cut(&build.summary.title, 24),
            format!("{} of {}", figures.cached, figures.steps),
        );
    }
    text
}

/// How long a build took, or has taken so far. Of one whose worker died it is known until when something was heard of it.
fn seconds(build: &PastBuild, figures: &Figures, now: SystemTime) -> Option<f64> {
    let moment = |text: &Option<String>| OffsetDateTime::parse(text.as_deref()?, &Rfc3339).ok();
    let started = moment(&figures.started)?;
    let until = match build.summary.state {
        BuildState::Queued | BuildState::Running => now.into(),
        BuildState::Lost => moment(&build.heard).filter(|heard| *heard > started)?,
        BuildState::Done | BuildState::Failed | BuildState::Cancelled => moment(&figures.ended)?,
    };
    Some((until - started).as_seconds_f64().max(0.0))
}
