//! The editor shim's functions, as `editor/editor.js` has them.

use wasm_bindgen::prelude::*;

#[wasm_bindgen(raw_module = "./editor.js")]
extern "C" {
    /// The editor. Offsets are UTF-16, lines count from 1.
    pub(super) type Editor;

    #[wasm_bindgen(constructor)]
    pub(super) fn new(
        parent: &web_sys::Element,
        on_change: &Closure<dyn FnMut(String)>,
        on_line: &Closure<dyn FnMut(u32)>,
    ) -> Editor;

    #[wasm_bindgen(method)]
    pub(super) fn show(this: &Editor, path: &str, text: &str, kind: &str, fresh: bool);

    #[wasm_bindgen(method)]
    pub(super) fn forget(this: &Editor);

    #[wasm_bindgen(method, js_name = setFindings)]
    pub(super) fn set_findings(this: &Editor, json: &str);

    #[wasm_bindgen(method, js_name = setMarks)]
    pub(super) fn set_marks(this: &Editor, json: &str);

    #[wasm_bindgen(method, js_name = setWords)]
    pub(super) fn set_words(this: &Editor, json: &str);

    /// Makes changes, as one step of the history.
    #[wasm_bindgen(method)]
    pub(super) fn replace(this: &Editor, json: &str);

    #[wasm_bindgen(method)]
    pub(super) fn reveal(this: &Editor, line: u32, focus: bool);

    #[wasm_bindgen(method)]
    pub(super) fn destroy(this: &Editor);
}
