//! `cargo xtask test`: sets up everything tests need and runs them all.

mod api;
mod cargo;
mod node;
mod tally;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::debian;
use crate::images;
use crate::place::Place;
use crate::planner;
use crate::problem::{About as _, Outcome};
use crate::product;
use crate::report::{Done, Report};
use crate::tools;

use tally::Tally;

/// Sets up, builds and runs. Answers whether every test passed.
pub(crate) fn run(place: &Place) -> Outcome<bool> {
    set_up(place)?;
    run_tests(place)
}

/// Everything the tests drive: tools, page, planner, worker, images, a browser.
pub(crate) fn set_up(place: &Place) -> Outcome<()> {
    let mut report = Report::new(tools::STEPS + product::PAGE_STEPS + planner::STEPS + 7);
    report.step("Debian packages for the tests", |line| {
        debian::install(place, line)
    })?;
    tools::install(place, &mut report)?;
    product::page(place, &mut report)?;
    planner::build(place, &mut report)?;
    product::worker(place, &mut report)?;
    images::prepare(place, &mut report)?;
    images::debootstrap::prepare(place, &mut report)?;
    let folder = place.root.join("tests/browser");
    report.step("Schemathesis", |line| api::install(place, line))?;
    report.step("mdBook", |line| tools::mdbook(place, line))?;
    report.step("npm packages of the browser tests", |line| {
        let made = tools::npm_packages(place, line, "browser", &folder, &folder)?;
        Ok(if made { Done::Made } else { Done::UpToDate })
    })
}

/// Runs what [`set_up`] made ready, and says at the end how each part went.
pub(crate) fn run_tests(place: &Place) -> Outcome<bool> {
    let parts = [
        cargo::run(place)?,
        api::run(place)?,
        node::run(place, "planner in Chromium", &["planner.test.mjs"])?,
        node::run(place, "playground in Chromium", &playground_tests(place)?)?,
    ];
    println!("\n{}", "-".repeat(72));
    for part in &parts {
        println!("{}", part.sentence());
        for reason in &part.reasons {
            println!("    skipped: {reason}");
        }
        for name in &part.failures {
            println!("    failed: {name}");
        }
    }
    Ok(parts.iter().all(Tally::passed_whole))
}

/// Every test file of the browser tests but the planner's; a new file is found, not registered.
fn playground_tests(place: &Place) -> Outcome<Vec<String>> {
    let folder = place.root.join("tests/browser");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).about(&folder)? {
        let name = entry.about(&folder)?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".test.mjs") && name != "planner.test.mjs" {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Tells the browser tests where everything is.
pub(crate) fn with_places(command: &mut Command, place: &Place) {
    let places: [(&str, PathBuf); 9] = [
        ("STAGEWRIGHT_WORKER", product::worker_program(place)),
        ("STAGEWRIGHT_PAGE", product::page_folder(place)),
        ("STAGEWRIGHT_PLANNER", planner::folder(place)),
        ("STAGEWRIGHT_PACKAGE", planner::package(place)),
        ("STAGEWRIGHT_MDBOOK", tools::program(place, "mdbook")),
        ("STAGEWRIGHT_IMAGES", place.images()),
        ("STAGEWRIGHT_TEST_CONFIG", place.images().join("stagewright.toml")),
        ("STAGEWRIGHT_TEST_DEBIAN", place.debian().join("stagewright.toml")),
        ("STAGEWRIGHT_OUTPUT", place.target.clone()),
    ];
    command.envs(places);
}
