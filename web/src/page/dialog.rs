//! How the page stands with its worker, and how to get one.

use yew::prelude::*;

use super::{Desk, icons};
use crate::service::browser;
use crate::state::Action;
use crate::state::connection::Connection;
use stagewright_core::protocol::Welcome;

#[derive(Properties, PartialEq)]
pub(super) struct Props {
    pub(super) desk: Desk,
    pub(super) connection: Connection,
}

#[component]
pub(super) fn WorkerDialog(props: &Props) -> Html {
    let dialog = use_node_ref();
    use_effect_with((), {
        let dialog = dialog.clone();
        move |()| {
            if let Some(dialog) = dialog.get() {
                browser::show_modal(&dialog);
            }
        }
    });
    // However it is closed, the browser gives the keyboard back to what had it.
    let closed = {
        let desk = props.desk.clone();
        Callback::from(move |_: Event| desk.dispatch(Action::WorkerExplained(false)))
    };
    let retry = {
        let link = props.desk.link.clone();
        Callback::from(move |_: MouseEvent| link.try_now())
    };
    html! {
        <dialog class="dialog" closedby="any" aria-labelledby="worker-title" ref={dialog} onclose={closed} data-testid="worker-help">
            <div class="dialog-body">
                <form method="dialog"><button class="bare dialog-close" aria-label="Close">{ icons::cross() }</button></form>
                { match &props.connection {
                    Connection::Online(worker) => about(worker),
                    Connection::Refused(why) => refused(why),
                    Connection::Connecting | Connection::None | Connection::Reconnecting => missing(&retry),
                } }
            </div>
        </dialog>
    }
}

fn missing(retry: &Callback<MouseEvent>) -> Html {
    html! {
        <>
            <h2 id="worker-title">{ "Building needs a worker" }</h2>
            <p>{ "Planning happens in this page. To carry a plan out, a small worker has to run on a Linux machine; it serves this very page, so there is nothing to configure." }</p>
            <ol>
                <li>{ "In a clone of Stagewright, run" }<pre><code>{ "cargo xtask play" }</code></pre></li>
                <li>{ "Open the address that it prints. The token in it is good for once." }</li>
            </ol>
            <p class="muted">{ "If a worker was running behind this page: it stopped or cannot be reached. The page keeps trying, and your files stay as they are." }</p>
            <button onclick={retry.clone()}>{ "Try again now" }</button>
        </>
    }
}

fn refused(why: &str) -> Html {
    html! {
        <>
            <h2 id="worker-title">{ "The worker does not know this page" }</h2>
            <p>{ why }</p>
            <p>{ "The token is good for once, and a new one is printed each time the worker starts. This tab can stay open; your files stay as they are." }</p>
        </>
    }
}

fn about(worker: &Welcome) -> Html {
    html! {
        <>
            <h2 id="worker-title">{ "Worker on this machine" }</h2>
            <dl class="facts">
                <dt>{ "Version" }</dt><dd>{ &worker.version }</dd>
                <dt>{ "Builds for" }</dt><dd>{ worker.platform.to_string() }</dd>
            </dl>
            if !worker.missing.is_empty() {
                <h3>{ if worker.can_build { "What this machine does not allow" } else { "Why it cannot build here" } }</h3>
                <ul>{ for worker.missing.iter().map(|reason| html! { <li>{ reason }</li> }) }</ul>
            }
            if !worker.substitutes.is_empty() {
                <h3>{ "Stand-ins" }</h3>
                <p>{ "These images are served from somewhere else than their names say:" }</p>
                <dl class="facts">
                    { for worker.substitutes.iter().map(|(reference, note)| html! { <><dt><code>{ reference }</code></dt><dd>{ note }</dd></> }) }
                </dl>
            }
        </>
    }
}
