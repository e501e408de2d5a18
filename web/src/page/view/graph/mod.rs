//! The drawing of the plan: pan it, zoom it, click on it.

mod camera;
mod card;
mod edge;
mod pill;
mod scene;

use web_sys::Element;
use yew::prelude::*;

use crate::page::{Desk, icons};
use crate::state::build::Build;
use crate::state::plan::{Plan, StepRef};
use crate::state::shared::Shared;
use camera::use_camera;
use scene::Scene;
use stagewright_insight::Mark;

/// What is chosen, in the drawing.
const CHOSEN: &str = ".step.lit, .card.lit > .card-head";

#[derive(Properties, PartialEq)]
pub(super) struct Props {
    pub(super) desk: Desk,
    pub(super) plan: Shared<Plan>,
    pub(super) build: Option<Shared<Build>>,
    /// What is said of steps instead of what the build says.
    pub(super) marks: Option<Shared<Vec<Mark>>>,
    pub(super) chosen: Option<StepRef>,
    pub(super) now: f64,
    pub(super) narrow: bool,
}

#[component]
pub(super) fn GraphPane(props: &Props) -> Html {
    let drawing = &props.plan.drawing;
    let camera = use_camera(drawing.width, drawing.height);
    let zoom = |factor: f64| {
        let camera = camera.clone();
        Callback::from(move |_: MouseEvent| camera.zoom(factor))
    };
    let fit = {
        let camera = camera.clone();
        Callback::from(move |_: MouseEvent| camera.fit())
    };
    use_effect_with(props.chosen, {
        let camera = camera.clone();
        move |_| {
            let drawing = camera.node().cast::<Element>();
            let chosen = drawing.and_then(|drawing| drawing.query_selector(CHOSEN).ok().flatten());
            if let Some(chosen) = chosen {
                camera.reveal(&chosen);
            }
        }
    });
    let on_focus = {
        let camera = camera.clone();
        Callback::from(move |event: FocusEvent| {
            if let Some(part) = event.target_dyn_into::<Element>() {
                camera.reveal(&part);
            }
        })
    };
    html! {
        <div class="graph" data-testid="graph">
            <svg class={classes!("canvas", camera.is_dragging().then_some("dragging"))} ref={camera.node()} role="group" aria-label="Stages, and what flows between them"
                onfocusin={on_focus} onpointerdown={camera.on_down()} onpointermove={camera.on_move()} onpointerup={camera.on_up()} onpointercancel={camera.on_up()}>
                <g transform={camera.transform()}>
                    <Scene desk={props.desk.clone()} plan={props.plan.clone()} build={props.build.clone()} marks={props.marks.clone()}
                        chosen={props.chosen} now={props.now} />
                </g>
            </svg>
            if props.plan.analysis.stages.is_empty() {
                <p class="empty">{ "No stages yet. A stage begins with FROM and the name of an image." }</p>
            }
            <div class="zoom" role="group" aria-label="Zoom">
                <button class="bare" aria-label="Zoom in" title="Zoom in" onclick={zoom(1.25)}>{ icons::plus() }</button>
                <button class="bare" aria-label="Zoom out" title="Zoom out" onclick={zoom(0.8)}>{ icons::minus() }</button>
                <button class="bare" aria-label="Fit the drawing" title="Fit" data-testid="fit" onclick={fit}>{ icons::fit() }</button>
            </div>
        </div>
    }
}
