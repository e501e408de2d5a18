//! An image as one tar, written as it goes.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};

use serde::Deserialize;
use serde_json::json;
use stagewright_core::digest::Digest;
use tar::{Builder, EntryType, Header};

use super::assemble::{ImageManifest, MANIFEST_TYPE};
use super::{ExportError, LayerIndex};
use crate::content::ContentStore;
use crate::source::image::reference::Reference;
use crate::source::image::{LayerDescriptor, layer_reader};

/// Longest manifest and configuration that are read back.
const LONGEST_DOCUMENT: u64 = 16 << 20;

/// Writes an image as a tar of an OCI image layout, as `docker buildx build -o type=oci` does.
pub fn oci_archive(
    store: &ContentStore,
    manifest: &Digest,
    names: &[Reference],
    out: impl Write,
) -> Result<(), ExportError> {
    let image = Image::read(store, manifest)?;
    let mut archive = Archive::new(out);
    archive.file(
        "oci-layout",
        json!({ "imageLayoutVersion": "1.0.0" }).to_string().as_bytes(),
    )?;
    let entry = |name: Option<&Reference>| {
        let mut entry = json!({
            "mediaType": MANIFEST_TYPE,
            "digest": manifest,
            "size": image.manifest_bytes.len(),
            "platform": image.config.platform(),
        });
        if let Some(name) = name {
            entry["annotations"] = json!({
                "io.containerd.image.name": name.to_string(),
                "org.opencontainers.image.ref.name": name.tag().unwrap_or("latest"),
            });
        }
        entry
    };
    // An image of several names is there once for each of them.
    let entries = match names {
        [] => vec![entry(None)],
        names => names.iter().map(|name| entry(Some(name))).collect(),
    };
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": entries,
    });
    archive.file("index.json", index.to_string().as_bytes())?;
    archive.directory("blobs/")?;
    archive.directory("blobs/sha256/")?;
    archive.file(&blob_path(manifest), &image.manifest_bytes)?;
    let mut written = BTreeSet::from([manifest]);
    let pointers = std::iter::once(&image.manifest.config).chain(&image.manifest.layers);
    for pointer in pointers.filter(|pointer| written.insert(&pointer.digest)) {
        archive.stream(
            &blob_path(&pointer.digest),
            pointer.size,
            store.open_blob(&pointer.digest)?,
        )?;
    }
    archive.finish()
}

/// Writes an image as the tar that `docker save` writes and `docker load` reads.
pub fn docker_archive(
    store: &ContentStore,
    index: &LayerIndex,
    manifest: &Digest,
    names: &[Reference],
    out: impl Write,
) -> Result<(), ExportError> {
    let image = Image::read(store, manifest)?;
    let layers = image.layers()?;
    let config_path = format!("{}.json", image.manifest.config.digest.hex());
    let layer_path = |layer: &LayerDescriptor| format!("{}.tar", layer.diff_id.hex());
    let listing = json!([{
        "Config": config_path,
        "RepoTags": names.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "Layers": layers.iter().map(layer_path).collect::<Vec<_>>(),
    }]);
    let mut archive = Archive::new(out);
    archive.file("manifest.json", listing.to_string().as_bytes())?;
    archive.file(&config_path, &image.config_bytes)?;
    let mut written = BTreeSet::new();
    for layer in layers.iter().filter(|layer| written.insert(&layer.diff_id)) {
        let size = index.unpacked_size(layer)?;
        let mut reader = layer_reader(store, layer, u64::MAX)?;
        archive.stream(&layer_path(layer), size, &mut reader)?;
        let layer_error = |source| ExportError::Layer {
            layer: layer.diff_id.short().to_owned(),
            source,
        };
        let actual = reader.finish().map_err(layer_error)?;
        if actual != size {
            let reason = format!(
                "layer {} has {actual} bytes, but {size} were remembered",
                layer.diff_id
            );
            return Err(ExportError::Malformed(reason));
        }
    }
    archive.finish()
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// An image in the store, as [`super::assemble`] left it.
struct Image {
    manifest_bytes: Vec<u8>,
    manifest: ImageManifest,
    config_bytes: Vec<u8>,
    config: ConfigParts,
}

#[derive(Deserialize)]
struct ConfigParts {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: String,
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<Digest>,
}

impl ConfigParts {
    fn platform(&self) -> serde_json::Value {
        let mut platform = json!({ "architecture": self.architecture, "os": self.os });
        if !self.variant.is_empty() {
            platform["variant"] = self.variant.clone().into();
        }
        platform
    }
}

impl Image {
    fn read(store: &ContentStore, digest: &Digest) -> Result<Self, ExportError> {
        let malformed = |error: serde_json::Error| ExportError::Malformed(error.to_string());
        let manifest_bytes = store.read(digest, LONGEST_DOCUMENT)?;
        let manifest: ImageManifest = serde_json::from_slice(&manifest_bytes).map_err(malformed)?;
        let config_bytes = store.read(&manifest.config.digest, LONGEST_DOCUMENT)?;
        let config = serde_json::from_slice(&config_bytes).map_err(malformed)?;
        Ok(Self {
            manifest_bytes,
            manifest,
            config_bytes,
            config,
        })
    }

    fn layers(&self) -> Result<Vec<LayerDescriptor>, ExportError> {
        let (layers, ids) = (&self.manifest.layers, &self.config.rootfs.diff_ids);
        if layers.len() != ids.len() {
            let reason = format!(
                "it has {} layers, but its configuration speaks of {}",
                layers.len(),
                ids.len()
            );
            return Err(ExportError::Malformed(reason));
        }
        let pairs = layers.iter().zip(ids);
        let layer = |(pointer, diff_id): (&super::assemble::Pointer, &Digest)| LayerDescriptor {
            digest: pointer.digest.clone(),
            diff_id: diff_id.clone(),
            media_type: pointer.media_type.clone(),
            size: pointer.size,
        };
        Ok(pairs.map(layer).collect())
    }
}

/// A tar whose bytes depend on its entries alone.
struct Archive<W: Write> {
    builder: Builder<W>,
}

impl<W: Write> Archive<W> {
    fn new(out: W) -> Self {
        Self {
            builder: Builder::new(out),
        }
    }

    fn file(&mut self, path: &str, bytes: &[u8]) -> Result<(), ExportError> {
        self.stream(path, bytes.len() as u64, bytes)
    }

    fn directory(&mut self, path: &str) -> Result<(), ExportError> {
        let mut header = header(EntryType::Directory, 0o755, 0);
        Ok(self.builder.append_data(&mut header, path, io::empty())?)
    }

    /// Adds a file of exactly `size` bytes: a tar cannot take back what it announced.
    fn stream(&mut self, path: &str, size: u64, content: impl Read) -> Result<(), ExportError> {
        let mut header = header(EntryType::Regular, 0o644, size);
        let mut content = Counted {
            inner: content.take(size),
            count: 0,
        };
        self.builder.append_data(&mut header, path, &mut content)?;
        if content.count == size {
            return Ok(());
        }
        let reason = format!("{path} has {} bytes instead of {size}", content.count);
        Err(ExportError::Malformed(reason))
    }

    fn finish(self) -> Result<(), ExportError> {
        Ok(self.builder.into_inner()?.flush()?)
    }
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header
}

struct Counted<R> {
    inner: R,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
