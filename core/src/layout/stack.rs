//! Stages in one column, for a narrow screen.
//!
//! What a stage starts from runs down the left of the cards, what is copied runs down their right, each line on a
//! track of its own; a card is never in the way because no track is above one.

use super::columns::{finish, line, placed, points};
use super::drawing::{Drawing, EdgeLook, EdgeShape, LayoutOptions, Pill, Point};
use super::graph::{Graph, LABEL_HEIGHT, Link, count, graph};
use super::path::{Path, arrow};
use super::rank;
use super::sort::{index, sort};
use super::unit::{CONTEXT_TRUNK, PILL, Unit, units};
use crate::analysis::Analysis;

/// Space around the drawing: less than elsewhere, as the screen is small.
const MARGIN: f64 = 12.0;
/// Between two stages.
const GAP: f64 = 30.0;
/// From the cards to the first track.
const FIRST_TRACK: f64 = 16.0;
/// Between two tracks.
const TRACK: f64 = 12.0;
/// From one label to the next above a card.
const LABEL_LINE: f64 = LABEL_HEIGHT + 4.0;
/// Between the pills of images that are copied from.
const PILL_LINE: f64 = PILL + 8.0;
/// How far lines leave below the middle of a row, and arrive above it: both are on the same side here.
const LEAVE: f64 = 5.0;
/// See [`LEAVE`].
const ARRIVE: f64 = -3.0;
/// Radius of the corners.
const RADIUS: f64 = 10.0;

/// Lays stages out in one column.
pub(super) fn layout(analysis: &Analysis, options: &LayoutOptions) -> Drawing {
    let mut units = units(analysis, options, options.card_width);
    let graph = graph(analysis, &units, options.card_width);
    let order: Vec<usize> = rank::rank(&graph)
        .order
        .into_iter()
        .filter(|node| *node < units.len())
        .collect();
    let gutters = Gutters::new(&graph, &units, &order);
    let left = MARGIN + gutters.left;
    let right = left + options.card_width;
    let limit = right + gutters.right;

    let mut drawing = Drawing {
        width: limit + MARGIN,
        ..Drawing::default()
    };
    let mut arriving: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes.len()];
    for (index, link) in graph.links.iter().enumerate() {
        arriving[link.to].push(index);
    }
    let mut labels: Vec<Option<Point>> = vec![None; graph.links.len()];
    let mut images: Vec<Option<Pill>> = vec![None; graph.links.len()];
    let mut y = MARGIN;
    for stage in &order {
        let links = &arriving[*stage];
        for index in links {
            let Some(pill) = graph.nodes[graph.links[*index].from].pill.as_ref() else {
                continue;
            };
            let dimmed = graph.links[*index].dimmed;
            images[*index] = Some(Pill {
                stage: Some(*stage),
                x: right - pill.width,
                y,
                dimmed,
                ..pill.clone()
            });
            y += PILL_LINE;
        }
        let labelled: Vec<usize> = links
            .iter()
            .copied()
            .filter(|index| graph.links[*index].label.is_some())
            .collect();
        let unit = &mut units[*stage];
        let above = count(labelled.len()) * LABEL_LINE;
        let widest = labelled
            .iter()
            .filter_map(|index| graph.links[*index].label.as_ref());
        let widest = widest.map(|label| label.width).fold(0.0, f64::max);
        // The pill of the base and the labels share the room above the card where both fit into it.
        let beside = unit.base_width() + widest + MARGIN < limit - left;
        let extra = if beside {
            (above - unit.card_top()).max(0.0)
        } else {
            above
        };
        unit.move_to(left, y + extra);
        let labels_end = if beside { unit.card.y } else { y + extra };
        for (line, index) in labelled.iter().rev().enumerate() {
            let wide = graph.links[*index]
                .label
                .as_ref()
                .map_or(0.0, |label| label.width);
            let over = right + gutters.track(*index);
            let x = over.min(limit - wide / 2.0);
            let y = labels_end - count(line + 1) * LABEL_LINE + LABEL_HEIGHT / 2.0;
            labels[*index] = Some(Point { x, y });
        }
        y = unit.card.y - unit.card_top() + unit.height() + GAP;
        drawing.edges.extend(unit.edges());
    }
    drawing.height = (y - GAP).max(MARGIN) + MARGIN;
    for (index, link) in graph.links.iter().enumerate() {
        let shape = match &images[index] {
            Some(pill) => {
                let start = Point {
                    x: right,
                    y: pill.y + pill.height / 2.0,
                };
                beside(&units, link, start, right + gutters.track(index))
            }
            None if link.look == EdgeLook::Base => {
                let card = &units[link.from].card;
                let start = Point {
                    x: left,
                    y: card.y + card.exit(),
                };
                beside(&units, link, start, left - gutters.track(index))
            }
            None => {
                let card = &units[link.from].card;
                let exit = link.exit - units[link.from].card_top() + LEAVE;
                beside(
                    &units,
                    link,
                    Point {
                        x: right,
                        y: card.y + exit,
                    },
                    right + gutters.track(index),
                )
            }
        };
        let label = labels[index].and_then(|middle| placed(link, middle));
        drawing
            .edges
            .push(finish(EdgeShape { label, ..shape }, &units, link));
    }
    drawing.pills.extend(images.into_iter().flatten());
    for unit in units {
        let (card, pills) = unit.into_parts();
        drawing.cards.push(card);
        drawing.pills.extend(pills);
    }
    drawing
}

/// From a point at the edge of the cards along a track to the end of `link` on the same side.
fn beside(units: &[Unit], link: &Link, start: Point, track: f64) -> EdgeShape {
    let unit = &units[link.to];
    let lift = if link.look == EdgeLook::Base { 0.0 } else { ARRIVE };
    let end = Point {
        x: start.x,
        y: unit.card.y - unit.card_top() + link.entry + lift,
    };
    let mut path = Path::from(start);
    path.bow(end, track, RADIUS);
    let heading = if track < start.x { 1.0 } else { -1.0 };
    let arrow = points(link.look).then(|| arrow(end, heading));
    line(start, path, arrow, None)
}

/// The tracks on both sides of the column.
struct Gutters {
    /// By link: how far from the cards it runs.
    tracks: Vec<f64>,
    left: f64,
    right: f64,
}

impl Gutters {
    fn new(graph: &Graph, units: &[Unit], order: &[usize]) -> Self {
        let mut place = vec![0; graph.nodes.len()];
        for (at, stage) in order.iter().enumerate() {
            place[*stage] = at;
        }
        let mut gutters = Self {
            tracks: vec![FIRST_TRACK; graph.links.len()],
            left: 0.0,
            right: 0.0,
        };
        let context = units.iter().any(Unit::has_context);
        let left_start = if context {
            CONTEXT_TRUNK + TRACK
        } else {
            FIRST_TRACK
        };
        // Links from images are short and run nearest to the cards.
        let image = |link: &Link| link.from >= units.len();
        let images = graph.links.iter().any(image);
        let right_start = if images { FIRST_TRACK + TRACK } else { FIRST_TRACK };
        if images {
            gutters.right = FIRST_TRACK + TRACK;
        }
        for (base, start) in [(true, left_start), (false, right_start)] {
            // One track for all that leaves a stage in one way.
            let mut nets: Vec<(usize, usize, Vec<usize>)> = Vec::new();
            let mut known: Vec<Option<usize>> = vec![None; graph.links.len()];
            for (index, link) in graph.links.iter().enumerate() {
                if image(link) || (link.look == EdgeLook::Base) != base {
                    continue;
                }
                let (one, other) = (place[link.from], place[link.to]);
                let number = *known[link.net].get_or_insert(nets.len());
                if number == nets.len() {
                    nets.push((one, one, Vec::new()));
                }
                let net = &mut nets[number];
                net.0 = net.0.min(other);
                net.1 = net.1.max(other);
                net.2.push(index);
            }
            // The shortest run nearest to the cards.
            let row = |(at, net): (usize, &(usize, usize, Vec<usize>))| {
                [count(net.1 - net.0), count(net.0), count(at), 0.0]
            };
            let mut rows: Vec<[f64; 4]> = nets.iter().enumerate().map(row).collect();
            sort(&mut rows);
            let mut taken: Vec<Vec<(usize, usize)>> = Vec::new();
            for row in rows {
                let (first, last, links) = std::mem::take(&mut nets[index(row[2])]);
                let free = |track: &Vec<(usize, usize)>| {
                    track.iter().all(|(low, high)| last < *low || *high < first)
                };
                let track = taken.iter().position(free).unwrap_or(taken.len());
                if track == taken.len() {
                    taken.push(Vec::new());
                }
                taken[track].push((first, last));
                let far = start + count(track) * TRACK;
                for link in links {
                    gutters.tracks[link] = far;
                }
            }
            let used = if taken.is_empty() {
                0.0
            } else {
                start + count(taken.len() - 1) * TRACK + RADIUS
            };
            let side = if base {
                &mut gutters.left
            } else {
                &mut gutters.right
            };
            *side = side.max(used);
        }
        if context {
            gutters.left = gutters.left.max(CONTEXT_TRUNK + 2.0);
        }
        gutters
    }

    fn track(&self, link: usize) -> f64 {
        self.tracks.get(link).copied().unwrap_or(FIRST_TRACK)
    }
}
