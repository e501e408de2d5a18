//! `cargo xtask planner`: the planner as a WebAssembly module for any page, the element that draws with it, and both
//! with lint as an npm package.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::insight;
use crate::place::Place;
use crate::problem::Outcome;
use crate::process;
use crate::product;
use crate::report::{Done, Report};
use crate::stamp::{self, Inputs};
use crate::wasm::Module;

/// How many steps [`build`] reports.
pub(crate) const STEPS: usize = 4;

pub(crate) fn folder(place: &Place) -> PathBuf {
    place.target.join("planner")
}

/// Where the npm package is put together.
pub(crate) fn package(place: &Place) -> PathBuf {
    place.target.join("npm")
}

/// What a page fetches to plan.
pub(crate) fn files(place: &Place) -> [PathBuf; 2] {
    module(&folder(place)).files()
}

/// The module that defines the element.
pub(crate) fn element(place: &Place) -> PathBuf {
    folder(place).join("element.js")
}

fn module(folder: &Path) -> Module<'_> {
    Module {
        package: "stagewright-core",
        feature: "js",
        profile: "wasm-planner",
        folder,
    }
}

/// All that `web/npm/pack.mjs` reads, and what it bundles with.
fn packed(place: &Place) -> Outcome<Inputs> {
    let mut inputs = Inputs::new();
    for path in [
        "Cargo.toml",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "web/browser",
        "web/embed",
        "web/npm",
        "web/package-lock.json",
    ] {
        inputs = inputs.files(&place.root.join(path))?;
    }
    for [module, script] in [files(place), insight::modules(place)] {
        // The types can be others where module and script are the same.
        let types = script.with_extension("d.ts");
        inputs = inputs.files(&module)?.files(&script)?.files(&types)?;
    }
    Ok(inputs)
}

/// Builds all of it. The tools have to be there.
pub(crate) fn build(place: &Place, report: &mut Report) -> Outcome<()> {
    report.step("planner for any page", |line| {
        let mut inputs = Inputs::new().text("wasm-planner, -Oz, std for size");
        for path in ["Cargo.toml", "Cargo.lock", "core", "web/wasm"] {
            inputs = inputs.files(&place.root.join(path))?;
        }
        let folder = folder(place);
        let module = module(&folder);
        let [output, _] = module.files();
        let made = stamp::unless_fresh(place, "planner", &output, inputs, || module.make(place, line))?;
        Ok(if made { Done::Made } else { Done::UpToDate })
    })?;
    report.step("lint for any page", |line| {
        let made = insight::make(place, line)?;
        Ok(if made { Done::Made } else { Done::UpToDate })
    })?;
    product::npm_packages(place, report)?;
    report.step("element and npm package", |line| {
        let inputs = packed(place)?;
        let package = package(place);
        let output = package.join("package.json");
        let made = stamp::unless_fresh(place, "npm-package", &output, inputs, || {
            let mut pack = Command::new("node");
            pack.arg("web/npm/pack.mjs")
                .args([&folder(place), &insight::folder(place), &package])
                .current_dir(&place.root);
            process::quiet(&mut pack, line, &place.logs())
        })?;
        Ok(if made { Done::Made } else { Done::UpToDate })
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_package_is_put_together_anew_when_anything_in_it_changed() {
        let root = std::env::temp_dir().join(format!("stagewright-packed-{}", std::process::id()));
        let place = Place {
            target: root.join("target"),
            root: root.clone(),
        };
        let output = root.join("Cargo.toml");
        let is_made =
            || stamp::unless_fresh(&place, "packed", &output, packed(&place).unwrap(), || Ok(())).unwrap();
        let read = [
            "Cargo.toml",
            "LICENSE-MIT",
            "web/npm/index.d.ts",
            "web/embed/element.js",
            "web/browser/link.js",
            "web/package-lock.json",
            "target/planner/stagewright_core.js",
            "target/planner/stagewright_core.d.ts",
            "target/insight/stagewright_insight_bg.wasm",
            "target/insight/stagewright_insight.d.ts",
        ];
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        for path in read {
            write(path, "one");
        }
        assert!(is_made());
        for path in read {
            assert!(!is_made(), "{path}");
            write(path, "other");
            assert!(is_made(), "{path}");
        }
        // What it writes beside the planner itself is no reason to write it again.
        write("target/planner/element.js", "made");
        assert!(!is_made());
        fs::remove_dir_all(root).unwrap();
    }
}
