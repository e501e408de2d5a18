//! `cargo xtask planner`: the planner as a WebAssembly module with its JavaScript, for any page.

use std::path::PathBuf;

use crate::place::Place;
use crate::problem::Outcome;
use crate::report::{Done, Report};
use crate::stamp::{self, Inputs};
use crate::wasm::Module;

pub(crate) fn folder(place: &Place) -> PathBuf {
    place.target.join("planner")
}

/// What a page fetches to plan.
pub(crate) fn files(place: &Place) -> [PathBuf; 2] {
    module(&folder(place)).files()
}

fn module(folder: &std::path::Path) -> Module<'_> {
    Module {
        package: "stagewright-core",
        feature: "js",
        profile: "wasm-planner",
        folder,
    }
}

/// Builds it. The tools have to be there.
pub(crate) fn build(place: &Place, report: &mut Report) -> Outcome<()> {
    report.step("planner for any page", |line| {
        let mut inputs = Inputs::new().text("wasm-planner, -Oz, std for size");
        for path in ["Cargo.toml", "Cargo.lock", "core"] {
            inputs = inputs.files(&place.root.join(path))?;
        }
        let folder = folder(place);
        let module = module(&folder);
        let [output, _] = module.files();
        let made = stamp::unless_fresh(place, "planner", &output, inputs, || module.make(place, line))?;
        Ok(if made { Done::Made } else { Done::UpToDate })
    })
}
