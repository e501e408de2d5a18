//! From the layers of a build to an image.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use stagewright_core::protocol::ImageSummary;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio_util::sync::CancellationToken;

use super::engine::Engine;
use super::ops::{StepFailure, blocking};
use super::progress::{LayerNews, News, Progress};
use super::rootfs::{Layer, LayerOrigin, Rootfs};
use crate::export::{
    ExportLayer, ImageOptions, LayerContent, LayerHistory, LayerIndex, assemble, finish_config,
};
use crate::snapshot::{DiffOptions, SnapshotStore, diff};

/// Puts an image of `files` together in the content store, and tells of every layer as it stands in the image.
pub(crate) async fn finish(
    engine: &Arc<Engine>,
    files: &Rootfs,
    config: &Value,
    options: &ImageOptions,
    progress: &Arc<Progress>,
    cancel: &CancellationToken,
) -> Result<ImageSummary, StepFailure> {
    for layer in files.layers() {
        if let LayerOrigin::Image(image, 0) = &layer.origin {
            engine.images.complete(image, cancel).await?;
        }
    }
    let history: Vec<LayerHistory> = files.layers().iter().map(history).collect();
    let (engine, files, config) = (Arc::clone(engine), files.clone(), config.clone());
    let options = options.clone();
    let (progress, cancel) = (Arc::clone(progress), cancel.clone());
    blocking(move || {
        let config = if config.is_null() {
            serde_json::json!({})
        } else {
            config
        };
        let config =
            finish_config(&config, &history, None).map_err(|error| StepFailure::new(error.to_string()))?;
        let mut layers = Vec::new();
        for layer in files.layers() {
            if cancel.is_cancelled() {
                return Err(StepFailure::cancelled());
            }
            layers.push(export_layer(&engine, layer, &progress)?);
        }
        assemble(
            engine.contexts.content(),
            &engine.layers,
            &layers,
            &config,
            &options,
        )
        .map_err(|error| StepFailure::new(error.to_string()))
    })
    .await
}

fn history(layer: &Layer) -> LayerHistory {
    let (created_by, created) = match &layer.origin {
        LayerOrigin::Image(..) => (String::new(), None),
        LayerOrigin::Step { result, name, .. } => {
            let instruction = name
                .strip_prefix('[')
                .and_then(|rest| rest.split_once("] "))
                .map(|(_, rest)| rest);
            (
                instruction.unwrap_or(name).to_owned(),
                OffsetDateTime::parse(&result.created, &Rfc3339).ok(),
            )
        }
    };
    LayerHistory {
        diff_id: layer.diff_id.clone(),
        created_by,
        created,
    }
}

/// A layer with its blob: what was compressed once is not compressed again.
fn export_layer(engine: &Engine, layer: &Layer, progress: &Progress) -> Result<ExportLayer, StepFailure> {
    let content = match &layer.origin {
        LayerOrigin::Image(image, index) => {
            let descriptor = image.pulled.layers.get(*index).cloned();
            LayerContent::Blob(descriptor.ok_or_else(|| StepFailure::internal("an image lost a layer"))?)
        }
        LayerOrigin::Step { result, .. } => {
            let compressed = if let Some(compressed) = engine.layers.compressed(&layer.diff_id) {
                compressed
            } else {
                let tar = Tar::write(engine, layer)?;
                let made = engine.layers.compress(&layer.diff_id, &tar.0);
                made.map_err(|error| StepFailure::new(error.to_string()))?
            };
            let blob = (
                compressed.digest,
                compressed.size,
                LayerIndex::MEDIA_TYPE.to_owned(),
            );
            progress.tell(
                &layer.vertex,
                &News::Layer(LayerNews::of_result(result, Some(blob))),
            );
            // It is compressed already, so nobody looks for the tar.
            LayerContent::Tar(PathBuf::new())
        }
    };
    Ok(ExportLayer {
        diff_id: layer.diff_id.clone(),
        content,
        vertex: Some(layer.vertex.clone()),
    })
}

/// A layer's tar, for as long as it is compressed.
struct Tar(PathBuf);

impl Tar {
    fn write(engine: &Engine, layer: &Layer) -> Result<Self, StepFailure> {
        let LayerOrigin::Step { lowers, .. } = &layer.origin else {
            return Err(StepFailure::internal("an image's layer has no files of its own"));
        };
        let tar = Self(engine.scratch_file());
        write_tar(&engine.snapshots, layer, lowers, &tar.0)?;
        Ok(tar)
    }
}

fn write_tar(
    snapshots: &SnapshotStore,
    layer: &Layer,
    lowers: &[crate::snapshot::SnapshotId],
    path: &Path,
) -> Result<(), StepFailure> {
    let failed = |error| StepFailure::internal(format!("cannot write {}: {error}", path.display()));
    let mut out = BufWriter::with_capacity(1 << 20, File::create_new(path).map_err(failed)?);
    let lowers = snapshots.layer_paths(lowers)?;
    diff(
        &snapshots.layer_path(&layer.snapshot),
        &lowers,
        &DiffOptions::default(),
        &mut out,
    )?;
    out.flush().map_err(failed)
}

impl Drop for Tar {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "a temporary tar could not be removed");
        }
    }
}
