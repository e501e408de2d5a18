//! All steps as a list, with their times and layers.

use yew::prelude::*;

use super::state_icon;
use crate::page::Desk;
use crate::state::Action;
use crate::state::build::Build;
use crate::state::human::size;
use crate::state::plan::{Plan, StepRef};
use crate::state::shared::Shared;
use stagewright_core::analysis::{Base, Stage};
use stagewright_core::layout::PALETTE;

#[derive(Properties, PartialEq)]
pub(super) struct Props {
    pub(super) desk: Desk,
    pub(super) plan: Shared<Plan>,
    pub(super) build: Option<Shared<Build>>,
    pub(super) chosen: Option<StepRef>,
    pub(super) now: f64,
}

#[component]
pub(super) fn StepsView(props: &Props) -> Html {
    if props.plan.analysis.stages.is_empty() {
        return html! { <p class="empty">{ "No stages yet. A stage begins with FROM and the name of an image." }</p> };
    }
    html! { <div class="sheet">{ for props.plan.analysis.stages.iter().map(|stage| stage_table(props, stage)) }</div> }
}

fn stage_table(props: &Props, stage: &Stage) -> Html {
    let base = match stage.base {
        Base::Scratch => "scratch".to_owned(),
        Base::Stage(index) => props
            .plan
            .analysis
            .stages
            .get(index)
            .map(|stage| stage.label.clone())
            .unwrap_or_default(),
        Base::Image(index) => props
            .plan
            .analysis
            .images
            .get(index)
            .map(|image| image.name.clone())
            .unwrap_or_default(),
        Base::Unknown => "?".to_owned(),
    };
    let from = props.desk.report(Action::StepChosen(StepRef {
        stage: stage.index,
        step: None,
    }));
    html! {
        <section key={stage.index} class={classes!("stage-list", format!("stage-colour-{}", stage.index % PALETTE), (!stage.needed).then_some("dimmed"))}>
            <h3><span class="swatch"></span><button class="link" onclick={from}>{ &stage.label }</button><span class="muted">{ format!("from {base}") }</span></h3>
            <p class="muted">{ &stage.reason }</p>
            <ul>{ for (0..stage.steps.len()).map(|step| row(props, stage, step)) }</ul>
        </section>
    }
}

fn row(props: &Props, stage: &Stage, index: usize) -> Html {
    let Some(step) = stage.steps.get(index) else {
        return Html::default();
    };
    let at = StepRef {
        stage: stage.index,
        step: Some(index),
    };
    let build = props.build.as_deref();
    let (how, detail) = state_icon::of_step(&props.plan, build, None, stage.index, index, props.now);
    let layer = build
        .zip(step.vertex.as_ref())
        .and_then(|(build, vertex)| build.layers.iter().find(|layer| &layer.vertex == vertex));
    let reason = build
        .zip(step.vertex.as_ref())
        .and_then(|(build, vertex)| build.progress_at(vertex))
        .map(|progress| progress.reason.clone());
    let entries = layer.map(|layer| format!("+{} ~{} −{}", layer.added, layer.changed, layer.removed));
    html! {
        <li key={index}>
            <button class={classes!("step-row", (props.chosen == Some(at)).then_some("lit"))} onclick={props.desk.report(Action::StepChosen(at))}>
                { state_icon::icon(how) }
                <code class="step-text">{ &step.text }</code>
                <span class="step-entries" title="entries added, changed and removed">{ entries }</span>
                <span class="step-size">{ layer.map(|layer| size(layer.size)) }</span>
                <span class="step-detail">{ detail }</span>
            </button>
            if let Some(reason) = reason.filter(|reason| !reason.is_empty()) {
                <p class="step-reason">{ reason }</p>
            }
        </li>
    }
}
