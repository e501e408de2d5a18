//! One file for each view.

mod context;
mod image;
mod pattern;
mod problems;
mod timeline;
mod what_if;

use stagewright_core::analysis::{Analysis, Base, Stage};

use crate::markup::Markup;
use crate::question::{Answer, Question, View};

/// Draws what is asked for.
pub fn draw(question: &Question) -> Answer {
    let mut page = Markup::default();
    let mut marks = Vec::new();
    match question.view {
        View::Problems => problems::draw(question, &mut page),
        View::Timeline => timeline::draw(question, &mut page),
        View::Image => image::draw(question, &mut page),
        View::WhatIf => marks = what_if::draw(question, &mut page),
        View::Pattern => pattern::draw(question, &mut page),
        View::Context => context::draw(question, &mut page),
    }
    Answer {
        html: page.finish(),
        marks,
    }
}

/// What to call that which a stage starts from.
fn base_of(analysis: &Analysis, stage: &Stage) -> String {
    let name = match stage.base {
        Base::Scratch => Some("scratch"),
        Base::Stage(index) => analysis.stages.get(index).map(|stage| stage.label.as_str()),
        Base::Image(index) => analysis.images.get(index).map(|image| image.name.as_str()),
        Base::Unknown => None,
    };
    name.unwrap_or("?").to_owned()
}
