//! Real builds of small Dockerfiles, each compared with what the reference makes of it: every file's path, type, mode,
//! owner, content, link and attributes, the image's configuration, and its history.
//!
//! A case is a file in `tests/fixtures/builds` ([`case`]); beside it stands what is expected, as [`listing`] writes it.
//! That was recorded from `BuildKit` and is never written from our own result:
//!
//! ```sh
//! STAGEWRIGHT_BUILDS_BY=buildctl cargo test -p stagewright --test builds                      # compares BuildKit
//! STAGEWRIGHT_BUILDS_BY=buildctl UPDATE_EXPECTED=1 cargo test -p stagewright --test builds    # records
//! cargo test -p stagewright --test builds copy/                                               # ours, some of them
//! ```
//!
//! With `STAGEWRIGHT_BACKEND=buildkit=…` it is our program that builds by a `BuildKit`, and `STAGEWRIGHT_TEST_MIRROR` names the
//! registry that this one takes for a mirror of Docker Hub.
//!
//! The first two want `buildctl` on the `PATH` and a daemon where `BUILDKIT_HOST` says. All want
//! Root builds some of the cases once more as an ordinary user, `ordinary/…`; with `STAGEWRIGHT_BUILDS_AS_USER=all` all of them.
//!
//! `STAGEWRIGHT_TEST_CONFIG`, a configuration that `cargo xtask images` wrote; without it, or where the machine cannot
//! run builds, this says so and ends.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "these are tests"
)]

mod archive;
mod case;
mod engine;
mod image;
mod listing;
mod notation;
mod tree;
#[path = "../ordinary/mod.rs"]
#[allow(dead_code, reason = "shared with tests that use more of it")]
mod user;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};

use case::Case;
use engine::{Engine, Lanes, Outcome, Way};
use listing::Listing;

/// Builds at a time, where nobody says otherwise: what they wait for is mostly the disk.
const AT_A_TIME: usize = 2;

/// Every so many-th case is built by an ordinary user, too, where not all are.
const SAMPLE: usize = 8;

/// Cases that make devices, which only root may.
const DEVICES: [&str; 3] = [
    "add/archive-kinds",
    "run/security-insecure-allowed",
    "run/special-files",
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let threads = *arguments.test_threads.get_or_insert(AT_A_TIME);
    let trials = match Engine::found() {
        Ok(engine) => {
            let engine = Arc::new(engine);
            let suite = |lanes| {
                Arc::new(Suite {
                    lanes,
                    others: Lanes::new(&engine, threads),
                    record: std::env::var_os("UPDATE_EXPECTED").is_some(),
                })
            };
            let users = Lanes::of_user(&engine, threads).map(suite);
            let all = std::env::var("STAGEWRIGHT_BUILDS_AS_USER").is_ok_and(|which| which == "all");
            let suite = suite(Lanes::new(&engine, threads));
            let mut trials = Vec::new();
            if let (false, Err(reason)) = (engine.is_reference(), &users) {
                let reason = reason.clone();
                trials.push(Trial::test("ordinary", move || {
                    println!("skipped: {reason}");
                    Ok(())
                }));
            }
            for (number, path) in case_files(&folder()).into_iter().enumerate() {
                let name = name_of(&path);
                if let (false, Ok(suite)) = (engine.is_reference(), &users)
                    && (all || number % SAMPLE == 0)
                    && !DEVICES.contains(&name.as_str())
                {
                    let (suite, path) = (Arc::clone(suite), path.clone());
                    let name = format!("ordinary/{name}");
                    trials.push(Trial::test(name, move || suite.compare(&path)));
                }
                if !engine.is_reference() {
                    let (suite, path) = (Arc::clone(&suite), path.clone());
                    let name = format!("reproducible/{name}");
                    trials.push(Trial::test(name, move || suite.build_twice(&path)));
                }
                let suite = Arc::clone(&suite);
                trials.push(Trial::test(name, move || suite.compare(&path)));
            }
            trials
        }
        Err(reason) => vec![Trial::test("builds", move || {
            println!("skipped: {reason}");
            Ok(())
        })],
    };
    libtest_mimic::run(&arguments, trials).exit_code()
}

struct Suite {
    lanes: Lanes,
    /// Workers that know nothing of what those have built.
    others: Lanes,
    record: bool,
}

impl Suite {
    /// Two workers that know nothing of each other build the same image, to the byte.
    fn build_twice(&self, path: &Path) -> Result<(), Failed> {
        let case = Case::read(path);
        let mut digests = Vec::new();
        for lanes in [&self.lanes, &self.others] {
            digests.push(match lanes.take().build(&case, Way::Reproducibly)? {
                Outcome::Image(image) => Some(image.digest),
                Outcome::Failed(said) => {
                    let expected = std::fs::read_to_string(path.with_extension("expected"));
                    let meant = case.differences.iter().any(|line| line == "+ the build fails");
                    if !meant && !expected.is_ok_and(|expected| expected == "the build fails\n") {
                        return Err(said.into());
                    }
                    None
                }
            });
        }
        if digests[0] == digests[1] {
            Ok(())
        } else {
            Err(format!("two workers made two images: {digests:?}").into())
        }
    }

    /// An image is what the reference makes, and building it again changes nothing.
    fn compare(&self, path: &Path) -> Result<(), Failed> {
        let case = Case::read(path);
        let lane = self.lanes.take();
        let (made, said) = match lane.build(&case, Way::AsUsual)? {
            Outcome::Image(image) => {
                // A daemon dates what it takes from a context anew.
                if !lane.engine().is_reference() && !Engine::is_backed() {
                    let Outcome::Image(again) = lane.build(&case, Way::AsUsual)? else {
                        return Err("it builds once, and not again".into());
                    };
                    if again.digest != image.digest {
                        return Err("building it again makes another image".into());
                    }
                }
                (Listing::of(&image, lane.engine()).text(), String::new())
            }
            // How it is said is each engine's own.
            Outcome::Failed(said) => ("the build fails\n".to_owned(), said),
        };
        let beside = path.with_extension("expected");
        if self.record {
            if !lane.engine().is_reference() {
                return Err("only what the reference makes is recorded".into());
            }
            std::fs::write(&beside, made).unwrap();
            return Ok(());
        }
        let expected = std::fs::read_to_string(&beside)
            .map_err(|error| format!("nothing was recorded for this case: {error}"))?;
        let meant = if lane.engine().is_reference() || Engine::is_backed() {
            &[][..]
        } else {
            &case.differences
        };
        let found = listing::differences(&expected, &made);
        let all = |lines: &[String]| lines.iter().cloned().collect::<BTreeSet<_>>();
        if all(&found) == all(meant) {
            return Ok(());
        }
        let mut text = "what the reference has (-), and what was built (+):\n".to_owned();
        for line in found.iter().filter(|line| !meant.contains(line)) {
            writeln!(text, "{line}").unwrap();
        }
        for line in meant.iter().filter(|line| !found.contains(line)) {
            writeln!(text, "meant to differ, and does not: {line}").unwrap();
        }
        Err(format!("{text}{said}").into())
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/builds")
}

/// `copy/chmod` for `…/builds/copy/chmod.case`.
fn name_of(path: &Path) -> String {
    let path = path.with_extension("");
    path.strip_prefix(folder()).unwrap().to_str().unwrap().to_owned()
}

fn case_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(case_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "case") {
            found.push(path);
        }
    }
    found.sort();
    found
}
