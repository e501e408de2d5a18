//! Which op of the plan before a change is which of the plan after it.
//!
//! A digest does not tell: it holds the digests of the inputs, so one edited line gives all that follow it another. Ops
//! are paired by the steps they were written as, then by where they stand below ops that are paired.

use std::collections::BTreeMap;

use crate::Analysis;
use crate::analysis::Stage;

use super::super::alignment::Alignment;
use super::super::ops::Ops;
use super::super::work::Work;

/// By op of the later plan, its partner in the earlier.
pub(super) fn pair(
    (before, old): (&Analysis, &Ops<'_>),
    (after, new): (&Analysis, &Ops<'_>),
    alignment: &Alignment,
    works: (&[Work], &[Work]),
) -> Vec<Option<usize>> {
    let mut partners = vec![None; new.len()];
    let index = |ops: &Ops<'_>| -> BTreeMap<crate::digest::Digest, usize> {
        let digests = ops.list.iter().enumerate();
        digests.map(|(place, op)| (op.digest.clone(), place)).collect()
    };
    let (known_old, known_new) = (index(old), index(new));
    let mut note = |new: Option<&crate::digest::Digest>, old: Option<&crate::digest::Digest>| {
        let new = new.and_then(|digest| known_new.get(digest));
        let old = old.and_then(|digest| known_old.get(digest));
        if let (Some(&new), Some(&old)) = (new, old)
            && let Some(place @ None) = partners.get_mut(new)
        {
            *place = Some(old);
        }
    };
    for (stage, steps) in after.stages.iter().zip(&alignment.steps) {
        for (step, partner) in stage.steps.iter().zip(steps) {
            let old = partner.and_then(|found| before.stages.get(found.stage)?.steps.get(found.step));
            note(step.vertex.as_ref(), old.and_then(|step| step.vertex.as_ref()));
        }
        let old: Option<&Stage> = alignment
            .stages
            .get(stage.index)
            .copied()
            .flatten()
            .and_then(|old| before.stages.get(old));
        note(
            stage.base_vertex.as_ref(),
            old.and_then(|old| old.base_vertex.as_ref()),
        );
    }
    // Images and directories by what they are called.
    let (old_works, new_works) = works;
    let mut called: BTreeMap<&str, usize> = BTreeMap::new();
    for (place, work) in old_works.iter().enumerate() {
        if let Some(name) = source_name(work) {
            called.entry(name).or_insert(place);
        }
    }
    for (place, work) in new_works.iter().enumerate() {
        if let Some(&old) = source_name(work).and_then(|name| called.get(name))
            && let Some(partner @ None) = partners.get_mut(place)
        {
            *partner = Some(old);
        }
    }
    // The rest by what they are inputs of, from the result down.
    for op in (0..new.len()).rev() {
        let Some(&Some(partner)) = partners.get(op) else {
            continue;
        };
        let (ours, theirs) = (new.inputs(op), old.inputs(partner));
        if ours.len() != theirs.len() {
            continue;
        }
        for (&ours, &theirs) in ours.iter().zip(theirs) {
            let kinds = (new_works.get(ours), old_works.get(theirs));
            let alike = kinds.0.map(kind) == kinds.1.map(kind);
            if let Some(place @ None) = partners.get_mut(ours)
                && alike
            {
                *place = Some(theirs);
            }
        }
    }
    partners
}

fn kind(work: &Work) -> Option<&'static str> {
    work.op.kind.as_ref().map(crate::llb::OpKind::name)
}

/// What a source is called, without the digest that it is pinned to.
fn source_name(work: &Work) -> Option<&str> {
    if let Some(image) = work.image() {
        return Some(image.split_once('@').map_or(image, |(name, _)| name));
    }
    work.local()
}
