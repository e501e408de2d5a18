//! `stagewright history`: builds of the past.

mod logs;
mod ls;
mod rm;
mod trace;

use std::process::ExitCode;

use clap::Subcommand;
use stagewright_core::protocol::BuildState;

use super::Failure;
use super::state::Look;
use crate::build::history::{self, PastBuild};

/// List past builds, print what they printed, and how they went
///
/// The last 200 builds are kept, those of the page as well as those of `build`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Ls(ls::Arguments),
    Logs(logs::Arguments),
    Trace(trace::Arguments),
    Rm(rm::Arguments),
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    match &arguments.command {
        Command::Ls(arguments) => ls::run(arguments),
        Command::Logs(arguments) => logs::run(arguments),
        Command::Trace(arguments) => trace::run(arguments),
        Command::Rm(arguments) => rm::run(arguments),
    }
}

fn all(look: &Look) -> Result<Vec<PastBuild>, Failure> {
    history::list(&look.path, look.is_beside_worker()).map_err(|error| {
        Failure::new(
            Failure::PLACE,
            format!("cannot read the builds in {}: {error}", look.path.display()),
        )
    })
}

/// The build that was asked for; without an id the newest.
fn one(look: &Look, id: Option<&str>) -> Result<PastBuild, Failure> {
    let found = match id {
        Some(id) => history::find(&look.path, id, look.is_beside_worker()),
        None => all(look)?.into_iter().next(),
    };
    found.ok_or_else(|| unknown(id))
}

fn unknown(id: Option<&str>) -> Failure {
    match id {
        Some(id) => Failure::new(Failure::WORK, format!("there is no build {id}"))
            .hint("`stagewright history ls` lists those there are"),
        None => Failure::new(Failure::WORK, "nothing was built here yet"),
    }
}

fn unreadable(error: &std::io::Error) -> Failure {
    Failure::new(
        Failure::PLACE,
        format!("the build's record cannot be read: {error}"),
    )
}

/// How a build stands, in one word.
fn word(state: BuildState) -> &'static str {
    match state {
        // The record says so until the build has ended.
        BuildState::Queued | BuildState::Running => "at work",
        BuildState::Done => "done",
        BuildState::Failed => "failed",
        BuildState::Cancelled => "cancelled",
        BuildState::Lost => "lost",
    }
}
