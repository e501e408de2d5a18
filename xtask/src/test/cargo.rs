//! The tests that cargo runs.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use super::tally::Tally;
use super::with_places;
use crate::place::Place;
use crate::problem::{Outcome, Problem};

/// How a test says that this machine refuses what it needs.
const SKIPPED: &str = "skipped:";

pub(crate) fn run(place: &Place) -> Outcome<Tally> {
    let mut command = Command::new("cargo");
    // Output of tests that pass is shown as well: it is where they say what they could not try.
    command.args(["test", "--workspace", "--no-fail-fast", "--", "--show-output"]);
    with_places(&mut command, place);
    let mut child = command
        .current_dir(&place.root)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| Problem::new(format!("cargo cannot be started: {error}")))?;
    let mut tally = Tally {
        name: "core, worker, page's state, tools (cargo test)".to_owned(),
        ..Tally::default()
    };
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let Ok(line) = line else { break };
            println!("{line}");
            count(&mut tally, &line);
        }
    }
    tally.content = child.wait().is_ok_and(|status| status.success());
    Ok(tally)
}

/// Reads a line of libtest.
fn count(tally: &mut Tally, line: &str) {
    if let Some(counts) = line.strip_prefix("test result: ") {
        for part in counts.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (Some(number), Some(what)) = (
                words.next().and_then(|word| word.parse::<u64>().ok()),
                words.next(),
            ) else {
                continue;
            };
            match what {
                "passed" => tally.passed += number,
                "failed" => tally.failed += number,
                "ignored" => tally.skipped += number,
                _ => {}
            }
        }
    } else if let Some(name) = line
        .strip_prefix("test ")
        .and_then(|rest| rest.strip_suffix(" ... FAILED"))
    {
        // Some runners write names in a column.
        tally.failures.push(name.trim_end().to_owned());
    } else if let Some(at) = line.find(SKIPPED) {
        // Such a test passes for libtest; here it counts as what it is.
        let reason = line.get(at + SKIPPED.len()..).unwrap_or_default().trim();
        tally.skipped += 1;
        tally.passed = tally.passed.saturating_sub(1);
        if !tally.reasons.iter().any(|known| known == reason) {
            tally.reasons.push(reason.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_several_binaries_add_up() {
        let mut tally = Tally::default();
        for line in [
            "test a::b     ... FAILED",
            "test result: FAILED. 3 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out; finished in 0.10s",
        ] {
            count(&mut tally, line);
        }
        assert_eq!((tally.passed, tally.failed, tally.skipped), (7, 1, 2));
        assert_eq!(tally.failures, ["a::b"]);
    }

    #[test]
    fn a_test_that_says_it_was_skipped_does_not_count_as_passed() {
        let mut tally = Tally {
            passed: 5,
            ..Tally::default()
        };
        count(&mut tally, "skipped: no user namespaces here");
        count(&mut tally, "skipped: no user namespaces here");
        assert_eq!((tally.passed, tally.skipped), (3, 2));
        assert_eq!(tally.reasons, ["no user namespaces here"]);
    }
}
