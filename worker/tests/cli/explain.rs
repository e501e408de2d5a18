//! `explain`: why, and what if.

use crate::{Folder, fits, run};

const FILE: &str = "FROM golang AS build\n\
    COPY go.mod /src/\n\
    RUN fetch\n\
    COPY app.go /src/\n\
    ARG V=1\n\
    RUN make V=$V\n\
    FROM alpine AS spare\n\
    RUN true\n\
    FROM alpine\n\
    COPY --from=build /app /app\n\
    CMD [\"/app\"]\n";

fn explained(arguments: &[&str]) -> String {
    let folder = Folder::with(&[("Dockerfile", FILE)]);
    let file = folder.name("Dockerfile");
    let mut all = vec!["explain", "-f", &file];
    all.extend(arguments);
    let (code, output, error) = run(&all);
    assert_eq!((code, error.as_str()), (0, ""), "{output}");
    fits(&output);
    output
}

#[test]
fn stages_image_and_time_are_explained() {
    let output = explained(&[]);
    assert!(
        output.contains("build built\n") && output.contains("spare not built\n"),
        "{output}"
    );
    assert!(
        output.contains("The image for linux/amd64") && output.contains("runs /app"),
        "{output}"
    );
    assert!(output.contains("what decides:"), "{output}");
}

#[test]
fn one_stage_or_one_line_may_be_asked_for() {
    let output = explained(&["spare"]);
    assert!(
        output.starts_with("spare not built\n") && !output.contains("build built"),
        "{output}"
    );
    let output = explained(&["--of", "6"]);
    assert!(
        output.contains("   6  RUN make V=$V") && output.contains("op sha256:"),
        "{output}"
    );
    let folder = Folder::with(&[("Dockerfile", FILE)]);
    let (code, _, error) = run(&["explain", "-f", &folder.name("Dockerfile"), "--of", "nothing"]);
    assert!(
        code == 2 && error.contains("help: stages are: build, spare"),
        "{error}"
    );
}

#[test]
fn a_change_says_what_reruns_and_why() {
    let output = explained(&["--changed", "app.go"]);
    let outcome = |line: &str, outcome: &str| {
        assert!(
            output
                .lines()
                .any(|row| row.contains(line) && row.contains(outcome)),
            "{line} {outcome}: {output}"
        );
    };
    outcome("RUN fetch", "cached");
    outcome("COPY app.go", "reruns");
    outcome("RUN make", "reruns");
    let output = explained(&["--set-arg", "V=2"]);
    assert!(
        output
            .lines()
            .any(|row| row.contains("COPY app.go") && row.contains("cached")),
        "{output}"
    );
    assert!(
        output
            .lines()
            .any(|row| row.contains("RUN make") && row.contains("reruns")),
        "{output}"
    );
}

#[test]
fn json_holds_all_answers() {
    let folder = Folder::with(&[("Dockerfile", FILE)]);
    let (code, output, _) = run(&[
        "explain",
        "--format",
        "json",
        "--changed",
        "go.mod",
        &folder.name(""),
    ]);
    assert_eq!(code, 0);
    let answer: serde_json::Value = serde_json::from_str(&output).unwrap();
    for part in ["reasons", "schedule", "image", "whatIf"] {
        assert!(answer[part].is_object(), "{part}");
    }
    assert!(answer["trace"].is_null());
}

#[test]
fn a_log_is_laid_over_the_plan() {
    let folder = Folder::with(&[("Dockerfile", FILE), ("log", "nothing of it is a log\n")]);
    let (code, output, _) = run(&["explain", "--trace", &folder.name("log"), &folder.name("")]);
    assert_eq!(code, 0);
    assert!(
        output.contains("0 of ") && output.contains("not seen"),
        "{output}"
    );
}
