//! `outline`: what a build can be given.

use serde_json::json;

use crate::{Folder, fits, run};

const FILE: &str = "# VERSION is what the program says of itself.\n\
    ARG VERSION=1.2\n\
    FROM alpine:$VERSION AS Main\n\
    RUN --mount=type=secret,id=token,required --mount=type=ssh true\n";

#[test]
fn what_a_build_takes_is_listed() {
    let folder = Folder::with(&[("Dockerfile", FILE)]);
    let (code, output, _) = run(&["outline", &folder.name("")]);
    assert_eq!(code, 0);
    fits(&output);
    let wanted = "main\n\n\
        Arguments (--build-arg NAME=VALUE)\n   2  VERSION = 1.2\n      is what the program says of itself.\n\n\
        Secrets (--secret id=NAME)\n   4  token required\n\n\
        Agents (--ssh NAME)\n   4  default optional\n";
    assert_eq!(output, wanted);
}

#[test]
fn json_has_the_shape_of_the_frontends_answer() {
    let folder = Folder::with(&[("Dockerfile", FILE)]);
    let (code, output, _) = run(&[
        "outline",
        "--format",
        "json",
        "--build-arg",
        "VERSION=3",
        &folder.name(""),
    ]);
    assert_eq!(code, 0);
    let outline: serde_json::Value = serde_json::from_str(&output).unwrap();
    assert_eq!(outline["name"], "main");
    assert_eq!(outline["args"][0]["value"], "3");
    assert_eq!(
        outline["secrets"][0],
        json!({ "name": "token", "required": true, "location": { "ranges": [{ "start": { "line": 4 }, "end": { "line": 4 } }] } })
    );
}

#[test]
fn a_file_with_errors_has_no_outline() {
    let folder = Folder::with(&[("Dockerfile", "FROM alpine\nRUNN x\n")]);
    let (code, output, error) = run(&["outline", &folder.name("")]);
    assert_eq!((code, output.as_str()), (1, ""));
    assert!(
        error.contains("2 | RUNN x") && error.contains("cannot be read: 1 error"),
        "{error}"
    );
}
