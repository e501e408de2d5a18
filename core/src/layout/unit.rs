//! A stage with what belongs to it alone: the image it starts from, in a pill above its card, and the build context,
//! in a pill below. Their lines are short and stay beside the card, so the rest of the drawing is free for copies.

use super::card::{self, ROW_TYPE};
use super::drawing::{Card, EdgeLook, EdgeShape, LayoutOptions, Pill, PillKind, Point};
use super::path::Path;
use super::text;
use crate::analysis::{Analysis, Base, EdgeKind, EdgeSource};

/// Height of a pill.
pub(super) const PILL: f64 = 28.0;
/// Room in a pill beside its text: the icon before it, and space after it.
const PILL_PADDING: f64 = 44.0;
/// Widest pill; its text is shortened to fit.
const PILL_WIDEST: f64 = 236.0;
/// Length of the line between the pill of the base and the card.
const STEM: f64 = 22.0;
/// Where that line meets the card, from its left edge.
const STEM_X: f64 = 28.0;
/// Between a card and the pill of the context.
const CONTEXT_GAP: f64 = 24.0;
/// How far to the left of the card the context's lines run.
pub(super) const CONTEXT_TRUNK: f64 = 18.0;

/// A stage's card and its pills, at the origin until [`Unit::move_to`].
pub(super) struct Unit {
    pub(super) card: Card,
    base: Option<Pill>,
    base_edge: Option<usize>,
    context: Option<Pill>,
    /// Index into `Analysis::edges`, and the step it goes to.
    context_edges: Vec<(usize, Option<usize>, bool)>,
}

/// One unit per stage.
pub(super) fn units(analysis: &Analysis, options: &LayoutOptions, widest: f64) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::with_capacity(analysis.stages.len());
    for (index, stage) in analysis.stages.iter().enumerate() {
        let card = card::measure(analysis, index, stage, options);
        let base = match stage.base {
            Base::Scratch => Some(pill(PillKind::Scratch, "scratch", Some(index), widest)),
            Base::Image(image) => image_pill(analysis, image, Some(index), widest),
            Base::Stage(_) | Base::Unknown => None,
        };
        let base = base.map(|pill| Pill {
            dimmed: card.dimmed,
            ..pill
        });
        units.push(Unit {
            card,
            base,
            base_edge: None,
            context: None,
            context_edges: Vec::new(),
        });
    }
    for (index, edge) in analysis.edges.iter().enumerate() {
        let Some(unit) = units.get_mut(edge.to_stage) else {
            continue;
        };
        match (edge.from, edge.kind) {
            (EdgeSource::Context, _) => {
                let dimmed = analysis.target.is_some() && !edge.needed;
                unit.context_edges.push((index, edge.to_step, dimmed));
                let stage = Some(edge.to_stage);
                let pill = unit.context.get_or_insert_with(|| Pill {
                    dimmed: true,
                    ..pill(PillKind::Context, "build context", stage, widest)
                });
                pill.dimmed &= dimmed;
            }
            (EdgeSource::Image(_), EdgeKind::Base) => unit.base_edge = Some(index),
            (EdgeSource::Image(_), EdgeKind::Copy | EdgeKind::Mount) | (EdgeSource::Stage(_), _) => {}
        }
    }
    units
}

/// The pill of an image; `None` where there is no such image.
pub(super) fn image_pill(
    analysis: &Analysis,
    image: usize,
    stage: Option<usize>,
    widest: f64,
) -> Option<Pill> {
    let facts = analysis.images.get(image)?;
    let pill = pill(PillKind::Image(image), &facts.name, stage, widest);
    Some(Pill {
        note: facts.note.clone(),
        ..pill
    })
}

fn pill(kind: PillKind, text: &str, stage: Option<usize>, widest: f64) -> Pill {
    let budget = text::mono_budget(widest.min(PILL_WIDEST) - PILL_PADDING, ROW_TYPE);
    let text = text::shorten_image(text, budget);
    let width = (text::mono_width(&text, ROW_TYPE) + PILL_PADDING).ceil();
    Pill {
        kind,
        stage,
        x: 0.0,
        y: 0.0,
        width,
        height: PILL,
        text,
        dimmed: false,
        note: None,
    }
}

impl Unit {
    /// From the unit's top to the card's.
    pub(super) fn card_top(&self) -> f64 {
        if self.base.is_some() { PILL + STEM } else { 0.0 }
    }

    /// Height of card and pills.
    pub(super) fn height(&self) -> f64 {
        let below = if self.context.is_some() {
            CONTEXT_GAP + PILL
        } else {
            0.0
        };
        self.card_top() + self.card.height + below
    }

    /// Width of the pill of the base.
    pub(super) fn base_width(&self) -> f64 {
        self.base.as_ref().map_or(0.0, |pill| pill.width)
    }

    /// Whether lines run along the left edge of the card.
    pub(super) fn has_context(&self) -> bool {
        self.context.is_some()
    }

    /// Moves the unit's top left corner to a place.
    pub(super) fn move_to(&mut self, x: f64, y: f64) {
        self.card.move_to(x, y + self.card_top());
        if let Some(pill) = &mut self.base {
            (pill.x, pill.y) = (x, y);
        }
        if let Some(pill) = &mut self.context {
            (pill.x, pill.y) = (x, self.card.y + self.card.height + CONTEXT_GAP);
        }
    }

    /// The lines between the card and its pills, for the places they have now.
    pub(super) fn edges(&self) -> Vec<EdgeShape> {
        let mut shapes = Vec::new();
        if let Some(pill) = &self.base {
            let x = self.card.x + STEM_X.min(pill.width / 2.0);
            let start = Point {
                x,
                y: pill.y + pill.height,
            };
            let mut path = Path::from(start);
            path.line(Point { x, y: self.card.y });
            shapes.push(local(
                self.base_edge,
                EdgeLook::Base,
                start,
                path,
                self.card.dimmed,
            ));
        }
        if let Some(pill) = &self.context {
            let start = Point {
                x: pill.x,
                y: pill.y + pill.height / 2.0,
            };
            for (edge, step, dimmed) in &self.context_edges {
                let mut path = Path::from(start);
                let end = Point {
                    x: self.card.x,
                    y: self.card.y + self.card.entry(*step),
                };
                path.bow(end, self.card.x - CONTEXT_TRUNK, CONTEXT_TRUNK);
                shapes.push(local(Some(*edge), EdgeLook::Context, start, path, *dimmed));
            }
        }
        shapes
    }

    /// The card, and its pills.
    pub(super) fn into_parts(self) -> (Card, impl Iterator<Item = Pill>) {
        (self.card, self.base.into_iter().chain(self.context))
    }
}

fn local(edge: Option<usize>, look: EdgeLook, start: Point, path: Path, dimmed: bool) -> EdgeShape {
    let end = path.end();
    let (colour, from_stage, from_step) = (None, None, None);
    let path = path.into_data();
    EdgeShape {
        edge,
        look,
        path,
        start,
        end,
        arrow: None,
        colour,
        from_stage,
        from_step,
        dimmed,
        label: None,
    }
}
