//! Which stages and steps of one plan are which of another.
//!
//! Stages are the same by name; those without a name, or with a new one, by what they do. Steps of one stage are the
//! same where their text is, in one order; what stands between two of these is compared place by place. The cost is
//! bounded: long stretches that differ are matched by lines that occur once instead of by comparing all with all.

use std::collections::BTreeMap;

use crate::Analysis;
use crate::analysis::{Base, Stage};

/// More comparisons than this are not made for one stretch.
const ROOM: usize = 250_000;

/// What belongs together, seen from the later plan.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Alignment {
    /// By stage of the later plan, the stage of the earlier.
    pub(super) stages: Vec<Option<usize>>,
    /// By stage and step of the later plan, the step of the earlier; the stage is the one that `stages` names, unless
    /// the step moved to another.
    pub(super) steps: Vec<Vec<Option<Partner>>>,
}

/// The step of the earlier plan that a step of the later was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Partner {
    pub(super) stage: usize,
    pub(super) step: usize,
    /// How it is to be seen.
    pub(super) as_what: Pairing,
}

/// Why two steps belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pairing {
    /// They say the same, in the same order.
    Same,
    /// They say the same at another place.
    Moved,
    /// They stand at the same place, and say something else with the same instruction.
    Changed,
}

/// Aligns two plans.
pub(super) fn align(before: &Analysis, after: &Analysis) -> Alignment {
    let stages = align_stages(&before.stages, &after.stages);
    let mut steps: Vec<Vec<Option<Partner>>> = after
        .stages
        .iter()
        .map(|stage| vec![None; stage.steps.len()])
        .collect();
    let mut taken: Vec<Vec<bool>> = before
        .stages
        .iter()
        .map(|stage| vec![false; stage.steps.len()])
        .collect();
    let mut gaps = Vec::new();
    for (stage, partner) in stages.iter().enumerate() {
        let Some(partner) = *partner else { continue };
        let (Some(old), Some(new)) = (before.stages.get(partner), after.stages.get(stage)) else {
            continue;
        };
        let (old_texts, new_texts) = (texts(old), texts(new));
        let pairs = common(&old_texts, &new_texts);
        for &(old, new) in &pairs {
            set(
                &mut steps,
                &mut taken,
                (stage, new),
                (partner, old),
                Pairing::Same,
            );
        }
        let mut start = (0, 0);
        for (old, new) in pairs.into_iter().chain([(old_texts.len(), new_texts.len())]) {
            gaps.push((stage, start.1..new, partner, start.0..old));
            start = (old + 1, new + 1);
        }
    }
    moved(before, after, &mut steps, &mut taken);
    for (stage, new, partner, old) in gaps {
        // What is left of the old stretch, by instruction.
        let mut waiting: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for place in old {
            let free = taken.get(partner).and_then(|stage| stage.get(place)) == Some(&false);
            if let Some(step) = before
                .stages
                .get(partner)
                .and_then(|stage| stage.steps.get(place))
                && free
            {
                waiting.entry(&step.keyword).or_default().push(place);
            }
        }
        let mut next = 0;
        for place in new {
            let open = steps.get(stage).and_then(|steps| steps.get(place)) == Some(&None);
            let Some(step) = after.stages.get(stage).and_then(|stage| stage.steps.get(place)) else {
                continue;
            };
            let Some(places) = waiting.get(step.keyword.as_ref()).filter(|_| open) else {
                continue;
            };
            // Instructions keep their order; one that has no partner here does not use up those of others.
            if let Some(&chosen) = places.get(places.partition_point(|old| *old < next)) {
                set(
                    &mut steps,
                    &mut taken,
                    (stage, place),
                    (partner, chosen),
                    Pairing::Changed,
                );
                next = chosen + 1;
            }
        }
    }
    Alignment { stages, steps }
}

fn set(
    steps: &mut [Vec<Option<Partner>>],
    taken: &mut [Vec<bool>],
    (stage, step): (usize, usize),
    (old_stage, old_step): (usize, usize),
    as_what: Pairing,
) {
    if let Some(place) = steps.get_mut(stage).and_then(|steps| steps.get_mut(step)) {
        *place = Some(Partner {
            stage: old_stage,
            step: old_step,
            as_what,
        });
    }
    if let Some(mark) = taken.get_mut(old_stage).and_then(|steps| steps.get_mut(old_step)) {
        *mark = true;
    }
}

fn texts(stage: &Stage) -> Vec<&str> {
    stage.steps.iter().map(|step| step.text.as_str()).collect()
}

/// Steps that say the same but stand elsewhere: first within their stage, then in others.
fn moved(before: &Analysis, after: &Analysis, steps: &mut [Vec<Option<Partner>>], taken: &mut [Vec<bool>]) {
    let mut waiting: BTreeMap<&str, Vec<(usize, usize)>> = BTreeMap::new();
    for (stage, found) in before.stages.iter().enumerate().rev() {
        for (step, found) in found.steps.iter().enumerate().rev() {
            if taken.get(stage).and_then(|stage| stage.get(step)) == Some(&false) {
                waiting.entry(&found.text).or_default().push((stage, step));
            }
        }
    }
    if waiting.is_empty() {
        return;
    }
    for (stage, found) in after.stages.iter().enumerate() {
        for (step, found) in found.steps.iter().enumerate() {
            if steps
                .get(stage)
                .and_then(|steps| steps.get(step))
                .is_none_or(Option::is_some)
            {
                continue;
            }
            if let Some(old) = waiting.get_mut(found.text.as_str()).and_then(Vec::pop) {
                set(steps, taken, (stage, step), old, Pairing::Moved);
            }
        }
    }
}

/// By stage of the later plan, that of the earlier.
fn align_stages(before: &[Stage], after: &[Stage]) -> Vec<Option<usize>> {
    let mut partners: Vec<Option<usize>> = vec![None; after.len()];
    let mut taken = vec![false; before.len()];
    let pair = |partners: &mut Vec<Option<usize>>, taken: &mut Vec<bool>, new: usize, old: usize| {
        if let (Some(place @ None), Some(mark @ false)) = (partners.get_mut(new), taken.get_mut(old)) {
            *place = Some(old);
            *mark = true;
        }
    };
    let by =
        |key: &dyn Fn(&Stage) -> Option<String>, partners: &mut Vec<Option<usize>>, taken: &mut Vec<bool>| {
            let mut waiting: BTreeMap<String, Vec<usize>> = BTreeMap::new();
            for (index, stage) in before.iter().enumerate().rev() {
                if taken.get(index) == Some(&false)
                    && let Some(key) = key(stage)
                {
                    waiting.entry(key).or_default().push(index);
                }
            }
            for (index, stage) in after.iter().enumerate() {
                if partners.get(index) == Some(&None)
                    && let Some(key) = key(stage)
                    && let Some(old) = waiting.get_mut(&key).and_then(Vec::pop)
                {
                    pair(partners, taken, index, old);
                }
            }
        };
    by(&|stage| stage.name.clone(), &mut partners, &mut taken);
    // What says the same was renamed, or has no name.
    by(
        &|stage| Some(texts(stage).join("\n")).filter(|text| !text.is_empty()),
        &mut partners,
        &mut taken,
    );
    // What shares steps: the most shared first come by the order of the file.
    let open: Vec<usize> = (0..after.len())
        .filter(|index| partners.get(*index) == Some(&None))
        .collect();
    let free: Vec<usize> = (0..before.len())
        .filter(|index| taken.get(*index) == Some(&false))
        .collect();
    if open.len() * free.len() <= 10_000 {
        for &new in &open {
            let Some(stage) = after.get(new) else { continue };
            let mut own: BTreeMap<&str, usize> = BTreeMap::new();
            for text in texts(stage) {
                *own.entry(text).or_default() += 1;
            }
            let shared = |old: &usize| {
                let stage = before.get(*old).map(texts).unwrap_or_default();
                let mut own = own.clone();
                stage
                    .iter()
                    .filter(|text| {
                        own.get_mut(**text)
                            .is_some_and(|left| std::mem::replace(left, left.saturating_sub(1)) > 0)
                    })
                    .count()
            };
            let best = free
                .iter()
                .filter(|old| taken.get(**old) == Some(&false))
                .map(|old| (shared(old), std::cmp::Reverse(*old)))
                .max();
            if let Some((shared, std::cmp::Reverse(old))) = best
                && shared > 0
            {
                pair(&mut partners, &mut taken, new, old);
            }
        }
    }
    // What ships, ships; and what starts from the same is likely the same.
    by(&|stage| stage.ships.then(String::new), &mut partners, &mut taken);
    by(
        &|stage| match (&stage.name, &stage.base) {
            (None, Base::Image(_) | Base::Scratch) => Some(format!("{:?}", stage.base)),
            _ => None,
        },
        &mut partners,
        &mut taken,
    );
    partners
}

/// The longest list of pairs of equal texts in one order, or a good one where the longest would cost too much.
pub(super) fn common(old: &[&str], new: &[&str]) -> Vec<(usize, usize)> {
    let head = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    let (old_rest, new_rest) = (
        old.get(head..).unwrap_or_default(),
        new.get(head..).unwrap_or_default(),
    );
    let tail = old_rest
        .iter()
        .rev()
        .zip(new_rest.iter().rev())
        .take_while(|(old, new)| old == new)
        .count();
    let old_rest = old_rest.get(..old_rest.len() - tail).unwrap_or_default();
    let new_rest = new_rest.get(..new_rest.len() - tail).unwrap_or_default();
    let mut pairs: Vec<(usize, usize)> = (0..head).map(|place| (place, place)).collect();
    let shift = |(left, right): (usize, usize)| (left + head, right + head);
    if old_rest.len().saturating_mul(new_rest.len()) <= ROOM {
        pairs.extend(longest(old_rest, new_rest).into_iter().map(shift));
    } else {
        pairs.extend(by_unique(old_rest, new_rest).into_iter().map(shift));
    }
    pairs.extend(
        (0..tail)
            .rev()
            .map(|place| (old.len() - 1 - place, new.len() - 1 - place)),
    );
    pairs
}

/// The longest common subsequence, by the table of all lengths.
fn longest(old: &[&str], new: &[&str]) -> Vec<(usize, usize)> {
    let width = new.len() + 1;
    let mut lengths = vec![0u32; (old.len() + 1) * width];
    let at =
        |lengths: &[u32], left: usize, right: usize| lengths.get(left * width + right).copied().unwrap_or(0);
    for (left, text) in old.iter().enumerate().rev() {
        for (right, other) in new.iter().enumerate().rev() {
            let length = if text == other {
                at(&lengths, left + 1, right + 1) + 1
            } else {
                at(&lengths, left + 1, right).max(at(&lengths, left, right + 1))
            };
            if let Some(cell) = lengths.get_mut(left * width + right) {
                *cell = length;
            }
        }
    }
    let (mut left, mut right) = (0, 0);
    let mut pairs = Vec::new();
    while let (Some(text), Some(other)) = (old.get(left), new.get(right)) {
        if text == other {
            pairs.push((left, right));
            (left, right) = (left + 1, right + 1);
        } else if at(&lengths, left + 1, right) >= at(&lengths, left, right + 1) {
            left += 1;
        } else {
            right += 1;
        }
    }
    pairs
}

/// The longest increasing list of texts that occur once on both sides.
fn by_unique(old: &[&str], new: &[&str]) -> Vec<(usize, usize)> {
    let mut seen: BTreeMap<&str, (usize, usize, usize, usize)> = BTreeMap::new();
    for (place, text) in old.iter().enumerate() {
        let entry = seen.entry(text).or_default();
        (entry.0, entry.1) = (entry.0 + 1, place);
    }
    for (place, text) in new.iter().enumerate() {
        let entry = seen.entry(text).or_default();
        (entry.2, entry.3) = (entry.2 + 1, place);
    }
    let mut pairs: Vec<(usize, usize)> = seen
        .into_values()
        .filter(|(left, _, right, _)| (*left, *right) == (1, 1))
        .map(|(_, left, _, right)| (left, right))
        .collect();
    pairs.sort_unstable();
    let ends: Vec<usize> = pairs.iter().map(|(_, right)| *right).collect();
    let chosen = increasing(&ends).into_iter();
    chosen.filter_map(|place| pairs.get(place).copied()).collect()
}

/// The places of a longest list of `values` that increase.
pub(super) fn increasing(values: &[usize]) -> Vec<usize> {
    // Patience: `piles` holds the place of the smallest end of an increasing list of each length.
    let mut piles: Vec<usize> = Vec::new();
    let mut below: Vec<Option<usize>> = Vec::with_capacity(values.len());
    for (place, value) in values.iter().enumerate() {
        let pile = piles.partition_point(|top| values.get(*top).is_some_and(|top| top < value));
        below.push(pile.checked_sub(1).and_then(|pile| piles.get(pile)).copied());
        match piles.get_mut(pile) {
            Some(top) => *top = place,
            None => piles.push(place),
        }
    }
    let mut chosen = Vec::new();
    let mut next = piles.last().copied();
    while let Some(place) = next {
        chosen.push(place);
        next = below.get(place).copied().flatten();
    }
    chosen.reverse();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::Input;
    use crate::analyze;

    fn plan(source: &str) -> Analysis {
        analyze(&Input {
            source: source.into(),
            ..Input::default()
        })
    }

    fn partners(before: &str, after: &str) -> Vec<Vec<Option<(usize, usize, Pairing)>>> {
        let alignment = align(&plan(before), &plan(after));
        let stages = alignment.steps.into_iter();
        stages
            .map(|steps| {
                let steps = steps.into_iter();
                steps
                    .map(|step| step.map(|found| (found.stage, found.step, found.as_what)))
                    .collect()
            })
            .collect()
    }

    use Pairing::{Changed, Moved, Same};

    #[test]
    fn an_inserted_step_leaves_the_others_in_their_pairs() {
        let found = partners("FROM a\nRUN x\nRUN z\n", "FROM a\nRUN x\nRUN y\nRUN z\n");
        assert_eq!(found, [vec![Some((0, 0, Same)), None, Some((0, 1, Same))]]);
    }

    #[test]
    fn an_edited_step_is_the_one_at_its_place_with_its_instruction() {
        let found = partners(
            "FROM a\nRUN x\nCOPY b /\nRUN z\n",
            "FROM a\nRUN x\nRUN new\nCOPY c /\nRUN z\n",
        );
        assert_eq!(
            found,
            [vec![
                Some((0, 0, Same)),
                None,
                Some((0, 1, Changed)),
                Some((0, 2, Same))
            ]]
        );
    }

    #[test]
    fn moved_steps_are_found_in_their_stage_and_in_others() {
        let found = partners(
            "FROM a\nRUN x\nRUN y\nFROM b\nRUN z\nRUN w\n",
            "FROM a\nRUN y\nRUN x\nRUN z\nFROM b\nRUN w\n",
        );
        let all: Vec<_> = found.into_iter().flatten().flatten().collect();
        assert_eq!(all.len(), 4);
        assert!(all.contains(&(1, 0, Moved)));
        assert!(all.contains(&(1, 1, Same)));
    }

    #[test]
    fn stages_are_matched_by_name_then_by_what_they_do() {
        let before = plan("FROM a AS one\nRUN x\nFROM b AS two\nRUN y\nRUN w\nFROM c\nRUN z\n");
        let after = plan("FROM b AS second\nRUN y\nRUN v\nFROM a AS one\nRUN q\nFROM d\nRUN other\n");
        assert_eq!(align(&before, &after).stages, [Some(1), Some(0), Some(2)]);
    }

    #[test]
    fn long_stretches_are_matched_by_what_occurs_once() {
        let old: Vec<String> = (0..2000).map(|number| format!("{number}")).collect();
        let mut new = old.clone();
        new.rotate_left(1);
        new[500] = "other".into();
        let old: Vec<&str> = old.iter().map(String::as_str).collect();
        let new: Vec<&str> = new.iter().map(String::as_str).collect();
        let pairs = common(&old, &new);
        assert_eq!(pairs.len(), 1998);
        assert!(pairs.iter().all(|(left, right)| old[*left] == new[*right]));
        assert!(
            pairs
                .windows(2)
                .all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1)
        );
    }

    proptest::proptest! {
        #[test]
        fn common_is_increasing_equal_and_as_long_as_the_longest(
            old in proptest::collection::vec("[a-d]", 0..12),
            new in proptest::collection::vec("[a-d]", 0..12),
        ) {
            let old: Vec<&str> = old.iter().map(String::as_str).collect();
            let new: Vec<&str> = new.iter().map(String::as_str).collect();
            let pairs = common(&old, &new);
            for (left, right) in &pairs {
                proptest::prop_assert_eq!(old[*left], new[*right]);
            }
            for pair in pairs.windows(2) {
                proptest::prop_assert!(pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1);
            }
            // Shorter ends must not cost length.
            proptest::prop_assert_eq!(pairs.len(), longest(&old, &new).len());
        }
    }
}
