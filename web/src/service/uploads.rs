//! Files that a person hands to the page.

use wasm_bindgen_futures::JsFuture;
use web_sys::FileList;

use super::store::Store;
use crate::state::Action;
use crate::state::human;
use crate::state::workspace::Content;

/// The largest file that is taken in. The page holds all of it in memory, and the worker has a limit too.
const LARGEST: f64 = 32.0 * 1024.0 * 1024.0;

/// Takes files into the context; one that has the path of another takes its place.
pub(crate) fn take(store: &Store, list: &FileList) {
    for index in 0..list.length() {
        let Some(file) = list.get(index) else { continue };
        let store = store.clone();
        wasm_bindgen_futures::spawn_local(async move {
            let name = file.name();
            if file.size() > LARGEST {
                let limit = human::size(32 * 1024 * 1024);
                store.complain(format!(
                    "{name} is too large for the page, which takes files up to {limit}."
                ));
                return;
            }
            match JsFuture::from(file.array_buffer()).await {
                Ok(buffer) => {
                    let content = Content::from_bytes(js_sys::Uint8Array::new(&buffer).to_vec());
                    store.dispatch(Action::FilePut {
                        path: name,
                        content,
                        replace: true,
                    });
                }
                Err(_) => store.complain(format!(
                    "{name} could not be read. A folder cannot be taken in, only files."
                )),
            }
        });
    }
}
