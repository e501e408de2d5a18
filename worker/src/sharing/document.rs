//! What is known of steps, as one JSON document.
//!
//! The same records give the same bytes. Everything read from one comes from strangers: its length has a bound, and
//! sizes in it are bounds for what is fetched, never promises.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stagewright_core::digest::Digest;

/// The media type of the document, which is the configuration of a cache's manifest.
pub(super) const CONFIG_TYPE: &str = "application/vnd.stagewright.cache.config.v1+json";
/// What it is called in the configuration of an image that carries its own cache.
pub const IMAGE_KEY: &str = "stagewright.cache.v1";
/// Longest document that is read.
pub(super) const LONGEST: u64 = 16 << 20;
/// Its version; another one is not read.
const VERSION: u32 = 1;

/// What a cache knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheDocument {
    /// Always the one that this program reads.
    pub version: u32,
    /// Steps by their keys, and what came of them.
    pub records: BTreeMap<Digest, SharedRecord>,
    /// The blobs of layers, by the layers' diff ids. A step whose layer has none is known all the same: those that
    /// follow it are found by it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub layers: BTreeMap<Digest, SharedBlob>,
    /// Checksums of files in layers, by what they are of, so that no layer has to be here to find one out again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub checksums: BTreeMap<Digest, Digest>,
    /// What addresses gave, by the question.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub answers: BTreeMap<Digest, SharedAnswer>,
}

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SharedRecord {
    /// sha256 of the layer's tar.
    pub diff_id: Digest,
    /// The step's name.
    #[serde(default)]
    pub step: String,
    /// When it ran, RFC 3339. It is in the history of an image.
    pub created: String,
    /// Size of the tar in bytes.
    pub unpacked_size: u64,
    /// Entries that are new.
    pub added: u64,
    /// Entries that changed.
    pub changed: u64,
    /// Entries that were removed.
    pub removed: u64,
}

/// A layer as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SharedBlob {
    /// Its media type.
    pub media_type: String,
    /// sha256 of the blob.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
}

/// What an address gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SharedAnswer {
    /// What the server called that state of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// When the server says that it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
    /// The checksum that it was asked to have, and had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
    /// sha256 of a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Digest>,
    /// The key of the record that it became.
    pub result: Digest,
}

impl Default for CacheDocument {
    fn default() -> Self {
        Self {
            version: VERSION,
            records: BTreeMap::new(),
            layers: BTreeMap::new(),
            checksums: BTreeMap::new(),
            answers: BTreeMap::new(),
        }
    }
}

impl CacheDocument {
    /// Reads a document. The error completes a sentence that begins with the cache's name.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let malformed = |error: serde_json::Error| format!("holds a cache that cannot be read: {error}");
        let Version { version } = serde_json::from_slice(bytes).map_err(malformed)?;
        if version != VERSION {
            return Err(format!(
                "holds a cache of version {version}, which another stagewright wrote; this one reads version {VERSION}"
            ));
        }
        serde_json::from_slice(bytes).map_err(malformed)
    }

    /// What is in either; where both know something, this one counts.
    pub(super) fn join(&mut self, other: Self) {
        fn fill<T>(own: &mut BTreeMap<Digest, T>, other: BTreeMap<Digest, T>) {
            for (key, value) in other {
                own.entry(key).or_insert(value);
            }
        }
        fill(&mut self.records, other.records);
        fill(&mut self.layers, other.layers);
        fill(&mut self.checksums, other.checksums);
        fill(&mut self.answers, other.answers);
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_read_back_and_one_of_another_version_is_not() {
        let mut document = CacheDocument::default();
        let (key, layer) = (Digest::of(b"key"), Digest::of(b"tar"));
        let record = SharedRecord {
            diff_id: layer.clone(),
            step: "RUN make".into(),
            created: "2026-01-01T00:00:00Z".into(),
            unpacked_size: 1,
            added: 2,
            changed: 3,
            removed: 4,
        };
        document.records.insert(key, record);
        let blob = SharedBlob {
            media_type: "x".into(),
            digest: Digest::of(b"blob"),
            size: 5,
        };
        document.layers.insert(layer.clone(), blob);
        document.checksums.insert(Digest::of(b"of"), layer);
        let bytes = document.to_bytes().unwrap();
        assert_eq!(CacheDocument::parse(&bytes), Ok(document));
        let newer = String::from_utf8(bytes)
            .unwrap()
            .replace("\"version\":1", "\"version\":2");
        let error = CacheDocument::parse(newer.as_bytes()).unwrap_err();
        assert!(error.contains("version 2"), "{error}");
        for text in ["", "{}", "[", r#"{"version":1,"records":{"sha256:../x":{}}}"#] {
            assert!(CacheDocument::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(CacheDocument::parse("[".repeat(100_000).as_bytes()).is_err());
    }
}
