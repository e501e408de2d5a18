//! The module's door: JSON in, JSON out. What cannot be read is answered with nothing; it never throws.

use serde::Serialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::prelude::wasm_bindgen;

/// Draws a view: a `Question` in, an `Answer` out.
#[wasm_bindgen]
pub fn draw(question: &str) -> String {
    answer(question, crate::draw)
}

/// What lint says of an `Input`: a list of diagnostics.
#[wasm_bindgen]
pub fn remarks(input: &str) -> String {
    answer(input, crate::remarks)
}

/// Which entries of a listing a .dockerignore lets in.
#[wasm_bindgen]
pub fn entering(ignore: &str, listing: &str) -> String {
    crate::entering(ignore, listing)
}

fn answer<Q: DeserializeOwned + Default, A: Serialize>(asked: &str, answer: impl Fn(&Q) -> A) -> String {
    let question = serde_json::from_str(asked).unwrap_or_default();
    serde_json::to_string(&answer(&question)).unwrap_or_default()
}
