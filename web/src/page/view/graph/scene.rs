//! All that is in the drawing. It is drawn anew when the plan or the build changes, not when it is moved.

use yew::prelude::*;

use super::{card, edge, pill};
use crate::page::Desk;
use crate::state::build::Build;
use crate::state::plan::{Plan, StepRef};
use crate::state::shared::Shared;
use stagewright_core::analysis::EdgeSource;
use stagewright_core::layout::{EdgeShape, PillKind};
use stagewright_insight::Mark;

#[derive(Properties, PartialEq)]
pub(super) struct Props {
    pub(super) desk: Desk,
    pub(super) plan: Shared<Plan>,
    pub(super) build: Option<Shared<Build>>,
    /// What is said of steps instead of what the build says.
    pub(super) marks: Option<Shared<Vec<Mark>>>,
    pub(super) chosen: Option<StepRef>,
    pub(super) now: f64,
}

/// What the pointer is over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Hovered {
    Step(StepRef),
    Edge(usize),
    Pill(PillKind),
}

#[component]
pub(super) fn Scene(props: &Props) -> Html {
    let hovered = use_state_eq(|| None::<Hovered>);
    let hover = {
        let hovered = hovered.clone();
        use_callback((), move |over: Option<Hovered>, ()| hovered.set(over))
    };
    let plan = &props.plan;
    let lit = |shape: &EdgeShape| {
        hovered.is_some_and(|over| touches(plan, shape, over)) || chosen_touches(plan, shape, props.chosen)
    };
    let drawing = &plan.drawing;
    html! {
        <>
            { for drawing.edges.iter().enumerate().map(|(index, shape)| edge::line(plan, shape, index, lit(shape), &hover)) }
            { for drawing.pills.iter().enumerate().map(|(index, shape)| pill::pill(plan, shape, index, &hover)) }
            { for drawing.cards.iter().map(|shape| card::card(props, shape, &hover)) }
            { for drawing.edges.iter().enumerate().map(|(index, shape)| edge::label(plan, shape, index, lit(shape), &hover)) }
        </>
    }
}

/// Whether a line begins or ends at what the pointer is over.
fn touches(plan: &Plan, shape: &EdgeShape, over: Hovered) -> bool {
    let edge = shape.edge.and_then(|edge| plan.analysis.edges.get(edge));
    match over {
        Hovered::Edge(index) => shape.edge == Some(index),
        Hovered::Step(at) => {
            let arrives = edge.is_some_and(|edge| edge.to_stage == at.stage && edge.to_step == at.step);
            arrives
                || shape.from_step.is_some()
                    && shape.from_stage == Some(at.stage)
                    && shape.from_step == at.step
        }
        Hovered::Pill(kind) => edge.is_some_and(|edge| match (kind, edge.from) {
            (PillKind::Image(image), EdgeSource::Image(from)) => image == from,
            (PillKind::Context, EdgeSource::Context) => true,
            (
                PillKind::Image(_) | PillKind::Context | PillKind::Scratch,
                EdgeSource::Image(_) | EdgeSource::Stage(_) | EdgeSource::Context,
            ) => false,
        }),
    }
}

fn chosen_touches(plan: &Plan, shape: &EdgeShape, chosen: Option<StepRef>) -> bool {
    chosen
        .filter(|at| at.step.is_some())
        .is_some_and(|at| touches(plan, shape, Hovered::Step(at)))
}
