//! Images: what a reference means, and how its layers get here.
//!
//! ```text
//! reference ── origins: substitute, mirrors, the registry itself
//!                 │ root: the digest that the reference points to now
//!              documents: index ── (platform) ── manifest ── configuration        ImageSource::resolve
//!                 │
//!              layers, several at a time, into the content store                  ImageSource::pull
//! ```
//!
//! Everything is known by its digest and looked for in the content store first, so that an image which was pulled
//! once is there without the network. Only a tag has to be asked for.

mod artifact;
mod document;
pub mod error;
mod layer;
mod layout;
mod manifest;
mod origin;
mod platform;
mod pull;
mod push;
pub mod reference;
mod registry;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use stagewright_core::analysis::ImageFacts;
use stagewright_core::digest::Digest;
use stagewright_core::platform::Platform;
use tokio::sync::Semaphore;

use self::document::Found;
use self::reference::Reference;
use self::registry::{Patience, RegistryClient};
use crate::config::{Config, LayoutImage};
use crate::content::ContentStore;

pub use self::error::ImageError;
pub use self::layer::{LayerReader, layer_reader};
pub(crate) use self::layout::{Layout, NAME};
pub(crate) use self::manifest::{LONGEST_MANIFEST, parse_config};
pub use self::pull::{PullProgress, Report};
pub use self::push::{Push, Pushed};

/// How long an answer to "what does this tag point to" is taken for granted.
const FRESH: Duration = Duration::from_mins(1);
/// Most answers that are kept.
const MOST_ANSWERS: usize = 1000;

/// Finds and brings images. Clones share everything.
#[derive(Clone)]
pub struct ImageSource {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    store: ContentStore,
    registry: RegistryClient,
    downloads: Semaphore,
    answers: Mutex<BTreeMap<Question, Slot>>,
    /// Images that callers of this process brought along.
    lent: Mutex<BTreeMap<Digest, Lent>>,
}

/// Where an image is that was brought along.
#[derive(Debug, Clone)]
enum Lent {
    /// In a directory of the OCI image layout.
    Layout(PathBuf),
    /// In the store.
    Here,
}

/// A reference in full, and the platform it is asked for.
type Question = (String, Platform);
/// Locked while somebody is asking.
type Slot = Arc<tokio::sync::Mutex<Option<Answer>>>;

struct Answer {
    at: Instant,
    result: Result<ImageFacts, ImageError>,
}

/// An image as it is before any of its layers has to be here.
#[derive(Debug, Clone, PartialEq)]
pub struct PulledImage {
    /// Digest of what the reference points to: a manifest or an index.
    pub digest: Digest,
    /// Digest of the manifest for the platform that was asked for.
    pub manifest: Digest,
    /// Digest of the configuration.
    pub config_digest: Digest,
    /// The configuration, as JSON.
    pub config: serde_json::Value,
    /// Its layers, lowest first.
    pub layers: Vec<LayerDescriptor>,
    /// What people should know of where it comes from.
    pub note: Option<String>,
}

/// A layer of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerDescriptor {
    /// sha256 of the blob, which is usually compressed.
    pub digest: Digest,
    /// sha256 of the tar in it.
    pub diff_id: Digest,
    /// The blob's media type, as the manifest has it.
    pub media_type: String,
    /// The blob's length in bytes.
    pub size: u64,
}

impl ImageSource {
    /// A source that puts what it brings into `store`.
    pub fn new(config: Config, store: ContentStore) -> Self {
        Self::with_patience(config, store, Patience::default())
    }

    fn with_patience(config: Config, store: ContentStore, patience: Patience) -> Self {
        let downloads = Semaphore::new(config.limits.parallel_downloads.clamp(1, Semaphore::MAX_PERMITS));
        let registry = RegistryClient::new(patience);
        Self {
            inner: Arc::new(Inner {
                config,
                store,
                registry,
                downloads,
                answers: Mutex::default(),
                lent: Mutex::default(),
            }),
        }
    }

    /// What a reference points to. Answers are kept for a minute; those who ask for the same at the same time share
    /// one answer, also where it is an error.
    pub async fn resolve(&self, reference: &str, platform: &Platform) -> Result<ImageFacts, ImageError> {
        let reference: Reference = reference.parse()?;
        let slot = self.inner.answer_slot((reference.to_string(), platform.clone()));
        let arrived = Instant::now();
        let mut answer = slot.lock().await;
        if let Some(known) = answer.as_ref()
            && (known.at >= arrived || (known.result.is_ok() && known.at.elapsed() < FRESH))
        {
            return known.result.clone();
        }
        let result = self.inner.find(&reference, platform).await.map(Found::into_facts);
        *answer = Some(Answer {
            at: Instant::now(),
            result: result.clone(),
        });
        result
    }

    /// Takes the image with this digest from an OCI layout, or from the store, and from nowhere else.
    pub fn lend(&self, image: &Digest, layout: Option<&Path>) {
        let mut lent = self.inner.lent.lock().unwrap_or_else(PoisonError::into_inner);
        let place = layout.map_or(Lent::Here, |layout| Lent::Layout(layout.to_owned()));
        lent.insert(image.clone(), place);
    }

    /// Whether the image that `reference` is pinned to was brought along.
    pub fn is_lent(&self, reference: &str) -> bool {
        let reference = reference.parse::<Reference>().ok();
        reference.is_some_and(|reference| self.inner.lent(&reference).is_some())
    }

    /// Where a blob of an image lies that was brought along, if it is there.
    pub(crate) fn lent_blob(&self, image: &Digest, blob: &Digest) -> Option<PathBuf> {
        let lent = self.inner.lent.lock().unwrap_or_else(PoisonError::into_inner);
        Some(match lent.get(image)? {
            Lent::Here => self.inner.store.path(blob),
            Lent::Layout(folder) => folder.join("blobs/sha256").join(blob.hex()),
        })
    }

    /// What an image is made of, without its layers. Does not touch the network where the reference is pinned to a
    /// digest and the image was here before.
    pub async fn describe(&self, reference: &str, platform: &Platform) -> Result<PulledImage, ImageError> {
        let reference: Reference = reference.parse()?;
        self.inner
            .find(&reference, platform)
            .await
            .map(|found| found.image)
    }
}

/// The digest of the image that is meant in a directory of the OCI image layout.
pub fn image_in_layout(path: &Path, image: &LayoutImage) -> Result<Digest, ImageError> {
    Layout::new(path, image.clone()).root()
}

impl Inner {
    /// Where a pinned image is that was brought along.
    fn lent(&self, reference: &Reference) -> Option<Lent> {
        let lent = self.lent.lock().unwrap_or_else(PoisonError::into_inner);
        lent.get(reference.digest()?).cloned()
    }

    fn answer_slot(&self, key: Question) -> Slot {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= MOST_ANSWERS {
            // Nobody waits for those that only this map still holds.
            answers.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(answers.entry(key).or_default())
    }
}

#[cfg(test)]
mod tests;
