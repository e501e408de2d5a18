//! `cargo xtask planner`: the planner as a WebAssembly module with its JavaScript, for any page.

use std::path::PathBuf;
use std::process::Command;

use crate::place::Place;
use crate::problem::Outcome;
use crate::process;
use crate::report::{Done, Report};
use crate::stamp::{self, Inputs};
use crate::wasm;

/// What the compiler may emit and browsers have had for years; named, since wasm-bindgen drops the list of them.
const FEATURES: [&str; 6] = [
    "--enable-bulk-memory",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-reference-types",
    "--enable-multivalue",
];

pub(crate) fn folder(place: &Place) -> PathBuf {
    place.target.join("planner")
}

/// Builds it. The tools have to be there.
pub(crate) fn build(place: &Place, report: &mut Report) -> Outcome<()> {
    report.step("planner for any page", |line| {
        let mut inputs = Inputs::new().text("wasm-release, -Oz, std for size");
        for path in ["Cargo.toml", "Cargo.lock", "core"] {
            inputs = inputs.files(&place.root.join(path))?;
        }
        let output = folder(place).join("stagewright_core_bg.wasm");
        let made = stamp::unless_fresh(place, "planner", &output, inputs, || {
            let mut compile = Command::new("cargo");
            wasm::for_size(&mut compile)?;
            compile
                .args([
                    "rustc",
                    "--package",
                    "stagewright-core",
                    "--lib",
                    "--crate-type",
                    "cdylib",
                ])
                .args([
                    "--features",
                    "js",
                    "--profile",
                    "wasm-release",
                    "--target",
                    "wasm32-unknown-unknown",
                ])
                .env("CARGO_TARGET_DIR", &place.target)
                .current_dir(&place.root);
            process::quiet(&mut compile, line, &place.logs())?;
            let mut bind = Command::new("wasm-bindgen");
            bind.args(["--target", "web", "--out-dir"])
                .arg(folder(place))
                .arg(
                    place
                        .target
                        .join("wasm32-unknown-unknown/wasm-release/stagewright_core.wasm"),
                )
                .env("PATH", place.path());
            process::quiet(&mut bind, line, &place.logs())?;
            let mut optimise = Command::new("wasm-opt");
            optimise
                .arg("-Oz")
                .args(FEATURES)
                .arg(&output)
                .arg("-o")
                .arg(&output)
                .env("PATH", place.path());
            process::quiet(&mut optimise, line, &place.logs())
        })?;
        Ok(if made { Done::Made } else { Done::UpToDate })
    })
}
