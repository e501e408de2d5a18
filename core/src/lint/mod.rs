//! Lint: what a file may say, but had better not.
//!
//! The rules have the names, addresses and places of BuildKit's own, so that `docker build --check` and this agree;
//! the words are ours. Each rule is a file in `rules/`, with what it says, an example of each kind and its test.
//!
//! To add a rule: its file, and its line in `rules/mod.rs`.

mod file;
mod rules;
mod settings;
mod variables;

use serde::{Deserialize, Serialize};

use crate::analysis::Input;
use crate::order;
use crate::span::{LineRange, Span};
use crate::study::study;

pub use file::Scope;

use file::File;
use settings::Settings;

/// Something that had better be written otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The rule's name, such as `JSONArgsRecommended`.
    pub rule: String,
    /// What was found, in one sentence.
    pub message: String,
    /// Where the rule is explained; empty where nothing is published.
    pub url: String,
    /// The instruction, in bytes.
    pub span: Span,
    /// The same in lines.
    pub lines: LineRange,
}

/// Looks for what had better be written otherwise, in the order of the file. The directive `# check=` says which
/// rules are left out, for the file at its top and for an instruction right above it.
#[must_use]
pub fn lint(input: &Input, scope: Scope) -> Vec<Finding> {
    let study = study(input);
    let file = File::new(&study, scope);
    let settings = Settings::of_file(&study.tree);
    let mut findings = Vec::new();
    for rule in rules::ALL {
        let mut found = Vec::new();
        (rule.check)(&file, &mut found);
        for Found { place, message } in found {
            let own = Settings::of_comments(&place.comments);
            if settings.allow(&own, rule) {
                findings.push(Finding {
                    rule: rule.name.to_owned(),
                    message,
                    url: rule
                        .url
                        .map(|name| format!("{ADDRESS}{name}/"))
                        .unwrap_or_default(),
                    span: place.span,
                    lines: place.lines,
                });
            }
        }
    }
    findings.sort_by_key(|finding| finding.span.start);
    findings
}

/// The names of all rules, by name.
pub fn names() -> impl Iterator<Item = &'static str> {
    let names = rules::ALL.iter().map(|rule| rule.name).collect();
    order::by_text(names, |name| name).into_iter()
}

/// Where BuildKit's rules are explained.
const ADDRESS: &str = "https://docs.docker.com/go/dockerfile/rule/";

/// A rule.
struct Rule {
    name: &'static str,
    /// The last part of the address that explains it.
    url: Option<&'static str>,
    /// Whether it is silent until a file asks for it.
    experimental: bool,
    check: fn(&File<'_>, &mut Vec<Found>),
}

/// Something that a rule found.
struct Found {
    place: Place,
    message: String,
}

/// An instruction that a rule speaks of.
#[derive(Debug, Clone, Default)]
struct Place {
    span: Span,
    lines: LineRange,
    /// The comments right above it, where they may leave the rule out.
    comments: Vec<String>,
}

/// What `rule` finds in `source`, by line.
#[cfg(test)]
fn lines_of(rule: &str, source: &str) -> Vec<u32> {
    let input = Input {
        source: source.into(),
        ..Input::default()
    };
    let findings = lint(&input, Scope::All).into_iter();
    findings
        .filter(|finding| finding.rule == rule)
        .map(|finding| finding.lines.start)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_left_out_of_a_file_or_an_instruction() {
        let rule = "JSONArgsRecommended";
        assert_eq!(lines_of(rule, "FROM scratch\nCMD a\n"), [2]);
        assert_eq!(
            lines_of(rule, "# check=skip=JSONArgsRecommended\nFROM scratch\nCMD a\n"),
            [0; 0]
        );
        assert_eq!(lines_of(rule, "FROM scratch\n# check=skip=all\nCMD a\n"), [0; 0]);
    }

    #[test]
    fn what_the_target_does_not_need_is_looked_at_when_asked() {
        let source = "FROM scratch AS a\nCMD a\nFROM scratch AS b\n";
        let input = Input {
            source: source.into(),
            ..Input::default()
        };
        assert_eq!(lint(&input, Scope::Target), []);
        assert_eq!(lint(&input, Scope::All).len(), 1);
    }

    #[test]
    fn an_experimental_rule_is_asked_for_by_a_file_or_an_instruction() {
        let rule = "InvalidDefinitionDescription";
        assert_eq!(lines_of(rule, "# about it\nFROM scratch AS a\n"), [0; 0]);
        assert_eq!(
            lines_of(rule, "# check=experimental=all\n# about it\nFROM scratch AS a\n"),
            [3]
        );
        let above = "ARG A\n# check=experimental=InvalidDefinitionDescription\nFROM scratch AS a\n";
        assert_eq!(lines_of(rule, above), [3]);
    }

    #[test]
    fn every_file_of_a_rule_is_registered() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lint/rules");
        let files = std::fs::read_dir(folder).unwrap();
        let names = files.map(|file| {
            file.unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        });
        let mut names: Vec<String> = names.filter(|name| name != "mod").collect();
        names.sort();
        assert_eq!(names, rules::FILES);
    }

    #[test]
    fn every_rule_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<&str> = names().collect();
        assert_eq!(names.len(), rules::ALL.len());
    }
}
