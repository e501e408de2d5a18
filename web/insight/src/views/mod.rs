//! One file for each view.

mod problems;

use crate::markup::Markup;
use crate::question::{Answer, Question, View};

/// Draws what is asked for.
pub fn draw(question: &Question) -> Answer {
    let mut page = Markup::default();
    let marks = Vec::new();
    match question.view {
        View::Problems => problems::draw(question, &mut page),
    }
    Answer {
        html: page.finish(),
        marks,
    }
}
