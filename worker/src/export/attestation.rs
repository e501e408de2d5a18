//! Statements about an image, as manifests beside it in a list of images (`BuildKit`'s attestation storage).

use std::collections::BTreeMap;

use serde_json::json;
use stagewright_core::digest::Digest;

use super::ExportError;
use super::assemble::{IndexEntry, MANIFEST_TYPE};
use crate::content::ContentStore;

/// The media type of a statement.
const STATEMENT_TYPE: &str = "application/vnd.in-toto+json";

/// What a manifest of statements is.
const ARTIFACT_TYPE: &str = "application/vnd.docker.attestation.manifest.v1+json";
/// The media type of a configuration that says nothing (OCI image specification, "Guidance for an Empty Descriptor").
pub(crate) const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";

/// A manifest of statements about an image, in the content store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    /// The manifest's digest.
    digest: Digest,
    /// Its length in bytes.
    size: u64,
    /// The manifest of the image that it speaks of.
    about: Digest,
}

impl Attestation {
    /// Puts a statement about the image `about`, which is in the store, there too, and what leads to it.
    pub fn put(
        store: &ContentStore,
        about: &Digest,
        predicate: &str,
        statement: &[u8],
    ) -> Result<Self, ExportError> {
        let size = store.size(about).unwrap_or_default();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": ARTIFACT_TYPE,
            "config": { "mediaType": EMPTY_TYPE, "digest": store.put(b"{}")?, "size": 2, "data": "e30=" },
            "layers": [{
                "mediaType": STATEMENT_TYPE,
                "digest": store.put(statement)?,
                "size": statement.len(),
                "annotations": { "in-toto.io/predicate-type": predicate },
            }],
            "subject": { "mediaType": MANIFEST_TYPE, "digest": about, "size": size },
        });
        let manifest = manifest.to_string();
        Ok(Self {
            digest: store.put(manifest.as_bytes())?,
            size: manifest.len() as u64,
            about: about.clone(),
        })
    }

    /// What points to it.
    pub(super) fn entry(&self) -> IndexEntry {
        IndexEntry {
            media_type: MANIFEST_TYPE.to_owned(),
            digest: self.digest.clone(),
            size: self.size,
            annotations: BTreeMap::from([
                ("vnd.docker.reference.digest".to_owned(), self.about.to_string()),
                (
                    "vnd.docker.reference.type".to_owned(),
                    "attestation-manifest".to_owned(),
                ),
            ]),
            platform: Some(json!({ "architecture": "unknown", "os": "unknown" })),
        }
    }
}
