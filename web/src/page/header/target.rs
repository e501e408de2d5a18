//! Which stage to stop at.

use wasm_bindgen::JsCast as _;
use web_sys::HtmlSelectElement;
use yew::prelude::*;

use crate::page::{Desk, icons};
use crate::state::Action;
use crate::state::plan::Plan;
use crate::state::shared::Shared;

#[derive(Properties, PartialEq)]
pub(super) struct Props {
    pub(super) desk: Desk,
    pub(super) plan: Shared<Plan>,
    pub(super) target: Option<String>,
}

#[component]
pub(super) fn Target(props: &Props) -> Html {
    let choose = {
        let desk = props.desk.clone();
        Callback::from(move |event: Event| {
            let Some(select) = event
                .target()
                .and_then(|target| target.dyn_into::<HtmlSelectElement>().ok())
            else {
                return;
            };
            let chosen = select.value();
            desk.dispatch(Action::TargetChosen((!chosen.is_empty()).then_some(chosen)));
        })
    };
    let stages = &props.plan.analysis.stages;
    let named: Vec<&str> = stages.iter().filter_map(|stage| stage.name.as_deref()).collect();
    let same = |name: &str| {
        props
            .target
            .as_deref()
            .is_some_and(|target| target.eq_ignore_ascii_case(name))
    };
    let last = stages.last().map_or_else(
        || "last stage".to_owned(),
        |stage| format!("{} (last)", stage.label),
    );
    // A target that is no stage any more stays in sight: the plan's error speaks of it.
    let gone = props
        .target
        .as_deref()
        .filter(|target| !named.iter().any(|name| name.eq_ignore_ascii_case(target)));
    html! {
        <label class="choice choice-select">
            { "Target" }
            <select data-testid="target" onchange={choose}>
                <option value="" selected={props.target.is_none()}>{ last }</option>
                { for named.iter().map(|name| html! { <option key={*name} value={(*name).to_owned()} selected={same(name)}>{ *name }</option> }) }
                if let Some(gone) = gone {
                    <option value={gone.to_owned()} selected=true>{ format!("{gone} (unknown)") }</option>
                }
            </select>
            { icons::chevron() }
        </label>
    }
}
