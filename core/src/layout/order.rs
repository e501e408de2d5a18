//! The order within each column: sweeps by barycentre, then swaps of neighbours, for few crossings.

use super::graph::count;
use super::layers::{Layers, Segment};
use super::sort::{index, sort};

/// Sweeps to and fro.
const SWEEPS: usize = 12;
/// Above this many segments the last crossings are not hunted down by swaps: it would take longer than it shows.
const MOST_SWAPPED: usize = 4_000;

/// Orders every column of `layers`.
pub(super) fn order(layers: &mut Layers) {
    let mut sorter = Sorter::new(layers);
    let mut best = layers.columns.clone();
    let mut fewest = sorter.crossings(layers);
    for sweep in 0..SWEEPS {
        if fewest == 0 && sweep > 1 {
            break;
        }
        let forward = sweep % 2 == 0;
        for step in 1..layers.columns.len() {
            let rank = if forward {
                step
            } else {
                layers.columns.len() - 1 - step
            };
            sorter.sort(layers, rank, forward);
        }
        if layers.segments.len() <= MOST_SWAPPED {
            sorter.swap(layers);
        }
        let crossings = sorter.crossings(layers);
        if crossings < fewest {
            fewest = crossings;
            best.clone_from(&layers.columns);
        }
    }
    layers.columns = best;
}

struct Sorter {
    /// By slot: its place in its column.
    place: Vec<usize>,
    incoming: Vec<Vec<usize>>,
    outgoing: Vec<Vec<usize>>,
    /// Segments by the rank they leave.
    by_rank: Vec<Vec<usize>>,
}

/// Where a segment ends, for comparing: the place of the slot, then the height of the port.
type End = (usize, f64);

fn after(one: End, other: End) -> bool {
    one.0 > other.0 || (one.0 == other.0 && one.1 > other.1)
}

impl Sorter {
    fn new(layers: &Layers) -> Self {
        let (incoming, outgoing) = layers.neighbours();
        let mut by_rank = vec![Vec::new(); layers.columns.len()];
        for (index, segment) in layers.segments.iter().enumerate() {
            by_rank[layers.slots[segment.from].rank].push(index);
        }
        let mut sorter = Self {
            place: vec![0; layers.slots.len()],
            incoming,
            outgoing,
            by_rank,
        };
        for column in &layers.columns {
            sorter.number(column);
        }
        sorter
    }

    fn number(&mut self, column: &[usize]) {
        for (place, slot) in column.iter().enumerate() {
            self.place[*slot] = place;
        }
    }

    fn start(&self, segment: &Segment) -> End {
        (self.place[segment.from], segment.exit)
    }

    fn finish(&self, segment: &Segment) -> End {
        (self.place[segment.to], segment.entry)
    }

    /// Sorts one column by the mean place of what its slots are linked to on one side. Slots without such links keep
    /// their place among the others.
    fn sort(&mut self, layers: &mut Layers, rank: usize, forward: bool) {
        let column = &layers.columns[rank];
        let mut keyed = Vec::with_capacity(column.len());
        let mut previous = -1.0;
        for slot in column {
            let segments = if forward {
                &self.incoming[*slot]
            } else {
                &self.outgoing[*slot]
            };
            let (mut sum, mut weights) = (0.0, 0.0);
            for segment in segments.iter().map(|index| &layers.segments[*index]) {
                let (other, port) = if forward {
                    (segment.from, segment.exit)
                } else {
                    (segment.to, segment.entry)
                };
                let within = (port / (layers.slots[other].height + 1.0)).clamp(0.0, 1.0);
                sum += (count(self.place[other]) + within * 0.9) * segment.weight;
                weights += segment.weight;
            }
            if weights > 0.0 {
                previous = sum / weights;
            }
            let dimmed = f64::from(u8::from(layers.slots[*slot].dimmed));
            keyed.push([dimmed, previous, count(self.place[*slot]), count(*slot)]);
        }
        sort(&mut keyed);
        let column: Vec<usize> = keyed.into_iter().map(|row| index(row[3])).collect();
        self.number(&column);
        layers.columns[rank] = column;
    }

    /// Swaps neighbours as long as that saves crossings.
    fn swap(&mut self, layers: &mut Layers) {
        for _ in 0..4 {
            let mut better = false;
            for rank in 0..layers.columns.len() {
                for at in 1..layers.columns[rank].len() {
                    let (above, below) = (layers.columns[rank][at - 1], layers.columns[rank][at]);
                    if layers.slots[above].dimmed != layers.slots[below].dimmed {
                        continue;
                    }
                    if self.between(layers, below, above) < self.between(layers, above, below) {
                        layers.columns[rank].swap(at - 1, at);
                        self.place.swap(above, below);
                        better = true;
                    }
                }
            }
            if !better {
                break;
            }
        }
    }

    /// Crossings among the segments of two slots if the first stood directly above the second.
    fn between(&self, layers: &Layers, above: usize, below: usize) -> usize {
        let segment = |index: &usize| &layers.segments[*index];
        let mut crossings = 0;
        for one in self.incoming[above].iter().map(segment) {
            for other in self.incoming[below].iter().map(segment) {
                crossings += usize::from(after(self.start(one), self.start(other)));
            }
        }
        for one in self.outgoing[above].iter().map(segment) {
            for other in self.outgoing[below].iter().map(segment) {
                crossings += usize::from(after(self.finish(one), self.finish(other)));
            }
        }
        crossings
    }

    /// All crossings, counted as inversions by a Fenwick tree.
    fn crossings(&self, layers: &Layers) -> usize {
        let mut crossings = 0;
        for segments in &self.by_rank {
            let end = |index: &usize| {
                let segment = &layers.segments[*index];
                let (start, finish) = (self.start(segment), self.finish(segment));
                [count(start.0), start.1, count(finish.0), finish.1]
            };
            let mut ends: Vec<[f64; 4]> = segments.iter().map(end).collect();
            let mut finishes: Vec<[f64; 4]> = ends.iter().map(|end| [end[2], end[3], 0.0, 0.0]).collect();
            sort(&mut finishes);
            finishes.dedup();
            sort(&mut ends);
            let mut tree = vec![0_usize; finishes.len() + 1];
            let mut before: Vec<usize> = Vec::new();
            let mut start: Option<[f64; 2]> = None;
            let mut seen = 0;
            for [place, port, to, entry] in ends {
                // Segments that leave one port do not cross each other, so they are counted before they are added.
                let same =
                    |start: [f64; 2]| start[0].total_cmp(&place).is_eq() && start[1].total_cmp(&port).is_eq();
                if start.is_some_and(|start| !same(start)) {
                    for place in before.drain(..) {
                        add(&mut tree, place);
                        seen += 1;
                    }
                }
                start = Some([place, port]);
                let place = finishes.partition_point(|finish| (finish[0], finish[1]) < (to, entry));
                crossings += seen - up_to(&tree, place);
                before.push(place);
            }
        }
        crossings
    }
}

/// Counts one at `place`.
fn add(tree: &mut [usize], place: usize) {
    let mut at = place + 1;
    while let Some(sum) = tree.get_mut(at) {
        *sum += 1;
        at += at & at.wrapping_neg();
    }
}

/// How many were counted at `place` or before.
fn up_to(tree: &[usize], place: usize) -> usize {
    let mut at = place + 1;
    let mut sum = 0;
    while at > 0 {
        sum += tree[at];
        at &= at - 1;
    }
    sum
}
