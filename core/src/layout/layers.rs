//! The layered graph: nodes in columns, and a lane through every column that a longer link passes.

use super::drawing::EdgeLook;
use super::graph::Graph;
use super::rank::Ranks;

/// Lanes beyond this many are not worth their cost; links that would need them run outside.
const MOST_LANES: usize = 20_000;

/// What is ordered, placed and routed.
pub(super) struct Layers {
    /// Nodes first, with their own indices; then lanes.
    pub(super) slots: Vec<Slot>,
    pub(super) segments: Vec<Segment>,
    /// Slots by rank, from top to bottom.
    pub(super) columns: Vec<Vec<usize>>,
    /// By link.
    pub(super) routes: Vec<Route>,
}

/// A place in a column.
pub(super) struct Slot {
    pub(super) rank: usize,
    pub(super) height: f64,
    /// Whether it is a lane; a lane has no height.
    pub(super) lane: bool,
    /// Whether only what the target does without is there. In every column that stands below the rest, so that what
    /// is built is one picture.
    pub(super) dimmed: bool,
    /// Top edge, once placed.
    pub(super) y: f64,
}

/// A piece of a net between neighbouring columns.
pub(super) struct Segment {
    /// Lines that leave one node together and share their pieces.
    pub(super) net: usize,
    pub(super) from: usize,
    pub(super) to: usize,
    /// Where it leaves, from the top of `from`.
    pub(super) exit: f64,
    /// Where it arrives, from the top of `to`.
    pub(super) entry: f64,
    /// How much it matters that it is straight.
    pub(super) weight: f64,
}

/// How a link gets to its end.
pub(super) enum Route {
    /// Along these segments.
    Inside(Vec<usize>),
    /// Around everything.
    Outside,
}

/// A net being laid: the slot it has reached, the port it leaves that by, and its segments so far.
#[derive(Clone)]
struct Reach {
    slot: usize,
    exit: f64,
    trunk: Vec<usize>,
}

/// Cuts the links of a graph into segments.
pub(super) fn layers(graph: &Graph, ranks: &Ranks) -> Layers {
    let last = ranks.rank.iter().copied().max();
    let mut layers = Layers {
        slots: Vec::with_capacity(graph.nodes.len()),
        segments: Vec::new(),
        columns: vec![Vec::new(); last.map_or(0, |last| last + 1)],
        routes: Vec::with_capacity(graph.links.len()),
    };
    for (node, rank) in graph.nodes.iter().zip(&ranks.rank) {
        layers.add(Slot {
            rank: *rank,
            height: node.height,
            lane: false,
            dimmed: node.dimmed || node.pill.as_ref().is_some_and(|pill| pill.dimmed),
            y: 0.0,
        });
    }
    let count = graph.links.iter().map(|link| link.net + 1).max().unwrap_or(0);
    let mut nets: Vec<Vec<Reach>> = vec![Vec::new(); count];
    for (link, backward) in graph.links.iter().zip(&ranks.backward) {
        let (from, to) = (ranks.rank[link.from], ranks.rank[link.to]);
        if *backward || from >= to || layers.slots.len() > graph.nodes.len() + MOST_LANES {
            layers.routes.push(Route::Outside);
            continue;
        }
        let reached = &mut nets[link.net];
        if reached.is_empty() {
            reached.push(Reach {
                slot: link.from,
                exit: link.exit,
                trunk: Vec::new(),
            });
        }
        let weight = match (link.dimmed, link.look) {
            (true, _) => 0.2,
            (false, EdgeLook::Copy) => 4.0,
            (false, EdgeLook::Base) => 3.0,
            (false, EdgeLook::Mount | EdgeLook::Context) => 1.5,
        };
        for rank in from + reached.len()..to {
            let Some(before) = reached.last().cloned() else {
                break;
            };
            let lane = layers.add(Slot {
                rank,
                height: 0.0,
                lane: true,
                dimmed: link.dimmed,
                y: 0.0,
            });
            let straight = if layers.slots[before.slot].lane {
                weight * 3.0
            } else {
                weight
            };
            let segment = Segment {
                net: link.net,
                from: before.slot,
                to: lane,
                exit: before.exit,
                entry: 0.0,
                weight: straight,
            };
            let mut trunk = before.trunk;
            trunk.push(layers.segments.len());
            layers.segments.push(segment);
            reached.push(Reach {
                slot: lane,
                exit: 0.0,
                trunk,
            });
        }
        let Some(before) = reached.get(to - from - 1).cloned() else {
            layers.routes.push(Route::Outside);
            continue;
        };
        let mut route = before.trunk;
        route.push(layers.segments.len());
        layers.segments.push(Segment {
            net: link.net,
            from: before.slot,
            to: link.to,
            exit: before.exit,
            entry: link.entry,
            weight,
        });
        layers.routes.push(Route::Inside(route));
    }
    for column in &mut layers.columns {
        // Slots are in the order of the file, which stays among those that are needed and those that are not.
        let slots = &layers.slots;
        let (needed, rest): (Vec<usize>, Vec<usize>) = column.iter().partition(|slot| !slots[**slot].dimmed);
        *column = [needed, rest].concat();
    }
    layers
}

impl Layers {
    fn add(&mut self, slot: Slot) -> usize {
        let index = self.slots.len();
        self.columns[slot.rank].push(index);
        self.slots.push(slot);
        index
    }

    /// Segments by the slot they arrive at, and by the slot they leave.
    pub(super) fn neighbours(&self) -> (Vec<Vec<usize>>, Vec<Vec<usize>>) {
        let mut incoming = vec![Vec::new(); self.slots.len()];
        let mut outgoing = vec![Vec::new(); self.slots.len()];
        for (index, segment) in self.segments.iter().enumerate() {
            incoming[segment.to].push(index);
            outgoing[segment.from].push(index);
        }
        (incoming, outgoing)
    }

    /// The height a segment leaves at.
    pub(super) fn exit(&self, segment: &Segment) -> f64 {
        self.slots[segment.from].y + segment.exit
    }

    /// The height a segment arrives at.
    pub(super) fn entry(&self, segment: &Segment) -> f64 {
        self.slots[segment.to].y + segment.entry
    }
}
