//! From files that a step changed to a layer that is kept.

use std::io;

use super::ops::StepFailure;
use super::rootfs::{Rootfs, chain};
use crate::snapshot::{Active, DiffOptions, DiffStats, SnapshotId, SnapshotStore, diff};

/// A layer that a step made, committed.
pub(crate) struct Made {
    /// Its name in the snapshot store.
    pub(crate) snapshot: SnapshotId,
    /// What it changes.
    pub(crate) stats: DiffStats,
}

/// Finds out what a step changed over `base`, and commits it under the digest of that stack. Nothing may be mounted
/// from it any more. Blocks.
pub(crate) fn finish(snapshots: &SnapshotStore, active: Active, base: &Rootfs) -> Result<Made, StepFailure> {
    let lowers = snapshots.layer_paths(&base.snapshots())?;
    let stats = diff(&active.seal()?, &lowers, &DiffOptions::default(), &mut io::sink())?;
    let below = (!base.layers().is_empty()).then(|| base.chain());
    let snapshot = SnapshotId::from(&chain(below.as_ref(), &stats.diff_id));
    active.commit(&snapshot)?;
    Ok(Made { snapshot, stats })
}
