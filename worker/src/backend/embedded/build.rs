//! One build: its steps, each looked up before it is run.

mod context;
mod remote;
mod sharing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use stagewright_core::digest::Digest;
use stagewright_core::llb::{ExecOp, MountType, Op, OpKind, SourceOp};
use stagewright_core::platform::Platform;
use stagewright_core::protocol::{BuildFailure, ImageSummary};
use tokio_util::sync::CancellationToken;

use self::sharing::{Notes, Word};
use super::cache::{LastSeen, StoredResult};
use super::deliver::{deliver, stated};
use super::engine::Engine;
use super::flight::{Listener, Ticket};
use super::image;
use super::key::{InputFact, Key, Use, own, uses};
use super::layer::Made;
use super::ops::exec::Given;
use super::ops::source::Source;
use super::ops::{StepFailure, blocking, diff, file, merge};
use super::progress::{End, LayerNews, News, Progress};
use super::reason::{self, Identity};
use super::rootfs::{Layer, LayerOrigin, Output, Rootfs};
use super::scheduler::{self, Stopped};
use super::select::Selection;
use super::tree::{ContextTree, DirectoryTree, Tree};
use crate::backend::graph::GraphVertex;
use crate::backend::{EventSink, SolveRequest, timestamp};
use crate::sandbox::emulated;
use crate::sharing::Imported;
use crate::snapshot::SnapshotId;

/// One build under way.
pub(crate) struct Build {
    engine: Arc<Engine>,
    request: SolveRequest,
    progress: Arc<Progress>,
    /// How the steps look now, to be remembered at the end.
    seen: Mutex<Vec<(Digest, LastSeen)>>,
    /// Images whose unpacking this build is told of already.
    watched: Mutex<BTreeSet<Digest>>,
    /// What the caches know that the build names.
    imported: Imported,
    notes: Notes,
}

impl Build {
    /// Runs a build to its end.
    pub(crate) async fn run(
        engine: Arc<Engine>,
        request: SolveRequest,
        events: EventSink,
        cancel: CancellationToken,
    ) -> Result<ImageSummary, BuildFailure> {
        let progress = Progress::announce(events, &request.graph, engine.build_log);
        let imported = tokio::select! {
            biased;
            () = cancel.cancelled() => Imported::default(),
            imported = sharing::read(&engine, &request, &progress) => imported,
        };
        let build = Arc::new(Self {
            notes: Notes::of(&request),
            engine,
            request,
            progress,
            seen: Mutex::default(),
            watched: Mutex::default(),
            imported,
        });
        build.check()?;
        let result = build.steps(&cancel).await;
        build.remember().await;
        let files = build.obtain(result?, &cancel).await?;
        let options = &build.request.extras.image;
        build.deliver(&files, &cancel).await?;
        let config = build.configuration(&files).await?;
        let image = image::finish(&build.engine, &files, &config, options, &build.progress, &cancel);
        let told = build.request.extras.tell_exports && !options.unmade;
        let image = build.export(told, "exporting layers", image).await?;
        build.share(&files, &cancel).await;
        Ok(image)
    }

    /// Writes the files of the result to where they are wanted.
    async fn deliver(
        self: &Arc<Self>,
        files: &Rootfs,
        cancel: &CancellationToken,
    ) -> Result<(), BuildFailure> {
        let extras = &self.request.extras;
        for output in extras.files.iter() {
            let (output, epoch) = (output.clone(), extras.image.epoch);
            let name = output.told();
            let (engine, cancel) = (Arc::clone(&self.engine), cancel.clone());
            let work = async move {
                self.ready(files).await?;
                let (snapshots, draft) = (files.snapshots(), self.request.extras.provenance.clone());
                blocking(move || {
                    let mounted = engine.snapshots.view(&snapshots)?;
                    let Some(draft) = draft else {
                        return deliver(mounted.path(), &output, epoch, &cancel);
                    };
                    let stated = stated(mounted.path(), &draft)?;
                    drop(mounted);
                    // The statement lies on the files like a layer that nobody keeps.
                    let active = engine.snapshots.begin(&snapshots)?;
                    let mounted = active.mount()?;
                    std::fs::write(mounted.path().join(draft.file_name()), stated).map_err(|error| {
                        StepFailure::new(format!("the provenance cannot be written: {error}"))
                    })?;
                    deliver(mounted.path(), &output, epoch, &cancel)
                })
                .await
            };
            self.export(extras.tell_exports, &name, work).await?;
        }
        Ok(())
    }

    /// Does something with the result, and tells of it where that is wanted.
    async fn export<T>(
        &self,
        told: bool,
        name: &str,
        work: impl Future<Output = Result<T, StepFailure>>,
    ) -> Result<T, BuildFailure> {
        let task = told.then(|| self.progress.task(&self.request, name));
        let result = work.await;
        if let Some(task) = task {
            let error = result.as_ref().err().map(|failure| failure.message.as_str());
            self.progress.task_ended(task, error);
        }
        result.map_err(|failure| failed(&failure, None, name))
    }

    fn vertex(&self, index: usize) -> Option<&GraphVertex> {
        self.request.graph.vertices.get(index)
    }

    /// Refuses what this backend cannot do before anything runs.
    fn check(&self) -> Result<(), BuildFailure> {
        for vertex in &self.request.graph.vertices {
            if let Err(message) = check(vertex, &self.engine.platform) {
                self.progress.end(&vertex.digest, &End::Error(message.clone()));
                return Err(failed(
                    &StepFailure::new(message),
                    Some(&vertex.digest),
                    &vertex.name,
                ));
            }
        }
        if self.request.graph.head.is_some_and(|head| head.output != 0) {
            return Err(failed(
                &StepFailure::new("the plan's result is not a step's first output"),
                None,
                "the plan",
            ));
        }
        Ok(())
    }

    /// Runs all steps and gives the files of the last.
    async fn steps(self: &Arc<Self>, cancel: &CancellationToken) -> Result<Rootfs, BuildFailure> {
        let graph = &self.request.graph;
        let Some(head) = graph.head else {
            return Ok(Rootfs::default());
        };
        let inputs: Vec<Vec<usize>> = graph
            .vertices
            .iter()
            .map(|vertex| vertex.inputs.iter().map(|edge| edge.vertex).collect())
            .collect();
        let results = scheduler::run(&inputs, cancel, |index, given, cancel| {
            let build = Arc::clone(self);
            async move { build.step(index, given, cancel).await }
        })
        .await;
        match results {
            Ok(mut outputs) => {
                match (head.vertex < outputs.len()).then(|| outputs.swap_remove(head.vertex)) {
                    Some(Output::Files(files)) => Ok(files),
                    Some(Output::Context(context)) => tokio::select! {
                        biased;
                        () = cancel.cancelled() => Err(StepFailure::cancelled()),
                        laid = self.laid(head.vertex, &context) => laid,
                    }
                    .map_err(|failure| failed(&failure, None, "the plan")),
                    None => Err(failed(
                        &StepFailure::internal("the last step has no result"),
                        None,
                        "the plan",
                    )),
                }
            }
            Err(Stopped::Failed { vertex, error }) => {
                let step = self.vertex(vertex);
                let at_fault = error
                    .vertex
                    .clone()
                    .or_else(|| step.map(|step| step.digest.clone()));
                let name = graph
                    .vertices
                    .iter()
                    .find(|other| Some(&other.digest) == at_fault.as_ref())
                    .or(step);
                Err(failed(
                    &error,
                    at_fault.as_ref(),
                    name.map_or("a step", |step| step.name.as_str()),
                ))
            }
            Err(Stopped::Cancelled) => Err(failed(&StepFailure::cancelled(), None, "the build")),
            Err(Stopped::Fault(fault)) => Err(failed(&StepFailure::internal(fault), None, "the build")),
        }
    }

    /// Runs one step, or finds its result, and tells how it ended.
    async fn step(
        self: Arc<Self>,
        index: usize,
        inputs: Vec<Output>,
        cancel: CancellationToken,
    ) -> Result<Output, StepFailure> {
        let Some(vertex) = self.vertex(index) else {
            return Err(StepFailure::internal("a step that is not in the plan"));
        };
        let work = async {
            match &vertex.op.kind {
                Some(OpKind::Source(source)) => self.source(vertex, source, false).await,
                Some(OpKind::Merge(merge)) => {
                    self.progress.tell(&vertex.digest, &News::Started(timestamp()));
                    let inputs = self.grounds(vertex, &uses(&vertex.op), &inputs).await?;
                    merge::merge(merge, &inputs).map(|files| (Output::Files(files), End::Ran))
                }
                Some(OpKind::File(_) | OpKind::Exec(_) | OpKind::Diff(_)) => {
                    self.keyed(vertex, &inputs, false).await
                }
                Some(OpKind::Build(_) | OpKind::Passthrough(_)) | None => {
                    Err(StepFailure::new("an op of a kind that this worker does not run"))
                }
            }
        };
        let result = tokio::select! {
            biased;
            () = cancel.cancelled() => Err(StepFailure::cancelled()),
            result = work => result,
        };
        match result {
            Ok((output, end)) => {
                self.notes.output(index, &output);
                self.progress.end(&vertex.digest, &end);
                Ok(output)
            }
            Err(failure) => {
                // The fault of an image shows at the image; the step that needed it did not begin.
                if failure
                    .vertex
                    .as_ref()
                    .is_none_or(|at_fault| *at_fault == vertex.digest)
                {
                    self.progress
                        .end(&vertex.digest, &End::Error(failure.message.clone()));
                }
                Err(failure)
            }
        }
    }

    /// Brings files from outside; with `anew` also where a cache of another machine knows them.
    async fn source(
        &self,
        vertex: &GraphVertex,
        op: &SourceOp,
        anew: bool,
    ) -> Result<(Output, End), StepFailure> {
        self.progress.tell(&vertex.digest, &News::Started(timestamp()));
        match Source::of(op) {
            Source::Layout(reference) if !self.engine.images.source.is_lent(reference) => {
                Err(StepFailure::new(
                    "the plan reads an OCI layout, and the build was given none with that image",
                ))
            }
            Source::Image(reference) | Source::Layout(reference) => self.image(vertex, reference).await,
            Source::Local(name) => self.context(vertex, op, name),
            Source::Web => self.web(vertex, op, anew).await,
            Source::Git => self.git(vertex, op, anew).await,
            Source::Unsupported(what) => Err(unsupported(what)),
        }
    }

    async fn image(&self, vertex: &GraphVertex, reference: &str) -> Result<(Output, End), StepFailure> {
        let images = &self.engine.images;
        let platform = platform_of(&vertex.op).unwrap_or_else(|| self.engine.platform.clone());
        let (image, files) = images.open(reference, &platform, &vertex.digest).await?;
        if let Some(note) = &image.pulled.note {
            self.progress.tell(&vertex.digest, &News::Warning(note.clone()));
        }
        let (end, reason) = if images.is_unpacked(&files) {
            (End::Cached, "cached: the image is here already")
        } else {
            (End::Ran, "its layers come when a step needs them")
        };
        self.progress.reason(&vertex.digest, reason.to_owned());
        Ok((Output::Files(files), end))
    }

    /// A step whose result is kept; with `anew` one whose files are needed, and that no cache of another machine gives.
    async fn keyed(
        self: &Arc<Self>,
        vertex: &GraphVertex,
        given: &[Output],
        anew: bool,
    ) -> Result<(Output, End), StepFailure> {
        let uses = uses(&vertex.op);
        let mut inputs = self.grounds(vertex, &uses, given).await?;
        self.readable(vertex, &uses, &mut inputs).await?;
        let mut key = self.key(vertex, &uses, given, &inputs, Word::Caches).await?;
        let mut base = base(vertex, &inputs)?;
        let ignored = self.ignores_cache(vertex);
        let mut found = self.result(vertex, &key, &base, anew);
        if found.is_none() && !self.imported.is_empty() {
            // What it is to run on has to be here, and where it was made again it may be something else now. What comes of it
            // is kept for all builds, so that from here on no cache has a say in what it is kept under.
            self.runnable(vertex, &mut inputs).await?;
            key = self.key(vertex, &uses, given, &inputs, Word::Own).await?;
            base = self::base(vertex, &inputs)?;
            found = self.result(vertex, &key, &base, anew);
        }
        self.notes.key(&vertex.digest, &key.digest);
        let identity = Identity::new(&self.request.title, &vertex.name, &key.own);
        let last = identity.last_seen(&self.engine.cache);
        let seen = identity.seen(&self.request.build, &key);
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(seen);
        if let Some((result, why)) = found {
            self.progress.reason(&vertex.digest, why);
            let blob = self.engine.layers.compressed(&result.diff_id);
            let media_type = crate::export::LayerIndex::MEDIA_TYPE;
            let blob = blob.map(|blob| (blob.digest, blob.size, media_type.to_owned()));
            self.progress
                .tell(&vertex.digest, &News::Layer(LayerNews::of_result(&result, blob)));
            return Ok((
                Output::Files(stacked(&base, vertex, Arc::new(result))?),
                End::Cached,
            ));
        }
        let why = match ignored {
            Some(why) => why.to_owned(),
            None if anew => {
                "rerun: its files are needed, and no cache that the build names has them".to_owned()
            }
            None => reason::rerun(&key, last, &|index, context| {
                self.listing(&uses, given, index, context)
            }),
        };
        self.progress.reason(&vertex.digest, why);
        // Who wants it run again does not ride along with one that another build began before.
        let flight = if ignored.is_some() {
            Digest::of(format!("{} for build {}", key.digest, self.request.build).as_bytes())
        } else {
            key.digest.clone()
        };
        let work = |ticket: Ticket| {
            let (build, vertex) = (Arc::clone(self), vertex.clone());
            async move { build.execute(&vertex, &inputs, &key.digest, &ticket).await }
        };
        let listener = self.progress.listener(&vertex.digest);
        let ended = self.engine.flights.join(&flight, listener, work).await;
        let result = ended.unwrap_or_else(|| Err(StepFailure::internal("a step ended without a result")))?;
        Ok((Output::Files(stacked(&base, vertex, result)?), End::Ran))
    }

    /// The result of a step where it need not run, and why it need not: this worker's own, or that of a cache.
    fn result(
        &self,
        vertex: &GraphVertex,
        key: &Key,
        base: &Rootfs,
        anew: bool,
    ) -> Option<(StoredResult, String)> {
        if self.ignores_cache(vertex).is_some() {
            return None;
        }
        if let Some(result) = self.engine.found(&key.digest) {
            let why = reason::cached(key, &result.build);
            return Some((result, why));
        }
        let imported = (!anew).then(|| self.imported(&key.digest, base)).flatten();
        imported.map(|(result, cache)| (result, format!("cached, from {cache}")))
    }

    /// Why a step is to run although a result of it may be kept; `None` where that result will do.
    fn ignores_cache(&self, vertex: &GraphVertex) -> Option<&'static str> {
        if self.request.no_cache {
            Some("rerun: the build asks that nothing come from the cache")
        } else if self.request.extras.no_cache.contains(&vertex.digest) {
            Some("rerun: the build asks that this step not come from the cache")
        } else {
            None
        }
    }

    /// The cache key of a step that works on `inputs`, which is what it was `given` with contexts as files where it
    /// needs them so. `word` says whose checksums it may be made of.
    async fn key(
        self: &Arc<Self>,
        vertex: &GraphVertex,
        uses: &[Use],
        given: &[Output],
        inputs: &[Output],
        word: Word,
    ) -> Result<Key, StepFailure> {
        let mut facts = Vec::new();
        for used in uses {
            let (Use::Whole(index) | Use::Part(index, _)) = used;
            let context = match given.get(*index) {
                Some(Output::Context(context)) => Some(context.id().clone()),
                Some(Output::Files(_)) | None => None,
            };
            let input = inputs
                .get(*index)
                .ok_or_else(|| StepFailure::internal("a step lacks an input"))?;
            let from = vertex
                .inputs
                .get(*index)
                .and_then(|edge| self.vertex(edge.vertex));
            let from = from.map(|from| from.name.clone()).unwrap_or_default();
            let fact = match (used, input) {
                (Use::Whole(_), Output::Files(files)) => InputFact {
                    from: maker(files).unwrap_or(from),
                    content: files.chain(),
                    part: None,
                    context,
                },
                (Use::Whole(_), Output::Context(_)) => {
                    return Err(StepFailure::internal(
                        "a step works on a context that is no files",
                    ));
                }
                (Use::Part(_, selection), Output::Context(tree)) => {
                    let (wanted, tree) = (selection.clone(), Arc::clone(tree));
                    let checksum = blocking(move || {
                        let checksum = wanted.checksum(tree.as_ref());
                        checksum.map_err(|error| StepFailure::new(format!("in the build context, {error}")))
                    })
                    .await?;
                    InputFact {
                        from,
                        content: checksum,
                        part: Some(selection.text()),
                        context,
                    }
                }
                (Use::Part(_, selection), Output::Files(files)) => {
                    let checksum = self.checksum(selection, files, &from, word).await?;
                    InputFact {
                        from,
                        content: checksum,
                        part: Some(selection.text()),
                        context,
                    }
                }
            };
            facts.push(fact);
        }
        Ok(Key::new(own(&vertex.op), facts))
    }

    /// The checksum of some files of a step. It is found out once, as the files of a step never change.
    async fn checksum(
        self: &Arc<Self>,
        selection: &Selection,
        files: &Rootfs,
        from: &str,
        word: Word,
    ) -> Result<Digest, StepFailure> {
        let of = sharing::of(selection, files);
        if let Some(known) = self.known_checksum(&of, word) {
            self.notes.checksum(&of, &known);
            return Ok(known);
        }
        self.ready(files).await?;
        let (engine, selection, files) = (Arc::clone(&self.engine), selection.clone(), files.clone());
        let (place, question) = (format!("in the files of {from}, "), of.clone());
        let checksum = blocking(move || {
            let mounted = engine.snapshots.view(&files.snapshots())?;
            let tree = DirectoryTree::open_root(mounted.path()).map_err(StepFailure::internal)?;
            let checksum = selection
                .checksum(&tree)
                .map_err(|error| StepFailure::new(format!("{place}{error}")))?;
            if let Err(error) = engine.cache.put_checksum(&question, &checksum) {
                tracing::warn!(%error, "a checksum could not be remembered");
            }
            Ok(checksum)
        })
        .await?;
        self.notes.checksum(&of, &checksum);
        Ok(checksum)
    }

    /// Sees to it that all layers of `files` can be mounted.
    async fn ready(self: &Arc<Self>, files: &Rootfs) -> Result<(), StepFailure> {
        for image in self.engine.images.lacking(files) {
            let first = self
                .watched
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(image.pulled.manifest.clone());
            let listener: Listener = if first {
                self.progress.listener(&image.vertex)
            } else {
                Arc::new(|_| {})
            };
            let result = self.engine.images.unpack(&image, listener).await;
            if first {
                let end = match &result {
                    Ok(()) => End::Ran,
                    Err(failure) => End::Error(failure.message.clone()),
                };
                self.progress
                    .reason(&image.vertex, "its layers were not here yet".to_owned());
                self.progress.end(&image.vertex, &end);
            }
            result?;
        }
        Ok(())
    }

    /// Runs a step for everyone who waits for it.
    async fn execute(
        self: &Arc<Self>,
        vertex: &GraphVertex,
        inputs: &[Output],
        key: &Digest,
        ticket: &Ticket,
    ) -> Result<Arc<StoredResult>, StepFailure> {
        for input in inputs {
            if let Output::Files(files) = input {
                tokio::select! {
                    biased;
                    () = ticket.cancel.cancelled() => return Err(StepFailure::cancelled()),
                    ready = self.ready(files) => ready?,
                }
            }
        }
        let _permit = tokio::select! {
            biased;
            () = ticket.cancel.cancelled() => return Err(StepFailure::cancelled()),
            permit = self.engine.steps.acquire() => permit.map_err(StepFailure::internal)?,
        };
        // Another build may have finished the same step between our look and now.
        if self.ignores_cache(vertex).is_none()
            && let Some(result) = self.engine.found(key)
        {
            ticket.tell(News::Layer(LayerNews::of_result(&result, None)));
            return Ok(Arc::new(result));
        }
        ticket.tell(News::Started(timestamp()));
        let made = match &vertex.op.kind {
            Some(OpKind::File(op)) => {
                let (op, inputs, snapshots) = (op.clone(), inputs.to_vec(), self.engine.snapshots.clone());
                let cancel = ticket.cancel.clone();
                blocking(move || file::run(&op, &inputs, &snapshots, &cancel)).await?
            }
            Some(OpKind::Diff(op)) => {
                let (lower, upper) = diff::sides(op, inputs)?;
                let (snapshots, cancel) = (self.engine.snapshots.clone(), ticket.cancel.clone());
                blocking(move || diff::run(&lower, &upper, &snapshots, &cancel)).await?
            }
            Some(OpKind::Exec(op)) => {
                let given = Given {
                    inputs,
                    origins: &self.cache_origins(vertex, op, inputs).await?,
                    extras: &self.request.extras,
                };
                self.engine.executor.run(op, &given, ticket).await?
            }
            _ => return Err(StepFailure::internal("a step of a kind that is not kept")),
        };
        let result = stored(&self.request.build, &vertex.name, made);
        self.keep(key.clone(), result.clone()).await?;
        ticket.tell(News::Layer(LayerNews::of_result(&result, None)));
        Ok(Arc::new(result))
    }

    /// Keeps a result whose layer is committed, so that from here on it may be found.
    async fn keep(&self, key: Digest, result: StoredResult) -> Result<(), StepFailure> {
        let engine = Arc::clone(&self.engine);
        let keep = move || engine.cache.put_result(&key, &result);
        blocking(move || keep().map_err(StepFailure::internal)).await
    }

    /// Checksums of the files that the caches of a process begin with, by the index of their mount.
    async fn cache_origins(
        self: &Arc<Self>,
        vertex: &GraphVertex,
        op: &ExecOp,
        inputs: &[Output],
    ) -> Result<Vec<Option<Digest>>, StepFailure> {
        let mut origins = vec![None; op.mounts.len()];
        for (mount, origin) in op.mounts.iter().zip(&mut origins) {
            let input = usize::try_from(mount.input).ok();
            if mount.mount_type != MountType::Cache as i32 {
                continue;
            }
            let selection = Selection::all_under(&mount.selector);
            *origin = match input.and_then(|index| inputs.get(index)) {
                Some(Output::Files(files)) => {
                    // A cache that the worker keeps begins with them.
                    Some(self.checksum(&selection, files, &vertex.name, Word::Own).await?)
                }
                Some(Output::Context(context)) => Some(selection.checksum(context.as_ref())?),
                None => None,
            };
        }
        Ok(origins)
    }

    /// What a use of an input reads of the context called `context`, for reasons.
    fn listing(
        &self,
        uses: &[Use],
        inputs: &[Output],
        index: usize,
        context: &Digest,
    ) -> Option<BTreeMap<String, Digest>> {
        let (Use::Whole(input) | Use::Part(input, _)) = uses.get(index)?;
        let Output::Context(now) = inputs.get(*input)? else {
            return None;
        };
        let all = Selection::all_under("/");
        let selection = match uses.get(index)? {
            Use::Part(_, selection) => selection,
            Use::Whole(_) => &all,
        };
        if now.id() == context {
            return selection.listing(now.as_ref()).ok();
        }
        let then: ContextTree = now.of(self.engine.contexts.get(context)?);
        selection.listing(&then as &dyn Tree).ok()
    }

    /// Keeps how the steps looked, for the reasons of later builds.
    async fn remember(&self) {
        let seen = std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        let engine = Arc::clone(&self.engine);
        let kept = blocking(move || engine.cache.put_last_seen(&seen).map_err(StepFailure::internal)).await;
        if let Err(failure) = kept {
            tracing::warn!(reason = %failure.message, "how a build's steps looked could not be remembered");
        }
    }
}

impl Engine {
    /// A result whose layer is still there.
    fn found(&self, key: &Digest) -> Option<StoredResult> {
        let result = self.cache.result(key)?;
        let snapshot: SnapshotId = result.snapshot.parse().ok()?;
        self.snapshots.has(&snapshot).then_some(result)
    }
}

impl LayerNews {
    /// The layer of a result, with its blob where it was compressed.
    pub(crate) fn of_result(result: &StoredResult, blob: Option<(Digest, u64, String)>) -> Self {
        Self {
            diff_id: result.diff_id.clone(),
            unpacked_size: result.unpacked_size,
            added: result.added,
            changed: result.changed,
            removed: result.removed,
            blob,
        }
    }
}

fn stored(build: &str, step: &str, made: Made) -> StoredResult {
    StoredResult {
        build: build.to_owned(),
        step: step.to_owned(),
        created: timestamp(),
        snapshot: made.snapshot.to_string(),
        diff_id: made.stats.diff_id,
        unpacked_size: made.stats.size,
        added: made.stats.added,
        changed: made.stats.changed,
        removed: made.stats.removed,
    }
}

/// The step that made the topmost layer, by its name.
fn maker(files: &Rootfs) -> Option<String> {
    match &files.top()?.origin {
        LayerOrigin::Step { name, .. } => Some(name.clone()),
        LayerOrigin::Image(..) => None,
    }
}

/// What the layer that a step makes lies on.
fn base(vertex: &GraphVertex, inputs: &[Output]) -> Result<Rootfs, StepFailure> {
    let index = match &vertex.op.kind {
        Some(OpKind::Diff(diff)) => diff.lower.map_or(-1, |lower| lower.input),
        Some(OpKind::Exec(exec)) => exec
            .mounts
            .iter()
            .find(|mount| mount.dest == "/")
            .map_or(-1, |root| root.input),
        Some(OpKind::File(file)) => {
            // The action that gives the result goes on from another action, or from an input.
            let result = file.actions.iter().position(|action| action.output == 0);
            let mut at = result.and_then(|index| file.actions.get(index));
            let mut steps = 0;
            loop {
                let Some(action) = at else { break -1 };
                let Some(earlier) = usize::try_from(action.input)
                    .ok()
                    .and_then(|i| i.checked_sub(inputs.len()))
                else {
                    break action.input;
                };
                steps += 1;
                at = (steps <= file.actions.len())
                    .then(|| file.actions.get(earlier))
                    .flatten();
            }
        }
        _ => -1,
    };
    let Ok(index) = usize::try_from(index) else {
        return Ok(Rootfs::default());
    };
    match inputs.get(index) {
        Some(input) => Ok(input.files()?.clone()),
        None => Err(StepFailure::internal("a step lacks its base")),
    }
}

/// `base` with the layer that a step made; for a difference that layer alone.
fn stacked(base: &Rootfs, vertex: &GraphVertex, result: Arc<StoredResult>) -> Result<Rootfs, StepFailure> {
    let snapshot = result.snapshot.parse().map_err(StepFailure::internal)?;
    let diff_id = result.diff_id.clone();
    let origin = LayerOrigin::Step {
        result,
        lowers: base.snapshots(),
        name: vertex.name.clone(),
        told: told(vertex),
    };
    let layer = Layer {
        snapshot,
        diff_id,
        vertex: vertex.digest.clone(),
        origin,
    };
    Ok(match vertex.op.kind {
        // What differs is all there is; what it differs from stays where it was.
        Some(OpKind::Diff(_)) => Rootfs::new(vec![layer]),
        _ => base.with(layer),
    })
}

/// What the reference's history says of a layer that the plan's history does not know.
fn told(vertex: &GraphVertex) -> String {
    match &vertex.op.kind {
        Some(OpKind::Exec(exec)) => {
            let args = exec.meta.as_ref().map(|meta| meta.args.join(" "));
            format!("mount / from exec {}", args.unwrap_or_default())
        }
        Some(OpKind::Source(source)) => match Source::of(source) {
            Source::Local(name) => format!("local source for {name}"),
            Source::Web => format!("http url {}", source.identifier),
            Source::Image(_) | Source::Layout(_) | Source::Git | Source::Unsupported(_) => {
                vertex.name.clone()
            }
        },
        _ => vertex.name.clone(),
    }
}

fn platform_of(op: &Op) -> Option<Platform> {
    op.platform.as_ref().map(|platform| Platform {
        os: platform.os.clone(),
        architecture: platform.architecture.clone(),
        variant: platform.variant.clone(),
        os_version: platform.os_version.clone(),
    })
}

/// What this backend cannot do, in words.
fn check(vertex: &GraphVertex, host: &Platform) -> Result<(), String> {
    if vertex.inputs.iter().any(|edge| edge.output != 0) {
        return Err(
            "the step uses another than the first output of a step, which this worker does not have".into(),
        );
    }
    match &vertex.op.kind {
        Some(OpKind::Source(source)) => match Source::of(source) {
            Source::Image(_) | Source::Layout(_) | Source::Local(_) | Source::Web | Source::Git => Ok(()),
            Source::Unsupported(what) => Err(unsupported(what).message),
        },
        Some(OpKind::Exec(_)) => match platform_of(&vertex.op) {
            Some(platform) if platform.os != host.os => Err(format!(
                "the step is for {platform}, and this machine runs {host}"
            )),
            Some(platform) if platform.architecture != host.architecture => emulated(&platform.architecture)
                .map_err(|reason| {
                    format!("the step is for {platform}, and this machine runs {host}: {reason}")
                }),
            _ => Ok(()),
        },
        Some(OpKind::File(file)) => {
            if file.actions.iter().any(|action| action.output > 0) {
                return Err("the step has several results, which this worker does not do".into());
            }
            Ok(())
        }
        Some(OpKind::Merge(_) | OpKind::Diff(_)) => Ok(()),
        Some(OpKind::Build(_) | OpKind::Passthrough(_)) | None => {
            Err("an op of a kind that this worker does not run".into())
        }
    }
}

fn unsupported(what: &str) -> StepFailure {
    StepFailure::new(format!(
        "the plan reads {what}, which this worker does not bring in yet: use COPY from a context"
    ))
}

fn failed(failure: &StepFailure, vertex: Option<&Digest>, name: &str) -> BuildFailure {
    let vertex = failure.vertex.as_ref().or(vertex).cloned();
    BuildFailure {
        message: format!("{name}: {}", failure.message),
        vertex,
        exit_code: failure.exit_code,
    }
}
