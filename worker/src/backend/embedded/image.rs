//! From the layers of a build to an image.

use std::io::{self, Write};
use std::sync::Arc;

use serde_json::Value;
use stagewright_core::digest::Digest;
use stagewright_core::protocol::ImageSummary;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio_util::sync::CancellationToken;

use super::cache::StoredResult;
use super::engine::Engine;
use super::ops::{StepFailure, blocking};
use super::progress::{LayerNews, News, Progress};
use super::rootfs::{Layer, LayerOrigin, Rootfs};
use crate::export::{Encoding, ExportLayer, ImageOptions, LayerHistory, assemble, finish_config};
use crate::snapshot::{DiffOptions, DiffStats, SnapshotId, diff};
use crate::source::image::{LayerDescriptor, layer_reader};

/// Puts an image of `files` together in the content store, and tells of every layer as it stands in the image.
pub(crate) async fn finish(
    engine: &Arc<Engine>,
    files: &Rootfs,
    config: &Value,
    options: &ImageOptions,
    progress: &Arc<Progress>,
    cancel: &CancellationToken,
) -> Result<ImageSummary, StepFailure> {
    if !options.unmade {
        for layer in files.layers() {
            if let LayerOrigin::Image(image, 0) = &layer.origin {
                engine.images.complete(image, cancel).await?;
            }
        }
    }
    let (engine, files, config) = (Arc::clone(engine), files.clone(), config.clone());
    let (options, progress, cancel) = (options.clone(), Arc::clone(progress), cancel.clone());
    blocking(move || {
        let mut layers = Vec::new();
        let mut history = Vec::new();
        let export = Export {
            engine: &engine,
            options: &options,
            progress: Some(&progress),
        };
        for layer in files.layers() {
            if cancel.is_cancelled() {
                return Err(StepFailure::cancelled());
            }
            let blob = export.blob(layer)?;
            history.push(told(layer, blob.diff_id.clone()));
            layers.push(ExportLayer {
                blob,
                vertex: Some(layer.vertex.clone()),
            });
        }
        let config = if config.is_null() {
            serde_json::json!({})
        } else {
            config
        };
        let config = finish_config(&config, &history, options.epoch)
            .map_err(|error| StepFailure::new(error.to_string()))?;
        assemble(engine.contexts.content(), &layers, &config, &options)
            .map_err(|error| StepFailure::new(error.to_string()))
    })
    .await
}

fn told(layer: &Layer, diff_id: Digest) -> LayerHistory {
    let (created_by, created) = match &layer.origin {
        LayerOrigin::Image(..) => (String::new(), None),
        LayerOrigin::Step { result, told, .. } => (
            told.clone(),
            OffsetDateTime::parse(&result.created, &Rfc3339).ok(),
        ),
    };
    LayerHistory {
        diff_id,
        created_by,
        created,
    }
}

/// The blob of a layer that a step made and that is here.
pub(crate) fn layer_blob(
    engine: &Engine,
    layer: &Layer,
    options: &ImageOptions,
) -> Result<LayerDescriptor, StepFailure> {
    let LayerOrigin::Step { result, lowers, .. } = &layer.origin else {
        return Err(StepFailure::internal("a layer of an image is no step's"));
    };
    let export = Export {
        engine,
        options,
        progress: None,
    };
    export.step(layer, result, lowers)
}

/// How layers become blobs; what was encoded once is not encoded again.
struct Export<'a> {
    engine: &'a Engine,
    options: &'a ImageOptions,
    /// Who is told of the layers as they stand in the image.
    progress: Option<&'a Progress>,
}

impl Export<'_> {
    fn blob(&self, layer: &Layer) -> Result<LayerDescriptor, StepFailure> {
        match &layer.origin {
            LayerOrigin::Image(image, index) => {
                let descriptor = image.pulled.layers.get(*index).cloned();
                self.base(descriptor.ok_or_else(|| StepFailure::internal("an image lost a layer"))?)
            }
            LayerOrigin::Step { result, lowers, .. } => {
                let blob = self.step(layer, result, lowers)?;
                let told = (blob.digest.clone(), blob.size, blob.media_type.clone());
                if let Some(progress) = self.progress {
                    let news = News::Layer(LayerNews::of_result(result, Some(told)));
                    progress.tell(&layer.vertex, &news);
                }
                Ok(blob)
            }
        }
    }

    /// A base image's layer: as it came, unless all are to be of one kind.
    fn base(&self, layer: LayerDescriptor) -> Result<LayerDescriptor, StepFailure> {
        let ImageOptions {
            encoding,
            encode_all,
            unmade,
            ..
        } = *self.options;
        if !encode_all || unmade || same_kind(&layer.media_type, encoding) {
            return Ok(layer);
        }
        if let Some(known) = self.engine.layers.encoded(&layer.diff_id, encoding) {
            return Ok(known.descriptor(layer.diff_id, encoding));
        }
        let read = |out: &mut dyn Write| {
            let mut reader =
                layer_reader(self.engine.contexts.content(), &layer, u64::MAX).map_err(io::Error::other)?;
            io::copy(&mut reader, out)?;
            Ok((layer.diff_id.clone(), reader.finish()?))
        };
        let made = self.engine.layers.encode(encoding, Some(&layer.diff_id), read);
        let (diff_id, made) = made.map_err(|error| StepFailure::new(error.to_string()))?;
        Ok(made.descriptor(diff_id, encoding))
    }

    /// The layer that a step made.
    fn step(
        &self,
        layer: &Layer,
        result: &StoredResult,
        lowers: &[SnapshotId],
    ) -> Result<LayerDescriptor, StepFailure> {
        let ImageOptions { encoding, unmade, .. } = *self.options;
        let index = &self.engine.layers;
        let epoch = self.options.epoch.filter(|_| self.options.rewrite_timestamps);
        if unmade {
            return Ok(LayerDescriptor {
                digest: layer.diff_id.clone(),
                diff_id: layer.diff_id.clone(),
                media_type: Encoding::Plain.media_type().to_owned(),
                size: result.unpacked_size,
            });
        }
        let expected = match epoch {
            Some(epoch) => index.rewritten(&layer.diff_id, epoch),
            None => Some(layer.diff_id.clone()),
        };
        if let Some(diff_id) = &expected
            && let Some(known) = index.encoded(diff_id, encoding)
        {
            return Ok(known.descriptor(diff_id.clone(), encoding));
        }
        let write = |out: &mut dyn Write| {
            let stats = self
                .write_tar(layer, lowers, epoch, out)
                .map_err(io::Error::other)?;
            Ok((stats.diff_id, stats.size))
        };
        let made = index.encode(encoding, expected.as_ref(), write);
        let (diff_id, made) = made.map_err(|error| StepFailure::new(error.to_string()))?;
        if let Some(epoch) = epoch {
            index.remember_rewritten(&layer.diff_id, epoch, &diff_id);
        }
        Ok(made.descriptor(diff_id, encoding))
    }

    fn write_tar(
        &self,
        layer: &Layer,
        lowers: &[SnapshotId],
        epoch: Option<i64>,
        out: &mut dyn Write,
    ) -> Result<DiffStats, crate::snapshot::SnapshotError> {
        let snapshots = &self.engine.snapshots;
        let options = DiffOptions {
            source_date_epoch: epoch,
            ..DiffOptions::default()
        };
        let lowers = snapshots.layer_paths(lowers)?;
        let place = snapshots.layer_path(&layer.snapshot);
        diff(&place, &lowers, &options, out)
    }
}

/// Whether a blob of that media type, in the OCI's words or Docker's, is encoded so, whatever the level.
pub(crate) fn same_kind(media_type: &str, encoding: Encoding) -> bool {
    let kind = |text: &str| {
        let ending = ["gzip", "zstd"].into_iter().find(|ending| text.ends_with(ending));
        ending.unwrap_or("tar").to_owned()
    };
    kind(media_type) == kind(encoding.media_type())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_apart_in_both_vocabularies() {
        let docker = "application/vnd.docker.image.rootfs.diff.tar.gzip";
        assert!(same_kind(docker, Encoding::Gzip(9)));
        assert!(!same_kind(docker, Encoding::Zstd(3)));
        assert!(same_kind(
            "application/vnd.oci.image.layer.v1.tar",
            Encoding::Plain
        ));
        assert!(!same_kind(
            "application/vnd.oci.image.layer.v1.tar+zstd",
            Encoding::Plain
        ));
    }
}
