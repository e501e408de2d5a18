//! Caches of other machines: steps that come from them, and what this build has to share.
//!
//! A step that a cache knows counts as done, though its layer stays where it is until something needs it: a step that
//! runs on it, or the image. A layer that cannot be had then, since the cache never had it, or lost or damaged it, is made
//! again by running the step, and what comes of that may be other files than before: what needed them is looked up
//! anew. So a cache saves work or does not, and never ends a build.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock};

use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, stream};
use serde_json::Value;
use stagewright_core::digest::Digest;
use stagewright_core::llb::OpKind;
use stagewright_core::platform::Platform;
use stagewright_core::protocol::BuildFailure;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::super::cache::{Fetched, StoredResult};
use super::super::engine::Engine;
use super::super::flight::lock;
use super::super::image;
use super::super::key::{Use, uses};
use super::super::ops::{StepFailure, blocking, merge};
use super::super::progress::{End, News, Part, Progress};
use super::super::rootfs::{Layer, LayerOrigin, Output, Rootfs, chain};
use super::super::select::Selection;
use super::{Build, failed};
use crate::backend::graph::GraphVertex;
use crate::backend::{SolveRequest, timestamp};
use crate::export::{Encoding, ImageOptions};
use crate::sharing::{
    CacheDocument, CacheExport, IMAGE_KEY, Imported, SharedAnswer, SharedBlob, SharedRecord,
};
use crate::sharing::{Place, SharingError};
use crate::snapshot::{SnapshotId, UnpackOptions};
use crate::source::image::{LayerDescriptor, layer_reader};

/// Layers that are fetched from a cache at the same time.
const AT_ONCE: usize = 4;

/// Whose checksums of files a step's key may be made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// Those of the caches too. They may be wrong, and serve to look for a result and for nothing else.
    Caches,
    /// This worker's own alone, as a key is made under which a result is kept.
    Own,
}

/// What is noted of a build's steps for those who share them.
#[derive(Default)]
pub(super) struct Notes {
    /// What each step gave, by its place in the graph.
    outputs: Vec<OnceLock<Output>>,
    /// The same of those that had to run although a cache knew them.
    remade: Vec<OnceCell<Output>>,
    /// The keys of steps, by the digests of their ops.
    keys: Mutex<BTreeMap<Digest, Digest>>,
    /// Blobs that no cache gives, though one names them, or that are not the layer that they are said to be.
    lost: Mutex<BTreeSet<Digest>>,
    checksums: Mutex<BTreeMap<Digest, Digest>>,
    answers: Mutex<BTreeMap<Digest, SharedAnswer>>,
}

impl Notes {
    pub(super) fn of(request: &SolveRequest) -> Self {
        let steps = request.graph.vertices.len();
        Self {
            outputs: (0..steps).map(|_| OnceLock::new()).collect(),
            remade: (0..steps).map(|_| OnceCell::new()).collect(),
            ..Self::default()
        }
    }

    pub(super) fn output(&self, index: usize, output: &Output) {
        if let Some(place) = self.outputs.get(index) {
            _ = place.set(output.clone());
        }
    }

    pub(super) fn key(&self, vertex: &Digest, key: &Digest) {
        lock(&self.keys).insert(vertex.clone(), key.clone());
    }

    pub(super) fn checksum(&self, of: &Digest, checksum: &Digest) {
        lock(&self.checksums).insert(of.clone(), checksum.clone());
    }

    pub(super) fn answer(&self, question: &Digest, fetched: &Fetched) {
        let answer = SharedAnswer {
            etag: fetched.etag.clone(),
            last_modified: fetched.last_modified.clone(),
            checksum: fetched.checksum.clone(),
            content: fetched.content.clone(),
            result: fetched.result.clone(),
        };
        lock(&self.answers).insert(question.clone(), answer);
    }

    fn is_lost(&self, blob: &SharedBlob) -> bool {
        lock(&self.lost).contains(&blob.digest)
    }

    /// What a step gave in the end.
    fn given(&self, index: usize) -> Option<&Output> {
        let remade = self.remade.get(index).and_then(OnceCell::get);
        remade.or_else(|| self.outputs.get(index)?.get())
    }
}

/// Reads the caches of a build, and tells of each.
pub(super) async fn read(engine: &Engine, request: &SolveRequest, progress: &Progress) -> Imported {
    // What whoever asks for the build names goes before what the worker's owner names for all.
    let named = request.extras.cache_from.iter();
    let places: Vec<Place> = named.chain(&engine.caches).cloned().collect();
    if places.is_empty() {
        return Imported::default();
    }
    let text = |key: &str| request.image_config[key].as_str().unwrap_or_default().to_owned();
    let platform = Platform {
        os: text("os"),
        architecture: text("architecture"),
        variant: text("variant"),
        ..Platform::default()
    };
    let told = |place: &Place, read: Result<usize, &SharingError>| {
        if !request.extras.tell_exports {
            if let Err(error) = read {
                tracing::warn!(%error, "a cache cannot be read; the build goes on without it");
            }
            return;
        }
        let task = progress.task(request, &format!("importing the {place}"));
        let error = read
            .err()
            .map(|error| format!("{error}; the build goes on without it"));
        progress.task_ended(task, error.as_deref());
    };
    Imported::read(&places, &engine.images.source, &platform, told).await
}

impl Build {
    /// A step's result as a cache has it, and which cache that is.
    pub(super) fn imported(&self, key: &Digest, base: &Rootfs) -> Option<(StoredResult, String)> {
        let (cache, record) = self.imported.record(key)?;
        // One whose layer no cache ever had is known all the same.
        let named = self.imported.blobs(&record.diff_id).next().is_some();
        if named && !self.is_offered(&record.diff_id) {
            return None;
        }
        // What a layer lies on is part of its name here, and nothing that a cache could choose.
        let below = (!base.layers().is_empty()).then(|| base.chain());
        let result = StoredResult {
            build: String::new(),
            created: record.created.clone(),
            step: record.step.clone(),
            snapshot: SnapshotId::from(&chain(below.as_ref(), &record.diff_id)).to_string(),
            diff_id: record.diff_id.clone(),
            unpacked_size: record.unpacked_size,
            added: record.added,
            changed: record.changed,
            removed: record.removed,
        };
        Some((result, cache.place.to_string()))
    }

    /// What an address gave to whoever made one of the caches, and which that is.
    pub(super) fn imported_answer(&self, question: &Digest) -> Option<(StoredResult, Fetched, String)> {
        let answer = self.imported.answer(question)?;
        let (result, cache) = self.imported(&answer.result, &Rootfs::default())?;
        let fetched = Fetched {
            build: String::new(),
            etag: answer.etag.clone(),
            last_modified: answer.last_modified.clone(),
            checksum: answer.checksum.clone(),
            content: answer.content.clone(),
            result: answer.result.clone(),
        };
        Some((result, fetched, cache))
    }

    /// Sees to it that the files are here that a step reads to find its key, where nobody knows what is to be read.
    pub(super) async fn readable(
        self: &Arc<Self>,
        vertex: &GraphVertex,
        uses: &[Use],
        inputs: &mut [Output],
    ) -> Result<(), StepFailure> {
        if self.imported.is_empty() {
            return Ok(());
        }
        for used in uses {
            let Use::Part(index, selection) = used else {
                continue;
            };
            if let (Some(input), Some(edge)) = (inputs.get_mut(*index), vertex.inputs.get(*index))
                && let Output::Files(files) = input
                && self.known_checksum(&of(selection, files), Word::Caches).is_none()
            {
                *input = self.solid(edge.vertex, input).await?;
            }
        }
        Ok(())
    }

    /// Sees to it that the files are here that a step is to run on.
    pub(super) async fn runnable(
        self: &Arc<Self>,
        vertex: &GraphVertex,
        inputs: &mut [Output],
    ) -> Result<(), StepFailure> {
        for (input, edge) in inputs.iter_mut().zip(&vertex.inputs) {
            *input = self.solid(edge.vertex, input).await?;
        }
        Ok(())
    }

    /// The checksum of files in layers, where it is known to those whose word counts.
    pub(super) fn known_checksum(&self, of: &Digest, word: Word) -> Option<Digest> {
        let known = self.engine.cache.checksum(of);
        known.or_else(|| match word {
            Word::Caches => self.imported.checksum(of).cloned(),
            Word::Own => None,
        })
    }

    /// The files of a step with all its layers here. Where some cannot be had, the step is run.
    fn solid<'a>(
        self: &'a Arc<Self>,
        index: usize,
        output: &'a Output,
    ) -> BoxFuture<'a, Result<Output, StepFailure>> {
        Box::pin(async move {
            let Output::Files(files) = output else {
                return Ok(output.clone());
            };
            let lacking = self.lacking(files);
            if lacking.is_empty() || self.bring(files, &lacking).await? {
                return Ok(output.clone());
            }
            let place = self.notes.remade.get(index);
            let place = place.ok_or_else(|| StepFailure::internal("a step that is not in the plan"))?;
            let made = place.get_or_try_init(|| self.remake(index)).await?;
            Ok(made.clone())
        })
    }

    /// The layers of steps that are not here: what a cache knows.
    fn lacking(&self, files: &Rootfs) -> Vec<Layer> {
        let step = |layer: &&Layer| matches!(layer.origin, LayerOrigin::Step { .. });
        let lacks = |layer: &&Layer| !self.engine.snapshots.has(&layer.snapshot);
        files
            .layers()
            .iter()
            .filter(step)
            .filter(lacks)
            .cloned()
            .collect()
    }

    /// Runs a step that a cache knew, since its files are needed and cannot be had.
    async fn remake(self: &Arc<Self>, index: usize) -> Result<Output, StepFailure> {
        let lost = || StepFailure::internal("a step that is to run again is not in the plan");
        let vertex = self.vertex(index).ok_or_else(lost)?;
        let mut inputs = Vec::new();
        for edge in &vertex.inputs {
            let input = self.notes.outputs.get(edge.vertex).and_then(OnceLock::get);
            inputs.push(self.solid(edge.vertex, input.ok_or_else(lost)?).await?);
        }
        let result = match &vertex.op.kind {
            Some(OpKind::Source(source)) => self.source(vertex, source, true).await,
            Some(OpKind::Merge(op)) => {
                let inputs = self.grounds(vertex, &uses(&vertex.op), &inputs).await?;
                merge::merge(op, &inputs).map(|files| (Output::Files(files), End::Ran))
            }
            _ => self.keyed(vertex, &inputs, true).await,
        };
        match result {
            Ok((output, end)) => {
                self.progress.end(&vertex.digest, &end);
                Ok(output)
            }
            Err(failure) => {
                self.progress
                    .end(&vertex.digest, &End::Error(failure.message.clone()));
                Err(StepFailure {
                    vertex: failure.vertex.or_else(|| Some(vertex.digest.clone())),
                    ..failure
                })
            }
        }
    }

    /// Brings layers here from the caches, and unpacks them on what is below. `false` where one cannot be had.
    async fn bring(self: &Arc<Self>, files: &Rootfs, lacking: &[Layer]) -> Result<bool, StepFailure> {
        // Where one is not even offered, the others need not come.
        if !lacking.iter().all(|layer| self.is_offered(&layer.diff_id)) {
            return Ok(false);
        }
        let Some(blobs) = self.fetch_all(lacking).await else {
            return Ok(false);
        };
        // They lie on the layers of images.
        self.ready(files).await?;
        for (layer, blob) in lacking.iter().zip(blobs) {
            if !self.unpack(layer, blob).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Where the blob of a layer may be had.
    fn offered(&self, diff_id: &Digest) -> impl Iterator<Item = (&Place, &SharedBlob)> {
        let blobs = self.imported.blobs(diff_id);
        blobs.filter(|(_, blob)| !self.notes.is_lost(blob))
    }

    fn is_offered(&self, diff_id: &Digest) -> bool {
        self.offered(diff_id).next().is_some()
    }

    /// Brings the blobs of layers here, several at a time; `None` where one cannot be had.
    async fn fetch_all(self: &Arc<Self>, layers: &[Layer]) -> Option<Vec<SharedBlob>> {
        let fetched: Vec<Option<SharedBlob>> = stream::iter(layers.iter().cloned())
            .map(|layer| async move { self.fetch(&layer).await })
            .buffered(AT_ONCE)
            .collect()
            .await;
        fetched.into_iter().collect()
    }

    /// Brings a layer's blob here from the first cache that gives it. What none of them gave is not asked for again.
    async fn fetch(self: &Arc<Self>, layer: &Layer) -> Option<SharedBlob> {
        let content = self.engine.contexts.content();
        let mut refused = BTreeSet::new();
        let mut given = None;
        for (place, blob) in self.offered(&layer.diff_id) {
            if content.contains_whole(&blob.digest, blob.size) {
                given = Some(blob.clone());
                break;
            }
            let started = timestamp();
            let part = |current| {
                News::Progress(Part {
                    id: blob.digest.to_string(),
                    name: "downloading",
                    current,
                    total: blob.size,
                    started: started.clone(),
                    completed: current == blob.size,
                })
            };
            self.progress.tell(&layer.vertex, &part(0));
            match place.bring(&self.engine.images.source, content, blob).await {
                Ok(()) => {
                    self.progress.tell(&layer.vertex, &part(blob.size));
                    given = Some(blob.clone());
                    break;
                }
                Err(error) => {
                    self.without(layer, &error);
                    refused.insert(blob.digest.clone());
                }
            }
        }
        // One cache may have lost what another has.
        if let Some(blob) = &given {
            refused.remove(&blob.digest);
        }
        lock(&self.notes.lost).extend(refused);
        given
    }

    /// Unpacks a layer whose blob is here, and where it is not what the cache says, from the blob of another; `false`
    /// where no cache has the layer.
    async fn unpack(self: &Arc<Self>, layer: &Layer, blob: SharedBlob) -> Result<bool, StepFailure> {
        let mut next = Some(blob);
        while let Some(blob) = next {
            if self.unpack_blob(layer, blob).await? {
                return Ok(true);
            }
            next = self.fetch(layer).await;
        }
        Ok(false)
    }

    /// Unpacks a blob for everyone who waits for the layer; `false` where it is another layer than the cache says.
    async fn unpack_blob(self: &Arc<Self>, layer: &Layer, blob: SharedBlob) -> Result<bool, StepFailure> {
        let (build, of) = (Arc::clone(self), layer.clone());
        let work = move |_| async move {
            blocking(move || {
                let snapshots = &build.engine.snapshots;
                let LayerOrigin::Step { result, lowers, .. } = &of.origin else {
                    return Ok(true);
                };
                if snapshots.has(&of.snapshot) {
                    return Ok(true);
                }
                let content = build.engine.contexts.content();
                let size = result.unpacked_size.min(build.engine.images.unpacked_limit());
                let reader = layer_reader(content, &descriptor(&of, &blob), size);
                let options = UnpackOptions {
                    parents: lowers,
                    expected: Some(of.diff_id.clone()),
                    max_bytes: Some(size),
                    ..UnpackOptions::default()
                };
                let unpacked = reader.map_err(SharingError::of).and_then(|reader| {
                    snapshots
                        .unpack(&of.snapshot, reader, &options)
                        .map_err(SharingError::of)
                });
                if let Err(error) = &unpacked {
                    build.without(&of, error);
                    lock(&build.notes.lost).insert(blob.digest.clone());
                }
                Ok(unpacked.is_ok())
            })
            .await
        };
        let flight = Digest::of(format!("unpacking {}", layer.snapshot).as_bytes());
        let ended = self
            .engine
            .shared_layers
            .join(&flight, Arc::new(|_| {}), work)
            .await;
        ended.unwrap_or_else(|| {
            Err(StepFailure::internal(
                "a layer's unpacking ended without a result",
            ))
        })
    }

    /// Says that a cache does not give a layer.
    fn without(&self, layer: &Layer, error: &SharingError) {
        let text = format!(
            "a layer cannot be had from a cache: {error}; where it is needed and no other cache has it, its step runs"
        );
        self.progress.tell(&layer.vertex, &News::Warning(text));
    }

    /// The result's files as far as they are needed: all of them where files are put out, else the blobs of layers.
    pub(super) async fn obtain(
        self: &Arc<Self>,
        files: Rootfs,
        cancel: &CancellationToken,
    ) -> Result<Rootfs, BuildFailure> {
        let Some(head) = self.request.graph.head.filter(|_| !self.imported.is_empty()) else {
            return Ok(files);
        };
        let extras = &self.request.extras;
        let options = &extras.image;
        let work = async {
            let whole = !extras.files.is_empty() || (options.rewrite_timestamps && options.epoch.is_some());
            if !whole && (options.unmade || self.blobs(&files, options).await?) {
                return Ok(files);
            }
            match self.solid(head.vertex, &Output::Files(files)).await? {
                Output::Files(files) => Ok(files),
                Output::Context(_) => Err(StepFailure::internal("files became a context")),
            }
        };
        let result = tokio::select! {
            biased;
            () = cancel.cancelled() => Err(StepFailure::cancelled()),
            result = work => result,
        };
        result.map_err(|failure| failed(&failure, None, "the result"))
    }

    /// Brings the blobs of those layers here that are not, as the image is to have them; `false` where that cannot be
    /// done without unpacking.
    async fn blobs(self: &Arc<Self>, files: &Rootfs, options: &ImageOptions) -> Result<bool, StepFailure> {
        let mut lacking = self.lacking(files);
        lacking.retain(|layer| {
            self.engine
                .layers
                .encoded(&layer.diff_id, options.encoding)
                .is_none()
        });
        if !lacking.iter().all(|layer| self.is_offered(&layer.diff_id)) {
            return Ok(false);
        }
        let Some(blobs) = self.fetch_all(&lacking).await else {
            return Ok(false);
        };
        for (layer, blob) in lacking.iter().zip(blobs) {
            if !self.adopt(layer, blob, options.encoding).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes a layer's blob for the image as it is, and where it is not what the cache says, that of another; `false`
    /// where none will do.
    async fn adopt(
        self: &Arc<Self>,
        layer: &Layer,
        blob: SharedBlob,
        encoding: Encoding,
    ) -> Result<bool, StepFailure> {
        let mut next = Some(blob);
        while let Some(blob) = next {
            if !image::same_kind(&blob.media_type, encoding) {
                return Ok(false);
            }
            let (build, of) = (Arc::clone(self), layer.clone());
            let fits = blocking(move || {
                let LayerOrigin::Step { result, .. } = &of.origin else {
                    return Ok(true);
                };
                // Nobody unpacks it, so that it is looked at here whether it is the layer that it is said to be.
                let size = result.unpacked_size.min(build.engine.images.unpacked_limit());
                let content = build.engine.contexts.content();
                let read = layer_reader(content, &descriptor(&of, &blob), size).map_err(SharingError::of);
                let read = read.and_then(|reader| reader.finish().map_err(SharingError::of));
                match read {
                    Ok(unpacked) => {
                        let known = (blob.digest.clone(), blob.size, unpacked);
                        build.engine.layers.adopt(encoding, &of.diff_id, known);
                        Ok(true)
                    }
                    Err(error) => {
                        build.without(&of, &error);
                        lock(&build.notes.lost).insert(blob.digest.clone());
                        Ok(false)
                    }
                }
            });
            if fits.await? {
                return Ok(true);
            }
            next = self.fetch(layer).await;
        }
        Ok(false)
    }

    /// The image's configuration, with the cache that it carries where that is wanted.
    pub(super) async fn configuration(&self, files: &Rootfs) -> Result<Value, BuildFailure> {
        let mut config = self.request.image_config.clone();
        if self.request.extras.inline_cache {
            let document = self.document(files, None).await;
            let document =
                document.and_then(|document| serde_json::to_value(document).map_err(StepFailure::internal));
            let document = document.map_err(|failure| failed(&failure, None, "the cache in the image"))?;
            if config.is_null() {
                config = serde_json::json!({});
            }
            config[IMAGE_KEY] = document;
        }
        Ok(config)
    }

    /// Gathers what this build has to share, for every cache that is to be written.
    pub(super) async fn share(&self, files: &Rootfs, cancel: &CancellationToken) {
        for export in self.request.extras.cache_to.iter() {
            let document = tokio::select! {
                biased;
                () = cancel.cancelled() => Err(StepFailure::cancelled()),
                document = self.document(files, Some(export)) => document,
            };
            export.gather(document.map_err(|failure| SharingError(failure.message)));
        }
    }

    /// What is known of this build's steps. Which layers come along the export says; where there is none, none do.
    async fn document(
        &self,
        files: &Rootfs,
        export: Option<&CacheExport>,
    ) -> Result<CacheDocument, StepFailure> {
        let epoch = self.request.extras.image.epoch;
        let mut document = CacheDocument {
            checksums: lock(&self.notes.checksums).clone(),
            answers: lock(&self.notes.answers).clone(),
            ..CacheDocument::default()
        };
        let keys = lock(&self.notes.keys).clone();
        let mut layers = Vec::new();
        for (index, vertex) in self.request.graph.vertices.iter().enumerate() {
            let (Some(key), Some(Output::Files(made))) = (keys.get(&vertex.digest), self.notes.given(index))
            else {
                continue;
            };
            let Some((layer, LayerOrigin::Step { result, .. })) = made.top().map(|top| (top, &top.origin))
            else {
                continue;
            };
            document.records.insert(key.clone(), record(result, epoch));
            layers.push(layer.clone());
        }
        let Some(export) = export else {
            return Ok(document);
        };
        if !export.all {
            let shipped: BTreeSet<&Digest> = files.layers().iter().map(|layer| &layer.diff_id).collect();
            layers.retain(|layer| shipped.contains(&layer.diff_id));
        }
        let encoding = export.encoding.unwrap_or(self.request.extras.image.encoding);
        let options = ImageOptions {
            encoding,
            ..ImageOptions::default()
        };
        for layer in layers {
            if document.layers.contains_key(&layer.diff_id) {
                continue;
            }
            if let Some(blob) = self.shared_blob(&layer, &options, &export.place).await? {
                document.layers.insert(layer.diff_id.clone(), blob);
            }
        }
        Ok(document)
    }

    /// The blob of a layer, in the content store or where the cache is going to be. `None` where it cannot be had: the
    /// step is then known without it.
    async fn shared_blob(
        &self,
        layer: &Layer,
        options: &ImageOptions,
        to: &Place,
    ) -> Result<Option<SharedBlob>, StepFailure> {
        let known = self.engine.layers.encoded(&layer.diff_id, options.encoding);
        if known.is_some() || self.engine.snapshots.has(&layer.snapshot) {
            let (engine, layer, options) = (Arc::clone(&self.engine), layer.clone(), options.clone());
            let blob = blocking(move || image::layer_blob(&engine, &layer, &options)).await?;
            return Ok(Some(SharedBlob {
                media_type: blob.media_type,
                digest: blob.digest,
                size: blob.size,
            }));
        }
        let (images, content) = (&self.engine.images.source, self.engine.contexts.content());
        for (place, blob) in self.offered(&layer.diff_id) {
            let stays = place.shares_blobs_with(to) && place.holds(images, blob).await;
            if stays || place.bring(images, content, blob).await.is_ok() {
                return Ok(Some(blob.clone()));
            }
        }
        Ok(None)
    }
}

fn descriptor(layer: &Layer, blob: &SharedBlob) -> LayerDescriptor {
    LayerDescriptor {
        digest: blob.digest.clone(),
        diff_id: layer.diff_id.clone(),
        media_type: blob.media_type.clone(),
        size: blob.size,
    }
}

/// What is said of a result. With `epoch` it is no younger than that, as the image is not.
fn record(result: &StoredResult, epoch: Option<i64>) -> SharedRecord {
    let created = OffsetDateTime::parse(&result.created, &Rfc3339).ok();
    let latest = epoch.and_then(|epoch| OffsetDateTime::from_unix_timestamp(epoch).ok());
    let created = match (created, latest) {
        (Some(created), Some(latest)) if created > latest => latest.format(&Rfc3339).ok(),
        _ => None,
    };
    SharedRecord {
        diff_id: result.diff_id.clone(),
        step: result.step.clone(),
        created: created.unwrap_or_else(|| result.created.clone()),
        unpacked_size: result.unpacked_size,
        added: result.added,
        changed: result.changed,
        removed: result.removed,
    }
}

/// Names the question for a checksum of files in layers.
pub(super) fn of(selection: &Selection, files: &Rootfs) -> Digest {
    Digest::of(format!("{}\0{}", files.chain(), selection.text()).as_bytes())
}
