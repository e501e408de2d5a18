//! From a reference to a manifest and configuration.

use std::sync::Arc;

use stagewright_core::analysis::ImageFacts;
use stagewright_core::digest::Digest;
use stagewright_core::platform::Platform;

use super::error::ImageError;
use super::manifest::{Descriptor, Document, LONGEST_MANIFEST, Manifest, parse_config};
use super::origin::{Origin, Place};
use super::platform::rank;
use super::reference::Reference;
use super::registry::Selector;
use super::{Inner, LayerDescriptor, PulledImage};
use crate::content::{ContentError, LONGEST_DOCUMENT};

/// How deep indexes may nest, and how many documents are read to choose one image.
const DEEPEST: usize = 4;
const MOST_DOCUMENTS: usize = 64;

/// An image, and where it (or what is still lacking of it) comes from.
pub(super) struct Found {
    pub(super) image: PulledImage,
    /// The places to get layers from, the best first.
    pub(super) origins: Vec<Origin>,
}

impl Found {
    pub(super) fn into_facts(self) -> ImageFacts {
        let PulledImage {
            digest,
            config,
            layers,
            note,
            ..
        } = self.image;
        let size = layers.iter().map(|layer| layer.size).sum();
        ImageFacts {
            digest,
            config,
            size,
            note,
        }
    }
}

/// Why a document is not there.
enum Lack {
    /// It is not in the store, and no place was given to get it from.
    Elsewhere,
    Error(ImageError),
}

impl From<ImageError> for Lack {
    fn from(error: ImageError) -> Self {
        Self::Error(error)
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Manifest,
    Config,
}

impl Inner {
    pub(super) async fn find(
        self: &Arc<Self>,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<Found, ImageError> {
        let origins = self.origins(reference)?;
        if let Some(digest) = reference.digest() {
            let here = Search {
                inner: self,
                reference,
                origin: None,
            };
            match here.image(digest, platform).await {
                Ok(mut image) => {
                    image.note = self.note_of_pinned(reference, &origins, digest);
                    return Ok(Found { image, origins });
                }
                Err(Lack::Error(error)) => return Err(error),
                Err(Lack::Elsewhere) => {}
            }
        }
        let mut errors = Vec::new();
        for (index, origin) in origins.iter().enumerate() {
            let search = Search {
                inner: self,
                reference,
                origin: Some(origin),
            };
            match search.rooted(platform).await {
                Ok(mut image) => {
                    image.note.clone_from(&origin.note);
                    let mut origins = origins.clone();
                    // What the place that knew the image lacks, an earlier one will hardly have.
                    origins.drain(..index);
                    return Ok(Found { image, origins });
                }
                Err(Lack::Elsewhere) => {}
                Err(Lack::Error(error)) if error.may_differ_elsewhere() => errors.push(error),
                Err(Lack::Error(error)) => return Err(error),
            }
        }
        Err(together(reference, errors))
    }

    /// The substitute's note, where the pinned digest is the substitute's and not the real image's.
    fn note_of_pinned(&self, reference: &Reference, origins: &[Origin], digest: &Digest) -> Option<String> {
        let note = self.substitute(reference)?.note.clone();
        match &origins.first()?.place {
            Place::Layout(layout) => note.filter(|_| layout.root().is_ok_and(|root| root == *digest)),
            Place::Registry(..) => note,
        }
    }
}

/// One error out of what several places said.
pub(super) fn together(reference: &Reference, mut errors: Vec<ImageError>) -> ImageError {
    match (errors.pop(), errors.is_empty()) {
        (Some(only), true) => only,
        (last, _) => {
            errors.extend(last);
            ImageError::Everywhere {
                reference: Box::new(reference.clone()),
                errors,
            }
        }
    }
}

/// A search for an image, in the store and at one place.
struct Search<'a> {
    inner: &'a Arc<Inner>,
    reference: &'a Reference,
    origin: Option<&'a Origin>,
}

impl Search<'_> {
    async fn rooted(&self, platform: &Platform) -> Result<PulledImage, Lack> {
        let root = match self.origin.map(|origin| &origin.place) {
            Some(Place::Registry(endpoint, selector @ Selector::Tag(_))) => {
                let bytes = self.inner.registry.manifest(endpoint, selector).await?;
                self.keep(bytes).await?
            }
            Some(Place::Registry(_, Selector::Digest(digest))) => digest.clone(),
            Some(Place::Layout(layout)) => match self.reference.digest() {
                Some(digest) => digest.clone(),
                None => layout.root()?,
            },
            None => return Err(Lack::Elsewhere),
        };
        self.image(&root, platform).await
    }

    async fn image(&self, root: &Digest, platform: &Platform) -> Result<PulledImage, Lack> {
        let (digest, manifest) = match self.document(root).await? {
            Document::Manifest(manifest) => (root.clone(), manifest),
            Document::Index(entries) => self.choose(entries, platform).await?,
        };
        let config = self.config(&manifest.config).await?;
        let (_, diff_ids) = parse_config(&config).map_err(|reason| self.malformed(reason))?;
        if diff_ids.len() != manifest.layers.len() {
            let (layers, ids) = (manifest.layers.len(), diff_ids.len());
            return Err(self.malformed(format!(
                "it has {layers} layers, but its configuration speaks of {ids}"
            )));
        }
        let size = manifest
            .layers
            .iter()
            .fold(0_u64, |sum, layer| sum.saturating_add(layer.size));
        self.bounded(
            "its layers have",
            size,
            self.inner.config.limits.image_size,
            "image-size",
        )?;
        let layers = manifest
            .layers
            .into_iter()
            .zip(diff_ids)
            .map(|(layer, diff_id)| LayerDescriptor {
                digest: layer.digest,
                diff_id,
                media_type: layer.media_type,
                size: layer.size,
            });
        Ok(PulledImage {
            digest: root.clone(),
            manifest: digest,
            config_digest: manifest.config.digest,
            config: serde_json::from_slice(&config)
                .map_err(|error| self.malformed(format!("its configuration is malformed: {error}")))?,
            layers: layers.collect(),
            note: None,
        })
    }

    /// The best image for `platform` in an index and the indexes in it.
    async fn choose(
        &self,
        entries: Vec<Descriptor>,
        platform: &Platform,
    ) -> Result<(Digest, Manifest), Lack> {
        let mut offers: Vec<(Platform, Digest)> = Vec::new();
        let mut open = vec![(entries, 1)];
        let mut documents = 0;
        while let Some((entries, depth)) = open.pop() {
            for entry in entries.into_iter().filter(|entry| !entry.is_attestation()) {
                if !entry.is_index()
                    && let Some(offered) = entry.platform
                {
                    offers.push((offered, entry.digest));
                    continue;
                }
                documents += 1;
                if documents > MOST_DOCUMENTS || depth >= DEEPEST {
                    return Err(self.malformed("its indexes nest too deep or are too many".to_owned()));
                }
                self.bounded("an index has", entry.size, LONGEST_MANIFEST, "")?;
                match self.document(&entry.digest).await? {
                    Document::Index(entries) => open.push((entries, depth + 1)),
                    Document::Manifest(manifest) => {
                        let config = self.config(&manifest.config).await?;
                        let (offered, _) = parse_config(&config).map_err(|reason| self.malformed(reason))?;
                        offers.push((offered, entry.digest));
                    }
                }
            }
        }
        let ranked = offers
            .iter()
            .filter_map(|(offered, digest)| Some((rank(platform, offered)?, digest)));
        let Some((_, digest)) = ranked.min_by_key(|(rank, _)| *rank) else {
            let mut there: Vec<Platform> = offers.into_iter().map(|(offered, _)| offered).collect();
            there.sort();
            there.dedup();
            let (reference, wanted) = (Box::new(self.reference.clone()), platform.clone());
            return Err(ImageError::NoPlatform {
                reference,
                wanted: Box::new(wanted),
                there,
            }
            .into());
        };
        match self.document(digest).await? {
            Document::Manifest(manifest) => Ok((digest.clone(), manifest)),
            Document::Index(_) => Err(self.malformed("an index in it passes for an image".to_owned())),
        }
    }

    async fn document(&self, digest: &Digest) -> Result<Document, Lack> {
        let bytes = self.bytes(digest, LONGEST_MANIFEST, Kind::Manifest).await?;
        Document::parse(&bytes).map_err(|reason| self.malformed(reason))
    }

    async fn config(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Lack> {
        self.bounded("its configuration has", descriptor.size, LONGEST_DOCUMENT, "")?;
        self.bytes(&descriptor.digest, LONGEST_DOCUMENT, Kind::Config)
            .await
    }

    async fn bytes(&self, digest: &Digest, limit: u64, kind: Kind) -> Result<Vec<u8>, Lack> {
        match self.inner.store.read(digest, limit) {
            Ok(bytes) => return Ok(bytes),
            Err(ContentError::Missing(_) | ContentError::Damaged { .. }) => {}
            Err(error) => return Err(ImageError::content(self.reference, "the content store", error).into()),
        }
        let bytes = match (self.origin.map(|origin| &origin.place), kind) {
            (None, _) => return Err(Lack::Elsewhere),
            (Some(Place::Layout(layout)), _) => layout.document(digest, limit)?,
            (Some(Place::Registry(endpoint, _)), Kind::Manifest) => {
                self.inner
                    .registry
                    .manifest(endpoint, &Selector::Digest(digest.clone()))
                    .await?
            }
            (Some(Place::Registry(endpoint, _)), Kind::Config) => {
                self.inner.registry.small_blob(endpoint, digest, limit).await?
            }
        };
        self.keep(bytes.clone()).await?;
        Ok(bytes)
    }

    /// Stores a document, away from the threads that wait for the network.
    async fn keep(&self, bytes: Vec<u8>) -> Result<Digest, Lack> {
        let store = self.inner.store.clone();
        let stored = tokio::task::spawn_blocking(move || store.put(&bytes)).await;
        let reference = || Box::new(self.reference.clone());
        match stored {
            Ok(Ok(digest)) => Ok(digest),
            Ok(Err(error)) => Err(ImageError::Storage {
                reference: reference(),
                reason: error.to_string(),
            }
            .into()),
            Err(error) => Err(ImageError::Storage {
                reference: reference(),
                reason: error.to_string(),
            }
            .into()),
        }
    }

    fn malformed(&self, reason: String) -> Lack {
        Lack::Error(ImageError::malformed(self.reference, reason))
    }

    fn bounded(&self, what: &'static str, size: u64, limit: u64, setting: &'static str) -> Result<(), Lack> {
        if size <= limit {
            return Ok(());
        }
        let reference = Box::new(self.reference.clone());
        Err(ImageError::TooLarge {
            reference,
            what,
            size,
            limit,
            setting,
        }
        .into())
    }
}
