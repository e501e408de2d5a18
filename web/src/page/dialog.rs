//! How the page stands with its worker, and how to get one.

use yew::prelude::*;

use super::{Desk, icons};
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
    let body = use_node_ref();
    use_effect_with((), {
        let body = body.clone();
        move |()| {
            if let Some(body) = body.cast::<web_sys::HtmlElement>() {
                let _ = body.focus();
            }
        }
    });
    let close = props.desk.report(Action::WorkerExplained(false));
    let on_key = {
        let desk = props.desk.clone();
        Callback::from(move |key: KeyboardEvent| {
            if key.key() == "Escape" {
                desk.dispatch(Action::WorkerExplained(false));
            }
        })
    };
    let stay = Callback::from(|event: MouseEvent| event.stop_propagation());
    let retry = {
        let link = props.desk.link.clone();
        Callback::from(move |_: MouseEvent| link.try_now())
    };
    html! {
        <div class="veil" onclick={close.clone()} onkeydown={on_key}>
            <section class="dialog" role="dialog" aria-modal="true" aria-labelledby="worker-title" tabindex="-1" ref={body}
                onclick={stay} data-testid="worker-help">
                <button class="bare dialog-close" aria-label="Close" onclick={close.reform(|event: MouseEvent| event)}>{ icons::cross() }</button>
                { match &props.connection {
                    Connection::Online(worker) => about(worker),
                    Connection::Refused(why) => refused(why),
                    Connection::Connecting | Connection::None | Connection::Reconnecting => missing(&retry),
                } }
            </section>
        </div>
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
            <p>{ "Open the address that the worker printed last: the token at its end is good for once, and a new one is printed each time the worker starts. This tab can stay open; your files stay as they are." }</p>
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
