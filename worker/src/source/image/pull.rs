//! Bringing an image's layers here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use stagewright_core::digest::Digest;
use stagewright_core::platform::Platform;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::document::{Found, together};
use super::error::ImageError;
use super::manifest::Descriptor;
use super::origin::{Origin, Place};
use super::reference::Reference;
use super::{ImageSource, Inner, PulledImage};
use crate::content::{ContentError, Ingest};

/// How far a layer has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullProgress {
    /// The layer's blob.
    pub digest: Digest,
    /// Bytes that are here.
    pub current: u64,
    /// Bytes there are; `current` reaches it when the layer was checked and stored.
    pub total: u64,
}

/// Hears of progress, from any thread. Must not block.
pub type Report = Arc<dyn Fn(PullProgress) + Send + Sync>;

/// How often to look whether another writer of the same layer is done.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

impl ImageSource {
    /// Brings an image's layers into the content store. Layers that are there are neither asked for nor reported;
    /// beginnings of layers are continued. Dropping the future or cancelling leaves them to be continued.
    pub async fn pull(
        &self,
        reference: &str,
        platform: &Platform,
        report: Report,
        cancel: &CancellationToken,
    ) -> Result<PulledImage, ImageError> {
        let reference: Reference = reference.parse()?;
        // Ends the copying threads, which no dropped future would end.
        let stop = cancel.child_token();
        let _stop_when_dropped = stop.clone().drop_guard();
        let work = async {
            let Found { image, origins } = self.inner.find(&reference, platform).await?;
            let download = Download {
                inner: Arc::clone(&self.inner),
                reference: reference.clone(),
                origins,
                report,
                stop: stop.clone(),
            };
            Arc::new(download).layers(&image).await?;
            Ok(image)
        };
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(ImageError::Cancelled { reference: Box::new(reference.clone()) }),
            result = work => result,
        }
    }
}

/// Brings layers of one image, or of something like it.
pub(super) struct Download {
    pub(super) inner: Arc<Inner>,
    pub(super) reference: Reference,
    /// Where to look for them, the best first.
    pub(super) origins: Vec<Origin>,
    pub(super) report: Report,
    pub(super) stop: CancellationToken,
}

impl Download {
    async fn layers(self: Arc<Self>, image: &PulledImage) -> Result<(), ImageError> {
        let mut tasks = JoinSet::new();
        let mut begun = std::collections::BTreeSet::new();
        for layer in &image.layers {
            if self.inner.store.contains_whole(&layer.digest, layer.size)
                || !begun.insert(layer.digest.clone())
            {
                continue;
            }
            let descriptor = Descriptor {
                media_type: layer.media_type.clone(),
                digest: layer.digest.clone(),
                size: layer.size,
                platform: None,
                annotations: std::collections::BTreeMap::new(),
            };
            let download = Arc::clone(&self);
            tasks.spawn(async move { download.layer(Arc::new(descriptor)).await });
        }
        while let Some(joined) = tasks.join_next().await {
            joined.map_err(|error| self.storage(&error))??;
        }
        Ok(())
    }

    /// Brings one layer.
    pub(super) async fn layer(&self, descriptor: Arc<Descriptor>) -> Result<(), ImageError> {
        let mut errors = Vec::new();
        for origin in &self.origins {
            match self.layer_from(origin, &descriptor).await {
                Ok(()) => return Ok(()),
                Err(error) if error.may_differ_elsewhere() => errors.push(error),
                Err(error) => return Err(error),
            }
        }
        Err(together(&self.reference, errors))
    }

    async fn layer_from(&self, origin: &Origin, descriptor: &Arc<Descriptor>) -> Result<(), ImageError> {
        loop {
            let Some(ingest) = self.begin(descriptor).await? else {
                return Ok(());
            };
            let continued = ingest.offset() > 0;
            match self.bring(origin, descriptor, ingest).await {
                // The beginning may have been somebody else's fault: once more, from nothing.
                Err(ImageError::WrongDigest { .. }) if continued => {}
                result => return result,
            }
        }
    }

    /// The right to write the layer; `None` where it is here, perhaps since somebody else has just brought it.
    async fn begin(&self, descriptor: &Arc<Descriptor>) -> Result<Option<Ingest>, ImageError> {
        loop {
            let (store, wanted) = (self.inner.store.clone(), Arc::clone(descriptor));
            // What is there of it is hashed first, which may take a while.
            let open = move || store.ingest(&wanted.digest, Some(wanted.size));
            match tokio::task::spawn_blocking(open)
                .await
                .map_err(|error| self.storage(&error))?
            {
                Ok(ingest) => return Ok(Some(ingest)),
                Err(ContentError::Present(_)) => return Ok(None),
                Err(ContentError::Busy(_)) => {
                    let here = self.inner.store.partial_size(&descriptor.digest);
                    // The last byte is reported only once the layer was checked.
                    self.report(descriptor, here.min(descriptor.size.saturating_sub(1)));
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                Err(error) => return Err(self.storage(&error)),
            }
        }
    }

    async fn bring(
        &self,
        origin: &Origin,
        descriptor: &Arc<Descriptor>,
        mut ingest: Ingest,
    ) -> Result<(), ImageError> {
        let permit = self
            .inner
            .downloads
            .acquire()
            .await
            .map_err(|error| self.storage(&error))?;
        self.report(descriptor, ingest.offset().min(descriptor.size.saturating_sub(1)));
        let advanced = self.throttled(descriptor, ingest.offset());
        let (place_name, ingest) = match &origin.place {
            Place::Registry(endpoint, _) => {
                self.inner
                    .registry
                    .blob(endpoint, descriptor, &mut ingest, &advanced)
                    .await?;
                (endpoint.registry.clone(), ingest)
            }
            Place::Layout(layout) => {
                let (layout, descriptor, stop) = (layout.clone(), Arc::clone(descriptor), self.stop.clone());
                let copy = move || {
                    let path = layout.path.display().to_string();
                    layout.blob(&descriptor, &mut ingest, &advanced, &|| !stop.is_cancelled())?;
                    Ok::<_, ImageError>((path, ingest))
                };
                tokio::task::spawn_blocking(copy)
                    .await
                    .map_err(|error| self.storage(&error))??
            }
        };
        let committed = tokio::task::spawn_blocking(move || ingest.commit()).await;
        drop(permit);
        committed
            .map_err(|error| self.storage(&error))?
            .map_err(|error| ImageError::content(&self.reference, &place_name, error))?;
        self.report(descriptor, descriptor.size);
        Ok(())
    }

    /// Reports about every half percent, so that a fast download is not slowed by its own news.
    fn throttled(&self, descriptor: &Arc<Descriptor>, from: u64) -> impl Fn(u64) + Send + Sync + 'static {
        let (report, descriptor) = (Arc::clone(&self.report), Arc::clone(descriptor));
        let told = AtomicU64::new(from);
        let step = (descriptor.size / 200).max(1 << 16);
        move |current| {
            if current >= told.load(Ordering::Relaxed).saturating_add(step) && current < descriptor.size {
                told.store(current, Ordering::Relaxed);
                report(PullProgress {
                    digest: descriptor.digest.clone(),
                    current,
                    total: descriptor.size,
                });
            }
        }
    }

    fn report(&self, descriptor: &Descriptor, current: u64) {
        (self.report)(PullProgress {
            digest: descriptor.digest.clone(),
            current,
            total: descriptor.size,
        });
    }

    fn storage(&self, error: &dyn std::error::Error) -> ImageError {
        ImageError::Storage {
            reference: Box::new(self.reference.clone()),
            reason: error.to_string(),
        }
    }
}
