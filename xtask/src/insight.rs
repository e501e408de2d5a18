//! The insight module: a WebAssembly module beside the page's own, which the page fetches when it is first needed.

use std::fs;
use std::path::{Path, PathBuf};

use crate::place::Place;
use crate::problem::{About as _, Outcome};
use crate::product;
use crate::report::{Done, Report};
use crate::stamp::{self, Inputs};
use crate::wasm::Module;

/// Where it is made. The page's folder is put together anew with every page, so it only gets a copy.
fn folder(place: &Place) -> PathBuf {
    place.target.join("insight")
}

/// What the page fetches when it first needs the module.
pub(crate) fn files(place: &Place) -> [PathBuf; 2] {
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

/// Builds it and puts it into the page's folder, where the page has to be already.
pub(crate) fn build(place: &Place, report: &mut Report) -> Outcome<()> {
    report.step("insight module of the page", |line| {
        let mut inputs = Inputs::new().text("wasm-release, -Oz, std for size");
        for path in ["Cargo.toml", "Cargo.lock", "core", "web/insight"] {
            inputs = inputs.files(&place.root.join(path))?;
        }
        let folder = folder(place);
        let module = module(&folder);
        let [output, _] = module.files();
        let mut made = stamp::unless_fresh(place, "insight", &output, inputs, || module.make(place, line))?;
        let beside = product::page_folder(place).join("insight");
        fs::create_dir_all(&beside).about(&beside)?;
        for file in module.files() {
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
