//! `stagewright image load`.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;

use super::super::{Failure, machine, print};
use super::{familiar, name};
use crate::source::image::reference::Reference;

/// Load images from an archive: an OCI image layout (a tar or a folder), or what `docker save` writes
///
/// The archive may be compressed. Each blob is checked against its digest, and an image that lacks a part is refused.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The archive, or the folder of an image layout; standard input where it is left out
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,

    /// What to call the image, in the place of the names in the archive; may be given several times
    #[arg(short = 't', long = "tag", value_name = "NAME", value_parser = name)]
    names: Vec<Reference>,

    #[command(flatten)]
    machine: machine::Arguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    arguments.machine.run(async { load(arguments) })
}

fn load(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let failed = |error: crate::storage::load::LoadError| Failure::new(Failure::WORK, error.to_string());
    let unreadable = |path: &PathBuf, error: io::Error| {
        Failure::new(Failure::USAGE, format!("cannot read {}: {error}", path.display()))
    };
    let input = match &arguments.input {
        Some(path) if path.is_dir() => None,
        Some(path) => Some(File::open(path).map_err(|error| unreadable(path, error))?),
        None if io::stdin().is_terminal() => {
            return Err(
                Failure::new(Failure::USAGE, "there is no archive on standard input")
                    .hint("name one with -i FILE, or write `stagewright image load < FILE`"),
            );
        }
        None => None,
    };
    let machine = arguments.machine.open()?;
    let names = &arguments.names;
    let loaded = match (&arguments.input, input) {
        (_, Some(file)) => machine.storage.load(file, names),
        (Some(folder), None) => machine.storage.load_folder(folder, names),
        (None, None) => machine.storage.load(io::stdin().lock(), names),
    };
    let mut text = String::new();
    for image in loaded.map_err(failed)? {
        if image.names.is_empty() {
            _ = writeln!(
                text,
                "loaded {}, which has no name: give it one with -t NAME",
                image.digest
            );
        }
        for name in image.names {
            _ = writeln!(text, "loaded {} {}", familiar(&name.to_string()), image.digest);
        }
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}
