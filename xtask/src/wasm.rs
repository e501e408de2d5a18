//! How WebAssembly is compiled: with a standard library that is built along, for size.
//!
//! The standard library that comes with Rust is compiled for speed and carries the texts of every panic. A page has
//! to fetch all of that. Building it along takes a tenth off the page; cargo does that only behind flags that it calls
//! unstable, so where its sources cannot be had the page is built without.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::place::Place;
use crate::problem::{Outcome, Problem};
use crate::process;
use crate::report::{Done, Line};

const TARGET: &str = "wasm32-unknown-unknown";

/// A panic stops at once, without a text: the page's own hook has nothing to show that a user could use.
const FLAGS: &str = "-Zunstable-options -Cpanic=immediate-abort -Zlocation-detail=none";

/// The wasm32 target and the sources of the standard library.
pub(crate) fn install(place: &Place, line: &mut Line) -> Outcome<Done> {
    let (target, sources) = (has_target()?, has_sources()?);
    if target && sources {
        return Ok(Done::UpToDate);
    }
    if !process::on_path("rustup") {
        if target {
            return Ok(Done::UpToDate);
        }
        return Err(Problem::new(
            "Rust's standard library for wasm32-unknown-unknown is missing and there is no rustup to add it; \
             install Rust by rustup, or your distribution's package for it",
        ));
    }
    if !target {
        let mut add = Command::new("rustup");
        add.args(["target", "add", TARGET]).current_dir(&place.root);
        process::quiet(&mut add, line, &place.logs())?;
    }
    if !sources {
        let mut add = Command::new("rustup");
        add.args(["component", "add", "rust-src"])
            .current_dir(&place.root);
        if process::quiet(&mut add, line, &place.logs()).is_err() {
            eprintln!(
                "the sources of Rust's standard library cannot be had: the page is built without, and larger"
            );
        }
    }
    Ok(Done::Made)
}

/// Makes a command that compiles for wasm32 build the standard library along.
pub(crate) fn for_size(command: &mut Command) -> Outcome<()> {
    if has_sources()? {
        command
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_UNSTABLE_BUILD_STD", "std,panic_abort")
            .env("CARGO_UNSTABLE_BUILD_STD_FEATURES", "optimize_for_size")
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", FLAGS);
    }
    Ok(())
}

/// What the compiler may emit and browsers have had for years; named, since wasm-bindgen drops the list of them.
const FEATURES: [&str; 6] = [
    "--enable-bulk-memory",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-reference-types",
    "--enable-multivalue",
];

/// Sorts the functions of a module, so that it compresses better; the page's hook does the same.
const ORDER: &str = "web/wasm/order.mjs";

/// A library of the workspace that becomes a module with its JavaScript.
pub(crate) struct Module<'a> {
    pub(crate) package: &'a str,
    pub(crate) feature: &'a str,
    /// The cargo profile: how much is given for speed.
    pub(crate) profile: &'a str,
    /// Where it goes.
    pub(crate) folder: &'a Path,
}

impl Module<'_> {
    /// The files that a page fetches.
    pub(crate) fn files(&self) -> [PathBuf; 2] {
        let name = self.package.replace('-', "_");
        [format!("{name}_bg.wasm"), format!("{name}.js")].map(|file| self.folder.join(file))
    }

    /// Compiles, binds, shrinks and sorts it.
    pub(crate) fn make(&self, place: &Place, line: &mut Line) -> Outcome<()> {
        let mut compile = Command::new("cargo");
        for_size(&mut compile)?;
        compile
            .args([
                "rustc",
                "--package",
                self.package,
                "--lib",
                "--crate-type",
                "cdylib",
            ])
            .args(["--features", self.feature])
            .args(["--profile", self.profile, "--target", TARGET])
            .env("CARGO_TARGET_DIR", &place.target)
            .current_dir(&place.root);
        process::quiet(&mut compile, line, &place.logs())?;
        let compiled = format!(
            "{TARGET}/{}/{}.wasm",
            self.profile,
            self.package.replace('-', "_")
        );
        let mut bind = Command::new("wasm-bindgen");
        bind.args(["--target", "web", "--out-dir"])
            .arg(self.folder)
            .arg(place.target.join(compiled))
            .env("PATH", place.path());
        process::quiet(&mut bind, line, &place.logs())?;
        let [module, _] = self.files();
        let mut optimise = Command::new("wasm-opt");
        optimise
            .arg("-Oz")
            .args(FEATURES)
            .arg(&module)
            .arg("-o")
            .arg(&module)
            .env("PATH", place.path());
        process::quiet(&mut optimise, line, &place.logs())?;
        let mut order = Command::new("node");
        order
            .arg(ORDER)
            .arg(&module)
            .env("PATH", place.path())
            .current_dir(&place.root);
        process::quiet(&mut order, line, &place.logs())
    }
}

/// Fetches every crate that compiling for wasm32 takes, so that Trunk need not ask the network.
pub(crate) fn fetch(place: &Place, line: &mut Line) -> Outcome<()> {
    let mut fetch = Command::new("cargo");
    fetch
        .args(["fetch", "--locked", "--target", TARGET])
        .current_dir(&place.root);
    for_size(&mut fetch)?;
    process::quiet(&mut fetch, line, &place.logs())
}

fn has_target() -> Outcome<bool> {
    let folder =
        process::output(Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]))?;
    Ok(Path::new(folder.trim()).is_dir())
}

fn has_sources() -> Outcome<bool> {
    let root = process::output(Command::new("rustc").args(["--print", "sysroot"]))?;
    Ok(Path::new(root.trim())
        .join("lib/rustlib/src/rust/library/Cargo.lock")
        .is_file())
}
