//! A view that the insight module draws. It arrives as HTML; what is pressed in it comes back as words.

use std::rc::Rc;

use stagewright_insight::View;
use wasm_bindgen::prelude::Closure;
use yew::prelude::*;

use crate::page::Desk;
use crate::service::insight;
use crate::state::deed;
use crate::state::insight::{Insight, Module};
use crate::state::shared::Shared;

#[derive(Properties, PartialEq)]
pub(super) struct Props {
    pub(super) desk: Desk,
    pub(super) view: View,
    pub(super) insight: Shared<Insight>,
    /// The state of the page that should be shown.
    pub(super) version: u32,
}

#[component]
pub(super) fn InsightView(props: &Props) -> Html {
    let host = use_node_ref();
    use_effect_with((), {
        let (host, desk) = (host.clone(), props.desk.clone());
        move |()| {
            let heard = Closure::new(move |what: String, value: String| {
                if let Some(action) = deed::read(&what, &value) {
                    desk.dispatch(action);
                }
            });
            if let Some(host) = host.cast::<web_sys::Element>() {
                insight::listen(&host, &heard);
            }
            move || drop(heard)
        }
    });
    let drawn = props.insight.drawn_of(props.view);
    let html: Rc<str> = drawn.map_or_else(|| Rc::from(""), |drawn| Rc::clone(&drawn.html));
    use_effect_with(html, {
        let host = host.clone();
        move |html| {
            if let Some(host) = host.cast::<web_sys::Element>() {
                insight::put(&host, html);
            }
        }
    });
    let busy = drawn.is_none_or(|drawn| drawn.version != props.version);
    let retry = {
        let desk = props.desk.clone();
        Callback::from(move |_: MouseEvent| insight::fetch(&desk.store))
    };
    html! {
        <>
            if let Module::Missing(why) = &props.insight.module {
                <div class="empty">
                    <p>{ format!("This view could not be fetched ({why}). The rest of the page goes on without it.") }</p>
                    <button onclick={retry}>{ "Try again" }</button>
                </div>
            }
            <div class="insight" ref={host} data-testid="insight" aria-busy={busy.to_string()}></div>
        </>
    }
}
