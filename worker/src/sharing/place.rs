//! Where a cache is: a repository of a registry, or a folder in the OCI image layout.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use stagewright_core::digest::Digest;
use stagewright_core::platform::Platform;

use super::document::{CONFIG_TYPE, LONGEST};
use super::{CacheDocument, IMAGE_KEY, SharedBlob, SharingError};
use crate::content::{ContentError, ContentStore};
use crate::source::image::ImageSource;
use crate::source::image::reference::Reference;

/// Longest manifest that is read.
const LONGEST_MANIFEST: u64 = 4 << 20;
/// The annotation that names an entry of a layout.
pub(super) const NAME: &str = "org.opencontainers.image.ref.name";
/// What `BuildKit` calls the configuration of its caches.
const BUILDKIT: &str = "application/vnd.buildkit.cacheconfig";

/// A place of a cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Under that name in a registry: a cache, or an image that carries its own.
    Registry(Reference),
    /// In a folder.
    Folder {
        /// The folder.
        path: PathBuf,
        /// Its name there.
        tag: String,
        /// Its manifest, where it is to be that one.
        digest: Option<Digest>,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(name) => write!(formatter, "registry cache {name}"),
            Self::Folder { path, .. } => write!(formatter, "local cache {}", path.display()),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    config: Option<SharedBlob>,
    #[serde(default)]
    layers: Vec<SharedBlob>,
    #[serde(default)]
    manifests: Vec<Value>,
}

impl Place {
    /// What the cache there knows. Of an image for several platforms that for `platform` is asked.
    pub async fn read(
        &self,
        images: &ImageSource,
        platform: &Platform,
    ) -> Result<CacheDocument, SharingError> {
        let broken = |reason: String| SharingError(format!("{self} {reason}"));
        let bytes = match self {
            Self::Registry(name) => images.manifest_of(name).await.map_err(SharingError::of)?,
            Self::Folder { path, tag, digest } => {
                let digest = match digest {
                    Some(digest) => digest.clone(),
                    None => named(path, tag).map_err(broken)?,
                };
                read_blob(path, &digest, LONGEST_MANIFEST).map_err(broken)?
            }
        };
        let manifest: Manifest = serde_json::from_slice(&bytes)
            .map_err(|error| broken(format!("has a manifest that cannot be read: {error}")))?;
        let is_buildkits = |value: &Value| {
            value["mediaType"]
                .as_str()
                .is_some_and(|kind| kind.starts_with(BUILDKIT))
        };
        let config = manifest.config.as_ref();
        if config.is_some_and(|config| config.media_type.starts_with(BUILDKIT))
            || manifest.manifests.iter().any(is_buildkits)
        {
            return Err(broken(
                "is one of BuildKit's, which names steps in another way: write one of our own with --cache-to"
                    .to_owned(),
            ));
        }
        match (config, self) {
            (Some(config), _) if config.media_type == CONFIG_TYPE => {
                let bytes = match self {
                    Self::Registry(name) => images
                        .small_blob(name, &config.digest, LONGEST)
                        .await
                        .map_err(SharingError::of)?,
                    Self::Folder { path, .. } => read_blob(path, &config.digest, LONGEST).map_err(broken)?,
                };
                let mut document = CacheDocument::parse(&bytes).map_err(broken)?;
                // What the manifest does not hold a registry need not keep.
                document.layers.retain(|_, blob| manifest.layers.contains(blob));
                Ok(document)
            }
            (_, Self::Registry(name)) => inline(name, images, platform).await,
            (_, Self::Folder { .. }) => Err(broken(
                "is no cache: its manifest is of something else".to_owned(),
            )),
        }
    }

    /// Brings a blob into the content store, where it is compared with its digest.
    pub async fn bring(
        &self,
        images: &ImageSource,
        content: &ContentStore,
        blob: &SharedBlob,
    ) -> Result<(), SharingError> {
        if content.contains_whole(&blob.digest, blob.size) {
            return Ok(());
        }
        match self {
            Self::Registry(name) => images
                .bring_blob(name, &blob.media_type, &blob.digest, blob.size)
                .await
                .map_err(SharingError::of),
            Self::Folder { path, .. } => {
                let (path, content, blob) = (path.clone(), content.clone(), blob.clone());
                let copied = tokio::task::spawn_blocking(move || copy(&path, &content, &blob)).await;
                copied
                    .map_err(SharingError::of)?
                    .map_err(|reason| SharingError(format!("{self} {reason}")))
            }
        }
    }

    /// Whether the blob is there.
    pub async fn holds(&self, images: &ImageSource, blob: &SharedBlob) -> bool {
        match self {
            Self::Registry(name) => images.has_blob(name, &blob.digest).await.unwrap_or(false),
            Self::Folder { path, .. } => {
                let there = std::fs::metadata(blob_path(path, &blob.digest));
                there.is_ok_and(|there| there.len() == blob.size)
            }
        }
    }

    /// Whether blobs of the one are blobs of the other.
    pub fn shares_blobs_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Registry(one), Self::Registry(other)) => one.same_repository(other),
            (Self::Folder { path: one, .. }, Self::Folder { path: other, .. }) => one == other,
            _ => false,
        }
    }
}

/// The cache that an image carries.
async fn inline(
    name: &Reference,
    images: &ImageSource,
    platform: &Platform,
) -> Result<CacheDocument, SharingError> {
    let image = images
        .describe(&name.to_string(), platform)
        .await
        .map_err(SharingError::of)?;
    let carried = image.config.get(IMAGE_KEY).ok_or_else(|| {
        SharingError(format!(
            "{name} is an image that carries no cache: build it with --cache-to type=inline, or name a cache"
        ))
    })?;
    let mut document = CacheDocument::parse(carried.to_string().as_bytes())
        .map_err(|reason| SharingError(format!("{name} {reason}")))?;
    document.layers = image
        .layers
        .into_iter()
        .map(|layer| {
            let blob = SharedBlob {
                media_type: layer.media_type,
                digest: layer.digest,
                size: layer.size,
            };
            (layer.diff_id, blob)
        })
        .collect();
    Ok(document)
}

pub(super) fn blob_path(folder: &Path, digest: &Digest) -> PathBuf {
    folder.join("blobs/sha256").join(digest.hex())
}

/// The digest of the entry of that name in a layout. The error completes a sentence that begins with the place.
fn named(folder: &Path, tag: &str) -> Result<Digest, String> {
    #[derive(Deserialize)]
    struct Index {
        manifests: Vec<Value>,
    }
    let path = folder.join("index.json");
    let bytes = read_file(&path, LONGEST_MANIFEST).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "is not there yet".to_owned(),
        _ => format!("cannot be read: {}: {error}", path.display()),
    })?;
    let index: Index = serde_json::from_slice(&bytes)
        .map_err(|error| format!("has an index.json that cannot be read: {error}"))?;
    let entry = index
        .manifests
        .iter()
        .find(|entry| entry["annotations"][NAME] == tag);
    let digest = entry.and_then(|entry| entry["digest"].as_str()?.parse().ok());
    digest.ok_or_else(|| format!("has no entry named {tag:?}"))
}

/// A small blob of a layout, compared with its digest.
fn read_blob(folder: &Path, digest: &Digest, limit: u64) -> Result<Vec<u8>, String> {
    let bytes = read_file(&blob_path(folder, digest), limit)
        .map_err(|error| format!("lacks its {digest}: {error}"))?;
    let actual = Digest::of(&bytes);
    if actual == *digest {
        Ok(bytes)
    } else {
        Err(format!(
            "is damaged: the file of {digest} has the digest {actual}"
        ))
    }
}

fn read_file(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("it has more than {limit} bytes")));
    }
    Ok(bytes)
}

/// Copies a blob of a layout into the store.
fn copy(folder: &Path, content: &ContentStore, blob: &SharedBlob) -> Result<(), String> {
    let lacking = |error: &dyn fmt::Display| format!("does not give {}: {error}", blob.digest);
    let mut file = File::open(blob_path(folder, &blob.digest)).map_err(|error| lacking(&error))?;
    let mut ingest = match content.ingest(&blob.digest, Some(blob.size)) {
        Ok(ingest) => ingest,
        Err(ContentError::Present(_)) => return Ok(()),
        Err(error) => return Err(lacking(&error)),
    };
    // The rest of a beginning from elsewhere might not fit it.
    ingest.restart().map_err(|error| lacking(&error))?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer).map_err(|error| lacking(&error))?;
        if count == 0 {
            break;
        }
        let piece = buffer.get(..count).unwrap_or_default();
        ingest
            .write_at(ingest.offset(), piece)
            .map_err(|error| lacking(&error))?;
    }
    ingest.commit().map_err(|error| lacking(&error))
}
