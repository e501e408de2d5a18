//! `stagewright history logs`.

use std::process::ExitCode;

use stagewright_core::protocol::Event;

use super::super::output::settled;
use super::super::progress::Progress;
use super::super::style::plain;
use super::super::{Failure, machine, print};
use super::{one, unreadable};

/// Print what a build printed
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
    let mut progress = Progress::default();
    for event in build.events().map_err(|error| unreadable(&error))? {
        match event.event {
            Event::Status(status) => print(&progress.tell(&status))?,
            Event::Layer(_) => {}
            Event::Done(image) => print(&format!("{}\n", image.digest))?,
            Event::Failed(failure) => {
                print(&format!("error: {}\n", plain(&settled(&failure.message))))?;
            }
            Event::Cancelled => print("cancelled\n")?,
        }
    }
    Ok(ExitCode::SUCCESS)
}
