//! Findings as SARIF 2.1.0, which code hosts and editors read.

use serde_json::{Value, json};

use crate::diagnostic::Severity;
use crate::span::Span;

use super::finding::{Finding, Fix, Origin};
use super::rules;

/// The findings of files, each with its name and text, as one SARIF log.
///
/// Regions have lines and columns (UTF-16, from 1) and bytes; fixes are those of the findings, in their order.
#[must_use]
pub fn sarif(files: &[(&str, &str, &[Finding])]) -> Value {
    let known = rules();
    let driver_rules = known.iter().map(|rule| {
        let mut entry = json!({
            "id": rule.name,
            "name": rule.name,
            "shortDescription": { "text": rule.about },
            "help": { "text": help(rule.origin, rule.about, &rule.url) },
            "defaultConfiguration": { "level": level(rule.severity), "enabled": !rule.experimental },
            "properties": { "origin": rule.origin },
        });
        // What stands there has to be a whole address.
        if rule.url.starts_with("https://")
            && let Some(entry) = entry.as_object_mut()
        {
            entry.insert("helpUri".to_owned(), json!(rule.url));
        }
        entry
    });
    let driver_rules: Vec<Value> = driver_rules.collect();
    let mut artifacts = Vec::new();
    let mut results = Vec::new();
    for (index, (name, source, findings)) in files.iter().enumerate() {
        let location = json!({ "uri": uri(name), "index": index });
        artifacts.push(json!({
            "location": { "uri": uri(name) },
            "length": source.len(),
            "sourceLanguage": "dockerfile",
        }));
        let places = Places::new(source);
        for finding in *findings {
            let mut result = json!({
                "ruleId": finding.rule,
                "level": level(finding.severity),
                "message": { "text": finding.message },
                "locations": [{
                    "physicalLocation": { "artifactLocation": location, "region": places.region(finding.span) },
                }],
            });
            if let Some(entry) = result.as_object_mut() {
                if let Some(rule) = known.iter().position(|rule| rule.name == finding.rule) {
                    entry.insert("ruleIndex".to_owned(), json!(rule));
                }
                if !finding.fixes.is_empty() {
                    let changes = finding.fixes.iter().map(|fix| change(fix, &location, &places));
                    entry.insert("fixes".to_owned(), changes.collect());
                }
            }
            results.push(result);
        }
    }
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {
                "driver": {
                    "name": "Stagewright",
                    "semanticVersion": env!("CARGO_PKG_VERSION"),
                    "rules": driver_rules,
                },
            },
            "columnKind": "utf16CodeUnits",
            "artifacts": artifacts,
            "results": results,
        }],
    })
}

fn help(origin: Origin, about: &str, url: &str) -> String {
    match origin {
        Origin::Reference if url.is_empty() => [about, " BuildKit has this rule too."].concat(),
        Origin::Reference => [about, " BuildKit has this rule too, and explains it at ", url].concat(),
        Origin::Own => [about, " More of it is in ", url].concat(),
    }
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

fn change(fix: &Fix, location: &Value, places: &Places<'_>) -> Value {
    let replacements = fix.edits.iter().map(|edit| {
        json!({
            "deletedRegion": places.region(edit.span),
            "insertedContent": { "text": edit.text },
        })
    });
    json!({
        "description": { "text": fix.title },
        "artifactChanges": [{
            "artifactLocation": location,
            "replacements": replacements.collect::<Vec<Value>>(),
        }],
    })
}

/// A file's name as an address that is seen from where the log is.
fn uri(name: &str) -> String {
    let mut uri = String::new();
    for byte in name.replace('\\', "/").bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            uri.push('%');
            for digit in [byte >> 4, byte & 15] {
                uri.extend(HEX.get(usize::from(digit)).map(|&digit| char::from(digit)));
            }
        }
    }
    uri
}

/// Lines and columns of a text.
struct Places<'s> {
    source: &'s str,
    /// Where each line begins; the first behind a byte order mark, which has no column.
    lines: Vec<usize>,
}

impl<'s> Places<'s> {
    fn new(source: &'s str) -> Self {
        let first = if source.starts_with('\u{feff}') { 3 } else { 0 };
        let others = source.match_indices('\n').map(|(newline, _)| newline + 1);
        Self {
            source,
            lines: std::iter::once(first).chain(others).collect(),
        }
    }

    fn region(&self, span: Span) -> Value {
        let (start_line, start_column) = self.position(span.start);
        let (end_line, end_column) = self.position(span.end);
        json!({
            "startLine": start_line,
            "startColumn": start_column,
            "endLine": end_line,
            "endColumn": end_column,
            "byteOffset": span.start,
            "byteLength": span.end.saturating_sub(span.start),
        })
    }

    fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|&start| start <= offset).max(1);
        let start = line.checked_sub(1).and_then(|line| self.lines.get(line));
        let before = start.and_then(|&start| self.source.get(start..offset));
        let units: usize = before.unwrap_or_default().chars().map(char::len_utf16).sum();
        (line, units + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::Input;
    use crate::lint::{Scope, lint};

    fn log_of(name: &str, source: &str) -> Value {
        let input = Input {
            source: source.into(),
            ..Input::default()
        };
        sarif(&[(name, source, &lint(&input, Scope::All))])
    }

    #[test]
    fn regions_count_lines_from_one_and_columns_in_utf_16() {
        let log = log_of(
            "a b/Dockerfile",
            "\u{feff}FROM scratch\nLABEL a=\"😀\"\nLABEL 😀 b\n",
        );
        let result = &log["runs"][0]["results"][0];
        assert_eq!(result["ruleId"], "LegacyKeyValueFormat");
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "a%20b/Dockerfile");
        let region = json!({
            "startLine": 3, "startColumn": 1, "endLine": 3, "endColumn": 11,
            "byteOffset": 31, "byteLength": 12,
        });
        assert_eq!(place["region"], region);
        let log = log_of("Dockerfile", "\u{feff}FROM a AS B\n");
        let regions = log["runs"][0]["results"].as_array().unwrap().iter();
        let columns =
            regions.map(|result| &result["locations"][0]["physicalLocation"]["region"]["startColumn"]);
        assert!(columns.into_iter().all(|column| column == 1));
    }

    #[test]
    fn a_finding_names_its_rule_and_carries_its_fixes() {
        let log = log_of("Dockerfile", "FROM scratch as b\n");
        let run = &log["runs"][0];
        let result = &run["results"][0];
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(run["tool"]["driver"]["rules"][index]["id"], result["ruleId"]);
        let replacement = &result["fixes"][0]["artifactChanges"][0]["replacements"][0];
        assert_eq!(replacement["insertedContent"]["text"], "AS");
        assert_eq!(replacement["deletedRegion"]["byteOffset"], 13);
        assert_eq!(replacement["deletedRegion"]["startColumn"], 14);
    }

    #[test]
    fn an_address_of_a_rule_is_whole_or_left_out() {
        let log = sarif(&[]);
        for rule in log["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap() {
            let uri = rule.get("helpUri").map(|uri| uri.as_str().unwrap());
            assert!(uri.is_none_or(|uri| uri.starts_with("https://")));
            assert!(rule["help"]["text"].as_str().unwrap().len() > 10);
        }
    }
}
