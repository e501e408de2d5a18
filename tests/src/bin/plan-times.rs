//! How long planning takes natively: each example many times over, a line of JSON for each.
//!
//! `{"example": "diamond/Dockerfile", "median": 0.08, "slowest": 0.31}`, in milliseconds. `cargo xtask bench` shows
//! them beside those of a browser.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use stagewright_core::{Input, analyze};

const ROUNDS: usize = 500;

fn main() -> Result<(), Box<dyn Error>> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../static/examples");
    let index: Value = serde_json::from_str(&std::fs::read_to_string(examples.join("index.json"))?)?;
    for example in index.as_array().into_iter().flatten() {
        let (Some(id), Some(file)) = (example["id"].as_str(), example["dockerfile"].as_str()) else {
            continue;
        };
        let source = std::fs::read_to_string(examples.join(id).join(file))?;
        let mut input = Input {
            source,
            ..Input::default()
        };
        input.options.target = example["target"].as_str().map(str::to_owned);
        let mut times: Vec<f64> = (0..ROUNDS)
            .map(|_| {
                let begun = Instant::now();
                std::hint::black_box(analyze(std::hint::black_box(&input)));
                begun.elapsed().as_secs_f64() * 1000.0
            })
            .collect();
        times.sort_by(f64::total_cmp);
        let at = |place: usize| times.get(place).copied().unwrap_or_default();
        println!(
            "{}",
            json!({ "example": format!("{id}/{file}"), "median": at(ROUNDS / 2), "slowest": at(ROUNDS - 1) })
        );
    }
    Ok(())
}
