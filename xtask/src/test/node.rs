//! The tests that drive a real browser, by Node's own test runner.

use std::fs;
use std::process::Command;

use super::tally::Tally;
use super::with_places;
use crate::place::Place;
use crate::problem::{About as _, Outcome};
use crate::process;

pub(crate) fn run<S: AsRef<str>>(place: &Place, name: &str, files: &[S]) -> Outcome<Tally> {
    let mut tally = Tally {
        name: name.to_owned(),
        ..Tally::default()
    };
    let logs = place.logs();
    fs::create_dir_all(&logs).about(&logs)?;
    let record = logs.join(format!("{}.tap", name.replace(' ', "-")));
    if record.exists() {
        fs::remove_file(&record).about(&record)?;
    }
    println!("\n{name}");
    let mut command = Command::new("node");
    command
        // One file at a time: each starts a worker and a browser, and they would take the two cores from each other.
        .args([
            "--test",
            "--test-concurrency=1",
            "--test-reporter=spec",
            "--test-reporter-destination=stdout",
        ])
        .arg("--test-reporter=tap")
        .arg(format!("--test-reporter-destination={}", record.display()))
        .args(
            files
                .iter()
                .map(|file| format!("tests/browser/{}", file.as_ref())),
        )
        .env("PATH", place.path())
        .current_dir(&place.root);
    with_places(&mut command, place);
    tally.content = process::shown(&mut command)?;
    read(&mut tally, &fs::read_to_string(&record).unwrap_or_default());
    Ok(tally)
}

/// Reads Node's TAP: the counts stand at its end, names and reasons at the tests themselves.
fn read(tally: &mut Tally, tap: &str) {
    for line in tap.lines() {
        let bare = line.trim_start();
        let count = |prefix| {
            bare.strip_prefix(prefix)
                .and_then(|number: &str| number.trim().parse::<u64>().ok())
        };
        if let Some(number) = count("# pass ") {
            tally.passed = number;
        } else if let Some(number) = count("# fail ") {
            tally.failed += number;
        } else if let Some(number) = count("# cancelled ") {
            tally.failed += number;
        } else if let Some(number) = count("# skipped ") {
            tally.skipped = number;
        } else if let Some((_, reason)) = bare.split_once(" # SKIP") {
            tally.reasons.push(reason.trim().to_owned());
        } else if let Some((_, name)) = bare
            .strip_prefix("not ok ")
            .and_then(|rest| rest.split_once(" - "))
        {
            tally.failures.push(name.to_owned());
        } else if bare == "failureType: 'subtestsFailed'" {
            // The line of a suite, whose tests have been named already.
            tally.failures.pop();
        }
    }
    tally.reasons.sort();
    tally.reasons.dedup();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_reasons_and_names_are_read_from_tap() {
        let mut tally = Tally::default();
        let tap = "TAP version 13\n    not ok 2 - wrong token\n      ---\n      failureType: 'testCodeFailure'\n\
                   \x20   ok 3 - build # SKIP no overlay here\nnot ok 1 - all\n  failureType: 'subtestsFailed'\n1..3\n\
                   # tests 3\n# pass 1\n# fail 1\n# cancelled 0\n# skipped 1\n";
        read(&mut tally, tap);
        assert_eq!((tally.passed, tally.failed, tally.skipped), (1, 1, 1));
        assert_eq!(tally.failures, ["wrong token"]);
        assert_eq!(tally.reasons, ["no overlay here"]);
    }
}
