//! Something that opens under a button and closes by itself.

use gloo::events::EventListener;
use wasm_bindgen::JsCast as _;
use yew::prelude::*;

/// Whether it is open, the callback that opens and closes it, and the callback that closes it. It closes on Escape
/// and on a press outside of `within`.
#[hook]
pub(crate) fn use_popover(within: &NodeRef) -> (bool, Callback<MouseEvent>, Callback<()>) {
    let open = use_state_eq(|| false);
    let close = {
        let open = open.clone();
        use_callback((), move |(), ()| open.set(false))
    };
    let toggle = {
        let is_open = open.clone();
        use_callback(*open, move |_: MouseEvent, now| is_open.set(!now))
    };
    let (within, closing) = (within.clone(), close.clone());
    use_effect_with(*open, move |open| {
        let mut listeners = Vec::new();
        if let Some(document) = web_sys::window()
            .and_then(|window| window.document())
            .filter(|_| *open)
        {
            let (outside, element) = (closing.clone(), within.clone());
            listeners.push(EventListener::new(&document, "pointerdown", move |event| {
                let target = event
                    .target()
                    .and_then(|target| target.dyn_into::<web_sys::Node>().ok());
                let inside = element
                    .get()
                    .is_some_and(|element| element.contains(target.as_ref()));
                if !inside {
                    outside.emit(());
                }
            }));
            listeners.push(EventListener::new(&document, "keydown", move |event| {
                if event
                    .dyn_ref::<KeyboardEvent>()
                    .is_some_and(|key| key.key() == "Escape")
                {
                    closing.emit(());
                    // The keyboard goes back to the button that opened it.
                    let button = within
                        .cast::<web_sys::Element>()
                        .and_then(|element| element.query_selector("button").ok()?);
                    if let Some(button) =
                        button.and_then(|button| button.dyn_into::<web_sys::HtmlElement>().ok())
                    {
                        let _ = button.focus();
                    }
                }
            }));
        }
        move || drop(listeners)
    });
    (*open, toggle, close)
}
