//! Bringing images to a registry.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use stagewright_core::digest::Digest;

use super::ImageSource;
use super::error::ImageError;
use super::origin::Place;
use super::reference::Reference;
use super::registry::{Sent, Upload};

/// What a registry is to hold in the end.
#[derive(Debug, Clone, Default)]
pub struct Push {
    /// Layers and configurations: digest and size.
    pub blobs: BTreeMap<Digest, u64>,
    /// Manifests, and the index last where there is one: digest, media type, bytes.
    pub manifests: Vec<(Digest, String, Vec<u8>)>,
    /// Images that blobs came from, by the blobs' digests. One of the same registry need not be sent again.
    pub origins: BTreeMap<Digest, Reference>,
    /// Whether the image gets no tag and is known by its digest alone.
    pub untagged: bool,
}

/// What a push did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Blobs that were there already.
    pub present: u64,
    /// Blobs that the registry took over from another of its repositories.
    pub mounted: u64,
    /// Blobs that were sent.
    pub uploaded: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl ImageSource {
    /// Pushes what is in the content store to the repository of `name`: first the blobs, several at a time and only
    /// those that it lacks, then what points to them, so that nothing there ever points to what is not.
    pub async fn push(&self, name: &Reference, push: &Push) -> Result<Pushed, ImageError> {
        let inner = Arc::clone(&self.inner);
        let endpoint = inner.own_place(name)?;
        let endpoint = &endpoint;
        let upload = |(digest, size): (&Digest, &u64)| Upload {
            digest: digest.clone(),
            size: *size,
            elsewhere: push
                .origins
                .get(digest)
                .filter(|origin| origin.registry() == name.registry() && !origin.same_repository(name))
                .map(|origin| origin.repository().to_owned()),
        };
        let uploads: Vec<Upload> = push.blobs.iter().map(upload).collect();
        let at_once = inner.config.limits.parallel_downloads.clamp(1, 16);
        let inner = &inner;
        let pushed = stream::iter(uploads)
            .map(|upload| async move {
                let sent = inner.registry.push_blob(endpoint, &inner.store, &upload).await?;
                Ok::<_, ImageError>((sent, upload.size))
            })
            .buffer_unordered(at_once)
            .try_fold(Pushed::default(), |mut pushed, (sent, size)| async move {
                match sent {
                    Sent::Present => pushed.present += 1,
                    Sent::Mounted => pushed.mounted += 1,
                    Sent::Uploaded => {
                        pushed.uploaded += 1;
                        pushed.bytes += size;
                    }
                }
                Ok(pushed)
            })
            .await?;
        let last = push.manifests.len().saturating_sub(1);
        for (index, (digest, media_type, bytes)) in push.manifests.iter().enumerate() {
            let selector = if index == last && !push.untagged {
                name.tag().unwrap_or("latest").to_owned()
            } else {
                digest.to_string()
            };
            inner
                .registry
                .push_manifest(endpoint, &selector, media_type, bytes)
                .await?;
        }
        Ok(pushed)
    }
}

impl super::Inner {
    /// The registry that a name speaks of: neither a mirror nor what stands in for an image is pushed to.
    fn own_place(&self, name: &Reference) -> Result<super::registry::Endpoint, ImageError> {
        let last = self.registry_origins(name)?.pop().map(|origin| origin.place);
        match last {
            Some(Place::Registry(endpoint, _)) => Ok(*endpoint),
            Some(Place::Layout(_)) | None => Err(ImageError::NotAllowed {
                reference: Box::new(name.clone()),
            }),
        }
    }
}
