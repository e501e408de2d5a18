//! Manifests, indexes and configurations, of the OCI and of Docker, as far as a build needs them.
//!
//! Everything here comes from strangers. Digests and sizes are checked by their types, lists have a longest length,
//! and a descriptor's `urls` and `data` are not even read: content comes from the registry that was asked and nowhere
//! else.

use serde::{Deserialize, Serialize};
use stagewright_core::digest::Digest;
use stagewright_core::platform::Platform;

/// Longest manifest or index that a registry is asked for: no registry has to take longer ones, so none should give them.
pub(crate) const LONGEST_MANIFEST: u64 = 4 << 20;
/// Most layers of one image: an overlay mount takes no more.
const MOST_LAYERS: usize = 500;

/// Media types that manifests are asked for with.
pub(super) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json";

/// Points to a blob or manifest.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub(super) media_type: String,
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) platform: Option<Platform>,
    #[serde(default)]
    pub(super) annotations: std::collections::BTreeMap<String, String>,
}

impl Descriptor {
    pub(super) fn is_index(&self) -> bool {
        matches!(
            self.media_type.as_str(),
            "application/vnd.oci.image.index.v1+json"
                | "application/vnd.docker.distribution.manifest.list.v2+json"
        )
    }

    /// Whether it is a statement about an image rather than one (provenance, SBOM), as `BuildKit` attaches them.
    pub(super) fn is_attestation(&self) -> bool {
        self.annotations.contains_key("vnd.docker.reference.type")
            || self
                .platform
                .as_ref()
                .is_some_and(|platform| platform.os == "unknown")
    }
}

/// An image for one platform.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Manifest {
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
}

/// What a reference or descriptor leads to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Document {
    Index(Vec<Descriptor>),
    Manifest(Manifest),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Either {
    schema_version: Option<u64>,
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
}

impl Document {
    /// Reads a manifest or an index. The error completes the sentence "the image cannot be used: …".
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let either: Either =
            serde_json::from_slice(bytes).map_err(|error| format!("its manifest is malformed: {error}"))?;
        match (either.manifests, either.config, either.layers) {
            (Some(manifests), None, None) => Ok(Self::Index(manifests)),
            (None, Some(_), Some(layers)) if layers.len() > MOST_LAYERS => Err(format!(
                "it has {} layers, and at most {MOST_LAYERS} can be mounted",
                layers.len()
            )),
            (None, Some(config), Some(layers)) => Ok(Self::Manifest(Manifest { config, layers })),
            _ if either.schema_version == Some(1) => {
                Err("its manifest has the format that Docker used before 2016 \
                 (schema 1), which no longer says what its layers are; pull and push it with a newer tool"
                    .to_owned())
            }
            _ => Err("its manifest is neither an image nor an index of images".to_owned()),
        }
    }
}

/// What a build needs of an image's configuration.
#[derive(Debug, Deserialize)]
struct Config {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: String,
    rootfs: RootFs,
}

#[derive(Debug, Deserialize, Serialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Vec<Digest>,
}

/// Reads an image's configuration: what it is for, and the digests of its unpacked layers.
pub(crate) fn parse_config(bytes: &[u8]) -> Result<(Platform, Vec<Digest>), String> {
    let config: Config =
        serde_json::from_slice(bytes).map_err(|error| format!("its configuration is malformed: {error}"))?;
    let platform = Platform {
        os: config.os,
        architecture: config.architecture,
        variant: config.variant,
        ..Platform::default()
    };
    Ok((platform, config.rootfs.diff_ids))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor() -> String {
        format!(r#"{{"mediaType":"x","digest":"{}","size":1}}"#, Digest::of(b"x"))
    }

    #[test]
    fn images_and_indexes_are_told_apart_by_what_they_hold() {
        let one = descriptor();
        let image = format!(r#"{{"schemaVersion":2,"config":{one},"layers":[{one}]}}"#);
        assert!(matches!(
            Document::parse(image.as_bytes()),
            Ok(Document::Manifest(_))
        ));
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{one}]}}"#);
        assert!(matches!(
            Document::parse(index.as_bytes()),
            Ok(Document::Index(_))
        ));
        let both = format!(r#"{{"manifests":[{one}],"config":{one},"layers":[]}}"#);
        assert!(Document::parse(both.as_bytes()).unwrap_err().contains("neither"));
    }

    #[test]
    fn malicious_manifests_are_refused() {
        let one = descriptor();
        let many = vec![one.as_str(); MOST_LAYERS + 1].join(",");
        for (text, expected) in [
            (r#"{"schemaVersion":1,"fsLayers":[]}"#.to_owned(), "schema 1"),
            (
                r#"{"manifests":[{"digest":"sha256:../../x","size":1}]}"#.to_owned(),
                "not a digest",
            ),
            (one.replace("\"size\":1", "\"size\":-1"), "neither"),
            (
                format!(r#"{{"manifests":[{}]}}"#, one.replace(":1}", ":-1}")),
                "invalid value",
            ),
            (format!(r#"{{"config":{one},"layers":[{many}]}}"#), "501 layers"),
            ("[".repeat(100_000), "malformed"),
            (String::new(), "malformed"),
        ] {
            let error = Document::parse(text.as_bytes()).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
