//! The ops of a plan by index, linked: what every answer about the graph begins with.

use std::collections::BTreeMap;

use crate::Analysis;
use crate::analysis::PlannedOp;
use crate::digest::Digest;

/// A stage, and a step of it; without a step the image that the stage starts from.
pub(super) type Place = (usize, Option<usize>);

/// The ops of a plan in its order, the terminal one left out.
pub(super) struct Ops<'a> {
    pub(super) list: &'a [PlannedOp],
    /// By op, its inputs in order, each an index into `list`.
    pub(super) inputs: Vec<Vec<usize>>,
    /// By op, everywhere it was written: equal ops of several stages are one.
    pub(super) places: Vec<Vec<Place>>,
}

impl<'a> Ops<'a> {
    /// Of a plan; of none where there is nothing to build.
    pub(super) fn of(analysis: &'a Analysis) -> Self {
        let all = analysis
            .definition
            .as_ref()
            .map(|definition| definition.ops.as_slice())
            .unwrap_or_default();
        let list = all.split_last().map(|(_, rest)| rest).unwrap_or_default();
        let known: BTreeMap<&Digest, usize> = list
            .iter()
            .enumerate()
            .map(|(index, op)| (&op.digest, index))
            .collect();
        let inputs = list
            .iter()
            .map(|op| {
                let inputs = op.inputs.iter();
                inputs.filter_map(|input| known.get(input).copied()).collect()
            })
            .collect();
        let mut places: Vec<Vec<Place>> = list
            .iter()
            .map(|op| op.stage.map(|stage| (stage, op.step)).into_iter().collect())
            .collect();
        for stage in &analysis.stages {
            let base = stage.base_vertex.iter().map(|digest| (digest, None));
            let steps = stage.steps.iter().enumerate();
            let steps = steps.filter_map(|(step, found)| Some((found.vertex.as_ref()?, Some(step))));
            for (digest, step) in base.chain(steps) {
                let place = (stage.index, step);
                let at = known.get(digest).and_then(|&op| places.get_mut(op));
                // Each place comes by once here; only the op's own may be there already, and that stands first.
                if let Some(at) = at.filter(|at| at.first() != Some(&place)) {
                    at.push(place);
                }
            }
        }
        Self { list, inputs, places }
    }

    /// How many ops there are.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// The inputs of an op.
    pub(super) fn inputs(&self, op: usize) -> &[usize] {
        self.inputs.get(op).map(Vec::as_slice).unwrap_or_default()
    }
}
