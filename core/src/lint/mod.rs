//! Lint: what a file may say, but had better not.
//!
//! Some rules have the names, addresses and places of BuildKit's own, so that `docker build --check` and this agree;
//! the words are ours. The others are for what BuildKit does not look at. Each rule is a file in `rules/`, with what
//! it says, an example of each kind and its test.
//!
//! To add a rule: its file, and its line in `rules/mod.rs`.

mod commands;
mod file;
mod finding;
mod moment;
mod ports;
mod rules;
mod sarif;
mod settings;
mod variables;

use serde::Serialize;

use crate::analysis::Input;
use crate::diagnostic::Severity;
use crate::order;
use crate::study::study;

pub use file::Scope;
pub use finding::{Finding, Fix, Origin, Report};
pub use sarif::sarif;

use file::File;
use finding::Found;
use settings::Settings;

/// Looks for what had better be written otherwise, in the order of the file. The directive `# check=` says which
/// rules are left out, for the file at its top and for an instruction right above it.
#[must_use]
pub fn lint(input: &Input, scope: Scope) -> Vec<Finding> {
    check(input, scope).findings
}

/// The same, and what becomes of a build with these findings.
#[must_use]
pub fn check(input: &Input, scope: Scope) -> Report {
    let study = study(input);
    let file = File::new(&study, scope);
    let settings = Settings::of(input);
    let stop = moment::stop(&file);
    let mut report = Report {
        stopped: stop.is_some(),
        ..Report::default()
    };
    for rule in rules::ALL {
        let mut found = Vec::new();
        (rule.check)(&file, &mut found);
        for found in found {
            if settings.allow(rule, &found.comments) {
                let beyond = stop.is_some_and(|stop| rule.origin == Origin::Reference && found.when >= stop);
                report.fails |= settings.error() && rule.origin == Origin::Reference && !beyond;
                let needed = file.stage_at(found.span.start).is_none_or(|stage| stage.needed);
                let severity = match found.severity.unwrap_or(rule.severity) {
                    // Nobody asked for that stage, so what it says is not shouted.
                    _ if !needed && found.severity.is_none() => Severity::Info,
                    Severity::Warning if settings.error() && rule.origin == Origin::Reference => {
                        Severity::Error
                    }
                    severity => severity,
                };
                report.findings.push(Finding {
                    rule: rule.name.to_owned(),
                    origin: rule.origin,
                    severity,
                    message: found.message,
                    url: rule.address(),
                    span: found.span,
                    lines: found.lines,
                    beyond_error: beyond,
                    fixes: found.fixes,
                });
            }
        }
    }
    report.fails &= !report.stopped;
    report.findings.sort_by_key(|finding| finding.span.start);
    report
}

/// What there is to know of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleFacts {
    /// Its name, which `# check=skip=` and findings have.
    pub name: &'static str,
    /// What it is for, in a sentence.
    pub about: &'static str,
    /// Whose rule it is.
    pub origin: Origin,
    /// Where it is explained, as in [`Finding::url`].
    pub url: String,
    /// How much its findings matter where nothing else is said.
    pub severity: Severity,
    /// Whether it is silent until a file asks for it.
    pub experimental: bool,
}

/// All rules, by name.
pub fn rules() -> Vec<RuleFacts> {
    let facts = rules::ALL.iter().map(|rule| RuleFacts {
        name: rule.name,
        about: rule.about,
        origin: rule.origin,
        url: rule.address(),
        severity: rule.severity,
        experimental: rule.experimental,
    });
    order::by_text(facts.collect(), |rule| rule.name)
}

/// Where BuildKit's rules are explained.
const ADDRESS: &str = "https://docs.docker.com/go/dockerfile/rule/";

/// A rule.
struct Rule {
    name: &'static str,
    /// What it is for, in a sentence; the first line of its file says the same.
    about: &'static str,
    origin: Origin,
    /// The last part of the address that explains it; empty where BuildKit has a rule without one.
    url: &'static str,
    /// How much its findings matter.
    severity: Severity,
    /// Whether it is silent until a file asks for it.
    experimental: bool,
    check: fn(&File<'_>, &mut Vec<Found>),
}

impl Rule {
    /// A rule that BuildKit has too.
    const fn reference(
        name: &'static str,
        url: &'static str,
        about: &'static str,
        check: fn(&File<'_>, &mut Vec<Found>),
    ) -> Self {
        Self {
            name,
            about,
            origin: Origin::Reference,
            url,
            severity: Severity::Warning,
            experimental: false,
            check,
        }
    }

    /// A rule of our own.
    const fn own(name: &'static str, about: &'static str, check: fn(&File<'_>, &mut Vec<Found>)) -> Self {
        Self {
            name,
            about,
            origin: Origin::Own,
            url: "",
            severity: Severity::Warning,
            experimental: false,
            check,
        }
    }

    /// Where it is explained.
    fn address(&self) -> String {
        match self.origin {
            Origin::Reference if self.url.is_empty() => String::new(),
            Origin::Reference => [ADDRESS, self.url, "/"].concat(),
            Origin::Own => ["docs/rules.md#", &self.name.to_ascii_lowercase()].concat(),
        }
    }
}

/// What `rule` finds in `source`.
#[cfg(test)]
fn findings_of(rule: &str, source: &str) -> Vec<Finding> {
    let input = Input {
        source: source.into(),
        ..Input::default()
    };
    let findings = lint(&input, Scope::All).into_iter();
    findings.filter(|finding| finding.rule == rule).collect()
}

/// The same, by line.
#[cfg(test)]
fn lines_of(rule: &str, source: &str) -> Vec<u32> {
    let findings = findings_of(rule, source).into_iter();
    findings.map(|finding| finding.lines.start).collect()
}

/// `source` with the first fix of what `rule` finds first; as it is where there is none.
#[cfg(test)]
fn fixed(rule: &str, source: &str) -> String {
    let findings = findings_of(rule, source).into_iter();
    let fix = findings.flat_map(|finding| finding.fixes).next();
    fix.map_or_else(
        || source.to_owned(),
        |fix| crate::edit::apply(source, &fix.edits).unwrap(),
    )
}

#[cfg(test)]
mod tests;
