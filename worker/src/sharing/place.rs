//! Where a cache is: a repository of a registry, or a folder in the OCI image layout.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use stagewright_core::digest::Digest;
use stagewright_core::platform::Platform;

use super::document::{CONFIG_TYPE, LONGEST};
use super::{CacheDocument, IMAGE_KEY, SharedBlob, SharingError};
use crate::config::LayoutImage;
use crate::content::ContentStore;
use crate::source::image::reference::Reference;
use crate::source::image::{ImageError, ImageSource, LONGEST_MANIFEST, Layout};

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
            Self::Folder { path, digest, .. } => {
                if digest.is_none() && !path.join("index.json").exists() {
                    return Err(broken("is not there yet".to_owned()));
                }
                let layout = self.layout(path);
                // A digest says all that an index would.
                let manifest = digest.clone().map_or_else(|| layout.root(), Ok);
                let manifest = manifest.and_then(|digest| layout.document(&digest, LONGEST_MANIFEST));
                manifest.map_err(|error| self.failed(&error))?
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
                    Self::Folder { path, .. } => self
                        .layout(path)
                        .document(&config.digest, LONGEST)
                        .map_err(|error| self.failed(&error))?,
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
            Self::Folder { path, .. } => images
                .bring_blob_of(self.layout(path), &blob.media_type, &blob.digest, blob.size)
                .await
                .map_err(|error| self.failed(&error)),
        }
    }

    /// Whether the blob is there.
    pub async fn holds(&self, images: &ImageSource, blob: &SharedBlob) -> bool {
        match self {
            Self::Registry(name) => images.has_blob(name, &blob.digest).await.unwrap_or(false),
            Self::Folder { path, .. } => {
                let there = std::fs::metadata(self.layout(path).blob_path(&blob.digest));
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

    /// A folder as the layout that images are read from too.
    fn layout(&self, path: &Path) -> Layout {
        let image = match self {
            Self::Folder {
                digest: Some(digest), ..
            } => LayoutImage::Digest(digest.clone()),
            Self::Folder { tag, .. } => LayoutImage::Name(tag.clone()),
            Self::Registry(_) => LayoutImage::Only,
        };
        Layout::new(path, image)
    }

    /// What is wrong with a folder, which stands in for no image.
    fn failed(&self, error: &ImageError) -> SharingError {
        let nobody = format!("{}: ", Reference::unnamed());
        let text = error.to_string();
        SharingError(match error {
            ImageError::Layout { reason, .. } => format!("{self}: {reason}"),
            ImageError::WrongDigest { expected, actual, .. } => {
                format!("{self} is damaged: the file of {expected} has the digest {actual}")
            }
            _ => format!("{self}: {}", text.strip_prefix(&nobody).unwrap_or(&text)),
        })
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Config;

    /// A folder with one blob, and a store and a source of images that take layers of up to `limit` bytes.
    fn ground(limit: u64) -> (tempfile::TempDir, Place, SharedBlob, ContentStore, ImageSource) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache");
        let blob = SharedBlob {
            media_type: "application/vnd.oci.image.layer.v1.tar".into(),
            digest: Digest::of(b"layer"),
            size: 5,
        };
        let file = Layout::new(&path, LayoutImage::Only).blob_path(&blob.digest);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, "layer").unwrap();
        let place = Place::Folder {
            path,
            tag: "latest".into(),
            digest: None,
        };
        let store = ContentStore::open(directory.path().join("content")).unwrap();
        let mut config = Config::default();
        config.limits.image_size = limit;
        let images = ImageSource::new(config, store.clone());
        (directory, place, blob, store, images)
    }

    #[tokio::test]
    async fn layer_that_somebody_else_is_bringing_is_waited_for() {
        let (_directory, place, blob, store, images) = ground(5);
        let other = store.ingest(&blob.digest, Some(blob.size)).unwrap();
        let bring = place.bring(&images, &store, &blob);
        tokio::pin!(bring);
        let waited = tokio::time::timeout(Duration::from_millis(50), &mut bring).await;
        assert!(waited.is_err(), "{waited:?}");
        drop(other);
        bring.await.unwrap();
        assert_eq!(store.read(&blob.digest, 5).unwrap(), b"layer");
    }

    #[tokio::test]
    async fn layer_of_a_folder_is_no_larger_than_the_worker_takes() {
        let (_directory, place, blob, store, images) = ground(4);
        let error = place.bring(&images, &store, &blob).await.unwrap_err();
        assert!(error.0.contains("image-size"), "{error}");
        assert!(error.0.starts_with(&place.to_string()), "{error}");
        assert!(!store.contains(&blob.digest));
    }
}
