//! What is known of a build before it runs, for its provenance.

use std::collections::BTreeMap;

use serde_json::Value;
use stagewright_core::digest::Digest;
use stagewright_core::llb::{Definition, Vertices};
use stagewright_core::platform::Platform;

use super::materials::{Found, Materials};

/// What was asked for of the provenance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenanceOptions {
    /// Whether it tells everything: the values of build arguments, names of secrets, the definition and the Dockerfile.
    pub full: bool,
    /// Who built, as an address.
    pub builder: Option<String>,
    /// Whether whoever asks says that the build is reproducible.
    pub reproducible: bool,
    /// What the file is called where the files of the result are put out.
    pub file_name: String,
}

/// Where the build's own files came from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// The repository that is its context, and its commit.
    pub repository: Option<(String, String)>,
    /// The Dockerfile's name.
    pub path: String,
}

/// What the build was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// By the names that `BuildKit`'s frontend has: `build-arg:NAME`, `label:NAME`, `target`.
    pub arguments: BTreeMap<String, String>,
    /// The machine's own platform.
    pub machine: Platform,
}

/// A Dockerfile and what it was planned to.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// Its text.
    pub text: String,
    /// The definition, with where its ops were written.
    pub definition: Definition,
    /// The same, read.
    pub vertices: Vertices,
}

/// When the build began, and what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// RFC 3339.
    pub started: String,
    /// The same for all platforms of one build.
    pub invocation: String,
}

/// What is known of a build for one platform. What it finds out as it runs is noted here too.
#[derive(Debug)]
pub struct Draft {
    pub(super) asked: ProvenanceOptions,
    pub(super) origin: Origin,
    pub(super) request: Request,
    pub(super) written: Written,
    /// None where no clock may be seen in the result.
    pub(super) moment: Option<Moment>,
    pub(super) materials: Materials,
}

impl Draft {
    /// What is known before the build.
    pub fn new(
        asked: ProvenanceOptions,
        origin: Origin,
        request: Request,
        written: Written,
        moment: Option<Moment>,
    ) -> Self {
        Self {
            asked,
            origin,
            request,
            written,
            moment,
            materials: Materials::default(),
        }
    }

    /// The build found out what a source is.
    pub fn note(&self, vertex: &Digest, found: Found) {
        self.materials.note(vertex, found);
    }

    /// What the file is called where the files of the result are put out.
    pub fn file_name(&self) -> &str {
        &self.asked.file_name
    }

    /// Where an op stands in the definition.
    pub fn place_of(&self, vertex: &Digest) -> Option<usize> {
        let mut ops = self.written.vertices.ops.iter();
        ops.position(|op| op.digest == *vertex)
    }

    /// The statement's predicate. `layers` are the blobs that steps gave, as [`Draft::place_of`] numbers them.
    pub fn predicate(&self, finished: &str, layers: &BTreeMap<usize, Vec<Value>>) -> Value {
        super::predicate::predicate(self, finished, layers)
    }
}
