//! The right pane: the plan, looked at in several ways.

mod graph;
mod insight;
mod llb;
mod state_icon;
mod steps;

use stagewright_insight::{Mark, View};
use yew::prelude::*;

use super::Desk;
use crate::state::build::Build;
use crate::state::insight::Insight;
use crate::state::plan::{Plan, StepRef};
use crate::state::shared::Shared;
use crate::state::{Action, Tab};
use graph::GraphPane;
use insight::InsightView;
use llb::LlbView;
use steps::StepsView;

#[derive(Properties, PartialEq)]
pub(super) struct Props {
    pub(super) desk: Desk,
    pub(super) tab: Tab,
    /// The example that is open: another one is looked at from afar again.
    pub(super) example: Option<String>,
    pub(super) plan: Shared<Plan>,
    pub(super) build: Option<Shared<Build>>,
    pub(super) chosen: Option<StepRef>,
    pub(super) now: f64,
    pub(super) narrow: bool,
    /// How many findings there are.
    pub(super) findings: usize,
    pub(super) insight: Shared<Insight>,
    pub(super) version: u32,
    pub(super) marks: Option<Shared<Vec<Mark>>>,
    /// Whether there are several Dockerfiles and a script that builds them.
    pub(super) pattern: bool,
}

#[component]
pub(super) fn ViewPane(props: &Props) -> Html {
    let tab = |tab: Tab, name: &'static str, id: &'static str, count: usize| {
        let here = props.tab == tab;
        html! {
            <div class={classes!("tab", here.then_some("here"))} role="presentation">
                <button role="tab" id={format!("tab-{id}")} aria-selected={here.to_string()} aria-controls="view" data-testid={format!("tab-{id}")}
                    onclick={props.desk.report(Action::TabShown(tab))}>
                    { name }
                    if count > 0 { <span class="count">{ count }</span> }
                </button>
            </div>
        }
    };
    let (desk, plan, build) = (props.desk.clone(), props.plan.clone(), props.build.clone());
    let module_view = |view: View| {
        html! { <InsightView desk={props.desk.clone()} {view} insight={props.insight.clone()} version={props.version} /> }
    };
    let example = props.example.clone().unwrap_or_default();
    let (shown, content) = match props.tab {
        Tab::Graph => (
            "graph",
            html! { <GraphPane key={example} {desk} {plan} {build} marks={props.marks.clone()} chosen={props.chosen} now={props.now} narrow={props.narrow} /> },
        ),
        Tab::WhatIf => (
            "whatif",
            html! {
                <div class="split">
                    <div class="split-graph"><GraphPane key={example} {desk} {plan} {build} marks={props.marks.clone()} chosen={props.chosen} now={props.now} narrow={props.narrow} /></div>
                    <div class="split-view">{ module_view(View::WhatIf) }</div>
                </div>
            },
        ),
        Tab::Timeline => ("timeline", module_view(View::Timeline)),
        Tab::Image => ("image", module_view(View::Image)),
        Tab::Context => ("context", module_view(View::Context)),
        Tab::Pattern => ("pattern", module_view(View::Pattern)),
        Tab::Steps => (
            "steps",
            html! { <StepsView {desk} {plan} {build} chosen={props.chosen} now={props.now} /> },
        ),
        Tab::Problems => ("problems", module_view(View::Problems)),
        Tab::Llb => ("llb", html! { <LlbView {desk} {plan} chosen={props.chosen} /> }),
    };
    html! {
        <section class="view" aria-label="Plan">
            <div class="tabs view-tabs"><div class="tab-row" role="tablist" aria-label="Views of the plan">
                { tab(Tab::Graph, "Graph", "graph", 0) }
                { tab(Tab::Steps, "Steps", "steps", 0) }
                { tab(Tab::Problems, "Problems", "problems", props.findings) }
                { tab(Tab::WhatIf, "What if", "whatif", 0) }
                { tab(Tab::Timeline, "Timeline", "timeline", 0) }
                { tab(Tab::Image, "Image", "image", 0) }
                { tab(Tab::Context, "Context", "context", 0) }
                if props.pattern || props.tab == Tab::Pattern { { tab(Tab::Pattern, "As one file", "pattern", 0) } }
                { tab(Tab::Llb, "LLB", "llb", 0) }
            </div></div>
            <div class="view-body" id="view" role="tabpanel" aria-labelledby={format!("tab-{shown}")}>{ content }</div>
        </section>
    }
}
