//! `stagewright history trace`.

use std::process::ExitCode;

use stagewright_core::protocol::Event;

use super::super::{Failure, machine, print};
use super::{one, unreadable};

/// Print a build as `docker buildx build --progress=rawjson` does, for `explain --trace` and the page's Timeline
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The build's number; the newest where it is left out
    #[arg(value_name = "BUILD")]
    id: Option<String>,

    #[command(flatten)]
    machine: machine::Arguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let look = arguments.machine.look()?;
    let build = one(&look, arguments.id.as_deref())?;
    for event in build.events().map_err(|error| unreadable(&error))? {
        let Event::Status(status) = event.event else {
            continue;
        };
        let line = serde_json::to_string(&status)
            .map_err(|error| Failure::new(Failure::WORK, format!("cannot write JSON: {error}")))?;
        print(&(line + "\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}
