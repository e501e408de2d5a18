//! `cargo xtask fuzz`: strangers' bytes, for as long as one likes.

use std::fs;
use std::process::Command;

use crate::place::Place;
use crate::problem::{About as _, Outcome, Problem};
use crate::process;
use crate::report::{Done, Report};
use crate::tools;

/// Seconds for each target where nothing is said.
const USUAL: u32 = 60;

/// What is to be done.
pub(crate) struct Options {
    seconds: u32,
    /// One target alone.
    target: Option<String>,
}

impl Options {
    pub(crate) fn read(arguments: &[String]) -> Self {
        let mut options = Self {
            seconds: USUAL,
            target: None,
        };
        for argument in arguments {
            match argument.parse() {
                Ok(seconds) => options.seconds = seconds,
                Err(_) => options.target = Some(argument.clone()),
            }
        }
        options
    }
}

/// Builds the fuzzer and runs its targets one after the other; answers whether all kept their promises.
pub(crate) fn run(place: &Place, options: &Options) -> Outcome<bool> {
    let programs = place.root.join("fuzz/fuzz_targets");
    let mut targets = Vec::new();
    for file in fs::read_dir(&programs).about(&programs)? {
        let path = file.about(&programs)?.path();
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned());
        targets.extend(name.filter(|name| options.target.as_ref().is_none_or(|only| only == name)));
    }
    targets.sort();
    if targets.is_empty() {
        return Err(Problem::new(format!(
            "there is no such target in {}",
            programs.display()
        )));
    }
    let folder = place.target.join("fuzz");
    let mut report = Report::new(2);
    report.step("cargo-fuzz", |line| tools::cargo_fuzz(place, line))?;
    report.step("the fuzzer", |line| {
        let mut build = cargo_fuzz(place);
        // No sanitizer: all that is fuzzed forbids unsafe code, and half as fast finds half as much.
        build
            .args(["build", "--sanitizer", "none", "--target-dir"])
            .arg(&folder);
        process::quiet(&mut build, line, &place.logs())?;
        Ok(Done::Made)
    })?;
    let mut good = true;
    for target in &targets {
        let learned = folder.join("corpus").join(target);
        fs::create_dir_all(&learned).about(&learned)?;
        eprintln!("{target}: {} seconds", options.seconds);
        let mut run = cargo_fuzz(place);
        run.args(["run", "--sanitizer", "none", "--target-dir"])
            .arg(&folder)
            .arg(target)
            .arg(&learned)
            .arg(place.root.join("fuzz/corpus").join(target))
            .arg("--")
            .arg(format!("-max_total_time={}", options.seconds))
            // A hang, and more memory than any file of this length needs, are findings too.
            .args([
                "-timeout=10",
                "-rss_limit_mb=2048",
                "-max_len=4096",
                "-verbosity=0",
            ]);
        good &= process::shown(&mut run)?;
    }
    Ok(good)
}

fn cargo_fuzz(place: &Place) -> Command {
    let mut command = Command::new("cargo");
    // What tells the fuzzer of new paths through the code is a flag that only an unstable compiler has.
    command
        .arg("fuzz")
        .env("RUSTC_BOOTSTRAP", "1")
        .env("PATH", place.path())
        .current_dir(place.root.join("fuzz"));
    command
}
