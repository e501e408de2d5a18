//! What an image is made of, as it stands in the content store.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use stagewright_core::digest::Digest;
use stagewright_core::platform::Platform;

use crate::content::{ContentError, ContentStore, LONGEST_DOCUMENT};
use crate::source::image::parse_config;

/// How deep indexes may nest.
const DEEPEST: usize = 4;

/// An image for one platform.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Parts {
    /// Its manifest's digest.
    pub digest: Digest,
    /// What it is for.
    pub platform: Platform,
    /// Digest of the configuration: what Docker calls the image's id.
    pub config_digest: Digest,
    /// The configuration.
    pub config: Value,
    /// Its layers, lowest first.
    pub layers: Vec<Part>,
    /// The bytes of manifest, configuration and layers.
    pub size: u64,
}

/// A layer of an image.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    /// sha256 of the blob.
    pub digest: Digest,
    /// sha256 of the tar in it.
    pub diff_id: Option<Digest>,
    /// The blob's media type.
    pub media_type: String,
    /// The blob's length in bytes.
    pub size: u64,
}

/// Points to a blob.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pointer {
    pub(super) digest: Digest,
    #[serde(default)]
    pub(super) media_type: String,
    #[serde(default)]
    pub(super) size: u64,
    #[serde(default)]
    pub(super) annotations: std::collections::BTreeMap<String, String>,
}

/// A manifest, or an index of manifests.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Document {
    #[serde(default)]
    pub(super) manifests: Vec<Pointer>,
    pub(super) config: Option<Pointer>,
    /// Some programs write nothing where there are none.
    #[serde(default, deserialize_with = "list")]
    pub(super) layers: Vec<Pointer>,
}

fn list<'de, D: Deserializer<'de>>(layers: D) -> Result<Vec<Pointer>, D::Error> {
    Ok(Option::deserialize(layers)?.unwrap_or_default())
}

/// An image is not whole, or not one.
#[derive(Debug, thiserror::Error)]
pub enum BrokenImage {
    /// A part of it is lacking, or cannot be read.
    #[error("the image {image} is not whole: {source}")]
    Part {
        /// The image.
        image: Digest,
        /// What is wrong.
        source: ContentError,
    },
    /// A layer has another length than the manifest says.
    #[error("the image {image} is not whole: its layer {layer} has {actual} bytes instead of {expected}")]
    Size {
        /// The image.
        image: Digest,
        /// The layer.
        layer: Digest,
        /// What the manifest says.
        expected: u64,
        /// What is there.
        actual: u64,
    },
    /// It cannot be understood.
    #[error("{image} is no image: {reason}")]
    Malformed {
        /// What was taken for an image.
        image: Digest,
        /// Why it is none.
        reason: String,
    },
}

/// The images behind `digest`, one for each platform that is here whole. Where there is only one it has to be whole.
pub fn read(content: &ContentStore, digest: &Digest) -> Result<Vec<Parts>, BrokenImage> {
    let mut images = Vec::new();
    let mut first_error = None;
    let mut open = vec![(digest.clone(), 0)];
    // Lists may name each other and themselves again and again; each is looked at once.
    let mut seen = BTreeSet::new();
    while let Some((digest, depth)) = open.pop() {
        if !seen.insert(digest.clone()) {
            continue;
        }
        match document(content, &digest) {
            Ok((document, _)) if !document.manifests.is_empty() => {
                if depth < DEEPEST {
                    let entries = document.manifests.into_iter().rev();
                    open.extend(entries.map(|entry| (entry.digest, depth + 1)));
                }
            }
            Ok((document, size)) => match parts(content, &digest, &document, size) {
                Ok(image) => images.push(image),
                Err(error) => first_error = first_error.or(Some(error)),
            },
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    // Statements about images (provenance, lists of contents) stand in an index like images for no platform.
    let is_statement = |image: &Parts| image.platform.os == "unknown";
    if !images.iter().all(is_statement) {
        images.retain(|image| !is_statement(image));
    }
    match (images.is_empty(), first_error) {
        (true, Some(error)) => Err(error),
        (true, None) => Err(BrokenImage::Malformed {
            image: digest.clone(),
            reason: "its index is empty".to_owned(),
        }),
        (false, _) => Ok(images),
    }
}

fn document(content: &ContentStore, digest: &Digest) -> Result<(Document, u64), BrokenImage> {
    let bytes = content
        .read(digest, LONGEST_DOCUMENT)
        .map_err(|source| BrokenImage::Part {
            image: digest.clone(),
            source,
        })?;
    let document = serde_json::from_slice(&bytes).map_err(|error| malformed(digest, &error))?;
    Ok((document, bytes.len() as u64))
}

fn parts(
    content: &ContentStore,
    digest: &Digest,
    document: &Document,
    manifest_size: u64,
) -> Result<Parts, BrokenImage> {
    let Some(config_pointer) = &document.config else {
        return Err(malformed(digest, &"it has neither a configuration nor manifests"));
    };
    let part_error = |source| BrokenImage::Part {
        image: digest.clone(),
        source,
    };
    let bytes = content
        .read(&config_pointer.digest, LONGEST_DOCUMENT)
        .map_err(part_error)?;
    let config: Value = serde_json::from_slice(&bytes).map_err(|error| malformed(digest, &error))?;
    let (platform, diff_ids) = parse_config(&bytes).map_err(|reason| malformed(digest, &reason))?;
    if diff_ids.len() != document.layers.len() {
        let reason = format!(
            "it has {} layers, but its configuration speaks of {}",
            document.layers.len(),
            diff_ids.len()
        );
        return Err(malformed(digest, &reason));
    }
    let mut layers = Vec::new();
    let mut size = manifest_size + bytes.len() as u64;
    for (pointer, diff_id) in document.layers.iter().zip(diff_ids) {
        match content.size(&pointer.digest) {
            None => return Err(part_error(ContentError::Missing(pointer.digest.clone()))),
            Some(actual) if actual != pointer.size => {
                return Err(BrokenImage::Size {
                    image: digest.clone(),
                    layer: pointer.digest.clone(),
                    expected: pointer.size,
                    actual,
                });
            }
            Some(_) => {}
        }
        size = size.saturating_add(pointer.size);
        layers.push(Part {
            digest: pointer.digest.clone(),
            diff_id: Some(diff_id),
            media_type: pointer.media_type.clone(),
            size: pointer.size,
        });
    }
    Ok(Parts {
        digest: digest.clone(),
        platform,
        config_digest: config_pointer.digest.clone(),
        config,
        layers,
        size,
    })
}

fn malformed(image: &Digest, reason: &dyn std::fmt::Display) -> BrokenImage {
    BrokenImage::Malformed {
        image: image.clone(),
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn image(content: &ContentStore, architecture: &str) -> Digest {
        let layer = content.put(architecture.as_bytes()).unwrap();
        let config = json!({
            "os": "linux", "architecture": architecture,
            "rootfs": { "type": "layers", "diff_ids": [layer] },
        });
        let config = content.put(config.to_string().as_bytes()).unwrap();
        let manifest = json!({
            "schemaVersion": 2,
            "config": { "digest": config, "size": 1 },
            "layers": [{ "digest": layer, "size": architecture.len(), "mediaType": "x" }],
        });
        content.put(manifest.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn an_index_gives_the_images_that_are_here_whole() {
        let folder = tempfile::tempdir().unwrap();
        let content = ContentStore::open(folder.path()).unwrap();
        let (amd64, arm64) = (image(&content, "amd64"), image(&content, "arm64"));
        let index = json!({ "manifests": [{ "digest": amd64 }, { "digest": arm64 }, { "digest": Digest::of(b"no") }] });
        let index = content.put(index.to_string().as_bytes()).unwrap();
        let images = read(&content, &index).unwrap();
        let digests: Vec<_> = images.iter().map(|image| &image.digest).collect();
        assert_eq!(digests, [&amd64, &arm64]);
        assert_eq!(images[1].platform.architecture, "arm64");
        assert_eq!(images[0].layers[0].size, 5);
    }

    #[test]
    fn an_image_that_lacks_a_layer_or_has_a_torn_one_is_not_whole() {
        let folder = tempfile::tempdir().unwrap();
        let content = ContentStore::open(folder.path()).unwrap();
        let digest = image(&content, "amd64");
        let layer = Digest::of(b"amd64");
        std::fs::write(content.path(&layer), "am").unwrap();
        let error = read(&content, &digest).unwrap_err().to_string();
        assert!(error.contains("has 2 bytes instead of 5"), "{error}");
        content.remove(&layer).unwrap();
        let error = read(&content, &digest).unwrap_err().to_string();
        assert!(error.contains("is not whole"), "{error}");
        let error = read(&content, &content.put(b"[]").unwrap()).unwrap_err();
        assert!(error.to_string().contains("is no image"), "{error}");
    }
}
