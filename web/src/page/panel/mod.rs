//! The build: how far it is, what it prints, what comes out.

mod layers;
mod log;

use yew::prelude::*;

use super::{Desk, icons};
use crate::service::launch;
use crate::state::build::{Build, Phase};
use crate::state::connection::Connection;
use crate::state::human::{duration, size};
use crate::state::plan::Plan;
use crate::state::shared::Shared;
use crate::state::{Action, Launch};
use layers::LayersList;
use log::LogView;
use stagewright_core::protocol::OutputFormat;

#[derive(Properties, PartialEq)]
pub(super) struct Props {
    pub(super) desk: Desk,
    pub(super) plan: Shared<Plan>,
    pub(super) build: Option<Shared<Build>>,
    pub(super) launch: Launch,
    pub(super) open: bool,
    pub(super) now: f64,
    pub(super) connection: Connection,
}

#[component]
pub(super) fn Panel(props: &Props) -> Html {
    let build = props.build.as_ref();
    let (state, message) = status(props);
    let fold = if props.open {
        "Close the build's panel"
    } else {
        "Open the build's panel"
    };
    html! {
        <section class={classes!("panel", props.open.then_some("open"))} aria-label="Build">
            <header class="panel-head">
                <h2>{ build.map_or_else(|| "Build".to_owned(), |build| format!("Build {}", build.title)) }</h2>
                { progress_bar(props) }
                <p class={classes!("build-status", format!("build-{state}"))} data-testid="build-status" data-state={state}
                    data-build={build.map(|build| build.id.clone())} role="status">{ message }</p>
                <span class="spring"></span>
                { buttons(props) }
                <button class="bare fold" aria-label={fold} aria-expanded={props.open.to_string()} title={fold} onclick={props.desk.report(Action::PanelToggled)}>{ icons::chevron() }</button>
            </header>
            if props.open {
                <div class="panel-body">
                    { failure(props) }
                    if let Some(build) = build {
                        <div class="panel-split">
                            <LogView desk={props.desk.clone()} plan={props.plan.clone()} build={build.clone()} />
                            <LayersList desk={props.desk.clone()} plan={props.plan.clone()} build={build.clone()} />
                        </div>
                    } else if props.launch == Launch::Idle {
                        <p class="empty">{ "Build carries out exactly the plan that is drawn, and shows here what its steps print and the layers they make." }</p>
                    }
                </div>
            }
        </section>
    }
}

/// How things stand: the word for it, and a line for people.
fn status(props: &Props) -> (&'static str, String) {
    match (&props.launch, &props.build) {
        (Launch::Preparing(what), _) => ("running", format!("{what}…")),
        (Launch::Refused(_), _) => ("failed", "not started".into()),
        (Launch::Idle, None) => ("idle", "nothing built yet".into()),
        (Launch::Idle, Some(build)) => {
            let tally = build.tally();
            let mut parts = Vec::new();
            if tally.all > 0 {
                parts.push(format!("{} of {} steps", tally.ended, tally.all));
            }
            if tally.cached > 0 {
                parts.push(format!("{} cached", tally.cached));
            }
            if build.last_seq > 0 {
                parts.push(duration(build.elapsed(props.now)));
            }
            match build.phase {
                Phase::Running if build.last_seq == 0 && props.connection.worker().is_none() => {
                    parts.push("waiting for the worker".into());
                }
                Phase::Running if props.connection.worker().is_none() => {
                    parts.push("connection lost, trying again".into());
                }
                Phase::Running => {}
                Phase::Done => parts.extend(
                    build
                        .image
                        .as_ref()
                        .map(|image| format!("image {}", size(image.size))),
                ),
                Phase::Failed => parts.push("failed".into()),
                Phase::Cancelled => parts.push("cancelled".into()),
                Phase::Lost => parts.push("lost".into()),
            }
            let is_this_plan = props
                .plan
                .analysis
                .definition
                .as_ref()
                .is_some_and(|definition| definition.digest == build.plan);
            if !is_this_plan {
                parts.push("the plan has changed since".into());
            }
            (build.phase.name(), parts.join(" · "))
        }
    }
}

fn progress_bar(props: &Props) -> Html {
    let Some(build) = &props.build else {
        return Html::default();
    };
    let tally = build.tally();
    let share = if build.phase == Phase::Done {
        100
    } else {
        (tally.ended * 100).checked_div(tally.all).unwrap_or_default()
    };
    html! {
        <div class={classes!("progress", format!("progress-{}", build.phase.name()))} role="progressbar" aria-label="Steps done" aria-valuemin="0" aria-valuemax="100" aria-valuenow={share.to_string()}>
            <span style={format!("width: {share}%")}></span>
        </div>
    }
}

fn buttons(props: &Props) -> Html {
    let Some(build) = &props.build else {
        return Html::default();
    };
    match build.phase {
        Phase::Running => {
            let desk = props.desk.clone();
            let cancel = Callback::from(move |_: MouseEvent| launch::cancel(&desk.store, &desk.link));
            html! { <button data-testid="cancel" onclick={cancel}>{ "Cancel" }</button> }
        }
        Phase::Done => {
            let get = |format: OutputFormat| {
                let desk = props.desk.clone();
                Callback::from(move |_: MouseEvent| launch::download(&desk.store, &desk.link, format))
            };
            html! {
                <span class="downloads">
                    <button data-testid="download-oci" title="A tar of an OCI image layout, for skopeo, podman, umoci" onclick={get(OutputFormat::Oci)}>{ icons::download() }{ "OCI archive" }</button>
                    <button data-testid="download-docker" title="For docker load" onclick={get(OutputFormat::Docker)}>{ icons::download() }{ "docker archive" }</button>
                </span>
            }
        }
        Phase::Failed | Phase::Cancelled | Phase::Lost => Html::default(),
    }
}

/// What went wrong, and what to do next.
fn failure(props: &Props) -> Html {
    if let Launch::Refused(why) = &props.launch {
        return html! { <div class="failure" data-testid="failure" role="alert"><p>{ why }</p></div> };
    }
    let Some(build) = &props.build else {
        return Html::default();
    };
    match (build.phase, &build.failure) {
        (Phase::Failed, Some(failure)) => {
            let at = failure
                .vertex
                .as_ref()
                .and_then(|vertex| props.plan.step_of_vertex(vertex));
            // What is said first, and then what was printed last; the reason is mostly at its end.
            let (message, tail) = failure.message.split_once('\n').unwrap_or((&failure.message, ""));
            html! {
                <div class="failure" data-testid="failure" role="alert">
                    <div class="failure-text">
                        <p>{ message }</p>
                        if !tail.is_empty() { <pre><code>{ tail }</code></pre> }
                    </div>
                    if let Some(code) = failure.exit_code { <span class="muted" data-testid="exit-code">{ format!("exit code {code}") }</span> }
                    if let Some(at) = at { <button onclick={props.desk.report(Action::StepChosen(at))}>{ "Show the step" }</button> }
                </div>
            }
        }
        (Phase::Lost, _) => html! {
            <div class="failure" data-testid="failure" role="alert">
                <p>{ "The worker stopped in the middle of this build. Steps that were finished are kept: once it is back, Build goes on from there." }</p>
            </div>
        },
        (Phase::Running | Phase::Done | Phase::Failed | Phase::Cancelled, _) => Html::default(),
    }
}
