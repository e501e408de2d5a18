//! Ignore files against what BuildKit makes of them (`ignore.jsonl`, one case a line), and against strange ones.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use proptest::prelude::*;
use serde::Deserialize;
use stagewright_core::ignore::{Entry, Ignore};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    text: String,
    /// What is in the context; folders end in `/`.
    paths: Vec<String>,
    /// Whether a pattern cannot be read.
    #[serde(default)]
    refused: bool,
    #[serde(default)]
    ignored: Vec<String>,
    #[serde(default)]
    sent: Vec<String>,
    #[serde(default)]
    exclusions: bool,
}

fn entry(path: &str) -> Entry<'_> {
    Entry {
        path: path.trim_end_matches('/'),
        folder: path.ends_with('/'),
    }
}

#[test]
fn ignore_files_mean_what_they_mean_to_the_reference() {
    for line in include_str!("ignore.jsonl").lines() {
        let case: Case = serde_json::from_str(line).expect(line);
        let (ignore, diagnostics) = Ignore::parse(&case.text);
        if case.refused {
            assert!(!diagnostics.is_empty(), "{line}");
            continue;
        }
        // A pattern that is wrong only where it is compared with something may never be compared there.
        if !diagnostics.is_empty() {
            continue;
        }
        assert_eq!(ignore.has_exclusions(), case.exclusions, "{line}");
        let ignored: Vec<&String> = case.paths.iter().filter(|path| ignore.ignores(path)).collect();
        assert_eq!(ignored, case.ignored.iter().collect::<Vec<_>>(), "{line}");
        let entries: Vec<Entry<'_>> = case.paths.iter().map(|path| entry(path)).collect();
        let verdicts = ignore.walk(&entries);
        let sent = case.paths.iter().zip(&verdicts);
        let sent: Vec<&String> = sent
            .filter(|(_, verdict)| verdict.enters)
            .map(|(path, _)| path)
            .collect();
        assert_eq!(sent, case.sent.iter().collect::<Vec<_>>(), "{line}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_and_every_place_is_in_it(text in "[a-c*?!#\\[\\]\\\\/.{}|^$ \n\r\u{feff}é0-9,-]{0,60}", paths in proptest::collection::vec("[a-c./é]{0,8}", 0..12)) {
        let (ignore, diagnostics) = Ignore::parse(&text);
        for finding in &diagnostics {
            prop_assert!(text.get(finding.span.start..finding.span.end).is_some());
        }
        for rule in ignore.rules() {
            prop_assert!(text.get(rule.span.start..rule.span.end).is_some());
        }
        let entries: Vec<Entry<'_>> = paths.iter().map(|path| entry(path)).collect();
        prop_assert_eq!(ignore.walk(&entries).len(), entries.len());
        for path in &paths {
            let decision = ignore.decide(path);
            prop_assert_eq!(decision.ignored, ignore.ignores(path));
            prop_assert!(decision.rule.is_none_or(|rule| rule < ignore.rules().len()));
        }
    }
}
