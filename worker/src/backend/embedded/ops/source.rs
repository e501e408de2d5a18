//! Files from outside: images and build contexts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use stagewright_core::digest::Digest;
use stagewright_core::llb::SourceOp;
use stagewright_core::platform::Platform;
use tokio_util::sync::CancellationToken;

use super::super::flight::{Flights, Listener, Ticket};
use super::super::progress::{News, Part};
use super::super::rootfs::{Layer, LayerOrigin, Rootfs, chain};
use super::super::tree::{ContextFilter, ContextTree};
use super::{StepFailure, blocking};
use crate::backend::timestamp;
use crate::content::{ContentError, ContentStore};
use crate::snapshot::{SnapshotId, SnapshotStore, UnpackOptions};
use crate::source::image::{ImageError, ImageSource, PullProgress, PulledImage, layer_reader};
use crate::source::local::Contexts;
use stagewright_core::ignore::Ignore;

/// What an op brings in.
pub(crate) enum Source<'a> {
    /// An image by its reference.
    Image(&'a str),
    /// An image of the caller's by its reference, which has its digest.
    Layout(&'a str),
    /// A build context by its name.
    Local(&'a str),
    /// A file from a web server.
    Web,
    /// The files of a commit.
    Git,
    /// Something this backend cannot bring in: what it is, in words.
    Unsupported(&'static str),
}

impl<'a> Source<'a> {
    /// Reads a source's identifier.
    pub(crate) fn of(op: &'a SourceOp) -> Self {
        let Some((scheme, rest)) = op.identifier.split_once("://") else {
            return Self::Unsupported("a source without a scheme");
        };
        match scheme {
            "docker-image" => Self::Image(rest),
            "local" => Self::Local(rest),
            "git" => Self::Git,
            "http" | "https" => Self::Web,
            "oci-layout" => Self::Layout(rest),
            _ => Self::Unsupported("a source of a kind that is not known"),
        }
    }
}

/// An image that a step starts or copies from.
pub(crate) struct Image {
    reference: String,
    platform: Platform,
    /// What it is made of.
    pub(crate) pulled: PulledImage,
    /// The step that names it.
    pub(crate) vertex: Digest,
}

/// Brings images and their layers here when someone needs them.
pub(crate) struct Images {
    /// Where they come from.
    pub(crate) source: ImageSource,
    content: ContentStore,
    snapshots: SnapshotStore,
    unpacked_limit: u64,
    unpacking: Flights<(), StepFailure>,
}

impl Images {
    /// Images from `source`, unpacked into `snapshots`; none may unpack to more than `unpacked_limit` bytes.
    pub(crate) fn new(
        source: ImageSource,
        content: ContentStore,
        snapshots: SnapshotStore,
        unpacked_limit: u64,
    ) -> Self {
        Self {
            source,
            content,
            snapshots,
            unpacked_limit,
            unpacking: Flights::default(),
        }
    }

    /// Bytes that a layer may unpack to at most.
    pub(crate) fn unpacked_limit(&self) -> u64 {
        self.unpacked_limit
    }

    /// The files of an image, none of which need be here yet.
    pub(crate) async fn open(
        &self,
        reference: &str,
        platform: &Platform,
        vertex: &Digest,
    ) -> Result<(Arc<Image>, Rootfs), StepFailure> {
        let pulled = self.source.describe(reference, platform).await.map_err(failure)?;
        let image = Arc::new(Image {
            reference: reference.to_owned(),
            platform: platform.clone(),
            pulled,
            vertex: vertex.clone(),
        });
        let mut below = None;
        let layers = image.pulled.layers.iter().enumerate().map(|(index, layer)| {
            let name = chain(below.as_ref(), &layer.diff_id);
            let snapshot = SnapshotId::from(&name);
            below = Some(name);
            Layer {
                snapshot,
                diff_id: layer.diff_id.clone(),
                vertex: vertex.clone(),
                origin: LayerOrigin::Image(Arc::clone(&image), index),
            }
        });
        let files = Rootfs::new(layers.collect());
        Ok((image, files))
    }

    /// Whether all layers of a root file system can be mounted.
    pub(crate) fn is_unpacked(&self, files: &Rootfs) -> bool {
        files
            .layers()
            .iter()
            .all(|layer| self.snapshots.has(&layer.snapshot))
    }

    /// The images whose layers are lacking in `files`.
    pub(crate) fn lacking(&self, files: &Rootfs) -> Vec<Arc<Image>> {
        let mut lacking: BTreeMap<&Digest, &Arc<Image>> = BTreeMap::new();
        for layer in files.layers() {
            if let LayerOrigin::Image(image, _) = &layer.origin
                && !self.snapshots.has(&layer.snapshot)
            {
                lacking.insert(&image.pulled.manifest, image);
            }
        }
        lacking.into_values().cloned().collect()
    }

    /// Brings an image's layers here and unpacks them. Everyone who asks at the same time shares the work.
    pub(crate) async fn unpack(
        self: &Arc<Self>,
        image: &Arc<Image>,
        listener: Listener,
    ) -> Result<(), StepFailure> {
        let key = image.pulled.manifest.clone();
        let work = |ticket: Ticket| {
            let (images, image) = (Arc::clone(self), Arc::clone(image));
            async move {
                ticket.tell(News::Started(timestamp()));
                let result = images.bring(&image, &ticket).await;
                result.map_err(|failure| StepFailure {
                    vertex: Some(image.vertex.clone()),
                    ..failure
                })
            }
        };
        let ended = self.unpacking.join(&key, listener, work).await;
        ended.unwrap_or_else(|| {
            Err(StepFailure::internal(
                "an image's unpacking ended without a result",
            ))
        })
    }

    async fn bring(&self, image: &Arc<Image>, ticket: &Ticket) -> Result<(), StepFailure> {
        self.pull(image, ticket).await?;
        let (image, content, snapshots) = (Arc::clone(image), self.content.clone(), self.snapshots.clone());
        let (ticket, limit) = (ticket.clone(), self.unpacked_limit);
        blocking(move || unpack(&image, &content, &snapshots, limit, &ticket)).await
    }

    /// Brings the layers' blobs here.
    pub(crate) async fn pull(&self, image: &Image, ticket: &Ticket) -> Result<(), StepFailure> {
        let report = {
            let (ticket, begun) = (ticket.clone(), Mutex::new(BTreeMap::<Digest, String>::new()));
            Arc::new(move |progress: PullProgress| {
                let mut begun = begun.lock().unwrap_or_else(PoisonError::into_inner);
                let started = begun
                    .entry(progress.digest.clone())
                    .or_insert_with(timestamp)
                    .clone();
                ticket.tell(News::Progress(Part {
                    id: progress.digest.to_string(),
                    name: "downloading",
                    current: progress.current,
                    total: progress.total,
                    started,
                    completed: progress.current == progress.total,
                }));
            })
        };
        let pulled = self
            .source
            .pull(&image.reference, &image.platform, report, &ticket.cancel)
            .await;
        let pulled = pulled.map_err(failure)?;
        if pulled.manifest != image.pulled.manifest {
            return Err(StepFailure::new(format!(
                "{} was changed in its registry while the build ran: build again",
                image.reference
            )));
        }
        Ok(())
    }

    /// Brings those blobs of an image here that are lacking, without unpacking them.
    pub(crate) async fn complete(
        &self,
        image: &Image,
        cancel: &CancellationToken,
    ) -> Result<(), StepFailure> {
        if image
            .pulled
            .layers
            .iter()
            .all(|layer| self.content.contains_whole(&layer.digest, layer.size))
        {
            return Ok(());
        }
        let report = Arc::new(|_| {});
        self.source
            .pull(&image.reference, &image.platform, report, cancel)
            .await
            .map(drop)
            .map_err(failure)
    }
}

fn failure(error: ImageError) -> StepFailure {
    match error {
        ImageError::Cancelled { .. } => StepFailure::cancelled(),
        error => StepFailure::new(error.to_string()),
    }
}

/// Unpacks the layers that are lacking, each on those below it.
fn unpack(
    image: &Image,
    content: &ContentStore,
    snapshots: &SnapshotStore,
    limit: u64,
    ticket: &Ticket,
) -> Result<(), StepFailure> {
    let mut parents: Vec<SnapshotId> = Vec::new();
    let mut below = None;
    let mut left = limit;
    for layer in &image.pulled.layers {
        if ticket.cancel.is_cancelled() {
            return Err(StepFailure::cancelled());
        }
        let name = chain(below.as_ref(), &layer.diff_id);
        let id = SnapshotId::from(&name);
        if !snapshots.has(&id) {
            let part = |completed, started: &str| Part {
                id: format!("extracting {}", layer.digest),
                name: "extracting",
                current: if completed { layer.size } else { 0 },
                total: layer.size,
                started: started.to_owned(),
                completed,
            };
            let started = timestamp();
            ticket.tell(News::Progress(part(false, &started)));
            let reader = layer_reader(content, layer, left).map_err(StepFailure::internal)?;
            let options = UnpackOptions {
                parents: &parents,
                expected: Some(layer.diff_id.clone()),
                max_bytes: Some(left),
                ..UnpackOptions::default()
            };
            let unpacked = snapshots.unpack(&id, reader, &options).map_err(|error| {
                // A blob that was good when it came and is not any more goes, so that the next build fetches it again.
                match content.verify(&layer.digest) {
                    // Whoever read it has seen that, and taken it away.
                    Err(ContentError::Missing(_)) => StepFailure::new(format!("{error}: build again")),
                    Err(damaged) => StepFailure::new(format!("{damaged}: build again")),
                    Ok(()) => error.into(),
                }
            })?;
            left = left.saturating_sub(unpacked.size);
            ticket.tell(News::Progress(part(true, &started)));
        }
        parents.push(id);
        below = Some(name);
    }
    Ok(())
}

/// A build context as the op asks for it: without what its patterns leave out.
pub(crate) fn context(
    op: &SourceOp,
    id: Option<&Digest>,
    contexts: &Contexts,
) -> Result<ContextTree, StepFailure> {
    let manifest = id.and_then(|id| contexts.get(id)).ok_or_else(|| {
        StepFailure::new(
            "the build context is not on this worker any more: offer it again and start the build again",
        )
    })?;
    let filter = ContextFilter {
        include: patterns(op, "local.includepattern")?,
        exclude: patterns(op, "local.excludepatterns")?,
    };
    Ok(ContextTree::new(manifest, filter, contexts.content().clone()))
}

fn patterns(op: &SourceOp, attribute: &str) -> Result<Ignore, StepFailure> {
    let Some(text) = op.attr(attribute) else {
        return Ok(Ignore::default());
    };
    let patterns: Vec<String> = serde_json::from_str(text)
        .map_err(|error| StepFailure::new(format!("the op's {attribute} is no list of patterns: {error}")))?;
    Ignore::of(&patterns).map_err(StepFailure::new)
}
