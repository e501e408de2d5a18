//! Makes share links and opens them. What is in one is [`State::link`](crate::state::State::link); how it is packed is
//! known to `web/browser`.

use wasm_bindgen::prelude::*;

use super::browser;
use super::store::Store;
use crate::state::{Action, json, share};

#[wasm_bindgen(raw_module = "./browser.js")]
extern "C" {
    /// A text as it stands in an address.
    #[wasm_bindgen(catch)]
    async fn pack(text: &str) -> Result<JsValue, JsValue>;

    /// The text again.
    #[wasm_bindgen(catch)]
    async fn unpack(packed: &str) -> Result<JsValue, JsValue>;

    /// Puts a text where other programs find it.
    #[wasm_bindgen(catch)]
    async fn copy(text: &str) -> Result<JsValue, JsValue>;
}

/// The name of a link's part of the address.
const NAME: &str = "s";

/// Takes a link out of the address, where there is one, and shows what it carries.
pub(crate) async fn open(store: &Store) {
    let Some(packed) = browser::take(NAME) else { return };
    match unpack(&packed).await {
        Ok(text) => match json::read(text.as_string().unwrap_or_default().as_bytes()) {
            Ok(link) => store.dispatch(Action::LinkOpened(Box::new(link))),
            Err(error) => store.complain(format!(
                "This link holds something else than it should ({error}). Ask for another."
            )),
        },
        Err(error) => store.complain(browser::message(&error)),
    }
}

/// Copies a link to the page as it is; as Markdown, with a text to click.
pub(crate) fn copy_link(store: &Store, markdown: bool) {
    let store = store.clone();
    wasm_bindgen_futures::spawn_local(async move {
        let state = store.state();
        let link = state.link();
        let (Ok(text), Some((page, local))) = (json::write(&link), browser::address()) else {
            return;
        };
        let packed = match pack(&text).await {
            Ok(packed) => packed.as_string().unwrap_or_default(),
            Err(error) => return store.complain(browser::message(&error)),
        };
        let address = format!("{page}#{NAME}={packed}");
        let text = if markdown {
            format!(
                "[{} in Stagewright]({address})",
                link.dockerfile.replace(['[', ']'], "")
            )
        } else {
            address.clone()
        };
        if copy(&text).await.is_err() {
            // A page that did not come by https may not do it.
            return store.complain(format!(
                "This browser does not let the page copy. The link: {text}"
            ));
        }
        store.dispatch(Action::Noticed {
            is_error: false,
            text: share::copied(&link, address.len(), local),
        });
    });
}
