//! The editing service over real files, at many places of each, and over lines that are made to be slow.

use std::path::Path;

use stagewright_core::Input;
use stagewright_core::edit::apply;
use stagewright_core::editing::{
    FormatOptions, Surroundings, TokenKind, complete, definition, folding, format, highlight, hover, print,
    references, rename, symbols,
};
use stagewright_core::span::Span;

/// A file that uses every construct.
const EVERYTHING: &str = include_str!("everything.Dockerfile");

/// That file, the examples, and whatever lies in the folder that `STAGEWRIGHT_CORPUS` names.
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

/// All services of places, at one place.
fn ask(input: &Input, offset: usize) {
    let source = &input.source;
    let inside = |span: Span| assert!(source.get(span.start..span.end).is_some(), "{span:?}");
    for completion in complete(input, offset, &Surroundings::default()) {
        inside(completion.edit.span);
    }
    if let Some(hover) = hover(input, offset) {
        inside(hover.span);
    }
    if let Some(span) = definition(source, offset) {
        inside(span);
    }
    references(source, offset).into_iter().for_each(inside);
    if let Ok(edits) = rename(source, offset, "another") {
        assert!(apply(source, &edits).is_ok());
    }
}

/// All services of whole files.
fn look(source: &str) {
    for token in highlight(source) {
        assert!(source.get(token.span.start..token.span.end).is_some());
    }
    let spans = folding(source).into_iter().map(|range| range.span);
    let spans = spans.chain(symbols(source).into_iter().map(|symbol| symbol.span));
    for span in spans {
        assert!(source.get(span.start..span.end).is_some());
    }
    assert_eq!(print(&print(source)), print(source));
    let edits = format(source, &FormatOptions::default());
    assert!(apply(source, &edits).is_ok());
}

#[test]
fn every_file_is_served_all_over() {
    /// Places a file, evenly; what a test can wait for.
    const PLACES: usize = 24;
    for source in corpus() {
        look(&source);
        let length = source.len();
        let input = Input {
            source,
            ..Input::default()
        };
        for place in 0..=PLACES {
            ask(&input, length * place / PLACES);
        }
    }
}

#[test]
fn nothing_in_a_file_with_everything_is_unknown() {
    let tokens = highlight(EVERYTHING);
    assert!(tokens.iter().all(|token| token.kind != TokenKind::Unknown));
    let kinds: std::collections::BTreeSet<TokenKind> = tokens.iter().map(|token| token.kind).collect();
    // All kinds but the one above.
    assert_eq!(kinds.len(), 17);
}

#[test]
fn long_files_and_long_lines_take_time_in_proportion() {
    // Whatever looked at all that is left for each letter would not come back from these.
    for line in [
        "<<\"",
        "<<a ",
        "$",
        "${a:-",
        "'\"",
        "\" ",
        "--mount=from=a, ",
        "a=b ",
        "ONBUILD ",
        "\\\n#\n",
        "[",
        "a\\\n ",
    ] {
        for start in [
            "FROM a\nRUN ",
            "FROM a\nENV a=",
            "FROM a\nCOPY ",
            "FROM a\nONBUILD RUN ",
        ] {
            let source = format!("{start}{}", line.repeat(60_000 / line.len()));
            look(&source);
            let offset = source.len() / 2;
            ask(
                &Input {
                    source,
                    ..Input::default()
                },
                offset,
            );
        }
    }
    let stage = "# about it\nFROM a AS b\nARG X=1\nENV Y=$X\nRUN <<EOF\necho $Y\nEOF\nCOPY --from=b /a /b\nFROM b\n\n";
    let source = stage.repeat(1_000);
    look(&source);
    let offset = source.len() - stage.len() + stage.find("$Y").unwrap() + 1;
    ask(
        &Input {
            source,
            ..Input::default()
        },
        offset,
    );
}
