//! What the fuzzer found worth keeping, once more: a short run that is the same every time.

#![allow(
    clippy::unwrap_used,
    reason = "a corpus that cannot be read fails the test that needs it"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use stagewright_tests::fuzzed::TARGETS;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

#[test]
fn the_corpus_keeps_every_promise() {
    for (name, target) in TARGETS {
        let mut files: Vec<PathBuf> = std::fs::read_dir(fuzz().join("corpus").join(name))
            .unwrap()
            .map(|file| file.unwrap().path())
            .collect();
        files.sort();
        assert!(!files.is_empty(), "{name} has a corpus");
        for file in files {
            let bytes = std::fs::read(&file).unwrap();
            // A broken promise panics; this says at which file.
            let kept = std::panic::catch_unwind(|| target(&bytes));
            assert!(kept.is_ok(), "{name} breaks at {}", file.display());
        }
    }
}

#[test]
fn every_target_is_a_program_of_the_fuzzer() {
    let known: BTreeSet<String> = TARGETS.iter().map(|(name, _)| format!("{name}.rs")).collect();
    let programs = std::fs::read_dir(fuzz().join("fuzz_targets")).unwrap();
    let programs: BTreeSet<String> = programs
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(programs, known);
    let manifest = std::fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}
