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
use stagewright_core::convert::{Pattern, SourceFile, convert as converted};
use stagewright_core::diagnostic::render;
use stagewright_core::digest::Digest;
use stagewright_core::edit::{TextEdit, apply};
use stagewright_core::editing::{self, FormatOptions, Surroundings};
use stagewright_core::ignore::{Entry, Ignore};
use stagewright_core::insight;
use stagewright_core::lint::{Scope, lint};
use stagewright_core::llb::{self, Definition, Vertices};
use stagewright_core::span::{LineRange, Span};
use stagewright_core::{Analysis, Input, analyze, calls};

/// The name of a target and what it does with the fuzzer's bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All of them. `fuzz/fuzz_targets` and `fuzz/corpus` have an entry for each.
pub const TARGETS: [Target; 9] = [
    ("parse", parse),
    ("plan", plan),
    ("check", check),
    ("edit", edit),
    ("ignore", ignore),
    ("trace", trace),
    ("convert", convert),
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
        for fix in found.iter().flat_map(|finding| &finding.fixes) {
            assert_edits(&input.source, &fix.edits);
        }
    }
    if let Err(errors) = calls::outline(&input) {
        assert_places(
            &input.source,
            errors.iter().map(|error| (error.span, error.lines)),
        );
    }
}

/// What an editor asks for, at a place that the bytes choose.
pub fn edit(bytes: &[u8]) {
    let Some(input) = input(bytes) else { return };
    let source = &input.source;
    for token in editing::highlight(source) {
        assert_span(source, token.span);
    }
    for range in editing::folding(source) {
        assert_places(source, [(range.span, range.lines)]);
    }
    let mut waiting = editing::symbols(source);
    while let Some(symbol) = waiting.pop() {
        assert_span(source, symbol.span);
        assert_span(source, symbol.selection);
        waiting.extend(symbol.children);
    }
    let offset = bytes.iter().map(|byte| usize::from(*byte)).sum::<usize>() % (source.len() + 2);
    for completion in editing::complete(&input, offset, &Surroundings::default()) {
        assert_edits(source, &[completion.edit]);
    }
    if let Some(hover) = editing::hover(&input, offset) {
        assert_span(source, hover.span);
    }
    for span in editing::references(source, offset)
        .into_iter()
        .chain(editing::definition(source, offset))
    {
        assert_span(source, span);
    }
    if let Ok(edits) = editing::rename(source, offset, "renamed") {
        assert_edits(source, &edits);
    }
    let printed = editing::print(source);
    assert_eq!(
        editing::print(&printed),
        printed,
        "printing settles after one round"
    );
    let edits = editing::format(source, &FormatOptions::default());
    let formatted = Input {
        source: assert_edits(source, &edits),
        ..input.clone()
    };
    let digest = |input: &Input| analyze(input).definition.map(|definition| definition.digest);
    assert_eq!(digest(&formatted), digest(&input), "formatting changes no plan");
}

/// An ignore file, and behind its first NUL the paths that are asked about.
pub fn ignore(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let mut parts = text.split('\0');
    let source = parts.next().unwrap_or_default();
    let (ignore, problems) = Ignore::parse(source);
    assert_places(source, problems.iter().map(|found| (found.span, found.lines)));
    assert!(ignore.rules().len() <= source.lines().count(), "a rule is a line");
    for rule in ignore.rules() {
        assert_span(source, rule.span);
    }
    let paths: Vec<&str> = parts.filter(|path| !path.is_empty()).take(32).collect();
    let entry = |path: &&'_ str| (path.trim_end_matches('/').to_owned(), path.ends_with('/'));
    let entries: Vec<(String, bool)> = paths.iter().map(entry).collect();
    for (path, _) in &entries {
        let decision = ignore.decide(path);
        assert_eq!(decision.ignored, ignore.ignores(path));
        assert!(
            decision.rule.is_none_or(|rule| rule < ignore.rules().len()),
            "a rule that is there"
        );
    }
    let entries: Vec<Entry<'_>> = entries
        .iter()
        .map(|(path, is_folder)| Entry {
            path: path.as_str(),
            folder: *is_folder,
        })
        .collect();
    assert_eq!(ignore.walk(&entries).len(), entries.len(), "a verdict for each");
}

/// A recorded log over the plan of a file: the file, a NUL, the log.
pub fn trace(bytes: &[u8]) {
    let Some((source, log)) = text(bytes).and_then(|text| text.split_once('\0')) else {
        return;
    };
    let analysis = analyze(&Input {
        source: source.to_owned(),
        ..Input::default()
    });
    let trace = insight::trace(&analysis, log);
    assert_eq!(trace, insight::trace(&analysis, log), "twice is the same");
}

/// The builder pattern: a script, and behind a NUL each the Dockerfiles of `Dockerfile.build` and `Dockerfile`.
pub fn convert(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let mut parts = text.split('\0');
    let file = |(name, text): (&str, &str)| SourceFile {
        name: name.to_owned(),
        text: text.to_owned(),
    };
    let script = file(("build.sh", parts.next().unwrap_or_default()));
    let names = ["Dockerfile.build", "Dockerfile"];
    let pattern = Pattern {
        script,
        dockerfiles: names.into_iter().zip(parts).map(file).collect(),
        ..Pattern::default()
    };
    let conversion = converted(&pattern);
    for note in &conversion.notes {
        assert_places(&pattern.script.text, [(note.span, note.lines)]);
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

/// Decoding a whole definition, and ops in a row, each behind its length in two bytes.
pub fn definition(bytes: &[u8]) {
    if let Ok((definition, vertices)) = Definition::decode(bytes) {
        assert!(!llb::print(&definition, &vertices).is_empty(), "it can be shown");
        let (again, _) = Definition::decode(&definition.to_bytes()).expect("what was written can be read");
        assert_eq!(again, definition);
    }
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

fn assert_edits(source: &str, edits: &[TextEdit]) -> String {
    apply(source, edits).expect("edits that can be made")
}

fn assert_span(source: &str, span: Span) {
    assert!(
        source.get(span.start..span.end).is_some(),
        "{span:?} is no part of the file"
    );
}
