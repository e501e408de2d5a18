//! An image's manifest, and all it points to, in the content store.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stagewright_core::digest::Digest;
use stagewright_core::protocol::{ImageLayer, ImageSummary};

use super::attestation::Attestation;
use super::stored::Image;
use super::{ExportError, ImageOptions, LayerIndex};
use crate::content::{ContentStore, LONGEST_DOCUMENT};
use crate::source::image::LayerDescriptor;

/// A layer to put into an image.
#[derive(Debug, Clone, PartialEq)]
pub struct ExportLayer {
    /// Its blob, as it stands in the store.
    pub blob: LayerDescriptor,
    /// The step that made it; the image source's for layers of a base image.
    pub vertex: Option<Digest>,
}

/// The media type of an image's manifest.
pub const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of a list of images.
pub const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";

/// Points to a blob. Fields stand in the order of the OCI image specification.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pointer {
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// An image's manifest as it is written here.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ImageManifest {
    pub(crate) schema_version: u32,
    pub(crate) media_type: String,
    pub(crate) config: Pointer,
    pub(crate) layers: Vec<Pointer>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

/// A list of images for several platforms.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImageIndex {
    pub(super) schema_version: u32,
    pub(super) media_type: String,
    pub(super) manifests: Vec<IndexEntry>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: BTreeMap<String, String>,
}

/// An image in an [`ImageIndex`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct IndexEntry {
    pub(super) media_type: String,
    pub(super) digest: Digest,
    pub(super) size: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) platform: Option<serde_json::Value>,
}

/// Puts an image together in the store: writes manifest and configuration (OCI image specification) for layers whose
/// blobs are there. `config` is what [`super::finish_config`] gave for these layers.
pub fn assemble(
    store: &ContentStore,
    layers: &[ExportLayer],
    config: &[u8],
    options: &ImageOptions,
) -> Result<ImageSummary, ExportError> {
    let mut pointers = Vec::new();
    let mut summary_layers = Vec::new();
    for ExportLayer { blob, vertex } in layers {
        if !options.unmade && !store.contains_whole(&blob.digest, blob.size) {
            return Err(ExportError::Malformed(format!(
                "the layer {} is not here any more; run the build again",
                blob.digest
            )));
        }
        summary_layers.push(ImageLayer {
            digest: blob.digest.clone(),
            diff_id: blob.diff_id.clone(),
            size: blob.size,
            vertex: vertex.clone(),
        });
        pointers.push(Pointer {
            media_type: oci_media_type(&blob.media_type),
            digest: blob.digest.clone(),
            size: blob.size,
        });
    }
    if config.len() as u64 > LONGEST_DOCUMENT {
        return Err(ExportError::Malformed(format!(
            "its configuration has {} bytes, and nobody reads one of more than {LONGEST_DOCUMENT}",
            config.len()
        )));
    }
    let config_digest = store.put(config)?;
    let manifest = ImageManifest {
        schema_version: 2,
        media_type: MANIFEST_TYPE.to_owned(),
        config: Pointer {
            media_type: CONFIG_TYPE.to_owned(),
            digest: config_digest.clone(),
            size: config.len() as u64,
        },
        layers: pointers,
        annotations: options.annotations.clone(),
    };
    Ok(ImageSummary {
        digest: put(store, &manifest)?,
        config: config_digest,
        size: summary_layers.iter().map(|layer| layer.size).sum(),
        layers: summary_layers,
    })
}

/// Puts a list of images into the store, each with the annotations of what points to it, and after them what is stated
/// about them. Which platform each is for its configuration says.
pub fn assemble_index(
    store: &ContentStore,
    images: &[(Digest, BTreeMap<String, String>)],
    attestations: &[Attestation],
    annotations: &BTreeMap<String, String>,
) -> Result<Digest, ExportError> {
    let mut manifests = Vec::new();
    for (digest, annotations) in images {
        manifests.push(Image::read(store, digest)?.entry(annotations.clone()));
    }
    manifests.extend(attestations.iter().map(Attestation::entry));
    let index = ImageIndex {
        schema_version: 2,
        media_type: INDEX_TYPE.to_owned(),
        manifests,
        annotations: annotations.clone(),
    };
    put(store, &index)
}

fn put(store: &ContentStore, document: &impl Serialize) -> Result<Digest, ExportError> {
    let bytes = serde_json::to_vec(document).map_err(|error| ExportError::Malformed(error.to_string()))?;
    Ok(store.put(&bytes)?)
}

/// Docker's media types of layers in the OCI's words: a manifest has either the ones or the others.
fn oci_media_type(media_type: &str) -> String {
    match media_type {
        "application/vnd.docker.image.rootfs.diff.tar.gzip"
        | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => LayerIndex::MEDIA_TYPE.to_owned(),
        "application/vnd.docker.image.rootfs.diff.tar" => "application/vnd.oci.image.layer.v1.tar".to_owned(),
        "application/vnd.docker.image.rootfs.diff.tar.zstd" => {
            "application/vnd.oci.image.layer.v1.tar+zstd".to_owned()
        }
        other => other.to_owned(),
    }
}
