//! An image's manifest, and all it points to, in the content store.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use stagewright_core::digest::Digest;
use stagewright_core::protocol::{ImageLayer, ImageSummary};

use super::{ExportError, ImageOptions, LayerIndex};
use crate::content::ContentStore;
use crate::source::image::LayerDescriptor;

/// A layer to put into an image.
#[derive(Debug, Clone, PartialEq)]
pub struct ExportLayer {
    /// sha256 of its tar.
    pub diff_id: Digest,
    /// Where its content is.
    pub content: LayerContent,
    /// The step that made it; the image source's for layers of a base image.
    pub vertex: Option<Digest>,
}

/// Where a layer's content is.
#[derive(Debug, Clone, PartialEq)]
pub enum LayerContent {
    /// An uncompressed tar.
    Tar(PathBuf),
    /// A blob in the content store, as it came from a registry.
    Blob(LayerDescriptor),
}

pub(super) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";

/// Points to a blob. Fields stand in the order of the OCI image specification.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pointer {
    pub(super) media_type: String,
    pub(super) digest: Digest,
    pub(super) size: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImageManifest {
    pub(super) schema_version: u32,
    pub(super) media_type: String,
    pub(super) config: Pointer,
    pub(super) layers: Vec<Pointer>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: BTreeMap<String, String>,
}

/// Puts an image together in the store: compresses the layers that are not compressed yet, and writes configuration
/// and manifest (OCI image specification). `config` is what [`super::finish_config`] gave for these layers.
///
/// Takes as long as the compression does: not for a thread that others wait for.
pub fn assemble(
    store: &ContentStore,
    index: &LayerIndex,
    layers: &[ExportLayer],
    config: &[u8],
    options: &ImageOptions,
) -> Result<ImageSummary, ExportError> {
    let mut pointers = Vec::new();
    let mut summary_layers = Vec::new();
    for layer in layers {
        let pointer = pointer(store, index, layer)?;
        summary_layers.push(ImageLayer {
            digest: pointer.digest.clone(),
            diff_id: layer.diff_id.clone(),
            size: pointer.size,
            vertex: layer.vertex.clone(),
        });
        pointers.push(pointer);
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
    let bytes = serde_json::to_vec(&manifest).map_err(|error| ExportError::Malformed(error.to_string()))?;
    Ok(ImageSummary {
        digest: store.put(&bytes)?,
        config: config_digest,
        size: summary_layers.iter().map(|layer| layer.size).sum(),
        layers: summary_layers,
    })
}

fn pointer(store: &ContentStore, index: &LayerIndex, layer: &ExportLayer) -> Result<Pointer, ExportError> {
    match &layer.content {
        LayerContent::Tar(tar) => {
            let made = index.compress(&layer.diff_id, tar)?;
            let media_type = LayerIndex::MEDIA_TYPE.to_owned();
            Ok(Pointer {
                media_type,
                digest: made.digest,
                size: made.size,
            })
        }
        LayerContent::Blob(blob) if !store.contains(&blob.digest) => Err(ExportError::Malformed(format!(
            "the base image's layer {} is not here any more; run the build again",
            blob.digest
        ))),
        LayerContent::Blob(blob) => Ok(Pointer {
            media_type: oci_media_type(&blob.media_type),
            digest: blob.digest.clone(),
            size: blob.size,
        }),
    }
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
