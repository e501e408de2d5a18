//! Merging: the layers of one input over those of another, with nothing run and nothing copied.

use stagewright_core::llb::MergeOp;

use super::super::rootfs::{Output, Rootfs};
use super::StepFailure;

/// The layers of all inputs, the first at the bottom.
pub(crate) fn merge(op: &MergeOp, inputs: &[Output]) -> Result<Rootfs, StepFailure> {
    op.inputs.iter().try_fold(Rootfs::default(), |merged, input| {
        let Ok(index) = usize::try_from(input.input) else {
            return Ok(merged);
        };
        match inputs.get(index) {
            Some(input) => Ok(merged.under(input.files()?)),
            None => Err(StepFailure::new("the op merges an input that it does not have")),
        }
    })
}
