//! Statements about an image, as manifests beside it in a list of images (`BuildKit`'s attestation storage).

use std::collections::BTreeMap;

use serde_json::json;
use stagewright_core::digest::Digest;

use super::ExportError;
use super::assemble::{CONFIG_TYPE, IndexEntry, MANIFEST_TYPE};
use crate::content::ContentStore;

/// The media type of a statement.
const STATEMENT_TYPE: &str = "application/vnd.in-toto+json";

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
    /// Puts a statement about the image `about` into the store, and what leads to it.
    pub fn put(
        store: &ContentStore,
        about: &Digest,
        predicate: &str,
        statement: &[u8],
    ) -> Result<Self, ExportError> {
        let digest = store.put(statement)?;
        // It is for no platform, so that nobody takes it for an image to run.
        let config = json!({
            "architecture": "unknown",
            "os": "unknown",
            "config": {},
            "rootfs": { "type": "layers", "diff_ids": [digest] },
        });
        let config = config.to_string();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": { "mediaType": CONFIG_TYPE, "digest": store.put(config.as_bytes())?, "size": config.len() },
            "layers": [{
                "mediaType": STATEMENT_TYPE,
                "digest": digest,
                "size": statement.len(),
                "annotations": { "in-toto.io/predicate-type": predicate },
            }],
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
