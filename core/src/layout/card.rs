//! A stage's card, before it has a place: its rows and its height.

use super::drawing::{Card, LayoutOptions, Row};
use super::text;
use crate::analysis::{Analysis, Stage};

/// Height of a card's header.
pub(super) const HEADER: f64 = 40.0;
/// Height of a row.
pub(super) const ROW: f64 = 24.0;
/// Height of the footer of the stage that ships.
pub(super) const FOOTER: f64 = 34.0;
/// Space above the first and below the last row.
pub(super) const BODY_PADDING: f64 = 5.0;
/// Where a row's text starts, from the card's left edge; the state of the step is drawn before it.
pub const ROW_TEXT_X: f64 = 34.0;
/// Where the title starts, from the card's left edge; a square in the stage's colour is drawn before it.
pub const TITLE_X: f64 = 30.0;
/// Space kept at a card's right edge.
pub const CARD_PADDING: f64 = 12.0;
/// Size of the type of rows, in a monospace.
pub const ROW_TYPE: f64 = 12.0;
/// Size of the type of titles.
pub const TITLE_TYPE: f64 = 14.0;
/// Size of the type of subtitles.
pub const SUBTITLE_TYPE: f64 = 11.5;
/// Stage colours in a palette.
pub const PALETTE: usize = 8;

/// The card of `stage`, at the origin.
pub(super) fn measure(analysis: &Analysis, index: usize, stage: &Stage, options: &LayoutOptions) -> Card {
    let width = options.card_width;
    let (title, subtitle) = heading(index, stage, width);
    let budget = text::mono_budget(width - ROW_TEXT_X - CARD_PADDING - options.detail_width, ROW_TYPE);
    let mut bottom = HEADER;
    if !stage.steps.is_empty() {
        bottom += BODY_PADDING;
    }
    let mut rows = Vec::with_capacity(stage.steps.len());
    for (step, instruction) in stage.steps.iter().enumerate() {
        rows.push(Row {
            step,
            y: bottom,
            height: ROW,
            text: text::abbreviate(instruction, budget),
            is_op: instruction.changes_files || instruction.vertex.is_some(),
        });
        bottom += ROW;
    }
    if !rows.is_empty() {
        bottom += BODY_PADDING;
    }
    let footer_y = stage.ships.then_some(bottom);
    if stage.ships {
        bottom += FOOTER;
    }
    Card {
        stage: index,
        x: 0.0,
        y: 0.0,
        width,
        height: bottom,
        colour: index % PALETTE,
        title,
        subtitle,
        // Without a target nothing is known to be superfluous.
        dimmed: analysis.target.is_some() && !stage.needed,
        ships: stage.ships,
        header_height: HEADER,
        rows,
        footer_y,
    }
}

/// Title and subtitle. Where there is no room for both, the subtitle gives way first: the name is what is looked for.
fn heading(index: usize, stage: &Stage, width: f64) -> (String, String) {
    let ships = if stage.ships { " · ships" } else { "" };
    let room = |subtitle: &str| {
        let subtitle = text::sans_width(subtitle, SUBTITLE_TYPE);
        width - TITLE_X - CARD_PADDING * 2.0 - subtitle
    };
    let long = format!("stage {index}{ships}");
    if text::sans_width(&stage.label, TITLE_TYPE) <= room(&long) {
        return (stage.label.clone(), long);
    }
    let short = format!("{index}{ships}");
    (text::shorten_sans(&stage.label, room(&short), TITLE_TYPE), short)
}

impl Card {
    /// Moves the card, and what is on it, to a place.
    pub(super) fn move_to(&mut self, x: f64, y: f64) {
        let down = y - self.y;
        self.x = x;
        self.y = y;
        for row in &mut self.rows {
            row.y += down;
        }
        if let Some(footer) = &mut self.footer_y {
            *footer += down;
        }
    }

    /// The height at which edges leave: the middle of the last row that changes files, from the card's top.
    pub(super) fn exit(&self) -> f64 {
        let row = self.rows.iter().rfind(|row| row.is_op).or(self.rows.last());
        row.map_or(HEADER / 2.0, |row| row.y - self.y + row.height / 2.0)
    }

    /// The height at which edges to `step` arrive; without a step they arrive at the header.
    pub(super) fn entry(&self, step: Option<usize>) -> f64 {
        let row = step.and_then(|step| self.rows.get(step));
        row.map_or(HEADER / 2.0, |row| row.y - self.y + row.height / 2.0)
    }
}
