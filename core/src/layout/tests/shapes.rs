//! Geometry to judge a drawing by.

use crate::layout::{Drawing, Label, Point};

/// A box, without its border.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Area {
    pub(super) what: String,
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

impl Area {
    fn new(what: String, x: f64, y: f64, width: f64, height: f64) -> Self {
        Self {
            what,
            left: x,
            top: y,
            right: x + width,
            bottom: y + height,
        }
    }

    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }

    /// Whether a point is inside by more than `border`.
    pub(super) fn holds(&self, point: Point, border: f64) -> bool {
        self.left + border < point.x
            && point.x < self.right - border
            && self.top + border < point.y
            && point.y < self.bottom - border
    }
}

/// Cards and pills.
pub(super) fn solids(drawing: &Drawing) -> Vec<Area> {
    let cards = drawing.cards.iter();
    let cards = cards.map(|card| Area::new(card.title.clone(), card.x, card.y, card.width, card.height));
    let pills = drawing.pills.iter();
    let pills = pills.map(|pill| Area::new(pill.text.clone(), pill.x, pill.y, pill.width, pill.height));
    cards.chain(pills).collect()
}

/// The boxes of the labels.
pub(super) fn labels(drawing: &Drawing) -> Vec<Area> {
    let labels = drawing.edges.iter().filter_map(|edge| edge.label.as_ref());
    labels
        .map(
            |Label {
                 text,
                 x,
                 y,
                 width,
                 height,
             }| Area::new(text.clone(), *x, *y, *width, *height),
        )
        .collect()
}

/// Points along an SVG path of `M`, `L` and `C` commands.
pub(super) fn sample(path: &str) -> Vec<Point> {
    let mut points: Vec<Point> = Vec::new();
    let commands = path
        .replace('M', "\nM ")
        .replace('L', "\nL ")
        .replace('C', "\nC ");
    for command in commands.lines() {
        let mut words = command.split_whitespace();
        let Some(letter) = words.next() else { continue };
        let numbers: Vec<f64> = words.map(|word| word.parse().unwrap()).collect();
        let point = |at: usize| Point {
            x: numbers[at * 2],
            y: numbers[at * 2 + 1],
        };
        let from = points.last().copied();
        match (letter, from) {
            ("M", None) => points.push(point(0)),
            ("L", Some(from)) => {
                let to = point(0);
                points.extend((1..=64).map(|step| mix(from, to, f64::from(step) / 64.0)));
            }
            ("C", Some(from)) => points.extend((1..=24).map(|step| {
                let part = f64::from(step) / 24.0;
                let (one, two, to) = (point(0), point(1), point(2));
                let (a, b, c) = (mix(from, one, part), mix(one, two, part), mix(two, to, part));
                mix(mix(a, b, part), mix(b, c, part), part)
            })),
            other => panic!("unexpected {other:?} in {path}"),
        }
    }
    points
}

fn mix(one: Point, other: Point, part: f64) -> Point {
    Point {
        x: one.x + (other.x - one.x) * part,
        y: one.y + (other.y - one.y) * part,
    }
}

/// Everything that must hold of any drawing; the first thing that does not, in words.
pub(super) fn fault(drawing: &Drawing) -> Option<String> {
    let solids = solids(drawing);
    let labels = labels(drawing);
    let sheet = Area::new("sheet".into(), 0.0, 0.0, drawing.width, drawing.height);
    for (index, one) in solids.iter().enumerate() {
        if let Some(other) = solids[index + 1..].iter().find(|other| one.overlaps(other)) {
            return Some(format!("{one:?} overlaps {other:?}"));
        }
    }
    for (index, one) in labels.iter().enumerate() {
        let others = labels[index + 1..].iter().chain(&solids);
        if let Some(other) = others.into_iter().find(|other| one.overlaps(other)) {
            return Some(format!("label {one:?} overlaps {other:?}"));
        }
    }
    for area in solids.iter().chain(&labels) {
        if area.left < 0.0 || area.top < 0.0 || area.right > sheet.right || area.bottom > sheet.bottom {
            return Some(format!("{area:?} is outside of {sheet:?}"));
        }
    }
    for edge in &drawing.edges {
        for point in sample(&edge.path) {
            if let Some(area) = solids.iter().find(|area| area.holds(point, 0.75)) {
                return Some(format!("{edge:?} crosses {area:?} at {point:?}"));
            }
            if !sheet.holds(point, 0.0) {
                return Some(format!("{edge:?} leaves {sheet:?} at {point:?}"));
            }
        }
    }
    None
}
