//! The language, construct by construct: planned, checked and described as the reference implementation does it.
//!
//! Each file of `fixtures/language` holds one construct and is named after it; `fixtures/language.json` has the
//! reference's answers, some files under several options. Every image resolves to the digest of its own name, with a
//! configuration that has a default `PATH` only, unless a case brings one. The module for web pages is tested with the
//! same file.

#![allow(
    clippy::unwrap_used,
    reason = "a fixture that cannot be read fails the test that needs it"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use stagewright_core::analysis::{ImageFacts, Options};
use stagewright_core::digest::Digest;
use stagewright_core::lint::{Origin, Scope, lint};
use stagewright_core::{Input, analyze, calls};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    /// The construct, and behind a colon what is special about the case.
    name: String,
    dockerfile: String,
    options: Options,
    /// Configurations of images, by reference.
    #[serde(default)]
    configurations: BTreeMap<String, Value>,
    digests: Vec<String>,
    head: Option<String>,
    def_sha256: String,
    image: Value,
    /// Ops that must not come from the cache, by index.
    #[serde(default)]
    ignore_cache: Vec<usize>,
    /// Rules and lines, `FromAsCasing 2-2`, of a build of the target.
    lint: Vec<String>,
    /// The same of a check, which looks at all stages where no target is named.
    check: Vec<String>,
    /// Left out where the reference's answer differs from run to run.
    outline: Option<Value>,
    /// Left out where the reference has no answer.
    targets: Option<Value>,
}

fn root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn cases() -> Vec<(Case, Input)> {
    let text = std::fs::read_to_string(root().join("tests/fixtures/language.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_str(&text).unwrap();
    let with_input = |case: Case| {
        let mut input = Input {
            source: std::fs::read_to_string(root().join(&case.dockerfile)).unwrap(),
            options: case.options.clone(),
        };
        // What a base image's triggers name is known only once the base is.
        while look_up(&case, &mut input) {}
        (case, input)
    };
    cases.into_iter().map(with_input).collect()
}

/// Answers for the images that are still unresolved; whether there were any.
fn look_up(case: &Case, input: &mut Input) -> bool {
    let analysis = analyze(input);
    let unresolved = analysis.images.iter().filter(|image| !image.resolved);
    let mut found = false;
    for image in unresolved {
        found = true;
        let digest = match image.reference.split_once('@') {
            Some((_, digest)) => digest.parse().unwrap(),
            None => Digest::of(image.reference.as_bytes()),
        };
        let usual = || {
            json!({
                "architecture": "amd64",
                "os": "linux",
                "config": { "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"] },
                "rootfs": { "type": "layers", "diff_ids": [Digest::of(b"")] },
            })
        };
        let facts = ImageFacts {
            digest,
            config: case
                .configurations
                .get(&image.reference)
                .cloned()
                .unwrap_or_else(usual),
            size: 0,
            note: None,
        };
        input.options.images.insert(image.reference.clone(), facts);
    }
    found
}

#[test]
fn ops_and_image_equal_the_reference() {
    for (case, input) in cases() {
        let analysis = analyze(&input);
        assert!(
            !analysis.has_errors(),
            "{}: {:?}",
            case.name,
            analysis.diagnostics
        );
        let definition = analysis.definition.unwrap();
        let digests: Vec<&str> = definition.ops.iter().map(|op| op.digest.as_str()).collect();
        assert_eq!(digests, case.digests, "{}", case.name);
        let head = definition.head.as_ref().map(Digest::as_str);
        assert_eq!(head, case.head.as_deref(), "{}", case.name);
        assert_eq!(definition.digest.as_str(), case.def_sha256, "{}", case.name);
        let fresh = definition.ops.iter().enumerate();
        let fresh: Vec<usize> = fresh
            .filter(|(_, op)| op.ignore_cache)
            .map(|(index, _)| index)
            .collect();
        assert_eq!(fresh, case.ignore_cache, "{}", case.name);
        assert_eq!(
            analysis.image_config.unwrap().to_value(),
            case.image,
            "{}",
            case.name
        );
    }
}

#[test]
fn lint_equals_the_reference() {
    for (case, input) in cases() {
        // A check of a named target looks at what that needs.
        let whole = if case.options.target.is_some() {
            Scope::Target
        } else {
            Scope::All
        };
        for (scope, expected) in [(Scope::Target, &case.lint), (whole, &case.check)] {
            let found = lint(&input, scope);
            let found = found
                .iter()
                .filter(|finding| finding.origin == Origin::Reference && !finding.beyond_error);
            let found = found
                .map(|finding| format!("{} {}-{}", finding.rule, finding.lines.start, finding.lines.end));
            let mut found: Vec<String> = found.collect();
            found.sort();
            assert_eq!(&found, expected, "{} {scope:?}", case.name);
        }
    }
}

#[test]
fn outline_and_targets_equal_the_reference() {
    for (case, input) in cases() {
        if let Some(expected) = &case.outline {
            let outline = calls::outline(&input).unwrap();
            assert_eq!(&in_order(json!(outline)), expected, "{}", case.name);
        }
        if let Some(expected) = &case.targets {
            let targets = calls::targets(&input.source).unwrap();
            assert_eq!(&json!(targets), expected, "{}", case.name);
        }
    }
}

/// What stands on one line has no order in the reference.
fn in_order(mut outline: Value) -> Value {
    for key in ["args", "secrets", "ssh"] {
        if let Some(Value::Array(entries)) = outline.get_mut(key) {
            entries.sort_by_key(|entry| {
                let line = entry.pointer("/location/ranges/0/start/line");
                (
                    line.and_then(Value::as_u64),
                    entry["name"].as_str().map(str::to_owned),
                )
            });
        }
    }
    outline
}

#[test]
fn every_file_has_a_case_and_every_case_a_name_of_its_own() {
    let cases = cases();
    let names: BTreeSet<&str> = cases.iter().map(|(case, _)| case.name.as_str()).collect();
    assert_eq!(names.len(), cases.len());
    let used: BTreeSet<&str> = cases.iter().map(|(case, _)| case.dockerfile.as_str()).collect();
    for file in std::fs::read_dir(root().join("tests/fixtures/language")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let path = format!("tests/fixtures/language/{name}");
        assert!(used.contains(path.as_str()), "{path} has no case");
    }
}

/// All instructions are in the fixtures, so that one that is added brings its own.
#[test]
fn every_instruction_has_a_fixture() {
    const INSTRUCTIONS: [&str; 18] = [
        "ADD",
        "ARG",
        "CMD",
        "COPY",
        "ENTRYPOINT",
        "ENV",
        "EXPOSE",
        "FROM",
        "HEALTHCHECK",
        "LABEL",
        "MAINTAINER",
        "ONBUILD",
        "RUN",
        "SHELL",
        "STOPSIGNAL",
        "USER",
        "VOLUME",
        "WORKDIR",
    ];
    let cases = cases();
    let (_, input) = cases
        .iter()
        .find(|(case, _)| case.name == "all-instructions")
        .unwrap();
    for instruction in INSTRUCTIONS {
        let begins = |line: &str| line.split_whitespace().next() == Some(instruction);
        assert!(input.source.lines().any(begins), "{instruction}");
    }
}
