//! What is known of layers whose tar was seen once: the blob it was compressed to, and its length.
//!
//! ```text
//! <root>/gzip/<diff id>    JSON: digest and size of the blob in the content store, and the tar's length
//! <root>/size/<diff id>    JSON: the tar's length, for layers that came compressed
//! ```
//!
//! It is a cache and nothing more: an entry that is torn, or whose blob was removed, counts as none.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use stagewright_core::digest::Digest;

use super::{ExportError, compress};
use crate::content::ContentStore;
use crate::source::image::{LayerDescriptor, layer_reader};

/// Compressed blobs and lengths by diff id. Clones share the directory.
#[derive(Debug, Clone)]
pub struct LayerIndex {
    root: PathBuf,
    store: ContentStore,
}

/// A layer's blob, made from its tar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CompressedLayer {
    /// sha256 of the blob.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// Length of the tar in bytes.
    pub unpacked_size: u64,
}

impl LayerIndex {
    /// The media type of the blobs made here.
    pub const MEDIA_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

    /// Opens the index in the directory `root`, which is made where it is not there.
    pub fn open(root: &Path, store: ContentStore) -> Result<Self, ExportError> {
        for kind in ["gzip", "size"] {
            fs::create_dir_all(root.join(kind))?;
        }
        Ok(Self {
            root: root.to_owned(),
            store,
        })
    }

    /// The blob that the layer was compressed to earlier, where it is still there.
    pub fn compressed(&self, diff_id: &Digest) -> Option<CompressedLayer> {
        let known: CompressedLayer = self.recall("gzip", diff_id)?;
        (self.store.size(&known.digest) == Some(known.size)).then_some(known)
    }

    /// Compresses a layer's tar, unless that was done before.
    pub fn compress(&self, diff_id: &Digest, tar: &Path) -> Result<CompressedLayer, ExportError> {
        if let Some(known) = self.compressed(diff_id) {
            return Ok(known);
        }
        let layer_error = |source| ExportError::Layer {
            layer: diff_id.short().to_owned(),
            source,
        };
        let mut writer = self.store.writer()?;
        let mut input = File::open(tar).map_err(layer_error)?;
        let (actual, unpacked_size) = compress::gzip(&mut input, &mut writer).map_err(layer_error)?;
        if actual != *diff_id {
            let reason = format!("the tar of layer {diff_id} is another one now: {actual}");
            return Err(ExportError::Malformed(reason));
        }
        let (digest, size) = writer.commit()?;
        let made = CompressedLayer {
            digest,
            size,
            unpacked_size,
        };
        self.remember("gzip", diff_id, &made);
        Ok(made)
    }

    /// Length of a layer's tar in bytes. Reads the whole layer where it is not known.
    pub fn unpacked_size(&self, layer: &LayerDescriptor) -> Result<u64, ExportError> {
        if let Some(known) = self.recall::<CompressedLayer>("gzip", &layer.diff_id) {
            return Ok(known.unpacked_size);
        }
        if let Some(known) = self.recall("size", &layer.diff_id) {
            return Ok(known);
        }
        let layer_error = |source| ExportError::Layer {
            layer: layer.diff_id.short().to_owned(),
            source,
        };
        let size = layer_reader(&self.store, layer, u64::MAX)?
            .finish()
            .map_err(layer_error)?;
        self.remember("size", &layer.diff_id, &size);
        Ok(size)
    }

    /// Forgets the blobs that were removed. Where there are none, nothing is known of the layer.
    pub fn forget_missing(&self) {
        let Ok(entries) = fs::read_dir(self.root.join("gzip")) else {
            return;
        };
        for entry in entries.flatten() {
            let known = fs::read(entry.path())
                .ok()
                .and_then(|text| serde_json::from_slice::<CompressedLayer>(&text).ok());
            if known.is_none_or(|known| !self.store.path(&known.digest).exists()) {
                // It counts as none while it is there, too.
                _ = fs::remove_file(entry.path());
            }
        }
    }

    fn recall<T: DeserializeOwned>(&self, kind: &str, diff_id: &Digest) -> Option<T> {
        serde_json::from_slice(&fs::read(self.root.join(kind).join(diff_id.hex())).ok()?).ok()
    }

    /// What cannot be remembered is found out again the next time.
    fn remember<T: Serialize>(&self, kind: &str, diff_id: &Digest, value: &T) {
        let path = self.root.join(kind).join(diff_id.hex());
        let temporary = path.with_extension(format!("{:?}", std::thread::current().id()));
        let written = serde_json::to_vec(value)
            .map_err(std::io::Error::other)
            .and_then(|bytes| fs::write(&temporary, bytes))
            .and_then(|()| fs::rename(&temporary, &path));
        if let Err(error) = written {
            tracing::warn!("cannot remember layer {}: {error}", diff_id.short());
        }
    }
}
