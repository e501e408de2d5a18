//! The files of a step: layers on top of each other.

use std::collections::BTreeSet;
use std::sync::Arc;

use stagewright_core::digest::Digest;

use super::cache::StoredResult;
use super::ops::StepFailure;
use super::ops::source::Image;
use super::tree::ContextTree;
use crate::snapshot::SnapshotId;

/// What a step gives to those that use it.
#[derive(Clone)]
pub(crate) enum Output {
    /// A build context.
    Context(Arc<ContextTree>),
    /// A root file system.
    Files(Rootfs),
}

impl Output {
    /// The files to work on. A context that a step works on was made a layer before it gets there.
    pub(crate) fn files(&self) -> Result<&Rootfs, StepFailure> {
        match self {
            Self::Files(files) => Ok(files),
            Self::Context(_) => Err(StepFailure::internal(
                "a step works on a context that is no files",
            )),
        }
    }
}

/// Layers, the bottom one first. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Rootfs {
    layers: Arc<Vec<Layer>>,
}

/// One layer.
#[derive(Clone)]
pub(crate) struct Layer {
    /// Its name in the snapshot store; it need not be there yet where it is an image's.
    pub(crate) snapshot: SnapshotId,
    /// sha256 of its tar.
    pub(crate) diff_id: Digest,
    /// The step that it comes from.
    pub(crate) vertex: Digest,
    /// How it came to be.
    pub(crate) origin: LayerOrigin,
}

/// How a layer came to be.
#[derive(Clone)]
pub(crate) enum LayerOrigin {
    /// It is a layer of an image, the one with that index.
    Image(Arc<Image>, usize),
    /// A step made it.
    Step {
        /// Its facts.
        result: Arc<StoredResult>,
        /// The layers that it was made on.
        lowers: Vec<SnapshotId>,
        /// The step's name.
        name: String,
        /// What an image's history says of it where the plan's says nothing.
        told: String,
    },
}

impl Rootfs {
    /// These layers.
    pub(crate) fn new(layers: Vec<Layer>) -> Self {
        Self {
            layers: Arc::new(layers),
        }
    }

    /// Its layers.
    pub(crate) fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The names of its layers in the snapshot store. Where one is there twice the upper one counts: the kernel
    /// does not stack a directory on itself.
    pub(crate) fn snapshots(&self) -> Vec<SnapshotId> {
        let mut seen = BTreeSet::new();
        let mut names: Vec<SnapshotId> = Vec::with_capacity(self.layers.len());
        names.extend(
            self.layers
                .iter()
                .rev()
                .map(|layer| layer.snapshot.clone())
                .filter(|name| seen.insert(name.clone())),
        );
        names.reverse();
        names
    }

    /// A digest of all its files: two with the same layers have the same, however they were made.
    pub(crate) fn chain(&self) -> Digest {
        self.layers
            .iter()
            .fold(None, |below, layer| Some(chain(below.as_ref(), &layer.diff_id)))
            .unwrap_or_else(|| Digest::of(b""))
    }

    /// With one layer more.
    pub(crate) fn with(&self, layer: Layer) -> Self {
        let mut layers = self.layers.to_vec();
        layers.push(layer);
        Self::new(layers)
    }

    /// With the layers of `upper` on top.
    pub(crate) fn under(&self, upper: &Self) -> Self {
        let mut layers = self.layers.to_vec();
        layers.extend(upper.layers.iter().cloned());
        Self::new(layers)
    }

    /// The step that gave the topmost layer.
    pub(crate) fn top(&self) -> Option<&Layer> {
        self.layers.last()
    }
}

/// The digest of a stack of layers (OCI image specification, "Layer `ChainID`").
pub(crate) fn chain(below: Option<&Digest>, diff_id: &Digest) -> Digest {
    match below {
        None => diff_id.clone(),
        Some(below) => Digest::of(format!("{below} {diff_id}").as_bytes()),
    }
}
