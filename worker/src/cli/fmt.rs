//! `stagewright fmt`: a Dockerfile as it had better look.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use stagewright_core::edit::apply;
use stagewright_core::editing::{FormatOptions, format};

use super::changes::changes;
use super::style::Style;
use super::{Failure, dockerfile, print};

/// Format Dockerfiles
///
/// Changes white space and case only: what is built stays the same, digest for digest. Without --write the result goes
/// to standard output. Ends with 1 where --check finds a file that is not formatted, with 2 where a file cannot be
/// read, else with 0.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The files; `-` reads standard input
    #[arg(value_name = "FILE", default_value = "Dockerfile")]
    files: Vec<PathBuf>,

    /// Write nothing, but say which files are not formatted
    #[arg(long, conflicts_with = "write")]
    check: bool,

    /// Write the files in place
    #[arg(short, long)]
    write: bool,

    /// Show what changes instead of the result
    #[arg(long)]
    diff: bool,

    /// How many spaces stand before the lines that continue an instruction
    #[arg(long, value_name = "SPACES", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=16))]
    indent: u8,

    /// How many empty lines may follow each other
    #[arg(long, value_name = "LINES", default_value_t = 1)]
    empty_lines: u8,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let options = FormatOptions {
        indent: arguments.indent.into(),
        empty_lines: arguments.empty_lines.into(),
    };
    let shows_result = !(arguments.check || arguments.write || arguments.diff);
    if shows_result && arguments.files.len() > 1 {
        return Err(Failure::new(
            Failure::USAGE,
            "several files would run into each other on standard output",
        )
        .hint("format them in place with --write, or look at what would change with --diff"));
    }
    let mut text = String::new();
    let mut differing = 0;
    for file in &arguments.files {
        let (name, source) = dockerfile::text(file)?;
        let formatted = apply(&source, &format(&source, &options))
            .map_err(|error| Failure::new(Failure::WORK, format!("{name} cannot be formatted: {error}")))?;
        if shows_result {
            text.push_str(&formatted);
            continue;
        }
        if arguments.diff {
            text.push_str(&changes(Style::out(), &name, &source, &formatted));
        }
        if formatted == source {
            continue;
        }
        differing += 1;
        if arguments.check {
            _ = writeln!(text, "{name} is not formatted");
        }
        if arguments.write {
            if file == Path::new("-") {
                return Err(
                    Failure::new(Failure::USAGE, "standard input cannot be written in place")
                        .hint("leave --write out: the result then goes to standard output"),
                );
            }
            super::replace_file(file, &formatted)?;
            _ = writeln!(text, "{name} is formatted");
        }
    }
    print(&text)?;
    Ok(if arguments.check && differing > 0 {
        ExitCode::from(Failure::WORK)
    } else {
        ExitCode::SUCCESS
    })
}
