//! What a build has to share, gathered and written.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use stagewright_core::digest::Digest;

use super::document::CONFIG_TYPE;
use super::place::{NAME, blob_path};
use super::{CacheDocument, Place, SharedBlob, SharingError};
use crate::content::ContentStore;
use crate::export::{Encoding, MANIFEST_TYPE};
use crate::source::image::Push;

/// A cache that is to be written once all builds that it is of are through, such as those of several platforms.
#[derive(Debug)]
pub struct CacheExport {
    /// Where to.
    pub place: Place,
    /// Whether the layers of all steps are in it, rather than those of the result only.
    pub all: bool,
    /// How layers are encoded; as in the image where nothing is said.
    pub encoding: Option<Encoding>,
    /// What the builds gave, or why one could not.
    gathered: Mutex<Vec<Result<CacheDocument, SharingError>>>,
}

/// A cache that was put together in the content store.
#[derive(Debug)]
pub struct Written {
    /// Digest of its manifest.
    pub manifest: Digest,
    /// All that a registry is to hold of it.
    pub push: Push,
    /// How many steps it knows, and how many of their layers it has.
    pub counts: (usize, usize),
}

impl CacheExport {
    /// One that nothing was gathered for.
    pub fn new(place: Place, all: bool, encoding: Option<Encoding>) -> Self {
        Self {
            place,
            all,
            encoding,
            gathered: Mutex::default(),
        }
    }

    /// Takes what a build has to share.
    pub fn gather(&self, document: Result<CacheDocument, SharingError>) {
        self.gathered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(document);
    }

    /// Puts what was gathered together as one cache.
    pub fn put_together(&self, content: &ContentStore) -> Result<Written, SharingError> {
        let gathered = std::mem::take(&mut *self.gathered.lock().unwrap_or_else(PoisonError::into_inner));
        let mut document = CacheDocument::default();
        for part in gathered {
            document.join(part?);
        }
        let bytes = document.to_bytes().map_err(SharingError::of)?;
        let config = content.put(&bytes).map_err(SharingError::of)?;
        let mut push = Push::default();
        push.blobs.insert(config.clone(), bytes.len() as u64);
        let mut seen = BTreeSet::new();
        let mut layers: Vec<SharedBlob> = document
            .layers
            .values()
            .filter(|blob| seen.insert(blob.digest.clone()))
            .cloned()
            .collect();
        if layers.is_empty() {
            // A manifest has to have a layer (OCI image specification, "Guidance for an Empty Descriptor").
            layers.push(SharedBlob {
                media_type: "application/vnd.oci.empty.v1+json".to_owned(),
                digest: content.put(b"{}").map_err(SharingError::of)?,
                size: 2,
            });
        }
        push.blobs
            .extend(layers.iter().map(|blob| (blob.digest.clone(), blob.size)));
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": { "mediaType": CONFIG_TYPE, "digest": config, "size": bytes.len() },
            "layers": layers,
        });
        let manifest = manifest.to_string().into_bytes();
        let digest = content.put(&manifest).map_err(SharingError::of)?;
        push.manifests
            .push((digest.clone(), MANIFEST_TYPE.to_owned(), manifest));
        Ok(Written {
            manifest: digest,
            push,
            counts: (document.records.len(), document.layers.len()),
        })
    }
}

impl Written {
    /// Writes the cache to a folder in the OCI image layout, under a name. What is there under other names stays.
    pub fn to_folder(&self, content: &ContentStore, folder: &Path, tag: &str) -> Result<(), SharingError> {
        let failed = |error: &dyn std::fmt::Display| {
            SharingError(format!(
                "the cache cannot be written to {}: {error}",
                folder.display()
            ))
        };
        fs::create_dir_all(folder.join("blobs/sha256")).map_err(|error| failed(&error))?;
        let documents = self.push.manifests.iter().map(|(digest, ..)| digest);
        for digest in self.push.blobs.keys().chain(documents) {
            let place = blob_path(folder, digest);
            let size = self.push.blobs.get(digest).copied();
            if size.is_some() && fs::metadata(&place).ok().map(|there| there.len()) == size {
                continue;
            }
            let mut blob = content.open_checked(digest).map_err(|error| failed(&error))?;
            write(&place, &mut blob).map_err(|error| failed(&error))?;
        }
        write(
            &folder.join("oci-layout"),
            &mut br#"{"imageLayoutVersion":"1.0.0"}"#.as_slice(),
        )
        .map_err(|error| failed(&error))?;
        let mut entries = entries(folder);
        entries.retain(|entry| entry["annotations"][NAME] != tag);
        let size = self.push.manifests.first().map_or(0, |(_, _, bytes)| bytes.len());
        entries.push(json!({
            "mediaType": MANIFEST_TYPE, "digest": self.manifest, "size": size, "annotations": { NAME: tag },
        }));
        let index = json!({ "schemaVersion": 2, "manifests": entries }).to_string();
        // Last, so that it never names what is not there.
        write(&folder.join("index.json"), &mut index.as_bytes()).map_err(|error| failed(&error))
    }
}

/// The entries that a layout has; none where it is none yet.
fn entries(folder: &Path) -> Vec<Value> {
    let index: Option<Value> = fs::read(folder.join("index.json"))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    index
        .and_then(|index| index["manifests"].as_array().cloned())
        .unwrap_or_default()
}

/// Writes a file beside its place and renames it, so that what stands under its name is always whole.
fn write(place: &Path, content: &mut dyn io::Read) -> io::Result<()> {
    let beside = place.with_extension("part");
    let mut file = fs::File::create(&beside)?;
    io::copy(content, &mut file)?;
    file.flush()?;
    fs::rename(beside, place)
}
