//! What is known of layers whose tar was seen once: the blob it was compressed to, and its length.
//!
//! ```text
//! <root>/gzip/<diff id>       JSON: digest and size of the blob in the content store, and the tar's length
//! <root>/zstd-9/<diff id>     the same for another encoding
//! <root>/size/<diff id>       JSON: the tar's length, for layers that came compressed
//! <root>/at-<epoch>/<diff id> JSON: the diff id of the same layer without files younger than that
//! ```
//!
//! It is a cache and nothing more: an entry that is torn, or whose blob was removed, counts as none.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use stagewright_core::digest::Digest;

use super::{Encoding, ExportError, compress};
use crate::content::ContentStore;
use crate::source::image::{LayerDescriptor, layer_reader};

const SIZES: &str = "size";

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

impl CompressedLayer {
    /// The blob as a layer of an image.
    pub fn descriptor(self, diff_id: Digest, encoding: Encoding) -> LayerDescriptor {
        LayerDescriptor {
            digest: self.digest,
            diff_id,
            media_type: encoding.media_type().to_owned(),
            size: self.size,
        }
    }
}

impl LayerIndex {
    /// The media type of the blobs that are made here where nothing else is asked for.
    pub const MEDIA_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

    /// Opens the index in the directory `root`, which is made where it is not there.
    pub fn open(root: &Path, store: ContentStore) -> Result<Self, ExportError> {
        for kind in [&Encoding::default().folder(), SIZES] {
            fs::create_dir_all(root.join(kind))?;
        }
        Ok(Self {
            root: root.to_owned(),
            store,
        })
    }

    /// The blob that the layer was compressed to earlier, where it is still there.
    pub fn compressed(&self, diff_id: &Digest) -> Option<CompressedLayer> {
        self.encoded(diff_id, Encoding::default())
    }

    /// The blob that the layer was encoded to earlier, where it is still there.
    pub fn encoded(&self, diff_id: &Digest, encoding: Encoding) -> Option<CompressedLayer> {
        let known: CompressedLayer = self.recall(&encoding.folder(), diff_id)?;
        (self.store.size(&known.digest) == Some(known.size)).then_some(known)
    }

    /// Encodes the tar that `fill` writes; it gives the tar's digest and length, the digest being `expected` where
    /// that is known. The tar itself is kept nowhere.
    pub fn encode(
        &self,
        encoding: Encoding,
        expected: Option<&Digest>,
        fill: impl FnOnce(&mut dyn Write) -> io::Result<(Digest, u64)>,
    ) -> Result<(Digest, CompressedLayer), ExportError> {
        let mut writer = self.store.writer()?;
        let layer_error = |source| ExportError::Layer {
            layer: expected
                .map_or("in the making", |digest| digest.short())
                .to_owned(),
            source,
        };
        let (diff_id, unpacked_size) = compress::encode(encoding, &mut writer, fill).map_err(layer_error)?;
        if let Some(expected) = expected.filter(|expected| **expected != diff_id) {
            let reason = format!("the tar of layer {expected} is another one now: {diff_id}");
            return Err(ExportError::Malformed(reason));
        }
        let (digest, size) = writer.commit()?;
        let made = CompressedLayer {
            digest,
            size,
            unpacked_size,
        };
        self.remember(&encoding.folder(), &diff_id, &made);
        if encoding != Encoding::default() {
            self.remember(SIZES, &diff_id, &unpacked_size);
        }
        Ok((diff_id, made))
    }

    /// Takes a blob that came from elsewhere as what the layer is encoded to: its digest, its length, and that of the tar
    /// in it. Whoever says so has looked at all of it.
    pub fn adopt(
        &self,
        encoding: Encoding,
        diff_id: &Digest,
        (digest, size, unpacked_size): (Digest, u64, u64),
    ) {
        let known = CompressedLayer {
            digest,
            size,
            unpacked_size,
        };
        self.remember(&encoding.folder(), diff_id, &known);
    }

    /// What the layer is called once no file in it is younger than `epoch`, where that was found out before.
    pub fn rewritten(&self, diff_id: &Digest, epoch: i64) -> Option<Digest> {
        self.recall(&format!("at-{epoch}"), diff_id)
    }

    /// Remembers what [`LayerIndex::rewritten`] gives.
    pub fn remember_rewritten(&self, diff_id: &Digest, epoch: i64, rewritten: &Digest) {
        self.remember(&format!("at-{epoch}"), diff_id, rewritten);
    }

    /// Length of a layer's tar in bytes. Reads the whole layer where it is not known.
    pub fn unpacked_size(&self, layer: &LayerDescriptor) -> Result<u64, ExportError> {
        let default = Encoding::default().folder();
        if let Some(known) = self.recall::<CompressedLayer>(&default, &layer.diff_id) {
            return Ok(known.unpacked_size);
        }
        if let Some(known) = self.recall(SIZES, &layer.diff_id) {
            return Ok(known);
        }
        let layer_error = |source| ExportError::Layer {
            layer: layer.diff_id.short().to_owned(),
            source,
        };
        let size = layer_reader(&self.store, layer, u64::MAX)?
            .finish()
            .map_err(layer_error)?;
        self.remember(SIZES, &layer.diff_id, &size);
        Ok(size)
    }

    /// Forgets the blobs that were removed. Where there are none, nothing is known of the layer.
    pub fn forget_missing(&self) {
        let Ok(kinds) = fs::read_dir(&self.root) else {
            return;
        };
        let encoded = |kind: &fs::DirEntry| {
            let name = kind.file_name();
            let name = name.to_string_lossy();
            ["gzip", "zstd", "plain"]
                .iter()
                .any(|start| name.starts_with(start))
        };
        let entries = kinds
            .flatten()
            .filter(encoded)
            .filter_map(|kind| fs::read_dir(kind.path()).ok())
            .flatten();
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
        let written = fs::create_dir_all(self.root.join(kind))
            .and_then(|()| serde_json::to_vec(value).map_err(io::Error::other))
            .and_then(|bytes| fs::write(&temporary, bytes))
            .and_then(|()| fs::rename(&temporary, &path));
        if let Err(error) = written {
            tracing::warn!("cannot remember layer {}: {error}", diff_id.short());
        }
    }
}
