//! Builds what a user gets: the page and the worker.

use std::path::PathBuf;
use std::process::Command;

use crate::insight;
use crate::place::Place;
use crate::problem::Outcome;
use crate::process;
use crate::report::{Done, Report};
use crate::stamp::{self, Inputs};
use crate::tools;
use crate::wasm;

/// How many steps [`page`] reports.
pub(crate) const PAGE_STEPS: usize = 3;

/// Where Trunk puts the page.
pub(crate) fn page_folder(place: &Place) -> PathBuf {
    place.root.join("web/dist")
}

/// Where cargo puts the worker.
pub(crate) fn worker_program(place: &Place) -> PathBuf {
    place.target.join("release/stagewright")
}

/// What bundles the page's own JavaScript, and what is bundled.
pub(crate) fn npm_packages(place: &Place, report: &mut Report) -> Outcome<()> {
    let web = place.root.join("web");
    report.step("npm packages of the page", |line| {
        let made = tools::npm_packages(place, line, "web", &web, &web)?;
        Ok(if made { Done::Made } else { Done::UpToDate })
    })
}

/// Builds the page. The tools have to be there.
pub(crate) fn page(place: &Place, report: &mut Report) -> Outcome<()> {
    let web = place.root.join("web");
    npm_packages(place, report)?;
    report.step("page", |line| {
        let mut inputs = Inputs::new().text("trunk build, wasm-release, std for size");
        for path in ["Cargo.toml", "Cargo.lock", "Trunk.toml", "core", "web", "static"] {
            inputs = inputs.files(&place.root.join(path))?;
        }
        let index = page_folder(place).join("index.html");
        let made = stamp::unless_fresh(place, "page", &index, inputs, || {
            wasm::fetch(place, line)?;
            let mut command = Command::new("trunk");
            wasm::for_size(&mut command)?;
            command
                .args([
                    "build",
                    "--offline",
                    "--release",
                    "--cargo-profile",
                    "wasm-release",
                    "--dist",
                ])
                .arg(page_folder(place))
                .env("PATH", place.path())
                // Trunk takes NO_COLOR=1 for a flag of its own that has to be "true".
                .env_remove("NO_COLOR")
                .current_dir(if place.root.join("Trunk.toml").exists() {
                    &place.root
                } else {
                    &web
                });
            process::quiet(&mut command, line, &place.logs())
        })?;
        Ok(if made { Done::Made } else { Done::UpToDate })
    })?;
    insight::build(place, report)
}

/// Builds the worker. Cargo itself knows whether there is anything to do.
pub(crate) fn worker(place: &Place, report: &mut Report) -> Outcome<()> {
    report.step("worker", |line| {
        let mut command = Command::new("cargo");
        command
            .args(["build", "--release", "--package", "stagewright"])
            .current_dir(&place.root);
        process::quiet(&mut command, line, &place.logs())?;
        Ok(Done::Made)
    })
}
