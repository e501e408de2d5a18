//! `stagewright image`: images that have a name here.

mod inspect;
mod load;
mod ls;
mod rm;

use std::process::ExitCode;

use clap::Subcommand;

use super::Failure;
use super::state::Look;
use crate::content::ContentStore;
use crate::source::image::reference::{Reference, name};
use crate::storage::names::{ImageNames, NamedImage};

/// List, look at, load and remove images that have a name here
///
/// `build -t NAME` and `image load` give names. What such an image is made of is never pruned. FROM looks here
/// only where `build --local-images` is given; else it means the image in the registry.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Ls(ls::Arguments),
    Inspect(inspect::Arguments),
    Load(load::Arguments),
    Rm(rm::Arguments),
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    match &arguments.command {
        Command::Ls(arguments) => ls::run(arguments),
        Command::Inspect(arguments) => inspect::run(arguments),
        Command::Load(arguments) => load::run(arguments),
        Command::Rm(arguments) => rm::run(arguments),
    }
}

/// A name as people write it.
fn familiar(name: &str) -> &str {
    name.strip_prefix("docker.io/library/")
        .or_else(|| name.strip_prefix("docker.io/"))
        .unwrap_or(name)
}

/// The image of that name, or why there is none.
fn named(look: &Look, name: &Reference) -> Result<NamedImage, Failure> {
    ImageNames::of(&look.path).get(name).ok_or_else(|| {
        let written = name.to_string();
        Failure::new(
            Failure::WORK,
            format!("there is no image {} here", familiar(&written)),
        )
        .hint("`stagewright image ls` lists those there are; `build -t` and `image load` give names")
    })
}

/// The blobs of the folder, where any were ever kept there.
fn content(look: &Look) -> Result<Option<ContentStore>, Failure> {
    let path = look.path.join("content");
    if !path.is_dir() {
        return Ok(None);
    }
    ContentStore::open(path)
        .map(Some)
        .map_err(|error| Failure::new(Failure::PLACE, error.to_string()))
}
