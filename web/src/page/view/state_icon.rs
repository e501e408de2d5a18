//! A step's state as a shape and a colour: dashed ring, disc with halo, hollow ring, disc, disc with a cross.

use yew::prelude::*;

use crate::page::px::px;
use crate::state::build::{Build, Phase, StepState};
use crate::state::marks;
use crate::state::plan::Plan;
use stagewright_insight::Mark;

/// The shape, around a point of an SVG.
pub(super) fn shape(state: StepState, x: f64, y: f64) -> Html {
    let class = format!("state state-{}", state.name());
    let (x, y) = (px(x), px(y));
    match state {
        StepState::Idle => html! { <circle {class} cx={x} cy={y} r="2.5" /> },
        StepState::Waiting | StepState::Cached | StepState::Done => {
            html! { <circle {class} cx={x} cy={y} r="4.5" /> }
        }
        StepState::Running => html! {
            <g {class}><circle class="halo" cx={x.clone()} cy={y.clone()} r="8" /><circle cx={x} cy={y} r="4.5" /></g>
        },
        StepState::Failed => html! {
            <g {class} transform={format!("translate({x} {y})")}><circle r="6" /><path d="M-2.2-2.2l4.4 4.4M2.2-2.2l-4.4 4.4" /></g>
        },
    }
}

/// The shape by itself, among text.
pub(super) fn icon(state: StepState) -> Html {
    html! { <svg class="state-icon" viewBox="-9 -9 18 18" width="18" height="18" role="img" aria-label={state.name()}>{ shape(state, 0.0, 0.0) }</svg> }
}

/// How a step stands, and what to write beside it. Steps that are no op of their own go along with their build.
pub(super) fn of_step(
    plan: &Plan,
    build: Option<&Build>,
    marks: Option<&[Mark]>,
    stage: usize,
    step: usize,
    now: f64,
) -> (StepState, String) {
    if let Some(marks) = marks {
        return marks::foreseen(marks, stage, step);
    }
    let Some(build) = build else {
        return (StepState::Idle, String::new());
    };
    let Some(stage) = plan.analysis.stages.get(stage) else {
        return (StepState::Idle, String::new());
    };
    if let Some(vertex) = stage.steps.get(step).and_then(|step| step.vertex.as_ref()) {
        return (build.step_state(vertex), build.step_detail(vertex, now));
    }
    let is_this_plan = plan
        .analysis
        .definition
        .as_ref()
        .is_some_and(|definition| definition.digest == build.plan);
    let along = match build.phase {
        Phase::Running if is_this_plan && stage.needed => StepState::Waiting,
        Phase::Done if is_this_plan && stage.needed => StepState::Done,
        Phase::Running | Phase::Done | Phase::Failed | Phase::Cancelled | Phase::Lost => StepState::Idle,
    };
    (along, String::new())
}
