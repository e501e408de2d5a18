//! How the page stands with a worker, in a word.

use yew::prelude::*;

use crate::page::Desk;
use crate::state::Action;
use crate::state::connection::Connection;

#[derive(Properties, PartialEq)]
pub(super) struct Props {
    pub(super) desk: Desk,
    pub(super) connection: Connection,
}

#[component]
pub(super) fn ConnectionBadge(props: &Props) -> Html {
    let cannot = props.connection.worker().is_some_and(|worker| !worker.can_build);
    html! {
        <button class={classes!("connection", cannot.then_some("connection-limited"))} data-testid="connection" data-state={props.connection.name()}
            aria-live="polite" title="About the worker" onclick={props.desk.report(Action::WorkerExplained(true))}>
            <span class="lamp"></span><span class="connection-label">{ props.connection.label() }</span>
        </button>
    }
}
