//! Build args: those the Dockerfile declares, and any other.

use wasm_bindgen::JsCast as _;
use web_sys::HtmlInputElement;
use yew::prelude::*;

use crate::page::popover::use_popover;
use crate::page::{Desk, icons};
use crate::state::Action;
use crate::state::plan::{Choices, Plan};
use crate::state::shared::Shared;

#[derive(Properties, PartialEq)]
pub(super) struct Props {
    pub(super) desk: Desk,
    pub(super) plan: Shared<Plan>,
    pub(super) choices: Shared<Choices>,
}

#[component]
pub(super) fn Args(props: &Props) -> Html {
    let within = use_node_ref();
    let (open, toggle, _) = use_popover(&within);
    let new_name = use_node_ref();
    let declared = &props.plan.analysis.args;
    let Choices {
        build_args: set,
        platform,
        ..
    } = &*props.choices;
    let free = set
        .keys()
        .filter(|name| !declared.iter().any(|arg| &arg.name == *name));
    let add = {
        let (desk, new_name) = (props.desk.clone(), new_name.clone());
        Callback::from(move |event: SubmitEvent| {
            event.prevent_default();
            let Some(input) = new_name.cast::<HtmlInputElement>() else {
                return;
            };
            let typed = input.value();
            let (name, value) = typed.split_once('=').unwrap_or((typed.as_str(), ""));
            let name = name.trim();
            if !name.is_empty() {
                desk.dispatch(Action::BuildArgSet {
                    name: name.to_owned(),
                    value: Some(value.to_owned()),
                });
                input.set_value("");
            }
        })
    };
    let row = |name: &str, default: Option<&str>, is_declared: bool| {
        let (desk, typed) = (props.desk.clone(), name.to_owned());
        let oninput = Callback::from(move |event: InputEvent| {
            let Some(input) = event
                .target()
                .and_then(|target| target.dyn_into::<HtmlInputElement>().ok())
            else {
                return;
            };
            let value = input.value();
            // An empty field leaves a declared arg to its default; a free one is empty on purpose.
            let value = (!is_declared || !value.is_empty()).then_some(value);
            desk.dispatch(Action::BuildArgSet {
                name: typed.clone(),
                value,
            });
        });
        let unset = props.desk.report(Action::BuildArgSet {
            name: name.to_owned(),
            value: None,
        });
        html! {
            <div class="arg" key={name.to_owned()}>
                <label for={format!("arg-{name}")}>{ name }</label>
                <input id={format!("arg-{name}")} data-arg={name.to_owned()} spellcheck="false" autocomplete="off"
                    placeholder={default.map_or_else(|| "no default".to_owned(), ToOwned::to_owned)}
                    value={set.get(name).cloned().unwrap_or_default()} {oninput} />
                if set.contains_key(name) {
                    <button class="bare" aria-label={format!("Unset {name}")} title="Unset" onclick={unset}>{ icons::cross() }</button>
                }
            </div>
        }
    };
    html! {
        <div class="popover-host" ref={within}>
            <button class="choice" data-testid="args" aria-haspopup="true" aria-expanded={open.to_string()} onclick={toggle}>
                { "Args" }<span class="choice-value">{ set.len() + usize::from(platform.is_some()) }</span>
            </button>
            if open {
                <div class="popover args">
                    if declared.is_empty() && set.is_empty() {
                        <p class="muted">{ "This Dockerfile declares no ARG." }</p>
                    }
                    { for declared.iter().map(|arg| row(&arg.name, arg.default.as_deref(), true)) }
                    { for free.map(|name| row(name, None, false)) }
                    if let Some(platform) = platform {
                        <div class="arg">
                            <label>{ "--platform" }</label>
                            <code data-testid="platform">{ platform.to_string() }</code>
                            <button class="bare" aria-label="Unset the platform" title="Unset" onclick={props.desk.report(Action::PlatformChosen(None))}>{ icons::cross() }</button>
                        </div>
                    }
                    <form onsubmit={add}>
                        <input ref={new_name} placeholder="NAME=value" aria-label="Another build arg, as NAME=value" spellcheck="false" autocomplete="off" data-testid="new-arg" />
                        <button type="submit">{ "Add" }</button>
                    </form>
                </div>
            }
        </div>
    }
}
