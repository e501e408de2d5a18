//! `targets`: which stages can be built.

use crate::{Folder, fits, run};

const FILE: &str = "# build makes the program.\n\
    FROM --platform=$BUILDPLATFORM golang AS build\n\
    FROM alpine\n";

#[test]
fn stages_are_listed_with_what_they_start_from() {
    let folder = Folder::with(&[("Dockerfile", FILE)]);
    let (code, output, _) = run(&["targets", &folder.name("")]);
    assert_eq!(code, 0);
    fits(&output);
    let wanted = "   2  build     from golang for $BUILDPLATFORM\n      makes the program.\n   \
        3  (no name) from alpine, built by default\n";
    assert_eq!(output, wanted);
}

#[test]
fn json_has_the_shape_of_the_frontends_answer() {
    let folder = Folder::with(&[("Dockerfile", FILE)]);
    let (code, output, _) = run(&["targets", "--format", "json", &folder.name("")]);
    assert_eq!(code, 0);
    let targets: serde_json::Value = serde_json::from_str(&output).unwrap();
    assert_eq!(targets["targets"][0]["name"], "build");
    assert_eq!(targets["targets"][1]["default"], true);
}

#[test]
fn a_file_without_stages_has_no_targets() {
    let folder = Folder::with(&[("Dockerfile", "ARG A\n")]);
    let (code, output, error) = run(&["targets", &folder.name("")]);
    assert_eq!(
        (code, output.as_str()),
        (0, "There is no stage in this file.\n"),
        "{error}"
    );
    let folder = Folder::with(&[("Dockerfile", "# nothing\n")]);
    let (code, output, error) = run(&["targets", &folder.name("")]);
    assert_eq!((code, output.as_str()), (1, ""));
    assert!(error.contains("help: "), "{error}");
}
