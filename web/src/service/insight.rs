//! The insight module: fetched when it is first needed, asked from then on whenever the page changes.

use serde::Serialize;
use serde::de::DeserializeOwned;
use stagewright_core::diagnostic::Diagnostic;
use stagewright_core::protocol::ContextEntry;
use stagewright_insight::Answer;
use wasm_bindgen::prelude::*;

use super::store::Store;
use super::{browser, theme};
use crate::state::insight::Module;
use crate::state::plan::input;
use crate::state::{Action, json, workspace};

#[wasm_bindgen(raw_module = "./insight.js")]
extern "C" {
    /// Fetches the module.
    #[wasm_bindgen(catch)]
    async fn load() -> Result<JsValue, JsValue>;

    /// Hears when the module is there, whoever asked for it.
    #[wasm_bindgen(js_name = whenLoaded)]
    fn when_loaded(told: &JsValue);

    /// Calls one of its functions.
    #[wasm_bindgen(catch)]
    fn call(name: &str, given: &str) -> Result<String, JsValue>;

    /// The same with two texts.
    #[wasm_bindgen(catch, js_name = call)]
    fn call_with(name: &str, one: &str, other: &str) -> Result<String, JsValue>;

    /// Puts a view into its place.
    pub(crate) fn put(host: &web_sys::Element, html: &str);

    /// Hears of what is pressed and chosen in a view.
    pub(crate) fn listen(host: &web_sys::Element, done: &Closure<dyn FnMut(String, String)>);
}

/// Tells the page when the module is there: the editor fetches it too.
pub(crate) fn watch(store: &Store) {
    let store = store.clone();
    when_loaded(&Closure::once_into_js(move || {
        store.dispatch(Action::ModuleChanged(Module::Here));
    }));
}

/// Fetches the module.
pub(crate) fn fetch(store: &Store) {
    store.dispatch(Action::ModuleChanged(Module::Coming));
    let store = store.clone();
    wasm_bindgen_futures::spawn_local(async move {
        if let Err(error) = load().await {
            let why = browser::message(&error);
            store.dispatch(Action::ModuleChanged(Module::Missing(why)));
        }
    });
}

/// Has the view drawn that is shown.
pub(crate) fn draw(store: &Store) {
    let Some(mut question) = store.state().question() else {
        return;
    };
    question.dark = theme::is_dark();
    if let Some(answer) = ask::<Answer>(store, "draw", &question) {
        let (view, version) = (question.view, question.version);
        store.dispatch(Action::Drawn {
            view,
            version,
            answer,
        });
    }
}

/// Asks lint about the Dockerfile.
pub(crate) fn remark(store: &Store) {
    let state = store.state();
    let asked = input(&state.workspace, &state.choices, &state.images);
    if let Some(remarks) = ask::<Vec<Diagnostic>>(store, "remarks", &asked) {
        let version = state.version;
        store.dispatch(Action::Remarked { version, remarks });
    }
}

/// The entries that an ignore file lets in; `None` where the module that knows its patterns could not be fetched.
pub(crate) async fn entering(entries: Vec<ContextEntry>, ignore: &str) -> Option<Vec<ContextEntry>> {
    load().await.ok()?;
    let verdicts = call_with("entering", ignore, &workspace::listing(&entries)).ok()?;
    Some(workspace::entering(entries, &verdicts))
}

fn ask<A: DeserializeOwned>(store: &Store, name: &str, question: &impl Serialize) -> Option<A> {
    let question = json::write(question).ok()?;
    let Ok(answer) = call(name, &question) else {
        store.complain(
            "The module that draws this view failed. Reload the page: your files stay as they are.",
        );
        return None;
    };
    json::read(answer.as_bytes()).ok()
}
