//! `cargo xtask ci`: what has to hold before a change is taken. The same command runs here and in CI.

use std::process::Command;

use crate::budget;
use crate::place::Place;
use crate::problem::{Outcome, Problem};
use crate::process;
use crate::report::{Done, Line, Report, duration};
use crate::test;

/// Crates the planner may never lean on: it would stop being the same everywhere.
const NOT_IN_CORE: [&str; 6] = ["tokio", "axum", "web-sys", "getrandom", "rustix", "yew"];

/// Runs everything, also where an early check fails: one run says all there is to put right. Answers whether all is
/// well.
pub(crate) fn run(place: &Place) -> Outcome<bool> {
    let begun = std::time::Instant::now();
    // The wasm32 target comes first: on a fresh machine nothing has added it yet.
    crate::tools::wasm_target(place)?;
    let mut checks = Checks {
        place,
        report: Report::new(6),
        failed: Vec::new(),
    };
    checks.step("format", |line| {
        // Cargo's own command does not see the modules that a macro declares.
        let mut list = Command::new("git");
        let files = process::output(list.args(["ls-files", "*.rs"]).current_dir(&place.root))?;
        let mut format = Command::new("rustfmt");
        format.args(["--edition", "2024", "--check"]).args(files.lines());
        process::quiet(format.current_dir(&place.root), line, &place.logs())?;
        Ok(Done::Made)
    });
    checks.cargo(
        "core compiles for wasm32",
        &[
            "check",
            "--package",
            "stagewright-core",
            "--features",
            "js,js-insight",
            "--target",
            "wasm32-unknown-unknown",
        ],
    );
    checks.cargo(
        "clippy",
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "--deny",
            "warnings",
        ],
    );
    checks.cargo(
        "clippy on the page",
        &[
            "clippy",
            "--package",
            "stagewright-web",
            "--target",
            "wasm32-unknown-unknown",
            "--",
            "--deny",
            "warnings",
        ],
    );
    checks.cargo(
        "clippy on the insight module",
        &[
            "clippy",
            "--package",
            "stagewright-insight",
            "--features",
            "module",
            "--target",
            "wasm32-unknown-unknown",
            "--",
            "--deny",
            "warnings",
        ],
    );
    checks.step("who depends on whom", |_| {
        dependencies(place).map(|()| Done::Made)
    });
    let failed = checks.failed;
    test::set_up(place)?;
    let budgets = budget::measure(place)?;
    let passed = test::run_tests(place)?;
    for budget in &budgets {
        println!(
            "{} {}",
            if budget.kept() { "ok    " } else { "FAILED" },
            budget.sentence()
        );
    }
    for name in &failed {
        println!("FAILED {name}");
    }
    println!("in all: {}", duration(begun.elapsed()));
    Ok(passed && failed.is_empty() && budgets.iter().all(budget::Budget::kept))
}

/// Checks that do not need one another.
struct Checks<'a> {
    place: &'a Place,
    report: Report,
    failed: Vec<String>,
}

impl Checks<'_> {
    fn cargo(&mut self, name: &str, arguments: &[&str]) {
        let place = self.place;
        self.step(name, |line| {
            let mut command = Command::new("cargo");
            command.args(arguments).current_dir(&place.root);
            process::quiet(&mut command, line, &place.logs())?;
            Ok(Done::Made)
        });
    }

    fn step(&mut self, name: &str, work: impl FnOnce(&mut Line) -> Outcome<Done>) {
        if let Err(problem) = self.report.step(name, work) {
            eprintln!("{problem}\n");
            self.failed.push(name.to_owned());
        }
    }
}

/// The lines that ARCHITECTURE.md draws.
fn dependencies(place: &Place) -> Outcome<()> {
    let tree = |package: &str| {
        let mut command = Command::new("cargo");
        command.args([
            "tree",
            "--package",
            package,
            "--edges",
            "normal",
            "--all-features",
            "--prefix",
            "none",
        ]);
        process::output(command.args(["--format", "{p}"]).current_dir(&place.root))
    };
    let holds = |tree: &str, name: &str| {
        tree.lines()
            .any(|line| line.split_whitespace().next() == Some(name))
    };
    let core = tree("stagewright-core")?;
    if let Some(name) = NOT_IN_CORE.iter().find(|name| holds(&core, name)) {
        return Err(Problem::new(format!(
            "stagewright-core depends on {name}; the planner reads no file, clock or network and runs everywhere \
             (`cargo tree -p stagewright-core -i {name}` tells by which way)"
        )));
    }
    for (one, other) in [
        ("stagewright-web", "stagewright"),
        ("stagewright", "stagewright-web"),
    ] {
        if holds(&tree(one)?, other) {
            return Err(Problem::new(format!(
                "{one} depends on {other}; page and worker know only core::protocol"
            )));
        }
    }
    Ok(())
}
