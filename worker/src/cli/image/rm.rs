//! `stagewright image rm`.

use std::process::ExitCode;

use super::super::{Failure, machine, print};
use super::{familiar, name, named};
use crate::source::image::reference::Reference;
use crate::storage::names::ImageNames;

/// Take names away from images
///
/// What an image was made of stays until it is pruned: `stagewright prune`, or by itself where room is wanted.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The names
    #[arg(value_name = "NAME", required = true, value_parser = name)]
    names: Vec<Reference>,

    #[command(flatten)]
    machine: machine::Arguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let look = arguments.machine.look()?;
    let names = ImageNames::of(&look.path);
    // All or none: a name that is not there is most likely misspelt.
    for name in &arguments.names {
        named(&look, name)?;
    }
    for name in &arguments.names {
        names
            .take(name)
            .map_err(|error| Failure::new(Failure::PLACE, error.to_string()))?;
        print(&format!("removed the name {}\n", familiar(&name.to_string())))?;
    }
    Ok(ExitCode::SUCCESS)
}
