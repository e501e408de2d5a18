//! How long planning takes natively: each example and each length many times over, a line of JSON for each.
//!
//! `{"example": "diamond/Dockerfile", "median": 0.08, "slowest": 0.31}`, in milliseconds. `cargo xtask bench` shows
//! them beside those of a browser, for which `--sources FILE` leaves behind what was planned, as
//! `[{"example", "source", "target"}]`.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stagewright_core::{Input, analyze};
use stagewright_tests::sizes::{LENGTHS, dockerfile};

/// What the worker allocates with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 500;
/// Long files are planned less often.
const LONGEST: Duration = Duration::from_secs(5);

fn main() -> Result<(), Box<dyn Error>> {
    let sources = sources()?;
    for (example, input) in &sources {
        let begun = Instant::now();
        let mut times: Vec<f64> = Vec::with_capacity(ROUNDS);
        while times.len() < ROUNDS && begun.elapsed() < LONGEST {
            let begun = Instant::now();
            std::hint::black_box(analyze(std::hint::black_box(input)));
            times.push(begun.elapsed().as_secs_f64() * 1000.0);
        }
        times.sort_by(f64::total_cmp);
        let at = |place: usize| times.get(place).copied().unwrap_or_default();
        println!(
            "{}",
            json!({ "example": example, "median": at(times.len() / 2), "slowest": at(times.len() - 1) })
        );
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, path] = arguments.as_slice()
        && flag == "--sources"
    {
        let all = sources
            .into_iter()
            .map(|(example, input)| json!({ "example": example, "source": input.source, "target": input.options.target }));
        std::fs::write(path, all.collect::<Value>().to_string())?;
    }
    Ok(())
}

/// The examples of the page, and files of several lengths.
fn sources() -> Result<Vec<(String, Input)>, Box<dyn Error>> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../static/examples");
    let index: Value = serde_json::from_str(&std::fs::read_to_string(examples.join("index.json"))?)?;
    let mut sources = Vec::new();
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
        sources.push((format!("{id}/{file}"), input));
    }
    for (name, length) in LENGTHS {
        let source = dockerfile(length);
        sources.push((
            name.to_owned(),
            Input {
                source,
                ..Input::default()
            },
        ));
    }
    Ok(sources)
}
