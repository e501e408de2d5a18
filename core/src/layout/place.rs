//! The height of everything: as level with its neighbours as the order within each column allows.

use super::graph::count;
use super::layers::{Layers, Slot};
use super::sort::{index, sort};

/// Between two stages in a column.
const NODE_GAP: f64 = 40.0;
/// Between a stage and a line that passes it.
const LANE_GAP: f64 = 20.0;
/// Between two lines that pass.
const LANES_GAP: f64 = 13.0;
/// Sweeps that gather, then sweeps that straighten.
const SWEEPS: [usize; 2] = [16, 8];

/// One sweep.
#[derive(Clone, Copy)]
struct Pass {
    /// Whether slots are drawn towards what is on their left.
    left: bool,
    /// Whether slots are drawn towards what is on their right.
    right: bool,
    /// Whether to minimise squared distances, which brings everything near, rather than plain ones, which makes as
    /// many lines as possible straight.
    gather: bool,
}

/// Gives every slot its `y`, the topmost being at `top`; answers where the lowest ends.
pub(super) fn place(layers: &mut Layers, top: f64) -> f64 {
    let (incoming, outgoing) = layers.neighbours();
    for rank in 0..layers.columns.len() {
        stack(layers, rank);
    }
    let ranks = layers.columns.len();
    for sweep in 0..SWEEPS[0] + SWEEPS[1] {
        let forward = sweep % 2 == 0;
        let gather = sweep < SWEEPS[0];
        // The last sweeps look to both sides, whichever way they go.
        let one_sided = sweep * 2 < SWEEPS[0];
        let pass = Pass {
            left: !one_sided || forward,
            right: !one_sided || !forward,
            gather,
        };
        for step in 0..ranks {
            let rank = if forward { step } else { ranks - 1 - step };
            level(layers, rank, pass, &incoming, &outgoing);
        }
    }
    squash(layers);
    let highest = layers
        .slots
        .iter()
        .map(|slot| slot.y)
        .fold(f64::INFINITY, f64::min);
    let mut bottom = top;
    for slot in &mut layers.slots {
        slot.y = slot.y - highest + top;
        bottom = bottom.max(slot.y + slot.height);
    }
    bottom
}

/// The least distance between the tops of two slots, one right below the other.
fn distance(layers: &Layers, above: usize, below: usize) -> f64 {
    let (above, below) = (&layers.slots[above], &layers.slots[below]);
    let gap = match (above.lane, below.lane) {
        (false, false) => NODE_GAP,
        (true, true) => LANES_GAP,
        (true, false) | (false, true) => LANE_GAP,
    };
    (above.height + gap).ceil()
}

/// Stacks a column about the axis, as a start.
fn stack(layers: &mut Layers, rank: usize) {
    let column = layers.columns[rank].clone();
    let mut y = 0.0;
    for (index, slot) in column.iter().enumerate() {
        if let Some(above) = index.checked_sub(1).map(|above| column[above]) {
            y += distance(layers, above, *slot);
        }
        layers.slots[*slot].y = y;
    }
    let height = column
        .last()
        .map_or(0.0, |last| layers.slots[*last].y + layers.slots[*last].height);
    for slot in column {
        layers.slots[slot].y -= (height / 2.0).round();
    }
}

/// Moves the slots of one column to where their segments would be straight, as near as the others let them.
///
/// The best places under least distances are an isotonic regression, which pooling of adjacent violators solves:
/// slots that push against each other form a block, and a block goes where its members are best off together.
fn level(layers: &mut Layers, rank: usize, pass: Pass, incoming: &[Vec<usize>], outgoing: &[Vec<usize>]) {
    let column = layers.columns[rank].clone();
    let mut blocks: Vec<Block> = Vec::with_capacity(column.len());
    let mut offsets = Vec::with_capacity(column.len());
    let mut offset = 0.0;
    for (index, slot) in column.iter().enumerate() {
        if let Some(above) = index.checked_sub(1).map(|above| column[above]) {
            offset += distance(layers, above, *slot);
        }
        offsets.push(offset);
        let mut wishes = wishes(layers, *slot, pass, &incoming[*slot], &outgoing[*slot]);
        for wish in &mut wishes {
            wish[0] -= offset;
        }
        let mut block = Block::new(wishes, 1, pass.gather);
        while let Some(above) = blocks.pop_if(|above| above.at >= block.at) {
            block = above.join(block, pass.gather);
        }
        blocks.push(block);
    }
    let mut places = column.iter().zip(offsets);
    for block in blocks {
        for (slot, offset) in places.by_ref().take(block.members) {
            // Whole pixels keep hairlines sharp; the distances are whole, so they stay.
            layers.slots[*slot].y = block.at.round() + offset;
        }
    }
}

/// Slots that push against each other.
struct Block {
    /// Where its first slot goes.
    at: f64,
    /// What its members wish for, the distance to the first taken off; sorted.
    wishes: Vec<[f64; 4]>,
    members: usize,
}

impl Block {
    fn new(mut wishes: Vec<[f64; 4]>, members: usize, gather: bool) -> Self {
        sort(&mut wishes);
        let total: f64 = wishes.iter().map(|wish| wish[1]).sum();
        let at = if gather {
            wishes.iter().map(|wish| wish[0] * wish[1]).sum::<f64>() / total
        } else {
            let mut sum = 0.0;
            let middle = wishes.iter().find(|wish| {
                sum += wish[1];
                sum * 2.0 >= total
            });
            middle.map_or(0.0, |wish| wish[0])
        };
        Self { at, wishes, members }
    }

    fn join(mut self, other: Self, gather: bool) -> Self {
        self.wishes.extend(other.wishes);
        Self::new(self.wishes, self.members + other.members, gather)
    }
}

/// Where a slot would like its top to be, and how much; never empty.
fn wishes(layers: &Layers, slot: usize, pass: Pass, incoming: &[usize], outgoing: &[usize]) -> Vec<[f64; 4]> {
    let mut wishes: Vec<[f64; 4]> = Vec::with_capacity(incoming.len() + outgoing.len());
    if pass.left {
        let segments = incoming.iter().map(|index| &layers.segments[*index]);
        wishes
            .extend(segments.map(|segment| [layers.exit(segment) - segment.entry, segment.weight, 0.0, 0.0]));
    }
    if pass.right {
        let segments = outgoing.iter().map(|index| &layers.segments[*index]);
        wishes
            .extend(segments.map(|segment| [layers.entry(segment) - segment.exit, segment.weight, 0.0, 0.0]));
    }
    if wishes.is_empty() {
        wishes.push([layers.slots[slot].y, 0.05, 0.0, 0.0]);
    }
    wishes
}

/// Takes out the heights at which nothing stands in any column, so that far-off parts come near.
fn squash(layers: &mut Layers) {
    let row = |(at, slot): (usize, &Slot)| [slot.y, count(at), 0.0, 0.0];
    let mut slots: Vec<[f64; 4]> = layers.slots.iter().enumerate().map(row).collect();
    sort(&mut slots);
    let (mut bottom, mut up) = (f64::NEG_INFINITY, 0.0);
    for row in slots {
        let slot = &mut layers.slots[index(row[1])];
        let gap = if slot.lane { LANE_GAP } else { NODE_GAP };
        slot.y -= up;
        let empty = slot.y - bottom - gap;
        if empty.is_finite() && empty > 0.0 {
            up += empty;
            slot.y -= empty;
        }
        bottom = bottom.max(slot.y + slot.height);
    }
}
