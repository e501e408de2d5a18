//! Where everything goes: from an [`Analysis`] to a [`Drawing`].
//!
//! Copy edges run from the row of one step to the row of another and are the story; everything else keeps out of
//! their way. No edge ever crosses a card.

#[expect(dead_code, reason = "ports are what edges will be attached to")]
mod card;
mod drawing;
#[expect(dead_code, reason = "labels are measured with it")]
mod text;

pub use card::{CARD_PADDING, PALETTE, ROW_TEXT_X, ROW_TYPE, SUBTITLE_TYPE, TITLE_TYPE, TITLE_X};
pub use drawing::{
    Card, Direction, Drawing, EdgeLook, EdgeShape, Label, LayoutOptions, Pill, PillKind, Point, Row,
};

use crate::analysis::Analysis;

/// Space around the drawing.
const MARGIN: f64 = 24.0;

/// Lays `analysis` out. The same input gives the same drawing; it never fails, whatever the analysis holds.
pub fn layout(analysis: &Analysis, options: &LayoutOptions) -> Drawing {
    let mut drawing = Drawing {
        width: MARGIN * 2.0,
        height: MARGIN,
        ..Drawing::default()
    };
    for (index, stage) in analysis.stages.iter().enumerate() {
        let mut card = card::measure(analysis, index, stage, options);
        card.move_to(MARGIN, drawing.height);
        drawing.width = drawing.width.max(card.width + MARGIN * 2.0);
        drawing.height += card.height + MARGIN;
        drawing.cards.push(card);
    }
    drawing
}
