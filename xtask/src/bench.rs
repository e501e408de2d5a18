//! `cargo xtask bench`: the figures of docs/measurements.md, measured afresh.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

use serde_json::Value;

use crate::place::Place;
use crate::problem::{Outcome, Problem};
use crate::test;
use crate::{process, product};

pub(crate) fn run(place: &Place) -> Outcome<()> {
    test::set_up(place)?;
    eprintln!("measuring …");
    let mut native = Command::new("cargo");
    native.args([
        "run",
        "--quiet",
        "--release",
        "--package",
        "stagewright-tests",
        "--bin",
        "plan-times",
        "--",
        "--sources",
    ]);
    let sources = place.target.join("scratch/plan-sources.json");
    native.arg(&sources);
    let native = figures(&process::output(native.current_dir(&place.root))?)?;
    let mut browser = Command::new("node");
    browser
        .arg("tests/browser/measure.mjs")
        .arg(&sources)
        .current_dir(&place.root);
    test::with_places(&mut browser, place);
    let browser = figures(&process::output(&mut browser)?)?;
    print!("{}", table(&native, &browser));
    eprintln!("building …");
    println!("\n| builds | ours: median (fastest) | BuildKit | ratio |\n|---|---|---|---|");
    let mut builds = Command::new("cargo");
    builds
        .args([
            "run",
            "--quiet",
            "--package",
            "stagewright-tests",
            "--bin",
            "build-times",
            "--",
        ])
        .arg(product::worker_program(place))
        .arg(place.target.join("images/stagewright.toml"))
        .current_dir(&place.root);
    print!("{}", process::output(&mut builds)?);
    Ok(())
}

fn figures(lines: &str) -> Outcome<Vec<Value>> {
    lines
        .lines()
        .map(|line| {
            serde_json::from_str(line)
                .map_err(|error| Problem::new(format!("{line:?} is no figure: {error}")))
        })
        .collect()
}

/// Two tables, ready for docs/measurements.md.
fn table(native: &[Value], browser: &[Value]) -> String {
    let mut text =
        "| planning, median of many (slowest) | natively | in Chromium |\n|---|---|---|\n".to_owned();
    let planned = |figure: &&Value| figure.get("example").is_some();
    let in_browser: BTreeMap<&str, &Value> = browser
        .iter()
        .filter(planned)
        .filter_map(|figure| Some((figure["example"].as_str()?, figure)))
        .collect();
    for figure in native {
        let example = figure["example"].as_str().unwrap_or_default();
        let other = in_browser
            .get(example)
            .map_or_else(|| "not measured".to_owned(), |figure| median(figure));
        let _ = writeln!(text, "| {example} | {} | {other} |", median(figure));
    }
    text += "\n| in the worker | median | fastest | slowest | of |\n|---|---|---|---|---|\n";
    for figure in browser.iter().filter(|figure| !planned(figure)) {
        let what = figure["what"].as_str().unwrap_or_default();
        if let Some(reason) = figure["reason"].as_str() {
            let _ = writeln!(text, "| {what}: {reason} | | | | |");
        } else {
            let [middle, fast, slow] = ["median", "fastest", "slowest"].map(|key| time(&figure[key]));
            let _ = writeln!(text, "| {what} | {middle} | {fast} | {slow} | {} |", figure["of"]);
        }
    }
    text
}

fn median(figure: &Value) -> String {
    format!("{} ({})", time(&figure["median"]), time(&figure["slowest"]))
}

/// Milliseconds, with as many digits as mean something.
fn time(figure: &Value) -> String {
    match figure.as_f64() {
        Some(time) if time < 10.0 => format!("{time:.2} ms"),
        Some(time) => format!("{time:.0} ms"),
        None => "?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn figures_of_both_sides_stand_in_one_row() {
        let native = [json!({ "example": "diamond/Dockerfile", "median": 0.081, "slowest": 0.3 })];
        let browser = [
            json!({ "what": "plan in Chromium", "example": "diamond/Dockerfile", "median": 0.2, "slowest": 12.4 }),
            json!({ "what": "RUN true", "median": 2.5, "fastest": 2.0, "slowest": 31.0, "of": 150 }),
        ];
        let text = table(&native, &browser);
        assert!(
            text.contains("| diamond/Dockerfile | 0.08 ms (0.30 ms) | 0.20 ms (12 ms) |"),
            "{text}"
        );
        assert!(
            text.contains("| RUN true | 2.50 ms | 2.00 ms | 31 ms | 150 |"),
            "{text}"
        );
    }
}
