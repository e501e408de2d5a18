//! What is to be ranked and routed: stages, the images they copy from, and the links between them.

use super::drawing::{EdgeLook, Pill};
use super::sort::{groups, index};
use super::text;
use super::unit::{Unit, image_pill};
use crate::analysis::{Analysis, Edge, EdgeKind, EdgeSource};

/// Size of the type of labels, in a monospace.
pub const LABEL_TYPE: f64 = 11.5;
/// Height of a label's box.
pub(super) const LABEL_HEIGHT: f64 = 20.0;
/// Room in the box beside the text.
const LABEL_PADDING: f64 = 16.0;
/// Longest label, in columns.
const LABEL_COLUMNS: usize = 20;
/// Between links that meet at one row.
const SPREAD: f64 = 7.0;
/// How far below the copies of a stage its mounts leave it.
const MOUNT_OFFSET: f64 = 5.0;

/// Stages by index, then the images that stages copy from.
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    pub(super) links: Vec<Link>,
}

/// Something with a place of its own.
pub(super) struct Node {
    pub(super) width: f64,
    pub(super) height: f64,
    /// The pill it is, where it is not a stage.
    pub(super) pill: Option<Pill>,
    /// Whether it is a stage that the target does without.
    pub(super) dimmed: bool,
}

/// A line from one node to another.
pub(super) struct Link {
    /// Index into `Analysis::edges`.
    pub(super) edge: usize,
    /// Links with the same number leave one node in the same way, and may share what they have in common.
    pub(super) net: usize,
    pub(super) look: EdgeLook,
    pub(super) from: usize,
    pub(super) to: usize,
    /// Where it leaves, from the top of `from`.
    pub(super) exit: f64,
    /// Where it arrives, from the top of `to`.
    pub(super) entry: f64,
    /// The middle of the row it arrives at, from the top of `to`: its label is level with that.
    pub(super) row: f64,
    pub(super) dimmed: bool,
    pub(super) label: Option<LabelText>,
}

/// A label without a place.
#[derive(Clone)]
pub(super) struct LabelText {
    pub(super) text: String,
    pub(super) width: f64,
}

/// Reads the graph off an analysis. An image is one node, however many stages copy from it.
pub(super) fn graph(analysis: &Analysis, units: &[Unit], widest: f64) -> Graph {
    let stage = |unit: &Unit| Node {
        width: unit.card.width,
        height: unit.height(),
        pill: None,
        dimmed: unit.card.dimmed,
    };
    let mut graph = Graph {
        nodes: units.iter().map(stage).collect(),
        links: Vec::new(),
    };
    let mut images: Vec<Option<usize>> = vec![None; analysis.images.len()];
    // Rows of a stage, a step and the link that arrives there.
    let mut arrivals = Vec::new();
    for (index, edge) in analysis.edges.iter().enumerate() {
        let Some(target) = units.get(edge.to_stage) else {
            continue;
        };
        let dimmed = analysis.target.is_some() && !edge.needed;
        let look = look(edge);
        let (from, exit) = match (edge.from, edge.kind) {
            (EdgeSource::Stage(stage), EdgeKind::Base) => {
                let Some(unit) = units.get(stage) else { continue };
                (stage, unit.card_top() + unit.card.entry(None))
            }
            (EdgeSource::Stage(stage), kind @ (EdgeKind::Copy | EdgeKind::Mount)) => {
                let Some(unit) = units.get(stage) else { continue };
                let below = if kind == EdgeKind::Mount {
                    MOUNT_OFFSET
                } else {
                    0.0
                };
                (stage, unit.card_top() + unit.card.exit() + below)
            }
            (EdgeSource::Image(image), EdgeKind::Copy | EdgeKind::Mount) => {
                let known = images.get(image).copied().flatten();
                let node = if let Some(node) = known {
                    node
                } else {
                    let Some(pill) = image_pill(analysis, image, None, widest) else {
                        continue;
                    };
                    let pill = Pill { dimmed: true, ..pill };
                    let (width, height) = (pill.width, pill.height);
                    graph.nodes.push(Node {
                        width,
                        height,
                        pill: Some(pill),
                        dimmed: false,
                    });
                    let node = graph.nodes.len() - 1;
                    if let Some(known) = images.get_mut(image) {
                        *known = Some(node);
                    }
                    node
                };
                let node_height = graph.nodes.get_mut(node).map_or(0.0, |found| {
                    if let Some(pill) = &mut found.pill {
                        pill.dimmed &= dimmed;
                    }
                    found.height
                });
                (node, node_height / 2.0)
            }
            (EdgeSource::Image(_), EdgeKind::Base) | (EdgeSource::Context, _) => continue,
        };
        let row = target.card_top() + target.card.entry(edge.to_step);
        let step = edge.to_step.map_or(-1.0, count);
        arrivals.push([count(edge.to_stage), step, count(graph.links.len()), 0.0]);
        let label = label(edge);
        let to = edge.to_stage;
        graph.links.push(Link {
            edge: index,
            net: 0,
            look,
            from,
            to,
            exit,
            entry: row,
            row,
            dimmed,
            label,
        });
    }
    for group in groups(&mut arrivals, 2) {
        spread(&mut graph.links, group);
    }
    let net = |(at, link): (usize, &Link)| {
        [
            count(link.from),
            count(link.look as usize),
            f64::from(u8::from(link.dimmed)),
            count(at),
        ]
    };
    let mut nets: Vec<[f64; 4]> = graph.links.iter().enumerate().map(net).collect();
    for (number, group) in groups(&mut nets, 3).enumerate() {
        for row in group {
            graph.links[index(row[3])].net = number;
        }
    }
    graph
}

/// Links that meet at one row arrive a little apart.
fn spread(links: &mut [Link], meeting: &[[f64; 4]]) {
    let apart = SPREAD.min(16.0 / count(meeting.len()));
    for (place, row) in meeting.iter().enumerate() {
        if let Some(link) = links.get_mut(index(row[2])) {
            link.entry += (count(place) - (count(meeting.len()) - 1.0) / 2.0) * apart;
        }
    }
}

fn look(edge: &Edge) -> EdgeLook {
    match (edge.from, edge.kind) {
        (EdgeSource::Context, _) => EdgeLook::Context,
        (_, EdgeKind::Base) => EdgeLook::Base,
        (_, EdgeKind::Copy) => EdgeLook::Copy,
        (_, EdgeKind::Mount) => EdgeLook::Mount,
    }
}

fn label(edge: &Edge) -> Option<LabelText> {
    if edge.kind == EdgeKind::Base || edge.label.trim().is_empty() {
        return None;
    }
    let text = text::shorten_middle(edge.label.trim(), LABEL_COLUMNS);
    let width = (text::mono_width(&text, LABEL_TYPE) + LABEL_PADDING).ceil();
    Some(LabelText { text, width })
}

/// A count as a coordinate.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of what is drawn are far below 2^52"
)]
pub(super) fn count(of: usize) -> f64 {
    of as f64
}
