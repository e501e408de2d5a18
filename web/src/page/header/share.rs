//! Links to the page as it is.

use yew::prelude::*;

use crate::page::popover::use_popover;
use crate::page::{Desk, icons};
use crate::service::share;

#[derive(Properties, PartialEq)]
pub(super) struct Props {
    pub(super) desk: Desk,
}

#[component]
pub(super) fn Share(props: &Props) -> Html {
    let within = use_node_ref();
    let (open, toggle, close) = use_popover(&within);
    let entry = |markdown: bool, id: &'static str, name: &'static str, about: &'static str| {
        let (store, close) = (props.desk.store.clone(), close.clone());
        let onclick = Callback::from(move |_: MouseEvent| {
            close.emit(());
            share::copy_link(&store, markdown);
        });
        html! {
            <li><button class="entry" data-testid={id} {onclick}><strong>{ name }</strong><span>{ about }</span></button></li>
        }
    };
    html! {
        <div class="popover-host" ref={within}>
            <button class="choice share" data-testid="share" aria-label="Share" title="Share" aria-haspopup="true" aria-expanded={open.to_string()} onclick={toggle}>
                { icons::share() }<span>{ "Share" }</span>
            </button>
            if open {
                <div class="popover menu to-right">
                    <ul>
                        { entry(false, "copy-link", "Copy link", "Files, target, build args and view are in the link itself. Nothing is sent anywhere.") }
                        { entry(true, "copy-markdown", "Copy as Markdown", "The same with a text to click, for an issue or a README.") }
                    </ul>
                </div>
            }
        </div>
    }
}
