//! How long planning takes, from the text to the definition with all its digests, and how that grows with the file.
//!
//! `cargo bench -p stagewright-tests --bench planning`

use divan::Bencher;
use divan::counter::BytesCount;
use stagewright_core::lint::{Scope, lint};
use stagewright_core::{Input, analyze};
use stagewright_tests::sizes::{LENGTHS, dockerfile};

/// What the worker allocates with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

/// Parse, plan and marshal.
#[divan::bench(args = LENGTHS.map(|(name, _)| name))]
fn plan(bencher: Bencher<'_, '_>, name: &str) {
    let input = input(name);
    bencher
        .counter(BytesCount::of_str(&input.source))
        .bench(|| analyze(divan::black_box(&input)));
}

/// Parse, plan, and all rules of lint.
#[divan::bench(args = LENGTHS.map(|(name, _)| name))]
fn check(bencher: Bencher<'_, '_>, name: &str) {
    let input = input(name);
    bencher
        .counter(BytesCount::of_str(&input.source))
        .bench(|| lint(divan::black_box(&input), Scope::All));
}

fn input(name: &str) -> Input {
    let length = LENGTHS.into_iter().find(|(known, _)| *known == name);
    Input {
        source: length.map(|(_, length)| dockerfile(length)).unwrap_or_default(),
        ..Input::default()
    }
}
