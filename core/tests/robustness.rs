//! Whatever the text, planning ends with a value, and every place it speaks of is in the text.

use std::path::Path;

use proptest::prelude::*;
use stagewright_core::diagnostic::render;
use stagewright_core::llb::Vertices;
use stagewright_core::span::Span;
use stagewright_core::{Analysis, Input, analyze};

/// Pieces that mean something to a parser.
const PIECES: &[&str] = &[
    "FROM ",
    "FROM scratch\n",
    "FROM a AS b\n",
    "RUN ",
    "COPY ",
    "ADD ",
    "ENV ",
    "ARG ",
    "LABEL ",
    "EXPOSE ",
    "CMD ",
    "ENTRYPOINT ",
    "HEALTHCHECK ",
    "ONBUILD ",
    "SHELL ",
    "USER ",
    "VOLUME ",
    "WORKDIR ",
    "STOPSIGNAL ",
    "MAINTAINER ",
    "--from=",
    "--mount=type=cache,target=",
    "--chmod=",
    "--chown=u:g ",
    "--link ",
    "--parents ",
    "--exclude=",
    "-- ",
    "<<EOF",
    "<<-'E F'",
    "\nEOF\n",
    "\\\n",
    "\\",
    "`",
    "# escape=`\n",
    "# syntax=x\n",
    "#",
    "\n",
    "\r\n",
    " ",
    "\t",
    "$",
    "${",
    "}",
    "${a:-",
    "${a#*",
    "${a//b/",
    "'",
    "\"",
    "[\"a\", ",
    "]",
    "=",
    ",",
    ":",
    "/",
    "/./",
    ".",
    "*",
    "?",
    "a",
    "b",
    "0",
    "9",
    "é",
    "日本",
    "\u{feff}",
    "\u{a0}",
    "\0",
    "https://x/y.git?ref=",
    "git@h:p",
    "http://x/",
    "@sha256:",
];

/// A file that uses every construct.
const EVERYTHING: &str = include_str!("everything.Dockerfile");

fn check(source: String, target: Option<String>) -> Result<(), TestCaseError> {
    let mut input = Input {
        source,
        ..Input::default()
    };
    input.options.target = target;
    let analysis = analyze(&input);
    check_places(&analysis, &input.source)?;
    prop_assert_eq!(&analyze(&input), &analysis, "planning twice gives the same");
    if let Some(definition) = &analysis.definition {
        let ops: Vec<&[u8]> = definition.ops.iter().map(|op| op.bytes.as_slice()).collect();
        Vertices::decode(&ops)
            .map_err(|error| TestCaseError::fail(format!("{error} in {:?}", input.source)))?;
    }
    Ok(())
}

fn check_places(analysis: &Analysis, source: &str) -> Result<(), TestCaseError> {
    let last = u32::try_from(source.lines().count()).unwrap_or(u32::MAX).max(1);
    for diagnostic in &analysis.diagnostics {
        check_span(diagnostic.span, source)?;
        prop_assert!(
            diagnostic.lines.start <= diagnostic.lines.end && diagnostic.lines.end <= last,
            "{diagnostic:?}"
        );
        prop_assert!(!diagnostic.message.is_empty());
        prop_assert!(!render(diagnostic, source, "Dockerfile").is_empty());
    }
    for stage in &analysis.stages {
        check_span(stage.span, source)?;
        for step in &stage.steps {
            check_span(step.span, source)?;
            prop_assert!(stage.span.start <= step.span.start && step.span.end <= stage.span.end);
        }
    }
    let rest = analysis.edges.iter().map(|edge| edge.span);
    let rest = rest.chain(analysis.images.iter().map(|image| image.span));
    rest.chain(analysis.args.iter().map(|arg| arg.span))
        .try_for_each(|span| check_span(span, source))
}

fn check_span(span: Span, source: &str) -> Result<(), TestCaseError> {
    prop_assert!(
        source.get(span.start..span.end).is_some(),
        "{span:?} is no part of {source:?}"
    );
    Ok(())
}

/// Real files with a few pieces cut out, doubled or put in.
fn mutated() -> impl Strategy<Value = String> {
    let edit = (
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        prop::sample::select(PIECES),
        0..4_u8,
    );
    (prop::sample::select(corpus()), prop::collection::vec(edit, 0..8)).prop_map(|(mut text, edits)| {
        for (from, to, piece, kind) in edits {
            let places: Vec<usize> = text
                .char_indices()
                .map(|(at, _)| at)
                .chain(std::iter::once(text.len()))
                .collect();
            let (from, to) = (*from.get(&places), *to.get(&places));
            let (from, to) = (from.min(to), from.max(to));
            match kind {
                0 => text.insert_str(from, piece),
                1 => text.replace_range(from..from + floor(&text[from..to], 20), ""),
                2 => {
                    let part = text[from..to].to_owned();
                    text.insert_str(to, &part[..floor(&part, 200)]);
                }
                _ => text.truncate(to),
            }
        }
        text
    })
}

fn floor(text: &str, mut at: usize) -> usize {
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The file with everything in it, the examples, and whatever lies in the folder that `STAGEWRIGHT_CORPUS` names.
fn corpus() -> Vec<String> {
    let mut files = vec![EVERYTHING.to_owned()];
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../static/examples");
    for example in std::fs::read_dir(examples).into_iter().flatten().flatten() {
        files.extend(std::fs::read_to_string(example.path().join("Dockerfile")));
    }
    if let Some(folder) = std::env::var_os("STAGEWRIGHT_CORPUS") {
        for file in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            files.extend(std::fs::read_to_string(file.path()));
        }
    }
    files
}

proptest! {
    #[test]
    fn any_text_is_planned(source in any::<String>()) {
        check(source, None)?;
    }

    #[test]
    fn any_pieces_are_planned(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..60)) {
        check(pieces.concat(), None)?;
    }

    #[test]
    fn mutated_files_are_planned(source in mutated(), target in prop::option::of("[a-b]")) {
        check(source, target)?;
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = stagewright_core::llb::decode(&bytes);
        let _ = Vertices::decode(&[bytes]);
    }
}

#[test]
fn a_file_with_everything_is_planned_whole() {
    let analysis = analyze(&Input {
        source: EVERYTHING.into(),
        ..Input::default()
    });
    assert_eq!(analysis.diagnostics, []);
    let definition = analysis.definition.unwrap();
    insta::assert_snapshot!(
        "everything",
        definition
            .ops
            .iter()
            .map(|op| format!("{} {}", op.digest.short(), op.name))
            .collect::<Vec<_>>()
            .join("\n")
    );
}

#[test]
fn long_files_take_time_in_proportion() {
    // Chains as deep as these would end a walk that calls itself.
    let source = format!("FROM scratch AS a\n{}", "RUN x\n".repeat(20_000));
    let analysis = analyze(&Input {
        source,
        ..Input::default()
    });
    assert_eq!(analysis.definition.unwrap().ops.len(), 20_001);
    let nested = format!("FROM scratch\nENV a={}", "${a:-".repeat(50_000));
    assert!(
        analyze(&Input {
            source: nested,
            ..Input::default()
        })
        .has_errors()
    );
}
