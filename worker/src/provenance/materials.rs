//! What a build was made from: images, repositories and files of others, each with what tells it from any other.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use stagewright_core::digest::Digest;
use stagewright_core::llb::{OpKind, Vertices};
use stagewright_core::platform::Platform;

use super::package;
use crate::source::http::shown;
use crate::source::image::reference::Reference;

/// What only the build finds out of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The commit of a repository, and its address.
    Commit {
        /// Where it is.
        url: String,
        /// Its name.
        commit: String,
    },
    /// The content of a file; none where it is not known any more.
    File(Option<Digest>),
}

/// What was found, by the digests of the ops that asked.
#[derive(Debug, Default)]
pub(super) struct Materials(Mutex<BTreeMap<Digest, Found>>);

/// What a definition reads.
pub(super) struct Listed {
    /// What is named and can be told apart.
    pub(super) dependencies: Vec<Value>,
    /// Build contexts, by name.
    pub(super) locals: Vec<String>,
    /// Whether all that was read is among the dependencies, with what tells it apart.
    pub(super) complete: bool,
}

impl Materials {
    pub(super) fn note(&self, vertex: &Digest, found: Found) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(vertex.clone(), found);
    }

    /// Images first, then repositories, then files, each once.
    pub(super) fn list(&self, vertices: &Vertices) -> Listed {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut images, mut repositories, mut files) = (Vec::new(), Vec::new(), Vec::new());
        let mut locals = Vec::new();
        let mut complete = true;
        for vertex in &vertices.ops {
            let Some(OpKind::Source(source)) = &vertex.op.kind else {
                continue;
            };
            let (scheme, rest) = source
                .identifier
                .split_once("://")
                .unwrap_or((source.identifier.as_str(), ""));
            match (scheme, known.get(&vertex.digest)) {
                ("docker-image", _) => {
                    let platform = vertex.op.platform.as_ref().map(|platform| Platform {
                        os: platform.os.clone(),
                        architecture: platform.architecture.clone(),
                        variant: platform.variant.clone(),
                        ..Platform::default()
                    });
                    let Ok(name) = rest.parse::<Reference>() else {
                        continue;
                    };
                    let digest = name.digest().map(|digest| json!({ "sha256": digest.hex() }));
                    complete &= digest.is_some();
                    images.push(material(&package::url(&name, platform.as_ref()), digest.as_ref()));
                }
                ("local", _) => {
                    complete = false;
                    locals.push(rest.to_owned());
                }
                ("git", Some(Found::Commit { url, commit })) => {
                    repositories.push(material(&shown(url), Some(&commit_digest(commit))));
                }
                ("http" | "https", Some(Found::File(content))) => {
                    let digest = content.as_ref().map(|content| json!({ "sha256": content.hex() }));
                    complete &= digest.is_some();
                    files.push(material(&shown(&source.identifier), digest.as_ref()));
                }
                _ => complete = false,
            }
        }
        let mut dependencies: Vec<Value> = Vec::new();
        for found in images.into_iter().chain(repositories).chain(files) {
            if !dependencies.contains(&found) {
                dependencies.push(found);
            }
        }
        locals.dedup();
        Listed {
            dependencies,
            locals,
            complete,
        }
    }
}

/// A commit as the digest of a source; which hash it is shows by its length.
pub(super) fn commit_digest(commit: &str) -> Value {
    let kind = if commit.len() == 64 { "sha256" } else { "sha1" };
    json!({ kind: commit })
}

fn material(uri: &str, digest: Option<&Value>) -> Value {
    match digest {
        Some(digest) => json!({ "uri": uri, "digest": digest }),
        None => json!({ "uri": uri }),
    }
}
