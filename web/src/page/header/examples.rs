//! The menu of examples.

use yew::prelude::*;

use crate::page::popover::use_popover;
use crate::page::{Desk, icons};
use crate::service::examples;
use crate::state::Action;
use crate::state::catalog::Example;
use crate::state::shared::Shared;

#[derive(Properties, PartialEq)]
pub(super) struct Props {
    pub(super) desk: Desk,
    pub(super) catalog: Shared<Vec<Example>>,
    pub(super) example: Option<String>,
    pub(super) edited: bool,
    pub(super) aside: bool,
}

#[component]
pub(super) fn Examples(props: &Props) -> Html {
    let within = use_node_ref();
    let (open, toggle, close) = use_popover(&within);
    let choose = |id: &str| {
        let (store, close, id) = (props.desk.store.clone(), close.clone(), id.to_owned());
        Callback::from(move |_: MouseEvent| {
            close.emit(());
            wasm_bindgen_futures::spawn_local(examples::open(store.clone(), id.clone()));
        })
    };
    let entry = |example: &Example| {
        let here = props.example.as_ref() == Some(&example.id);
        // Choosing what is shown already would only lose what was typed.
        let onclick = if here {
            close.reform(|_: MouseEvent| ())
        } else {
            choose(&example.id)
        };
        html! {
            <li key={example.id.clone()}>
                <button class={classes!("entry", here.then_some("here"))} data-example={example.id.clone()} aria-current={here.then_some("true")} {onclick}>
                    <strong>{ &example.title }</strong>
                    <span>{ &example.summary }</span>
                </button>
            </li>
        }
    };
    let bring_back = {
        let (desk, close) = (props.desk.clone(), close.clone());
        Callback::from(move |_: MouseEvent| {
            close.emit(());
            desk.dispatch(Action::BroughtBack);
        })
    };
    let current = props
        .catalog
        .iter()
        .find(|example| props.example.as_ref() == Some(&example.id));
    html! {
        <div class="popover-host" ref={within}>
            <button class="choice" data-testid="examples" aria-haspopup="true" aria-expanded={open.to_string()} onclick={toggle}>
                { "Examples" }
                <span class="choice-value">{ current.map(|example| example.id.clone()) }</span>
                { icons::chevron() }
            </button>
            if open {
                <div class="popover menu">
                    <ul>{ for props.catalog.iter().map(entry) }</ul>
                    if props.aside {
                        <button class="menu-foot" data-testid="bring-back" onclick={bring_back}>{ "Back to what you had before" }</button>
                    }
                    if let Some(current) = current.filter(|_| props.edited) {
                        <button class="menu-foot" data-testid="start-over" onclick={choose(&current.id)}>
                            { format!("Start over: put {} back as it came", current.id) }
                        </button>
                    }
                </div>
            }
        </div>
    }
}
