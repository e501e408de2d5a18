//! The daemon's image, taken into our own store: from there on it is as if it had been built here.

use std::io::{self, Read};

use serde_json::Value;
use stagewright_core::digest::Digest;
use stagewright_core::protocol::{Event, ImageSummary, Layer};

use super::origin;
use super::tally::{Tallies, Tally};
use crate::backend::EventSink;
use crate::backend::graph::Graph;
use crate::config::Limits;
use crate::content::{ContentStore, LONGEST_DOCUMENT};
use crate::export::{Encoding, ExportLayer, ImageOptions, LayerIndex, assemble};
use crate::source::image::{LayerDescriptor, layer_reader};
use crate::storage::image::{self, Parts};
use crate::storage::load::load_into;

/// What an image is taken into.
#[derive(Clone)]
pub(super) struct Taking {
    pub(super) content: ContentStore,
    pub(super) layers: LayerIndex,
    pub(super) tallies: Tallies,
    pub(super) limits: Limits,
}

/// An image that came whole.
pub(super) struct Taken(Parts);

impl Taking {
    /// Keeps what is in an archive of one image. Blocks.
    pub(super) fn take(&self, archive: impl Read) -> Result<Taken, String> {
        let loaded = load_into(&self.content, &self.limits, archive).map_err(|error| error.to_string())?;
        let [loaded] = loaded.as_slice() else {
            return Err(format!(
                "the BuildKit sent {} images instead of one",
                loaded.len()
            ));
        };
        self.here(&loaded.digest)
    }

    /// An image whose blobs came one by one. Blocks.
    pub(super) fn here(&self, digest: &Digest) -> Result<Taken, String> {
        let images = image::read(&self.content, digest).map_err(|error| error.to_string())?;
        let count = images.len();
        let [image] = <[Parts; 1]>::try_from(images)
            .map_err(|_| format!("the BuildKit sent an image for {count} platforms instead of one"))?;
        Ok(Taken(image))
    }

    /// Puts it together as ours: the configuration is the daemon's to the byte, the manifest has what was asked for. Tells
    /// of the layers that steps made. Blocks.
    pub(super) fn finish(
        &self,
        taken: Taken,
        graph: &Graph,
        options: &ImageOptions,
        events: &EventSink,
    ) -> Result<ImageSummary, String> {
        let Taken(image) = taken;
        let config = self
            .content
            .read(&image.config_digest, LONGEST_DOCUMENT)
            .map_err(|error| error.to_string())?;
        let mut blobs = Vec::new();
        for part in &image.layers {
            let Some(diff_id) = part.diff_id.clone() else {
                return Err(format!(
                    "the image's configuration does not name its layer {}",
                    part.digest
                ));
            };
            let layer = LayerDescriptor {
                digest: part.digest.clone(),
                diff_id,
                media_type: part.media_type.clone(),
                size: part.size,
            };
            blobs.push(self.encoded(layer, options).map_err(|error| error.to_string())?);
        }
        let steps = origin::steps(graph, blobs.len());
        let limit = self.limits.image_unpacked_size;
        let tallies = self.tallies.of_layers(&self.content, &blobs, limit);
        let tallies = tallies.map_err(|error| format!("the image is broken: {error}"))?;
        let makers = origin::makers(graph);
        for ((blob, step), tally) in blobs.iter().zip(&steps).zip(&tallies) {
            if let Some(step) = step.as_ref().filter(|step| makers.contains(step)) {
                events.emit(Event::Layer(layer(step, blob, tally)));
            }
        }
        let layers: Vec<ExportLayer> = blobs
            .into_iter()
            .zip(steps)
            .map(|(blob, vertex)| ExportLayer { blob, vertex })
            .collect();
        assemble(&self.content, &layers, &config, options).map_err(|error| error.to_string())
    }

    /// The layer as the image is to have it. Docker's engine hands its layers out uncompressed.
    fn encoded(&self, layer: LayerDescriptor, options: &ImageOptions) -> io::Result<LayerDescriptor> {
        let plain = !["gzip", "zstd"]
            .iter()
            .any(|ending| layer.media_type.ends_with(ending));
        if !plain || options.encoding == Encoding::Plain {
            return Ok(layer);
        }
        if let Some(known) = self.layers.encoded(&layer.diff_id, options.encoding) {
            return Ok(known.descriptor(layer.diff_id, options.encoding));
        }
        let fill = |out: &mut dyn io::Write| {
            let reader = layer_reader(&self.content, &layer, self.limits.image_unpacked_size);
            let mut reader = reader.map_err(io::Error::other)?;
            io::copy(&mut reader, out)?;
            Ok((layer.diff_id.clone(), reader.finish()?))
        };
        let made = self.layers.encode(options.encoding, Some(&layer.diff_id), fill);
        let (diff_id, made) = made.map_err(io::Error::other)?;
        Ok(made.descriptor(diff_id, options.encoding))
    }

    /// What stands for the image of a build whose files alone are wanted: nobody takes it, so none is made, and this names
    /// no layers.
    pub(super) fn unmade(&self, config: &Value, options: &ImageOptions) -> Result<ImageSummary, String> {
        let config = if config.is_object() {
            config.to_string()
        } else {
            "{}".to_owned()
        };
        assemble(&self.content, &[], config.as_bytes(), options).map_err(|error| error.to_string())
    }
}

fn layer(step: &Digest, blob: &LayerDescriptor, tally: &Tally) -> Layer {
    Layer {
        vertex: step.clone(),
        diff_id: blob.diff_id.clone(),
        digest: Some(blob.digest.clone()),
        media_type: blob.media_type.clone(),
        size: blob.size,
        unpacked_size: tally.unpacked,
        added: tally.added,
        changed: tally.changed,
        removed: tally.removed,
    }
}

/// Reads what comes on another thread, and gives what came of it.
pub(super) async fn reading<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(error.to_string()))
}
