//! The examples are planned as the reference implementation plans them, op digest for op digest.
//!
//! `fixtures/examples.json` holds the reference's figures, and for each example an input without its source: every
//! image resolves to the digest of its own name, so that the figures depend on nothing outside. The page is tested
//! with the same file.

#![allow(
    clippy::unwrap_used,
    reason = "a fixture that cannot be read fails the test that needs it"
)]

use std::path::Path;

use serde::Deserialize;
use stagewright_core::llb::{self, Vertices};
use stagewright_core::{Input, analyze};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Example {
    name: String,
    dockerfile: String,
    digests: Vec<String>,
    head: String,
    def_sha256: String,
    input: Input,
}

fn examples() -> Vec<Example> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = std::fs::read_to_string(root.join("tests/fixtures/examples.json")).unwrap();
    let mut examples: Vec<Example> = serde_json::from_str(&text).unwrap();
    for example in &mut examples {
        example.input.source = std::fs::read_to_string(root.join(&example.dockerfile)).unwrap();
    }
    assert!(examples.len() >= 8, "the fixture holds all examples");
    examples
}

#[test]
fn op_digests_equal_the_reference() {
    for example in examples() {
        let analysis = analyze(&example.input);
        assert_eq!(analysis.diagnostics, [], "{}", example.name);
        let definition = analysis.definition.unwrap();
        let digests: Vec<&str> = definition.ops.iter().map(|op| op.digest.as_str()).collect();
        assert_eq!(digests, example.digests, "{}", example.name);
        assert_eq!(
            definition.head.unwrap().as_str(),
            example.head,
            "{}",
            example.name
        );
        assert_eq!(definition.digest.as_str(), example.def_sha256, "{}", example.name);
    }
}

#[test]
fn ops_survive_decoding_and_are_linked() {
    for example in examples() {
        let definition = analyze(&example.input).definition.unwrap();
        for op in &definition.ops {
            let decoded = llb::decode(&op.bytes).unwrap();
            assert_eq!(llb::marshal(&decoded), op.bytes, "{} {}", example.name, op.name);
        }
        let bytes: Vec<&[u8]> = definition.ops.iter().map(|op| op.bytes.as_slice()).collect();
        let vertices = Vertices::decode(&bytes).unwrap();
        assert_eq!(vertices.ops.len() + 1, definition.ops.len());
        let head = vertices
            .head
            .and_then(|head| vertices.ops.get(head.vertex))
            .unwrap();
        assert_eq!(Some(&head.digest), definition.head.as_ref());
    }
}

#[test]
fn every_step_that_changes_files_leads_to_an_op() {
    for example in examples() {
        let analysis = analyze(&example.input);
        let definition = analysis.definition.as_ref().unwrap();
        for stage in analysis.stages.iter().filter(|stage| stage.needed) {
            for step in stage.steps.iter().filter(|step| step.changes_files) {
                let vertex = step.vertex.as_ref().unwrap();
                assert!(
                    definition.ops.iter().any(|op| op.digest == *vertex),
                    "{} {}",
                    example.name,
                    step.text
                );
            }
        }
        for image in &analysis.images {
            assert_eq!(
                image.vertex.is_some(),
                image.needed,
                "{} {}",
                example.name,
                image.name
            );
        }
    }
}
