//! `stagewright check`: what is wrong with a Dockerfile, and nothing else.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::ValueEnum;

use super::{Failure, dockerfile, print, report};

/// Check a Dockerfile without building it
///
/// Prints each finding with its place in the file. Ends with 1 where a finding keeps the target from being built,
/// with 2 where the file cannot be read, else with 0.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    dockerfile: dockerfile::Arguments,

    /// How to print the findings
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// The findings as a JSON array
    Json,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let dockerfile = arguments.dockerfile.read()?;
    let analysis = stagewright_core::analyze(&dockerfile.input);
    match arguments.format {
        Format::Text => {
            let mut text =
                report::findings(&dockerfile.name, &dockerfile.input.source, &analysis.diagnostics);
            let tally = report::tally(&analysis.diagnostics);
            let tally = tally.as_deref().unwrap_or("nothing to complain about");
            _ = writeln!(text, "{}: {tally}", dockerfile.name);
            print(&text)?;
        }
        Format::Json => {
            let json = serde_json::to_string_pretty(&analysis.diagnostics).map_err(|error| {
                Failure::new(Failure::WORK, format!("cannot write the findings: {error}"))
            })?;
            print(&(json + "\n"))?;
        }
    }
    Ok(if analysis.has_errors() {
        ExitCode::from(Failure::WORK)
    } else {
        ExitCode::SUCCESS
    })
}
