//! What is known beyond the plan: JSON in, JSON out.
//!
//! ```js
//! import init, { lint } from "./stagewright_insight.js";
//! await init();
//! const findings = JSON.parse(lint(dockerfile, JSON.stringify({ target: "final" })));
//! ```
//!
//! `options` is always JSON of the options that `analyze` takes; what cannot be read counts as not said, so that none
//! of these functions throws. Places are bytes of the text's UTF-8, as everywhere in the planner.

use serde::Serialize;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::analysis::{self, Input};
use crate::layout::{dot, mermaid};
use crate::lint::{self, Scope};

/// What had better be written otherwise: JSON of `Finding[]`, in the order of the source.
#[wasm_bindgen(js_name = lint)]
pub fn lint_json(source: &str, options: &str) -> String {
    json(&lint::lint(&input(source, options), Scope::All))
}

/// The plan in the DOT language, for Graphviz.
#[wasm_bindgen(js_name = renderDot)]
pub fn render_dot(source: &str, options: &str) -> String {
    dot::render_dot(&analysis::analyze(&input(source, options)))
}

/// The plan as a Mermaid flowchart.
#[wasm_bindgen(js_name = renderMermaid)]
pub fn render_mermaid(source: &str, options: &str) -> String {
    mermaid::render_mermaid(&analysis::analyze(&input(source, options)))
}

fn input(source: &str, options: &str) -> Input {
    Input {
        source: source.into(),
        options: serde_json::from_str(options).unwrap_or_default(),
    }
}

/// Plain data can always be written; an empty text would say that it could not.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
