//! What a repository or a layout holds that is no image: its manifests and blobs as they are.
//!
//! It comes from the registry that its name speaks of, or from the folder, and neither from a mirror nor from what stands
//! in for an image.

use std::sync::Arc;

use stagewright_core::digest::Digest;
use tokio_util::sync::CancellationToken;

use super::ImageSource;
use super::error::ImageError;
use super::layout::Layout;
use super::manifest::Descriptor;
use super::origin::{Origin, Place};
use super::pull::Download;
use super::reference::Reference;
use super::registry::{Endpoint, Selector};

impl ImageSource {
    /// The bytes of the manifest, or of the list of them, that a name stands for.
    pub(crate) async fn manifest_of(&self, name: &Reference) -> Result<Vec<u8>, ImageError> {
        let (endpoint, selector) = self.own(name)?;
        self.inner.registry.manifest(&endpoint, &selector).await
    }

    /// A blob of at most `limit` bytes.
    pub(crate) async fn small_blob(
        &self,
        name: &Reference,
        digest: &Digest,
        limit: u64,
    ) -> Result<Vec<u8>, ImageError> {
        let (endpoint, _) = self.own(name)?;
        self.inner.registry.small_blob(&endpoint, digest, limit).await
    }

    /// Whether the repository has a blob.
    pub(crate) async fn has_blob(&self, name: &Reference, digest: &Digest) -> Result<bool, ImageError> {
        let (endpoint, _) = self.own(name)?;
        self.inner.registry.has_blob(&endpoint, digest).await
    }

    /// Brings a blob into the content store, as layers are brought: a beginning of it is gone on with, and whoever asks
    /// for it at the same time shares the work.
    pub(crate) async fn bring_blob(
        &self,
        name: &Reference,
        media_type: &str,
        digest: &Digest,
        size: u64,
    ) -> Result<(), ImageError> {
        let origins = self.inner.registry_origins(name)?;
        // The last is the registry itself.
        let origin = origins.into_iter().next_back();
        self.bring(name, origin, (media_type, digest, size)).await
    }

    /// Brings a blob of a layout into the content store in the same way.
    pub(crate) async fn bring_blob_of(
        &self,
        layout: Layout,
        media_type: &str,
        digest: &Digest,
        size: u64,
    ) -> Result<(), ImageError> {
        let reference = layout.reference.clone();
        let place = Place::Layout(layout);
        let origin = Origin { place, note: None };
        self.bring(&reference, Some(origin), (media_type, digest, size))
            .await
    }

    async fn bring(
        &self,
        reference: &Reference,
        origin: Option<Origin>,
        (media_type, digest, size): (&str, &Digest, u64),
    ) -> Result<(), ImageError> {
        let limit = self.inner.config.limits.image_size;
        if size > limit {
            return Err(ImageError::TooLarge {
                reference: Box::new(reference.clone()),
                what: "a layer in it has",
                size,
                limit,
                setting: "image-size",
            });
        }
        // Ends the copying threads, which no dropped future would end.
        let stop = CancellationToken::new();
        let _stop_when_dropped = stop.clone().drop_guard();
        let download = Download {
            inner: Arc::clone(&self.inner),
            reference: reference.clone(),
            origins: origin.into_iter().collect(),
            report: Arc::new(|_| {}),
            stop,
        };
        let descriptor = Descriptor {
            media_type: media_type.to_owned(),
            digest: digest.clone(),
            size,
            platform: None,
            annotations: std::collections::BTreeMap::new(),
        };
        download.layer(Arc::new(descriptor)).await
    }

    fn own(&self, name: &Reference) -> Result<(Endpoint, Selector), ImageError> {
        let origin = self.inner.registry_origins(name)?.pop();
        match origin.map(|origin| origin.place) {
            Some(Place::Registry(endpoint, selector)) => Ok((*endpoint, selector)),
            Some(Place::Layout(_)) | None => Err(ImageError::NotAllowed {
                reference: Box::new(name.clone()),
            }),
        }
    }
}
