//! What must hold whatever comes in: one function for each thing that strangers' bytes can reach.
//!
//! The fuzzer calls these with bytes of its own (`cargo xtask fuzz`), and an ordinary test with what it found so far
//! (`fuzz/corpus`). They panic where a promise is broken; their text says which.

#![allow(
    clippy::panic,
    clippy::expect_used,
    reason = "a broken promise has to stop the fuzzer"
)]

use std::collections::BTreeMap;

use stagewright_core::analysis::{ImageFacts, Options};
use stagewright_core::diagnostic::render;
use stagewright_core::digest::Digest;
use stagewright_core::lint::{Scope, lint};
use stagewright_core::llb::{self, Vertices};
use stagewright_core::span::{LineRange, Span};
use stagewright_core::{Analysis, Input, analyze, calls};

/// The name of a target and what it does with the fuzzer's bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All of them. `fuzz/fuzz_targets` and `fuzz/corpus` have an entry for each.
pub const TARGETS: [Target; 5] = [
    ("parse", parse),
    ("plan", plan),
    ("check", check),
    ("op", op),
    ("definition", definition),
];

/// Reading alone: what the list of targets needs.
pub fn parse(bytes: &[u8]) {
    let Some(source) = text(bytes) else { return };
    match calls::targets(source) {
        Ok(targets) => assert!(
            targets.targets.len() <= source.len(),
            "more stages than the file can hold"
        ),
        Err(errors) => assert_places(source, errors.iter().map(|error| (error.span, error.lines))),
    }
}

/// Planning, with options that the bytes choose.
pub fn plan(bytes: &[u8]) {
    let Some(mut input) = input(bytes) else { return };
    let first = analyze(&input);
    assert_analysis(&input.source, &first);
    for image in &first.images {
        let facts = ImageFacts {
            digest: Digest::of(image.reference.as_bytes()),
            config: configuration(bytes),
            size: 0,
            note: None,
        };
        input.options.images.insert(image.reference.clone(), facts);
    }
    let second = analyze(&input);
    assert_analysis(&input.source, &second);
    assert_eq!(second, analyze(&input), "planning twice gives the same");
}

/// All rules of lint, and the outline.
pub fn check(bytes: &[u8]) {
    let Some(input) = input(bytes) else { return };
    for scope in [Scope::Target, Scope::All] {
        let found = lint(&input, scope);
        assert_places(
            &input.source,
            found.iter().map(|finding| (finding.span, finding.lines)),
        );
        assert!(
            found.len() <= 4 * input.source.len() + 16,
            "more findings than the file can have"
        );
    }
    if let Err(errors) = calls::outline(&input) {
        assert_places(
            &input.source,
            errors.iter().map(|error| (error.span, error.lines)),
        );
    }
}

/// Decoding one op, as the worker does with what a page sends. What can be decoded is written back as it was, but for
/// fields that are unknown here and bytes that another writer would choose otherwise.
pub fn op(bytes: &[u8]) {
    if let Ok(op) = llb::decode(bytes) {
        let written = llb::marshal(&op);
        let again = llb::decode(&written).expect("what was written can be read");
        assert_eq!(llb::marshal(&again), written, "writing settles after one round");
        assert!(
            written.len() <= 4 * bytes.len() + 64,
            "an op does not grow by being read"
        );
    }
}

/// Decoding a whole definition: ops in a row, each behind its length in two bytes.
pub fn definition(bytes: &[u8]) {
    let mut ops = Vec::new();
    let mut rest = bytes;
    while let [high, low, tail @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(tail.len());
        let (op, after) = tail.split_at(length);
        ops.push(op);
        rest = after;
    }
    if let Ok(vertices) = Vertices::decode(&ops) {
        assert!(vertices.ops.len() <= ops.len(), "vertices out of nothing");
        for (place, vertex) in vertices.ops.iter().enumerate() {
            for edge in &vertex.inputs {
                assert!(edge.vertex < place, "an op stands after its inputs");
            }
        }
    }
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// The file up to the first NUL, then `key=value` between NULs: `target`, `platform`, `config` (of every image, as
/// JSON), and build arguments by any other name.
fn input(bytes: &[u8]) -> Option<Input> {
    let mut parts = text(bytes)?.split('\0');
    let mut input = Input {
        source: parts.next()?.to_owned(),
        options: Options::default(),
    };
    for (key, value) in parts.filter_map(|part| part.split_once('=')) {
        match key {
            "target" => input.options.target = Some(value.to_owned()),
            "platform" => input.options.platform = value.parse().ok(),
            "config" => {}
            _ => {
                input.options.build_args.insert(key.to_owned(), value.to_owned());
            }
        }
    }
    Some(input)
}

fn configuration(bytes: &[u8]) -> serde_json::Value {
    let config = text(bytes).and_then(|text| text.split('\0').find_map(|part| part.strip_prefix("config=")));
    config
        .and_then(|config| serde_json::from_str(config).ok())
        .unwrap_or_else(|| serde_json::json!({ "os": "linux", "architecture": "amd64" }))
}

fn assert_analysis(source: &str, analysis: &Analysis) {
    assert_places(
        source,
        analysis.diagnostics.iter().map(|found| (found.span, found.lines)),
    );
    for diagnostic in &analysis.diagnostics {
        assert!(!diagnostic.message.is_empty(), "a finding without words");
        assert!(
            !render(diagnostic, source, "Dockerfile").is_empty(),
            "a finding that shows nothing"
        );
    }
    let mut names = BTreeMap::new();
    for stage in &analysis.stages {
        assert_places(source, [(stage.span, stage.lines)]);
        assert_places(source, stage.steps.iter().map(|step| (step.span, step.lines)));
        *names.entry(stage.index).or_insert(0) += 1;
    }
    assert!(names.values().all(|count| *count == 1), "each stage once");
    let spans = analysis.edges.iter().map(|edge| edge.span);
    let spans = spans.chain(analysis.images.iter().map(|image| image.span));
    let spans = spans.chain(analysis.args.iter().map(|arg| arg.span));
    for span in spans {
        assert_span(source, span);
    }
    assert!(
        analysis.diagnostics.len() <= 4 * source.len() + 16,
        "more findings than the file can have"
    );
    if let Some(definition) = &analysis.definition {
        let ops: Vec<&[u8]> = definition.ops.iter().map(|op| op.bytes.as_slice()).collect();
        let vertices = Vertices::decode(&ops).expect("a planned definition can be decoded");
        let vertices = vertices.ops.len();
        assert_eq!(
            vertices,
            ops.len().saturating_sub(1),
            "all but the last op are vertices"
        );
        assert!(analysis.image_config.is_some(), "a definition has an image");
    }
}

fn assert_places(source: &str, places: impl IntoIterator<Item = (Span, LineRange)>) {
    let last = u32::try_from(source.lines().count()).unwrap_or(u32::MAX).max(1);
    for (span, lines) in places {
        assert_span(source, span);
        // What is said of the file as a whole, such as that a target is missing, has no lines.
        let whole = lines == LineRange::default();
        assert!(
            whole || 1 <= lines.start && lines.start <= lines.end && lines.end <= last,
            "lines {lines:?} of a file with {last}"
        );
    }
}

fn assert_span(source: &str, span: Span) {
    assert!(
        source.get(span.start..span.end).is_some(),
        "{span:?} is no part of the file"
    );
}
