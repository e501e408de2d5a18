//! Fetches examples from beside the page.

use wasm_bindgen::prelude::*;

use super::browser;
use super::store::Store;
use crate::state::Action;
use crate::state::catalog::Example;
use crate::state::json;
use crate::state::workspace::{Content, File};

#[wasm_bindgen(raw_module = "./browser.js")]
extern "C" {
    /// The bytes of a file beside the page.
    #[wasm_bindgen(catch)]
    async fn read(path: &str) -> Result<JsValue, JsValue>;
}

/// Loads the list; where the page has nothing to show yet, the first example too.
pub(crate) async fn load(store: Store) {
    let examples = match fetch("examples/index.json").await {
        Ok(bytes) => json::read::<Vec<Example>>(&bytes).map_err(|error| error.to_string()),
        Err(error) => Err(error),
    };
    match examples {
        Ok(examples) => {
            let first = examples.first().map(|example| example.id.clone());
            store.dispatch(Action::CatalogLoaded(examples));
            if let Some(first) = first.filter(|_| store.state().workspace.files.is_empty()) {
                open(store, first).await;
            }
        }
        Err(error) => {
            store.complain(format!(
                "The examples could not be loaded ({error}). You can write a Dockerfile all the same."
            ));
            if store.state().workspace.files.is_empty() {
                let files = vec![File::new("Dockerfile", Content::Text("FROM scratch\n".into()))];
                store.dispatch(Action::ExampleOpened {
                    id: "playground".into(),
                    files,
                });
            }
        }
    }
}

/// Loads an example's files and shows them, with what was edited of it before; the one that is shown already, as it came.
pub(crate) async fn open(store: Store, id: String) {
    let state = store.state();
    let Some(example) = state.catalog.iter().find(|example| example.id == id) else {
        return;
    };
    let mut files = Vec::new();
    for file in &example.files {
        match fetch(&format!("examples/{id}/{}", file.path)).await {
            Ok(bytes) => files.push(File {
                path: file.path.clone(),
                role: file.role,
                content: Content::from_bytes(bytes),
                revision: 0,
            }),
            Err(error) => {
                store.complain(format!(
                    "{} of the example {} could not be loaded ({error}). Try again.",
                    file.path, example.title
                ));
                return;
            }
        }
    }
    store.dispatch(Action::ExampleOpened { id, files });
}

async fn fetch(path: &str) -> Result<Vec<u8>, String> {
    let bytes = read(path).await.map_err(|error| browser::message(&error))?;
    Ok(js_sys::Uint8Array::new(&bytes).to_vec())
}
