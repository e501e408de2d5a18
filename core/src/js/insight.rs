//! What is known beyond the plan, and the help for editors: JSON in, JSON out.
//!
//! ```js
//! import init, { lint, whatIf } from "./stagewright_insight.js";
//! await init();
//! const findings = JSON.parse(lint(dockerfile, JSON.stringify({ target: "final" })));
//! const forecast = JSON.parse(whatIf(dockerfile, "{}", JSON.stringify({ context: ["app.go"] })));
//! ```
//!
//! `options` is always JSON of the options that `analyze` takes, platforms in parts; what cannot be read counts as not
//! said, so that none of these functions throws. Places are bytes of the text's UTF-8, as everywhere in the planner.
//! `insight.d.ts` names all shapes.

use serde::Serialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::analysis::{Analysis, Input, analyze};
use crate::convert;
use crate::editing;
use crate::insight;
use crate::layout::{dot, mermaid};
use crate::lint::{self, Scope};

/// The shapes of what goes in and comes out, for TypeScript.
#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = include_str!("insight.d.ts");

/// The shapes of a plan, which those speak of.
#[wasm_bindgen(typescript_custom_section)]
const PLAN_TYPES: &str = include_str!("types.d.ts");

// What a build comes to

/// What had better be written otherwise, with what would mend it: `Finding[]`, in the order of the source.
#[wasm_bindgen(js_name = lint)]
pub fn lint_json(source: &str, options: &str) -> String {
    json(&lint::lint(&input(source, options), Scope::All))
}

/// What a change would have run again, and why: a `Change` in, a `WhatIf` out.
#[wasm_bindgen(js_name = whatIf)]
pub fn what_if(source: &str, options: &str, change: &str) -> String {
    json(&insight::what_if(&input(source, options), &read(change)))
}

/// When each step runs and what decides: a `Schedule`. `durations` is `guessed`, `unit`, or the text of a log that buildx
/// printed with `--progress=rawjson`.
#[wasm_bindgen]
pub fn schedule(source: &str, options: &str, durations: &str) -> String {
    let analysis = plan(source, options);
    let trace;
    let durations = match durations {
        "" | "guessed" => insight::Durations::Guessed,
        "unit" => insight::Durations::Unit,
        log => {
            trace = insight::trace(&analysis, log);
            insight::Durations::Measured(&trace)
        }
    };
    json(&insight::schedule(&analysis, durations, None))
}

/// A log that buildx printed with `--progress=rawjson`, laid over the plan: a `Trace`.
#[wasm_bindgen]
pub fn trace(source: &str, options: &str, log: &str) -> String {
    json(&insight::trace(&plan(source, options), log))
}

/// Why each stage is built or not, and what each name means: `Reasons`.
#[wasm_bindgen]
pub fn reasons(source: &str, options: &str) -> String {
    json(&insight::reasons(&input(source, options)))
}

/// What the image holds: an `ImageReport`, or `null` where it cannot be built.
#[wasm_bindgen]
pub fn image(source: &str, options: &str) -> String {
    json(&insight::image(&input(source, options)))
}

/// What enters the build context, which step reads it, and what is sent for nothing: `ContextFile[]` in, a
/// `ContextReport` out.
#[wasm_bindgen]
pub fn context(source: &str, options: &str, files: &str) -> String {
    json(&insight::context(
        &input(source, options),
        &read::<Vec<insight::ContextFile>>(files),
    ))
}

/// In what two plans differ, of two Dockerfiles with their options: a `Diff`.
#[wasm_bindgen]
pub fn diff(source: &str, options: &str, other: &str, others: &str) -> String {
    json(&insight::diff(&plan(source, options), &plan(other, others)))
}

/// Several Dockerfiles and a script as one file: a `Pattern` in, a `Conversion` out.
#[wasm_bindgen(js_name = convert)]
pub fn convert_json(pattern: &str) -> String {
    json(&convert::convert(&read(pattern)))
}

/// The plan in the DOT language, for Graphviz.
#[wasm_bindgen(js_name = renderDot)]
pub fn render_dot(source: &str, options: &str) -> String {
    dot::render_dot(&plan(source, options))
}

/// The plan as a Mermaid flowchart.
#[wasm_bindgen(js_name = renderMermaid)]
pub fn render_mermaid(source: &str, options: &str) -> String {
    mermaid::render_mermaid(&plan(source, options))
}

// While a file is written

/// What each piece of a text is: `Token[]`.
#[wasm_bindgen]
pub fn highlight(source: &str) -> String {
    json(&editing::highlight(source))
}

/// What can be folded: `FoldingRange[]`.
#[wasm_bindgen]
pub fn folding(source: &str) -> String {
    json(&editing::folding(source))
}

/// The stages and what is in them: `Symbol[]`.
#[wasm_bindgen]
pub fn symbols(source: &str) -> String {
    json(&editing::symbols(source))
}

/// What changes white space and case, and nothing that a build would notice: `TextEdit[]`.
#[wasm_bindgen]
pub fn format(source: &str) -> String {
    json(&editing::format(source, &editing::FormatOptions::default()))
}

/// What may stand at a place: `Completion[]`. `around` is JSON of `Surroundings`.
#[wasm_bindgen]
pub fn complete(source: &str, options: &str, offset: usize, around: &str) -> String {
    json(&editing::complete(&input(source, options), offset, &read(around)))
}

/// What is at a place: a `Hover`, or `null`.
#[wasm_bindgen]
pub fn hover(source: &str, options: &str, offset: usize) -> String {
    json(&editing::hover(&input(source, options), offset))
}

/// Where the name at a place comes from: a `Span`, or `null`.
#[wasm_bindgen]
pub fn definition(source: &str, offset: usize) -> String {
    json(&editing::definition(source, offset))
}

/// Everything that means the same as the name at a place: `Span[]`.
#[wasm_bindgen]
pub fn references(source: &str, offset: usize) -> String {
    json(&editing::references(source, offset))
}

/// Gives the stage that is named at a place another name: a `Renaming`.
#[wasm_bindgen]
pub fn rename(source: &str, offset: usize, name: &str) -> String {
    let renaming = match editing::rename(source, offset, name) {
        Ok(edits) => serde_json::json!({ "edits": edits, "error": null }),
        Err(error) => serde_json::json!({ "edits": [], "error": error.to_string() }),
    };
    renaming.to_string()
}

fn plan(source: &str, options: &str) -> Analysis {
    analyze(&input(source, options))
}

fn input(source: &str, options: &str) -> Input {
    Input {
        source: source.into(),
        options: read(options),
    }
}

fn read<T: DeserializeOwned + Default>(text: &str) -> T {
    serde_json::from_str(text).unwrap_or_default()
}

/// Plain data can always be written; an empty text would say that it could not.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
