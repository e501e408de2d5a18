//! `cargo xtask`: sets up, builds, plays, tests and measures Stagewright.
//!
//! Everything it installs goes under the target folder, so that nothing on the machine changes but for the Debian
//! packages that `test` needs. What is there already is not made again: the second run starts in seconds.

#![forbid(unsafe_code)]

mod bench;
mod budget;
mod ci;
mod debian;
mod fuzz;
mod gallery;
mod images;
mod insight;
mod place;
mod planner;
mod play;
mod problem;
mod process;
mod product;
mod report;
mod stamp;
mod test;
mod tools;
mod wasm;

use std::process::ExitCode;

use place::Place;
use problem::{Outcome, Problem};
use report::Report;

const HELP: &str = "\
cargo xtask <command>

  play [--port N] [--no-open] [--no-stand-ins]
            sets up what is missing, builds page and worker, and opens the playground on 127.0.0.1:7070
  test      sets up what the tests need, and runs them all
  ci        what CI runs: format, lints, dependencies, size budgets, then all tests
  bench     measures the figures of docs/measurements.md and prints them as tables
  images    makes stand-ins for the examples' base images from Debian packages; for root, where there is debootstrap,
            a whole Debian for the tests too, with a configuration of its own in target/debian
  fuzz [SECONDS] [TARGET]
            lets a fuzzer loose on what strangers' bytes can reach, so long for each target (60 seconds)
  gallery [--port N]
            shows plans in other places: builds planner, element and a small book, and serves docs/gallery on
            127.0.0.1:7071
  planner   builds the planner as a WebAssembly module for any page, the element that draws with it, and both as an
            npm package, into the target folder
  help      this text
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
        "play" => play::run(&place, &play::Options::read(rest)?),
        "test" => {
            no_more(rest)?;
            test::run(&place).map(verdict)
        }
        "ci" => {
            no_more(rest)?;
            ci::run(&place).map(verdict)
        }
        "bench" => {
            no_more(rest)?;
            bench::run(&place)?;
            Ok(ExitCode::SUCCESS)
        }
        "fuzz" => fuzz::run(&place, &fuzz::Options::read(rest)).map(verdict),
        "planner" => {
            no_more(rest)?;
            let mut report = Report::new(tools::STEPS + planner::STEPS);
            tools::install(&place, &mut report)?;
            planner::build(&place, &mut report)?;
            Ok(ExitCode::SUCCESS)
        }
        "gallery" => {
            gallery::run(&place, rest)?;
            Ok(ExitCode::SUCCESS)
        }
        "images" => {
            no_more(rest)?;
            let mut report = Report::new(2);
            images::prepare(&place, &mut report)?;
            images::debootstrap::prepare(&place, &mut report)?;
            Ok(ExitCode::SUCCESS)
        }
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        other => Err(Problem::new(format!("there is no command {other:?}\n\n{HELP}"))),
    }
}

fn verdict(good: bool) -> ExitCode {
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
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
