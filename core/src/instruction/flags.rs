//! Flags between an instruction's name and its arguments.

use crate::diagnostic::Problem;
use crate::span::Span;
use crate::syntax::{Keyword, Node, Word};

/// What a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// `--name`, `--name=true` or `--name=false`.
    Switch,
    /// `--name=value`, once.
    Text,
    /// `--name=value`, any number of times.
    Texts,
}

/// The flags of one instruction, checked against those it knows.
#[derive(Debug)]
pub(super) struct Flags {
    given: Vec<(&'static str, String, Span)>,
}

impl Flags {
    /// Reads the flags of `node`, which knows those in `known`.
    pub(super) fn read(node: &Node<'_>, known: &[(&'static str, Takes)]) -> Result<Self, Problem> {
        let keyword = node.keyword.map_or("This instruction", Keyword::name);
        let mut given: Vec<(&'static str, String, Span)> = Vec::new();
        for flag in &node.flags {
            let text = flag.text.strip_prefix("--").unwrap_or(&flag.text);
            let (name, value) = match text.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (text, None),
            };
            let Some(&(name, takes)) = known.iter().find(|(known, _)| *known == name) else {
                let problem =
                    Problem::new("unknown-flag", format!("{keyword} has no flag --{name}.")).at(flag.span);
                let problem = if known.is_empty() {
                    let text = &flag.text;
                    problem.hint(format!(
                        "{keyword} takes no flags. What is meant for a program goes in an array: [\"{text}\"]."
                    ))
                } else {
                    problem.hint(format!("It knows --{}.", known_names(known)))
                };
                let written: Vec<String> = known.iter().map(|(name, _)| format!("--{name}")).collect();
                return Err(problem.suggest(&format!("--{name}"), written.iter().map(String::as_str)));
            };
            if takes != Takes::Texts && given.iter().any(|(given, ..)| *given == name) {
                let problem = Problem::new("repeated-flag", format!("The flag --{name} is there twice."));
                return Err(problem.at(flag.span).hint("Remove one of the two."));
            }
            let value = match (takes, value) {
                (Takes::Switch, None) => "true".to_owned(),
                (Takes::Switch, Some(value)) if is_switch(value) => value.to_ascii_lowercase(),
                (Takes::Switch, Some(_)) => {
                    let problem =
                        Problem::new("bad-flag-value", format!("--{name} is either true or false."));
                    return Err(problem.at(flag.span));
                }
                (Takes::Text | Takes::Texts, Some(value)) => value.to_owned(),
                (Takes::Text | Takes::Texts, None) => {
                    let problem = Problem::new("missing-flag-value", format!("--{name} says nothing."));
                    return Err(problem.at(flag.span).hint(format!("Write --{name}=value.")));
                }
            };
            given.push((name, value, flag.span));
        }
        Ok(Self { given })
    }

    /// The value of a flag that is given at most once. A flag that is given empty is as good as not given.
    pub(super) fn text(&self, name: &str) -> Option<Word> {
        let (_, text, span) = self.given.iter().find(|(given, ..)| *given == name)?;
        (!text.is_empty()).then(|| Word {
            text: text.clone(),
            span: *span,
        })
    }

    /// All values of a flag.
    pub(super) fn texts(&self, name: &str) -> Vec<Word> {
        let word = |(_, text, span): &(&str, String, Span)| Word {
            text: text.clone(),
            span: *span,
        };
        self.given
            .iter()
            .filter(|(given, ..)| *given == name)
            .map(word)
            .collect()
    }

    /// Whether a switch is on; `None` where it is not given.
    pub(super) fn switch(&self, name: &str) -> Option<bool> {
        self.given
            .iter()
            .find(|(given, ..)| *given == name)
            .map(|(_, value, _)| value == "true")
    }
}

fn is_switch(value: &str) -> bool {
    value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false")
}

fn known_names(known: &[(&str, Takes)]) -> String {
    known
        .iter()
        .map(|(name, _)| *name)
        .collect::<Vec<_>>()
        .join(", --")
}
