//! An image as one tar, written as it goes, or as a folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::json;
use stagewright_core::digest::Digest;
use tar::{Builder, EntryType, Header};

use super::assemble::{INDEX_TYPE, ImageIndex};
use super::stored::Stored;
use super::{ExportError, LayerIndex, NewFile, ahead};
use crate::content::ContentStore;
use crate::source::image::reference::Reference;
use crate::source::image::{LayerDescriptor, layer_reader};

/// What the length of everything in a tar is a multiple of.
const BLOCK: usize = 512;

/// What is said of an image where it is written to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Naming {
    /// What it is called; it may have no name.
    pub names: Vec<Reference>,
    /// The annotations of what points to it.
    pub annotations: BTreeMap<String, String>,
}

impl From<Reference> for Naming {
    fn from(name: Reference) -> Self {
        Self {
            names: vec![name],
            annotations: BTreeMap::new(),
        }
    }
}

/// Writes an image, or a list of them, as a tar of an OCI image layout, as `docker buildx build -o type=oci` does.
pub fn oci_archive(
    store: &ContentStore,
    root: &Digest,
    naming: &Naming,
    out: impl Write,
) -> Result<(), ExportError> {
    let mut archive = Archive::new(out);
    oci(store, root, naming, &mut archive)?;
    archive.finish()
}

/// Writes the same as a folder. What is in it already stays, but for the list of images, which is this one's. It ends early
/// where it is not `wanted` any more, and leaves nothing half written.
pub fn oci_layout(
    store: &ContentStore,
    root: &Digest,
    naming: &Naming,
    folder: &Path,
    wanted: &(dyn Fn() -> bool + Sync),
) -> Result<(), ExportError> {
    fs::create_dir_all(folder)?;
    let mut layout = Folder {
        path: folder.to_owned(),
        wanted,
    };
    oci(store, root, naming, &mut layout)
}

fn oci(
    store: &ContentStore,
    root: &Digest,
    naming: &Naming,
    layout: &mut dyn Layout,
) -> Result<(), ExportError> {
    let stored = Stored::read(store, root)?;
    layout.directory("blobs/")?;
    layout.directory("blobs/sha256/")?;
    let mut written = BTreeSet::new();
    if let Stored::Several { digest, bytes, .. } = &stored {
        layout.file(&blob_path(digest), bytes)?;
    }
    for image in stored.images() {
        if written.insert(&image.digest) {
            layout.file(&blob_path(&image.digest), &image.manifest_bytes)?;
        }
        for blob in image.blobs().filter(|blob| written.insert(&blob.digest)) {
            let mut content = store.open_checked(&blob.digest)?;
            layout.stream(&blob_path(&blob.digest), blob.size, &mut content)?;
        }
    }
    layout.file(
        "oci-layout",
        json!({ "imageLayoutVersion": "1.0.0" }).to_string().as_bytes(),
    )?;
    let entry = |name: Option<&Reference>| {
        let mut annotations = naming.annotations.clone();
        if let Some(name) = name {
            annotations.insert("io.containerd.image.name".into(), name.to_string());
            annotations.insert(
                "org.opencontainers.image.ref.name".into(),
                name.tag().unwrap_or("latest").to_owned(),
            );
        }
        stored.entry(annotations)
    };
    // An image of several names is there once for each of them.
    let manifests = match naming.names.as_slice() {
        [] => vec![entry(None)],
        names => names.iter().map(|name| entry(Some(name))).collect(),
    };
    let index = ImageIndex {
        schema_version: 2,
        media_type: INDEX_TYPE.to_owned(),
        manifests,
        annotations: BTreeMap::new(),
    };
    let index = serde_json::to_vec(&index).map_err(|error| ExportError::Malformed(error.to_string()))?;
    // What it names is there by now.
    layout.file("index.json", &index)
}

/// Writes an image as the tar that `docker save` writes and `docker load` reads.
pub fn docker_archive(
    store: &ContentStore,
    index: &LayerIndex,
    root: &Digest,
    naming: &Naming,
    out: impl Write,
) -> Result<(), ExportError> {
    let Stored::One(image) = Stored::read(store, root)? else {
        return Err(ExportError::Malformed(
            "an archive for docker load holds an image for one platform; write an OCI archive of several, or build \
             for one"
                .to_owned(),
        ));
    };
    let layers = image.layers()?;
    let config_path = format!("{}.json", image.manifest.config.digest.hex());
    let layer_path = |layer: &LayerDescriptor| format!("{}.tar", layer.diff_id.hex());
    let listing = json!([{
        "Config": config_path,
        "RepoTags": naming.names.iter().map(ToString::to_string).collect::<Vec<_>>(),
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

/// Where the files of an OCI layout go.
trait Layout {
    fn file(&mut self, path: &str, bytes: &[u8]) -> Result<(), ExportError> {
        self.stream(path, bytes.len() as u64, &mut &*bytes)
    }

    fn directory(&mut self, path: &str) -> Result<(), ExportError>;

    /// Adds a file of exactly `size` bytes.
    fn stream(&mut self, path: &str, size: u64, content: &mut (dyn Read + Send)) -> Result<(), ExportError>;
}

/// A layout as a folder. Its blobs are known by their content, so one that is there is not written again.
struct Folder<'w> {
    path: PathBuf,
    wanted: &'w (dyn Fn() -> bool + Sync),
}

impl Layout for Folder<'_> {
    fn directory(&mut self, path: &str) -> Result<(), ExportError> {
        Ok(fs::create_dir_all(self.path.join(path))?)
    }

    fn stream(&mut self, path: &str, size: u64, content: &mut (dyn Read + Send)) -> Result<(), ExportError> {
        let place = self.path.join(path);
        let is_blob = path.starts_with("blobs/");
        if is_blob && fs::metadata(&place).is_ok_and(|there| there.len() == size) {
            return Ok(());
        }
        let mut file = NewFile::create(&place)?;
        let count = ahead::pieces(content, |piece| {
            if !(self.wanted)() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            file.file().write_all(piece)
        })?;
        if count != size {
            let reason = format!("{path} has {count} bytes instead of {size}");
            return Err(ExportError::Malformed(reason));
        }
        Ok(file.finish()?)
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

    fn finish(self) -> Result<(), ExportError> {
        Ok(self.builder.into_inner()?.flush()?)
    }
}

impl<W: Write> Layout for Archive<W> {
    fn directory(&mut self, path: &str) -> Result<(), ExportError> {
        let mut header = header(EntryType::Directory, 0o755, 0);
        Ok(self.builder.append_data(&mut header, path, io::empty())?)
    }

    /// A tar cannot take back what it announced.
    fn stream(&mut self, path: &str, size: u64, content: &mut (dyn Read + Send)) -> Result<(), ExportError> {
        let mut header = header(EntryType::Regular, 0o644, size);
        header.set_path(path)?;
        header.set_cksum();
        let out = self.builder.get_mut();
        out.write_all(header.as_bytes())?;
        let count = ahead::pieces(&mut content.take(size), |piece| out.write_all(piece))?;
        if count != size {
            let reason = format!("{path} has {count} bytes instead of {size}");
            return Err(ExportError::Malformed(reason));
        }
        let padding = usize::try_from(size.wrapping_neg() % BLOCK as u64).unwrap_or(0);
        Ok(out.write_all([0; BLOCK].get(..padding).unwrap_or_default())?)
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

#[cfg(test)]
mod tests;
