//! The insight module: a WebAssembly module beside the page's own, which the page fetches when it is first needed.

use std::fs;
use std::path::{Path, PathBuf};

use crate::place::Place;
use crate::problem::{About as _, Outcome};
use crate::product;
use crate::report::{Done, Line, Report};
use crate::stamp::{self, Inputs};
use crate::wasm::Module;

/// Where it is made. The page's folder is put together anew with every page, so it only gets a copy.
pub(crate) fn folder(place: &Place) -> PathBuf {
    place.target.join("insight")
}

/// What the page fetches when it first needs the module.
pub(crate) fn modules(place: &Place) -> [PathBuf; 2] {
    module(&folder(place)).files()
}

fn module(folder: &Path) -> Module<'_> {
    Module {
        package: "stagewright-insight",
        feature: "module",
        profile: "wasm-release",
        folder,
    }
}

/// Builds it. Answers whether there was anything to do.
pub(crate) fn make(place: &Place, line: &mut Line) -> Outcome<bool> {
    let mut inputs = Inputs::new().text("wasm-release, -Oz, std for size");
    for path in ["Cargo.toml", "Cargo.lock", "core", "web/insight", "web/wasm"] {
        inputs = inputs.files(&place.root.join(path))?;
    }
    let folder = folder(place);
    let module = module(&folder);
    let [output, _] = module.files();
    stamp::unless_fresh(place, "insight", &output, inputs, || module.make(place, line))
}

/// Builds it and puts it into the page's folder, where the page has to be already.
pub(crate) fn build(place: &Place, report: &mut Report) -> Outcome<()> {
    report.step("insight module of the page", |line| {
        let mut made = make(place, line)?;
        let beside = product::page_folder(place).join("insight");
        fs::create_dir_all(&beside).about(&beside)?;
        for file in modules(place) {
            let copy = beside.join(file.file_name().unwrap_or_default());
            let bytes = fs::read(&file).about(&file)?;
            if fs::read(&copy).is_ok_and(|there| there == bytes) {
                continue;
            }
            fs::write(&copy, bytes).about(&copy)?;
            made = true;
        }
        Ok(if made { Done::Made } else { Done::UpToDate })
    })
}
