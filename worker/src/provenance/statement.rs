//! A predicate with what it is about (in-toto attestation framework, statement v1, as `BuildKit` writes it).

use serde_json::{Value, json};
use stagewright_core::digest::Digest;
use stagewright_core::platform::Platform;

use super::package;
use crate::source::image::reference::Reference;

/// The predicate's type.
pub const PREDICATE: &str = "https://slsa.dev/provenance/v1";
const STATEMENT: &str = "https://in-toto.io/Statement/v1";

/// What a statement is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    name: String,
    digest: Digest,
}

impl Subject {
    /// A file, by its path.
    pub fn file(path: String, digest: Digest) -> Self {
        Self { name: path, digest }
    }

    /// An image for one platform, under each of its names.
    pub fn image(names: &[Reference], platform: &Platform, digest: &Digest) -> Vec<Self> {
        let called = |name: String| Self {
            name,
            digest: digest.clone(),
        };
        match names {
            [] => vec![called("_".to_owned())],
            names => names
                .iter()
                .map(|name| called(package::url(name, Some(platform))))
                .collect(),
        }
    }
}

/// The statement.
pub fn statement(subjects: &[Subject], predicate: &Value) -> Value {
    let subjects: Vec<Value> = subjects
        .iter()
        .map(|subject| json!({ "name": subject.name, "digest": { "sha256": subject.digest.hex() } }))
        .collect();
    json!({
        "_type": STATEMENT,
        "predicateType": PREDICATE,
        "subject": subjects,
        "predicate": predicate,
    })
}
