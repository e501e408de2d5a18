//! The bar at the top.

mod args;
mod connection;
mod examples;
mod share;
mod target;

use gloo::events::EventListener;
use yew::prelude::*;

use super::{Desk, icons};
use crate::service::{launch, theme};
use crate::state::catalog::Example;
use crate::state::connection::Connection;
use crate::state::plan::{Choices, Plan};
use crate::state::shared::Shared;
use args::Args;
use connection::ConnectionBadge;
use examples::Examples;
use share::Share;
use target::Target;

#[derive(Properties, PartialEq)]
pub(super) struct Props {
    pub(super) desk: Desk,
    pub(super) catalog: Shared<Vec<Example>>,
    pub(super) example: Option<String>,
    pub(super) edited: bool,
    pub(super) plan: Shared<Plan>,
    pub(super) choices: Shared<Choices>,
    pub(super) connection: Connection,
    pub(super) busy: bool,
    /// Whether something was set aside for a link.
    pub(super) aside: bool,
}

#[component]
pub(super) fn Header(props: &Props) -> Html {
    let desk = &props.desk;
    html! {
        <header class="header">
            <h1 class="brand">{ icons::logo() }<span>{ "Stagewright" }</span></h1>
            <div class="choices">
                <Examples desk={desk.clone()} catalog={props.catalog.clone()} example={props.example.clone()} edited={props.edited} aside={props.aside} />
                <Target desk={desk.clone()} plan={props.plan.clone()} target={props.choices.target.clone()} />
                <Args desk={desk.clone()} plan={props.plan.clone()} choices={props.choices.clone()} />
            </div>
            <span class="spring"></span>
            <ConnectionBadge desk={desk.clone()} connection={props.connection.clone()} />
            <Share desk={desk.clone()} />
            <ThemeButton />
            <BuildButton desk={desk.clone()} busy={props.busy} />
        </header>
    }
}

#[component]
fn ThemeButton() -> Html {
    let dark = use_state_eq(theme::is_dark);
    let toggle = {
        let dark = dark.clone();
        Callback::from(move |_: MouseEvent| {
            theme::choose(!*dark);
            dark.set(theme::is_dark());
        })
    };
    {
        let dark = dark.clone();
        use_effect_with((), move |()| {
            let follow = theme::system().map(|system| {
                EventListener::new(&system, "change", move |_| {
                    theme::apply();
                    dark.set(theme::is_dark());
                })
            });
            move || drop(follow)
        });
    }
    let label = if *dark { "Light colours" } else { "Dark colours" };
    html! { <button class="bare" data-testid="theme" aria-label={label} title={label} onclick={toggle}>{ icons::theme(*dark) }</button> }
}

#[derive(Properties, PartialEq)]
struct BuildButtonProps {
    desk: Desk,
    busy: bool,
}

#[component]
fn BuildButton(props: &BuildButtonProps) -> Html {
    let desk = props.desk.clone();
    let build = Callback::from(move |_: MouseEvent| launch::build(&desk.store, &desk.link));
    html! {
        <button class="primary" data-testid="build" disabled={props.busy} onclick={build} title="Build exactly this plan (Ctrl+Enter)">
            { icons::play() }{ if props.busy { "Building" } else { "Build" } }
        </button>
    }
}
