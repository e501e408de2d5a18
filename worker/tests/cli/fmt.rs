//! `fmt`: to standard output, in place, or only to see whether.

use crate::{Folder, run, run_with};

const UGLY: &str = "from alpine as build\nrun a \\\n  b\n";

#[test]
fn the_result_goes_to_standard_output_and_changes_no_file() {
    let folder = Folder::with(&[("Dockerfile", UGLY)]);
    let (code, output, error) = run(&["fmt", &folder.name("Dockerfile")]);
    assert_eq!((code, error.as_str()), (0, ""));
    assert!(output.starts_with("FROM alpine AS build\n"), "{output}");
    assert_eq!(folder.text("Dockerfile"), UGLY);
    assert_eq!(run_with(&["fmt", "-"], UGLY).1, output);
}

#[test]
fn check_names_the_files_and_write_mends_them() {
    let folder = Folder::with(&[("a", UGLY), ("b", "FROM alpine\n")]);
    let (a, b) = (folder.name("a"), folder.name("b"));
    let (code, output, _) = run(&["fmt", "--check", &a, &b]);
    assert_eq!((code, output), (1, format!("{a} is not formatted\n")));
    let (code, output, _) = run(&["fmt", "--write", &a, &b]);
    assert_eq!((code, output), (0, format!("{a} is formatted\n")));
    assert!(folder.text("a").starts_with("FROM alpine AS build\n"));
    assert_eq!(run(&["fmt", "--check", &a, &b]).0, 0);
}

#[test]
fn diff_shows_the_lines_before_and_after() {
    let folder = Folder::with(&[("Dockerfile", UGLY)]);
    let (code, output, _) = run(&["fmt", "--diff", &folder.name("Dockerfile")]);
    assert_eq!(code, 0);
    assert!(
        output.contains("\n-from alpine as build\n") && output.contains("\n+FROM alpine AS build\n"),
        "{output}"
    );
}

#[test]
fn what_cannot_be_done_is_said_with_what_to_do() {
    let folder = Folder::with(&[("a", UGLY), ("b", UGLY)]);
    for arguments in [
        &["fmt", &folder.name("a"), &folder.name("b")][..],
        &["fmt", &folder.name("nothing")],
        &["fmt", "--write", "-"],
    ] {
        let (code, output, error) = run_with(arguments, UGLY);
        assert_eq!((code, output.as_str()), (2, ""), "{arguments:?}");
        assert!(error.contains("help: "), "{error}");
    }
}
