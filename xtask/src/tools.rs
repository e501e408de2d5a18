//! The programs that building the page takes. What is missing is installed under the target folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::place::Place;
use crate::problem::{About as _, Outcome, Problem};
use crate::process;
use crate::report::{Done, Line, Report};
use crate::stamp::{self, Inputs};
use crate::wasm;

/// The newest trunk that the workspace's own Rust builds.
const TRUNK: &str = "0.21.14";

/// The driver of libFuzzer.
const FUZZ: &str = "0.13.2";

/// What builds the book that the tests look at.
const MDBOOK: &str = "0.5.4";

/// How many steps [`install`] reports.
pub(crate) const STEPS: usize = 4;

/// The wasm32 target, trunk, wasm-bindgen and wasm-opt.
pub(crate) fn install(place: &Place, report: &mut Report) -> Outcome<()> {
    report.step("Rust for wasm32-unknown-unknown", |line| {
        wasm::install(place, line)
    })?;
    report.step(&format!("trunk {TRUNK}"), |line| {
        cargo_install(
            place,
            line,
            &Crate {
                name: "trunk",
                program: "trunk",
                version: TRUNK,
                locked: true,
                features: true,
            },
        )
    })?;
    let version = locked_version(place, "wasm-bindgen")?;
    report.step(&format!("wasm-bindgen {version}"), |line| {
        // Its own lock file names crates that are withdrawn by now, so it is resolved afresh.
        let locked = false;
        cargo_install(
            place,
            line,
            &Crate {
                name: "wasm-bindgen-cli",
                program: "wasm-bindgen",
                version: &version,
                locked,
                features: true,
            },
        )
    })?;
    report.step("wasm-opt", |line| {
        let folder = place.tools().join("npm");
        let made = npm_packages(place, line, "wasm-opt", &place.root.join("xtask/npm"), &folder)?;
        Ok(if made { Done::Made } else { Done::UpToDate })
    })
}

/// What builds and runs the fuzzer.
pub(crate) fn cargo_fuzz(place: &Place, line: &mut Line) -> Outcome<Done> {
    let wanted = Crate {
        name: "cargo-fuzz",
        program: "cargo-fuzz",
        version: FUZZ,
        locked: true,
        features: true,
    };
    cargo_install(place, line, &wanted)
}

/// mdBook as it builds books, without its server and its search.
pub(crate) fn mdbook(place: &Place, line: &mut Line) -> Outcome<Done> {
    let wanted = Crate {
        name: "mdbook",
        program: "mdbook",
        version: MDBOOK,
        locked: true,
        features: false,
    };
    cargo_install(place, line, &wanted)
}

/// The wasm32 target alone, without a word where it is there.
pub(crate) fn wasm_target(place: &Place) -> Outcome<()> {
    wasm::install(place, &mut Line::silent()).map(drop)
}

/// Where a program is: here, or wherever the machine has one.
pub(crate) fn program(place: &Place, name: &str) -> PathBuf {
    let ours = place.tools().join("bin").join(name);
    if ours.exists() { ours } else { PathBuf::from(name) }
}

struct Crate<'a> {
    name: &'a str,
    program: &'a str,
    version: &'a str,
    locked: bool,
    /// Whether it is built with what it usually has.
    features: bool,
}

fn cargo_install(place: &Place, line: &mut Line, wanted: &Crate<'_>) -> Outcome<Done> {
    let ours = place.tools().join("bin").join(wanted.program);
    for program in [ours.as_path(), Path::new(wanted.program)] {
        let said = process::output(Command::new(program).arg("--version"));
        if said.is_ok_and(|said| {
            said.split_whitespace()
                .any(|word| word.trim_start_matches('v') == wanted.version)
        }) {
            return Ok(Done::UpToDate);
        }
    }
    let mut command = Command::new("cargo");
    command
        .args([
            "install",
            wanted.name,
            "--version",
            wanted.version,
            "--force",
            "--root",
        ])
        .arg(place.tools());
    if wanted.locked {
        command.arg("--locked");
    }
    if !wanted.features {
        command.arg("--no-default-features");
    }
    // Compiled quickly rather than to be quick: they run for a second or two each time.
    command
        .env("CARGO_TARGET_DIR", place.tools().join("build"))
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
        .current_dir(&place.root);
    process::quiet(&mut command, line, &place.logs()).map_err(|problem| {
        Problem::new(format!(
            "{} {} could not be installed (by hand: cargo install {} --version {}): {problem}",
            wanted.program, wanted.version, wanted.name, wanted.version
        ))
    })?;
    Ok(Done::Made)
}

/// The version of a crate that Cargo.lock holds.
fn locked_version(place: &Place, name: &str) -> Outcome<String> {
    let path = place.root.join("Cargo.lock");
    let lock = fs::read_to_string(&path).about(&path)?;
    let entry = format!("name = \"{name}\"\nversion = \"");
    lock.split_once(&entry)
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(version, _)| version.to_owned())
        .ok_or_else(|| Problem::new(format!("Cargo.lock holds no {name}")))
}

/// Installs what `manifests` (a folder with package.json and its lock) asks for into `folder`.
/// Answers whether there was anything to do.
pub(crate) fn npm_packages(
    place: &Place,
    line: &mut Line,
    name: &str,
    manifests: &Path,
    folder: &Path,
) -> Outcome<bool> {
    let files: [PathBuf; 2] = ["package.json", "package-lock.json"].map(|file| manifests.join(file));
    let mut inputs = Inputs::new();
    for file in &files {
        inputs = inputs.files(file)?;
    }
    stamp::unless_fresh(
        place,
        &format!("npm-{name}"),
        &folder.join("node_modules"),
        inputs,
        || {
            if !process::on_path("npm") {
                return Err(Problem::new(
                    "npm is not installed; install Node.js 20 or newer with npm (Debian: apt-get install nodejs npm)",
                ));
            }
            fs::create_dir_all(folder).about(folder)?;
            for file in files.iter().filter(|file| file.parent() != Some(folder)) {
                let to = folder.join(file.file_name().unwrap_or_default());
                fs::copy(file, &to).about(&to)?;
            }
            process::quiet(
                Command::new("npm")
                    .args(["ci", "--no-audit", "--no-fund"])
                    .current_dir(folder),
                line,
                &place.logs(),
            )
            .map_err(|problem| Problem::new(format!("npm packages could not be installed: {problem}")))
        },
    )
}
