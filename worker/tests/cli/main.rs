//! The command line as a shell sees it: what it prints, where, and how it ends.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "these are tests"
)]

mod build;
mod cache;
mod check;
mod convert;
mod diff;
mod du;
mod explain;
mod fmt;
mod history;
mod image;
#[path = "../line/mod.rs"]
#[allow(dead_code, reason = "shared with tests that use more of it")]
mod line;
mod mdbook;
mod outline;
mod plan;
mod provenance;
mod prune;
#[path = "../registry/mod.rs"]
#[allow(dead_code, reason = "shared with tests that use more of it")]
mod registry;
mod remote;
mod secrets;
mod serve;
mod targets;
mod token;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

fn stagewright() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stagewright"));
    for name in ["STAGEWRIGHT_STATE", "STAGEWRIGHT_CONFIG", "STAGEWRIGHT_LOG"] {
        command.env_remove(name);
    }
    command
}

/// Exit code, standard output, standard error.
fn run(arguments: &[&str]) -> (i32, String, String) {
    ended(&stagewright().args(arguments).output().unwrap())
}

fn ended(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// The same with something on standard input.
fn run_with(arguments: &[&str], input: &str) -> (i32, String, String) {
    let mut process = stagewright()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that refuses before it reads its input may be gone by now.
    match process.stdin.take().unwrap().write_all(input.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written.unwrap(),
    }
    ended(&process.wait_with_output().unwrap())
}

/// A folder with files in it, gone when this is dropped.
struct Folder(tempfile::TempDir);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            let path = folder.path(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    /// Builds the folder `context` in it, with a state folder of that name; `None`, and says so, where this machine cannot
    /// build.
    fn build(&self, state: &str, flags: &[&str]) -> Option<(i32, String, String)> {
        let (state, context) = (self.name(state), self.name("context"));
        let ended = run(&[&["build", "--state", &state], flags, &[&context]].concat());
        if ended.2.contains("cannot run builds") {
            println!("skipped: {}", ended.2);
            return None;
        }
        Some(ended)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The path as an argument.
    fn name(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }
}

/// Nothing for people is wider than a terminal of 80 columns.
#[track_caller]
fn fits(text: &str) {
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(!text.contains('\u{1b}'), "no terminal, no colour: {text}");
}
