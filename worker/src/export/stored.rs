//! Images as they stand in the content store.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use stagewright_core::digest::Digest;
use stagewright_core::platform::Platform;

use super::ExportError;
use super::assemble::{INDEX_TYPE, ImageIndex, ImageManifest, IndexEntry, MANIFEST_TYPE, Pointer};
use super::attestation::EMPTY_TYPE;
use crate::content::{ContentStore, LONGEST_DOCUMENT};
use crate::source::image::{LayerDescriptor, Push, parse_config};

/// An image in the store, as [`super::assemble`] left it.
pub(super) struct Image {
    pub(super) digest: Digest,
    pub(super) manifest_bytes: Vec<u8>,
    pub(super) manifest: ImageManifest,
    pub(super) config_bytes: Vec<u8>,
    platform: Platform,
    diff_ids: Vec<Digest>,
}

impl Image {
    pub(super) fn read(store: &ContentStore, digest: &Digest) -> Result<Self, ExportError> {
        let bytes = store.read(digest, LONGEST_DOCUMENT)?;
        Self::parse(store, digest, bytes)
    }

    fn parse(store: &ContentStore, digest: &Digest, manifest_bytes: Vec<u8>) -> Result<Self, ExportError> {
        let malformed = |error: serde_json::Error| ExportError::Malformed(error.to_string());
        let manifest: ImageManifest = serde_json::from_slice(&manifest_bytes).map_err(malformed)?;
        let config_bytes = store.read(&manifest.config.digest, LONGEST_DOCUMENT)?;
        // What is stated about an image stands beside it in a list, and is for no platform.
        let (platform, diff_ids) = if manifest.config.media_type == EMPTY_TYPE {
            (
                Platform {
                    os: "unknown".to_owned(),
                    architecture: "unknown".to_owned(),
                    ..Platform::default()
                },
                Vec::new(),
            )
        } else {
            parse_config(&config_bytes).map_err(ExportError::Malformed)?
        };
        Ok(Self {
            digest: digest.clone(),
            manifest_bytes,
            manifest,
            config_bytes,
            platform,
            diff_ids,
        })
    }

    /// The platform that it is for, as an index names it.
    pub(super) fn platform(&self) -> Value {
        let known = &self.platform;
        let mut platform = json!({ "architecture": known.architecture, "os": known.os });
        if !known.variant.is_empty() {
            platform["variant"] = known.variant.clone().into();
        }
        platform
    }

    /// What points to it.
    pub(super) fn entry(&self, annotations: BTreeMap<String, String>) -> IndexEntry {
        IndexEntry {
            media_type: MANIFEST_TYPE.to_owned(),
            digest: self.digest.clone(),
            size: self.manifest_bytes.len() as u64,
            annotations,
            platform: Some(self.platform()),
        }
    }

    /// Its configuration and its layers' blobs.
    pub(super) fn blobs(&self) -> impl Iterator<Item = &Pointer> {
        std::iter::once(&self.manifest.config).chain(&self.manifest.layers)
    }

    pub(super) fn layers(&self) -> Result<Vec<LayerDescriptor>, ExportError> {
        let (layers, ids) = (&self.manifest.layers, &self.diff_ids);
        if layers.len() != ids.len() {
            let reason = format!(
                "it has {} layers, but its configuration speaks of {}",
                layers.len(),
                ids.len()
            );
            return Err(ExportError::Malformed(reason));
        }
        let pairs = layers.iter().zip(ids);
        let layer = |(pointer, diff_id): (&Pointer, &Digest)| LayerDescriptor {
            digest: pointer.digest.clone(),
            diff_id: diff_id.clone(),
            media_type: pointer.media_type.clone(),
            size: pointer.size,
        };
        Ok(pairs.map(layer).collect())
    }
}

/// What a registry is to hold of an image in the store, or of a list of them.
pub fn push_of(store: &ContentStore, root: &Digest) -> Result<Push, ExportError> {
    Ok(Stored::read(store, root)?.push())
}

/// What a name stands for: one image, or a list of them.
pub(super) enum Stored {
    One(Box<Image>),
    Several {
        digest: Digest,
        bytes: Vec<u8>,
        images: Vec<Image>,
    },
}

impl Stored {
    pub(super) fn read(store: &ContentStore, digest: &Digest) -> Result<Self, ExportError> {
        let malformed = |error: serde_json::Error| ExportError::Malformed(error.to_string());
        let bytes = store.read(digest, LONGEST_DOCUMENT)?;
        let document: Value = serde_json::from_slice(&bytes).map_err(malformed)?;
        if document["mediaType"] != INDEX_TYPE {
            return Ok(Self::One(Box::new(Image::parse(store, digest, bytes)?)));
        }
        let index: ImageIndex = serde_json::from_value(document).map_err(malformed)?;
        let images = index
            .manifests
            .iter()
            .map(|entry| Image::read(store, &entry.digest));
        Ok(Self::Several {
            digest: digest.clone(),
            images: images.collect::<Result<_, _>>()?,
            bytes,
        })
    }

    /// All that a registry is to hold of it.
    fn push(&self) -> Push {
        let mut push = Push::default();
        for image in self.images() {
            push.blobs
                .extend(image.blobs().map(|blob| (blob.digest.clone(), blob.size)));
            push.manifests.push((
                image.digest.clone(),
                MANIFEST_TYPE.to_owned(),
                image.manifest_bytes.clone(),
            ));
        }
        if let Self::Several { digest, bytes, .. } = self {
            push.manifests
                .push((digest.clone(), INDEX_TYPE.to_owned(), bytes.clone()));
        }
        push
    }

    pub(super) fn images(&self) -> &[Image] {
        match self {
            Self::One(image) => std::slice::from_ref(image),
            Self::Several { images, .. } => images,
        }
    }

    /// What points to it.
    pub(super) fn entry(&self, annotations: BTreeMap<String, String>) -> IndexEntry {
        match self {
            Self::One(image) => image.entry(annotations),
            Self::Several { digest, bytes, .. } => IndexEntry {
                media_type: INDEX_TYPE.to_owned(),
                digest: digest.clone(),
                size: bytes.len() as u64,
                annotations,
                platform: None,
            },
        }
    }
}
