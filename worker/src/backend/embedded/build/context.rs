//! Build contexts: files of the client's, and a folder of theirs in the place of an image.
//!
//! Most steps only copy from a context, and then it stays what it is, a list of names and blobs. A step that works on
//! one (`FROM` a named context that is a folder) needs it as files: it becomes a layer, once for the same content.

use std::sync::Arc;

use stagewright_core::digest::Digest;
use stagewright_core::llb::SourceOp;
use tokio_util::sync::CancellationToken;

use super::super::cache::StoredResult;
use super::super::flight::Ticket;
use super::super::key::{InputFact, Key, Use, own};
use super::super::layer::{Made, finish};
use super::super::ops::{StepFailure, blocking, file, source};
use super::super::progress::{End, LayerNews, News, Part};
use super::super::rootfs::{Output, Rootfs};
use super::super::select::Selection;
use super::super::target::Target;
use super::super::tree::ContextTree;
use super::{Build, stacked, stored};
use crate::backend::graph::GraphVertex;
use crate::backend::timestamp;
use crate::snapshot::SnapshotStore;

impl Build {
    /// A build context, as the source called `name` asks for it.
    pub(super) fn context(
        &self,
        vertex: &GraphVertex,
        op: &SourceOp,
        name: &str,
    ) -> Result<(Output, End), StepFailure> {
        let context = source::context(op, self.request.contexts.get(name), &self.engine.contexts)?;
        let (files, bytes) = context.size();
        self.progress.tell(
            &vertex.digest,
            &News::Progress(Part {
                id: "transferring context".to_owned(),
                name: "transferring",
                current: bytes,
                total: bytes,
                started: timestamp(),
                completed: true,
            }),
        );
        let noun = if files == 1 { "file" } else { "files" };
        self.progress.reason(
            &vertex.digest,
            format!("{files} {noun}, {bytes} bytes, known by content"),
        );
        Ok((Output::Context(Arc::new(context)), End::Ran))
    }

    /// The inputs of `vertex` with the contexts among them as files, where it works on them rather than copies from them.
    pub(super) async fn grounds(
        self: &Arc<Self>,
        vertex: &GraphVertex,
        uses: &[Use],
        inputs: &[Output],
    ) -> Result<Vec<Output>, StepFailure> {
        let mut grounds = inputs.to_vec();
        for used in uses {
            let Use::Whole(index) = used else { continue };
            let (Some(ground), Some(edge)) = (grounds.get_mut(*index), vertex.inputs.get(*index)) else {
                continue;
            };
            if let Output::Context(context) = ground {
                let files = self.laid(edge.vertex, context).await?;
                *ground = Output::Files(files);
            }
        }
        Ok(grounds)
    }

    /// A context as a layer, which belongs to the step that brought it in.
    pub(super) async fn laid(
        self: &Arc<Self>,
        source: usize,
        context: &Arc<ContextTree>,
    ) -> Result<Rootfs, StepFailure> {
        let Some(vertex) = self.vertex(source) else {
            return Err(StepFailure::internal("a context that is not in the plan"));
        };
        let whole = Selection::all_under("/");
        let fact = InputFact {
            from: vertex.name.clone(),
            content: {
                let (context, whole) = (Arc::clone(context), whole.clone());
                blocking(move || Ok(whole.checksum(context.as_ref())?)).await?
            },
            part: Some(whole.text()),
            context: Some(context.id().clone()),
        };
        let key = Key::new(own(&vertex.op), vec![fact]).digest;
        let result = if let Some(result) = self.engine.found(&key) {
            Arc::new(result)
        } else {
            let work = |ticket: Ticket| {
                let (build, name, key) = (Arc::clone(self), vertex.name.clone(), key.clone());
                let context = Arc::clone(context);
                async move { build.lay(&name, context, key, &ticket).await }
            };
            let ended = self.engine.flights.join(&key, Arc::new(|_| {}), work).await;
            ended.unwrap_or_else(|| Err(StepFailure::internal("a layer ended without a result")))?
        };
        let layer = LayerNews::of_result(&result, None);
        self.progress.tell(&vertex.digest, &News::Layer(layer));
        stacked(&Rootfs::default(), vertex, result)
    }

    /// Makes the layer for everyone who waits for it.
    async fn lay(
        self: &Arc<Self>,
        name: &str,
        context: Arc<ContextTree>,
        key: Digest,
        ticket: &Ticket,
    ) -> Result<Arc<StoredResult>, StepFailure> {
        let (snapshots, cancel) = (self.engine.snapshots.clone(), ticket.cancel.clone());
        let made = blocking(move || lay(&context, &snapshots, &cancel)).await?;
        let result = stored(&self.request.build, name, made);
        self.keep(key, result.clone()).await?;
        Ok(Arc::new(result))
    }
}

/// Writes all of a context into a layer of its own. Blocks.
fn lay(
    context: &ContextTree,
    snapshots: &SnapshotStore,
    cancel: &CancellationToken,
) -> Result<Made, StepFailure> {
    let base = Rootfs::default();
    let active = snapshots.begin(&base.snapshots())?;
    let mounted = active.mount()?;
    let target = Target::open(mounted.path()).map_err(StepFailure::internal)?;
    file::copy_under(context, "/", "/", &target, cancel)?;
    drop((target, mounted));
    finish(snapshots, active, &base)
}
