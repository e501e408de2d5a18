//! `stagewright history rm`.

use std::process::ExitCode;

use super::super::{Failure, machine, print};
use super::unknown;

/// Forget past builds: their records and what they printed
///
/// Their images, and what later builds can take from the cache, stay.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The builds' numbers
    #[arg(value_name = "BUILD", required_unless_present = "all")]
    ids: Vec<String>,

    /// All builds that have ended
    #[arg(short, long, conflicts_with = "ids")]
    all: bool,

    #[command(flatten)]
    machine: machine::Arguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    arguments.machine.run(async { remove(arguments) })
}

fn remove(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let machine = arguments.machine.open()?;
    let known: Vec<String> = machine.builds.list().into_iter().map(|build| build.id).collect();
    let ids = if arguments.all { &known } else { &arguments.ids };
    // All or none: a number that is not there is most likely mistyped.
    if let Some(id) = ids.iter().find(|id| !known.contains(id)) {
        return Err(unknown(Some(id)));
    }
    for id in ids {
        machine
            .builds
            .forget(id)
            .map_err(|error| Failure::new(Failure::WORK, error.to_string()))?;
        print(&format!("forgot build {id}\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}
