//! `stagewright image inspect`.

use std::process::ExitCode;

use serde_json::json;

use super::super::{Failure, machine, print};
use super::{content, name, named};
use crate::source::image::reference::Reference;
use crate::storage::image;

/// Print what images are made of, as JSON: digests, layers, configuration
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The images' names
    #[arg(value_name = "NAME", required = true, value_parser = name)]
    names: Vec<Reference>,

    #[command(flatten)]
    machine: machine::Arguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let look = arguments.machine.look()?;
    let mut told = Vec::new();
    for name in &arguments.names {
        let named = named(&look, name)?;
        let content = content(&look)?.ok_or_else(|| {
            Failure::new(
                Failure::WORK,
                format!("there are no blobs in {}", look.path.display()),
            )
        })?;
        let images = image::read(&content, &named.digest).map_err(|error| {
            Failure::new(Failure::WORK, error.to_string()).hint("build it again, or load it again")
        })?;
        told.push(json!({
            "name": named.name,
            "digest": named.digest,
            "named": named.created,
            "images": images,
        }));
    }
    print(&format!("{:#}\n", serde_json::Value::from(told)))?;
    Ok(ExitCode::SUCCESS)
}
