//! `diff`: in what two builds differ.

use stagewright_core::insight::Diff;

use crate::{Folder, fits, run, run_with};

const BEFORE: &str =
    "FROM golang:1.20 AS build\nRUN make\nFROM alpine\nCOPY --from=build /app /app\nCMD [\"/app\"]\n";
const AFTER: &str = "FROM golang:1.21 AS build\nRUN make all\nFROM alpine\nENV A=b\nCOPY --from=build /app /app\nCMD [\"/app\"]\n";

#[test]
fn steps_and_settings_that_differ_are_shown() {
    let folder = Folder::with(&[("a", BEFORE), ("b", AFTER)]);
    let (code, output, error) = run(&["diff", &folder.name("a"), &folder.name("b")]);
    assert_eq!((code, error.as_str()), (1, ""));
    fits(&output);
    assert!(
        output.contains("    -    2  RUN make\n    +    2  RUN make all\n"),
        "{output}"
    );
    assert!(output.contains("    +    4  ENV A=b\n"), "{output}");
    assert!(
        output.contains("golang:1.20") && output.contains("golang:1.21"),
        "{output}"
    );
    let (code, json, _) = run(&["diff", "--format", "json", &folder.name("a"), &folder.name("b")]);
    let diff: Diff = serde_json::from_str(&json).unwrap();
    assert_eq!((code, diff.same_build), (1, false));
}

#[test]
fn another_look_is_no_other_build() {
    let folder = Folder::with(&[("a", BEFORE)]);
    let other = BEFORE.replace("FROM alpine", "# The program alone.\nfrom   alpine");
    let (code, output, _) = run_with(&["diff", &folder.name("a"), "-"], &other);
    assert_eq!(code, 0, "{output}");
    assert!(output.contains("The same build"), "{output}");
    assert_eq!(run(&["diff", &folder.name("a"), &folder.name("nothing")]).0, 2);
}
