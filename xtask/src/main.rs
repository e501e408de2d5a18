//! `cargo xtask`: sets up, builds, plays, tests and measures Stagewright.
//!
//! Everything it installs goes under the target folder, so that nothing on the machine changes but for the Debian
//! packages that `test` needs. What is there already is not made again: the second run starts in seconds.

#![forbid(unsafe_code)]

mod images;
mod place;
mod problem;
mod process;
mod report;
mod stamp;

use std::process::ExitCode;

use place::Place;
use problem::{Outcome, Problem};
use report::Report;

const HELP: &str = "\
cargo xtask <command>

  images                     makes stand-ins for the examples' base images from Debian packages
  help                       this text
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(problem) => {
            eprintln!("\nerror: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Outcome<ExitCode> {
    let (command, rest) = match arguments {
        [] => ("help", [].as_slice()),
        [command, rest @ ..] => (command.as_str(), rest),
    };
    let place = Place::find()?;
    match command {
        "images" => {
            no_more(rest)?;
            images::prepare(&place, &mut Report::new(1))?;
            Ok(ExitCode::SUCCESS)
        }
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        other => Err(Problem::new(format!("there is no command {other:?}\n\n{HELP}"))),
    }
}

fn no_more(rest: &[String]) -> Outcome<()> {
    match rest.first() {
        None => Ok(()),
        Some(extra) => Err(Problem::new(format!(
            "{extra:?} is not understood here\n\n{HELP}"
        ))),
    }
}
