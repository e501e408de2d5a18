//! Stages in columns, from left to right.
//!
//! Every line keeps to two kinds of room that hold no card: the channels between columns, over their full height, and
//! the lanes that were left free in a column for it. So no line can cross a card, whatever the plan.

use super::MARGIN;
use super::drawing::{Drawing, EdgeLook, EdgeShape, Label, LayoutOptions, Pill, Point};
use super::graph::{Graph, LABEL_HEIGHT, Link, count, graph};
use super::layers::{Layers, Route, Segment, layers};
use super::path::{Path, arrow};
use super::sort::{groups, index};
use super::tracks::{self, Run};
use super::unit::{CONTEXT_TRUNK, Unit, units};
use super::{order, place, rank};
use crate::analysis::Analysis;

/// From a column to the first track right of it, and from the last track on: room for the corners.
const CORNER: f64 = 20.0;
/// Between two tracks.
const TRACK: f64 = 14.0;
/// All tracks of a channel together are not wider than this; many are closer to each other.
const TRACKS_WIDEST: f64 = 480.0;
/// The least width of a channel.
const CHANNEL: f64 = 104.0;
/// From labels, or the last corner, to the column on the right: room for the arrow.
const ARRIVAL: f64 = 16.0;
/// The same where lines of the context run along the cards.
const ARRIVAL_AT_CONTEXT: f64 = CONTEXT_TRUNK + 14.0;
/// Between two labels side by side.
const LABEL_GAP: f64 = 6.0;
/// Between the lines that run below everything.
const OUTSIDE: f64 = 28.0;

/// Lays stages out in columns.
pub(super) fn layout(analysis: &Analysis, options: &LayoutOptions) -> Drawing {
    let mut units = units(analysis, options, options.card_width);
    let graph = graph(analysis, &units, options.card_width);
    let ranks = rank::rank(&graph);
    let mut layers = layers(&graph, &ranks);
    order::order(&mut layers);
    let bottom = place::place(&mut layers, MARGIN);
    let sheet = Sheet::new(&graph, &layers, &units);

    let mut drawing = Drawing {
        width: sheet.width,
        ..Drawing::default()
    };
    for (stage, unit) in units.iter_mut().enumerate() {
        let slot = &layers.slots[stage];
        unit.move_to(sheet.columns[slot.rank].0, slot.y);
        drawing.edges.extend(unit.edges());
    }
    let mut lowest = bottom;
    for (index, link) in graph.links.iter().enumerate() {
        let shape = match &layers.routes[index] {
            Route::Inside(segments) => sheet.inside(&graph, &layers, index, segments),
            Route::Outside => {
                lowest += OUTSIDE;
                sheet.outside(&graph, &layers, link, lowest)
            }
        };
        drawing.edges.push(finish(shape, &units, link));
    }
    for (node, slot) in graph.nodes.iter().zip(&layers.slots) {
        if let Some(pill) = &node.pill {
            let (_, right) = sheet.columns[slot.rank];
            drawing.pills.push(Pill {
                x: right - node.width,
                y: slot.y,
                ..pill.clone()
            });
        }
    }
    if lowest > bottom {
        lowest += LABEL_HEIGHT / 2.0;
    }
    drawing.height = lowest + MARGIN;
    for unit in units {
        let (card, pills) = unit.into_parts();
        drawing.cards.push(card);
        drawing.pills.extend(pills);
    }
    drawing
}

/// Completes a line with what does not depend on where it runs.
pub(super) fn finish(shape: EdgeShape, units: &[Unit], link: &Link) -> EdgeShape {
    let card = units.get(link.from).map(|unit| &unit.card);
    let row = card.and_then(|card| card.rows.iter().rfind(|row| row.is_op).or(card.rows.last()));
    EdgeShape {
        edge: Some(link.edge),
        look: link.look,
        colour: card.map(|card| card.colour),
        from_stage: card.map(|card| card.stage),
        from_step: row.map(|row| row.step),
        dimmed: link.dimmed,
        ..shape
    }
}

/// A line of which only the way is known.
pub(super) fn line(start: Point, path: Path, arrow: Option<String>, label: Option<Label>) -> EdgeShape {
    EdgeShape {
        edge: None,
        look: EdgeLook::Base,
        start,
        end: path.end(),
        path: path.into_data(),
        arrow,
        colour: None,
        from_stage: None,
        from_step: None,
        dimmed: false,
        label,
    }
}

/// Whether a line ends in an arrow. `FROM` is no copy: the stage goes on from there.
pub(super) fn points(look: EdgeLook) -> bool {
    matches!(look, EdgeLook::Copy | EdgeLook::Mount)
}

/// Where columns and channels are, from left to right.
struct Sheet {
    /// Left and right edge of every column.
    columns: Vec<(f64, f64)>,
    /// By segment: the x of its vertical piece, and the radius its corners may have.
    tracks: Vec<Option<(f64, f64)>>,
    /// By link: the middle of its label.
    labels: Vec<Option<Point>>,
    width: f64,
}

impl Sheet {
    fn new(graph: &Graph, layers: &Layers, units: &[Unit]) -> Self {
        let ranks = layers.columns.len();
        let mut widths = vec![0.0_f64; ranks];
        let mut arrivals = vec![ARRIVAL; ranks];
        for (node, slot) in graph.nodes.iter().zip(&layers.slots) {
            widths[slot.rank] = widths[slot.rank].max(node.width);
        }
        for (unit, slot) in units.iter().zip(&layers.slots) {
            if unit.has_context() {
                arrivals[slot.rank] = ARRIVAL_AT_CONTEXT;
            }
        }
        let mut runs: Vec<Vec<Run>> = (0..ranks).map(|_| Vec::new()).collect();
        let row = |(at, segment): (usize, &Segment)| {
            [
                count(layers.slots[segment.from].rank),
                count(segment.net),
                count(at),
                0.0,
            ]
        };
        let mut rows: Vec<[f64; 4]> = layers.segments.iter().enumerate().map(row).collect();
        for group in groups(&mut rows, 2) {
            let segments: Vec<usize> = group.iter().map(|row| index(row[2])).collect();
            let Some(first) = segments.first().map(|first| &layers.segments[*first]) else {
                continue;
            };
            let start = layers.exit(first);
            let ends = segments
                .iter()
                .map(|at| layers.entry(&layers.segments[*at]))
                .collect();
            runs[layers.slots[first.from].rank].push(Run {
                segments,
                start,
                ends,
            });
        }
        let mut labels = labels_by_channel(graph, layers, ranks);

        let outside = layers.routes.iter().any(|route| matches!(route, Route::Outside));
        let first = arrivals.first().copied().unwrap_or(ARRIVAL);
        let mut sheet = Self {
            columns: Vec::with_capacity(ranks),
            tracks: vec![None; layers.segments.len()],
            labels: vec![None; graph.links.len()],
            width: 0.0,
        };
        let mut x = if first > ARRIVAL || outside {
            MARGIN + CONTEXT_TRUNK
        } else {
            MARGIN
        };
        for (rank, runs) in runs.into_iter().enumerate() {
            let right = x + widths[rank];
            sheet.columns.push((x, right));
            let Some(arrival) = arrivals.get(rank + 1) else {
                x = right;
                break;
            };
            x = sheet.channel(
                graph,
                layers,
                right,
                *arrival,
                runs,
                std::mem::take(&mut labels[rank]),
            );
        }
        sheet.width = x + MARGIN + if outside { CORNER } else { 0.0 };
        sheet
    }

    /// Lays out the channel that begins at `left`; answers where it ends.
    fn channel(
        &mut self,
        graph: &Graph,
        layers: &Layers,
        left: f64,
        arrival: f64,
        runs: Vec<Run>,
        rows: Vec<Vec<usize>>,
    ) -> f64 {
        let nets = runs.len();
        let width = |link: &usize| graph.links[*link].label.as_ref().map_or(0.0, |label| label.width);
        // One line alone carries its label in its middle, wherever that is.
        if let ([row], 1) = (rows.as_slice(), nets)
            && let [link] = row.as_slice()
            && let Some(run) = runs.first()
        {
            let inset = (arrival + LABEL_GAP).max(CORNER + LABEL_GAP);
            let wide = (width(link) + inset * 2.0).max(CHANNEL);
            let middle = left + wide / 2.0;
            let end = layers.slots[graph.links[*link].to].y + graph.links[*link].entry;
            self.labels[*link] = Some(Point {
                x: middle,
                y: f64::midpoint(run.start, end),
            });
            let radius = (wide / 2.0 - arrival).min(38.0);
            for segment in &run.segments {
                self.tracks[*segment] = Some((middle, radius));
            }
            return left + wide;
        }
        let row_width = |row: &Vec<usize>| row.iter().map(|link| width(link) + LABEL_GAP).sum::<f64>();
        let zone = rows.iter().map(row_width).fold(0.0, f64::max);
        let (assigned, tracks) = tracks::assign(runs);
        let between = match tracks {
            0 | 1 => 0.0,
            more => TRACK.min(TRACKS_WIDEST / count(more - 1)),
        };
        let tracks_width = between * count(tracks.saturating_sub(1));
        let least = CHANNEL - zone - arrival;
        let curves = (tracks_width + CORNER * 2.0).max(least);
        let radius = ((curves - tracks_width) / 2.0).min(38.0);
        let first = left + (curves - tracks_width) / 2.0;
        let track = |track: usize| first + count(track) * between;
        for (run, at) in assigned {
            for segment in run.segments {
                self.tracks[segment] = Some((track(at), radius));
            }
        }
        for row in rows {
            let mut x = left + curves + f64::midpoint(zone - row_width(&row), LABEL_GAP);
            for link in row {
                let (link, target) = (&graph.links[link], link);
                let wide = link.label.as_ref().map_or(0.0, |label| label.width);
                let y = layers.slots[link.to].y + link.row;
                self.labels[target] = Some(Point { x: x + wide / 2.0, y });
                x += wide + LABEL_GAP;
            }
        }
        left + curves + zone + arrival
    }

    /// A link through channels and lanes.
    fn inside(&self, graph: &Graph, layers: &Layers, index: usize, segments: &[usize]) -> EdgeShape {
        let link = &graph.links[index];
        let start = self.start(layers, link);
        let mut path = Path::from(start);
        for number in segments {
            let segment = &layers.segments[*number];
            let rank = layers.slots[segment.from].rank;
            let (_, right) = self.columns[rank];
            let to = Point {
                x: self.columns[rank + 1].0,
                y: layers.entry(segment),
            };
            path.line(Point {
                x: right,
                y: path.end().y,
            });
            match self.tracks[*number] {
                Some((track, radius)) => path.step(to, track, radius),
                None => path.line(to),
            }
        }
        let label = self.labels[index].and_then(|middle| placed(link, middle));
        let arrow = points(link.look).then(|| arrow(path.end(), 1.0));
        line(start, path, arrow, label)
    }

    /// A link that goes below everything, at the height `below`.
    fn outside(&self, graph: &Graph, layers: &Layers, link: &Link, below: f64) -> EdgeShape {
        const RADIUS: f64 = 8.0;
        let start = self.start(layers, link);
        let (_, right) = self.columns[layers.slots[link.from].rank];
        let target = &layers.slots[link.to];
        let left = self.columns[target.rank].0;
        let mut path = Path::from(start);
        path.line(Point { x: right, y: start.y });
        path.step(Point { x: left, y: below }, right + RADIUS + 1.0, RADIUS);
        path.step(
            Point {
                x: left,
                y: target.y + link.entry,
            },
            left - RADIUS - 2.0,
            RADIUS,
        );
        let wide = link.label.as_ref().map_or(0.0, |label| label.width);
        let room = graph.nodes[link.to].width.max(wide);
        let label = placed(
            link,
            Point {
                x: left + room / 2.0,
                y: below,
            },
        );
        let arrow = Some(arrow(path.end(), 1.0));
        line(start, path, arrow, label)
    }

    fn start(&self, layers: &Layers, link: &Link) -> Point {
        let slot = &layers.slots[link.from];
        Point {
            x: self.columns[slot.rank].1,
            y: slot.y + link.exit,
        }
    }
}

/// A label about its middle.
pub(super) fn placed(link: &Link, middle: Point) -> Option<Label> {
    let label = link.label.as_ref()?;
    Some(Label {
        text: label.text.clone(),
        x: middle.x - label.width / 2.0,
        y: middle.y - LABEL_HEIGHT / 2.0,
        width: label.width,
        height: LABEL_HEIGHT,
    })
}

/// By the rank of the channel: the links that have a label there, those that arrive at one row together.
fn labels_by_channel(graph: &Graph, layers: &Layers, ranks: usize) -> Vec<Vec<Vec<usize>>> {
    /// More labels than this before one row would push the columns apart.
    const MOST: usize = 2;
    let inside = |at: &usize| matches!(layers.routes[*at], Route::Inside(_));
    let labelled = (0..graph.links.len())
        .filter(|at| graph.links[*at].label.is_some())
        .filter(inside);
    let row = |at: usize| [count(graph.links[at].to), graph.links[at].row, count(at), 0.0];
    let mut rows: Vec<[f64; 4]> = labelled.map(row).collect();
    let mut channels: Vec<Vec<Vec<usize>>> = vec![Vec::new(); ranks];
    for group in groups(&mut rows, 2) {
        let links: Vec<usize> = group.iter().take(MOST).map(|row| index(row[2])).collect();
        let Some(first) = links.first() else { continue };
        channels[layers.slots[graph.links[*first].to].rank.saturating_sub(1)].push(links);
    }
    channels
}
