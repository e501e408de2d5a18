//! Where everything goes: from an [`Analysis`] to a [`Drawing`].
//!
//! Copy edges run from the row of one step to the row of another and are the story; everything else keeps out of
//! their way. No edge ever crosses a card.

mod card;
mod columns;
pub mod dot;
mod drawing;
mod graph;
mod layers;
pub mod mermaid;
mod order;
mod outline;
mod path;
mod place;
mod rank;
mod sort;
mod stack;
pub mod svg;
mod text;
pub mod theme;
mod tracks;
mod unit;

pub use card::{CARD_PADDING, PALETTE, ROW_TEXT_X, ROW_TYPE, SUBTITLE_TYPE, TITLE_TYPE, TITLE_X};
pub use drawing::{
    Card, Direction, Drawing, EdgeLook, EdgeShape, Label, LayoutOptions, Pill, PillKind, Point, Row,
};
pub use graph::LABEL_TYPE;

use crate::analysis::Analysis;

/// Space around the drawing.
const MARGIN: f64 = 24.0;
/// Width of a card where no sensible one is asked for.
const DEFAULT_CARD: f64 = 272.0;

/// Lays `analysis` out. The same input gives the same drawing; it never fails, whatever the analysis holds.
pub fn layout(analysis: &Analysis, options: &LayoutOptions) -> Drawing {
    let width = if options.card_width.is_finite() {
        options.card_width
    } else {
        DEFAULT_CARD
    };
    let card_width = width.clamp(160.0, 640.0).round();
    let detail = if options.detail_width.is_finite() {
        options.detail_width
    } else {
        0.0
    };
    let detail_width = detail.clamp(0.0, card_width / 2.0);
    let options = LayoutOptions {
        direction: options.direction,
        card_width,
        detail_width,
    };
    let mut drawing = match options.direction {
        Direction::LeftToRight => columns::layout(analysis, &options),
        Direction::TopToBottom => stack::layout(analysis, &options),
    };
    // What is loudest comes last, on top; otherwise the order stays.
    let mut layers: [Vec<EdgeShape>; 8] = Default::default();
    for edge in std::mem::take(&mut drawing.edges) {
        let layer = edge.look as usize + if edge.dimmed { 0 } else { 4 };
        if let Some(layer) = layers.get_mut(layer) {
            layer.push(edge);
        }
    }
    drawing.edges = layers.into_iter().flatten().collect();
    drawing
}

#[cfg(test)]
pub(crate) mod tests;
