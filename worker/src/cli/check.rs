//! `stagewright check`: what is wrong with a Dockerfile or had better be written otherwise, and the quick fixes for it.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use serde_json::json;
use stagewright_core::Input;
use stagewright_core::diagnostic::{Diagnostic, Severity};
use stagewright_core::edit::{TextEdit, apply};
use stagewright_core::lint::{self, Finding};

use super::changes::changes;
use super::dockerfile::Dockerfile;
use super::style::Style;
use super::{Failure, dockerfile, print, report};
use crate::request::checking::{findings, scope};

/// Fixes may make room for others, so there are rounds; more than a few never come.
const MOST_ROUNDS: usize = 20;

/// Check a Dockerfile without building it
///
/// Prints each error and each finding of lint with its place in the file. Without --target all stages are looked at.
/// Ends with 0 where nothing weighs as much as --fail-on says, with 1 where something does, with 2 where the file cannot
/// be read or was asked for wrongly.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    dockerfile: dockerfile::Arguments,

    /// How to print the findings
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    /// What ends the command with 1: findings of this weight or more
    #[arg(long, value_enum, value_name = "WEIGHT", default_value_t = Weight::Error)]
    fail_on: Weight,

    /// Mend in the file what can be mended without changing the build, and say what is left
    #[arg(long)]
    fix: bool,

    /// Show what --fix changes; alone, nothing is written
    #[arg(long)]
    diff: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// The findings as a JSON array
    Json,
    /// SARIF 2.1.0, for code hosts
    Sarif,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Weight {
    /// What keeps the target from being built
    Error,
    /// What likely is not meant so
    Warning,
    /// Everything
    Info,
    /// Nothing
    Never,
}

impl Weight {
    fn fails(self, severity: Severity) -> bool {
        match self {
            Self::Error => severity == Severity::Error,
            Self::Warning => severity <= Severity::Warning,
            Self::Info => true,
            Self::Never => false,
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let mut dockerfile = arguments.dockerfile.read()?;
    let name = dockerfile.name.clone();
    let style = Style::out();
    let mut text = String::new();
    if arguments.fix || arguments.diff {
        let before = dockerfile.input.source.clone();
        let titles = mend(&mut dockerfile.input);
        let after = &dockerfile.input.source;
        // Findings are of what is in the file in the end.
        let written = arguments.fix && before != *after;
        if written {
            let path: PathBuf = arguments.dockerfile.written_to().ok_or_else(|| {
                Failure::new(Failure::USAGE, "standard input cannot be mended in place")
                    .hint("look at what would change with --diff")
            })?;
            super::replace_file(&path, after)?;
        }
        if arguments.diff {
            text.push_str(&changes(style, &name, &before, after));
        }
        for (title, line) in titles {
            let done = if written { "fixed" } else { "to fix" };
            _ = writeln!(text, "{} {name}:{line}: {title}", style.good(done));
        }
        if !written {
            dockerfile.input.source = before;
        }
    }
    tell(&dockerfile, arguments.format, arguments.fail_on, text)
}

/// Prints the findings; any that is more than a remark ends the command with 1.
pub(super) fn answer(dockerfile: &Dockerfile, format: report::Format) -> Result<ExitCode, Failure> {
    let format = match format {
        report::Format::Text => Format::Text,
        report::Format::Json => Format::Json,
    };
    tell(dockerfile, format, Weight::Warning, String::new())
}

/// Prints the findings, in text behind what is to be said before.
fn tell(
    dockerfile: &Dockerfile,
    format: Format,
    fail_on: Weight,
    mut text: String,
) -> Result<ExitCode, Failure> {
    let name = &dockerfile.name;
    let style = Style::out();
    let findings = findings(&dockerfile.input);
    let source = &dockerfile.input.source;
    match format {
        Format::Text => {
            let shown: Vec<Diagnostic> = findings
                .iter()
                .map(|(diagnostic, _)| diagnostic.clone())
                .collect();
            text.push_str(&report::findings(style, name, source, &shown));
            let tally = report::tally(&shown);
            let tally = tally.as_deref().unwrap_or("nothing to complain about");
            _ = writeln!(text, "{name}: {tally}");
            print(&text)?;
        }
        Format::Json => {
            let entry = |(diagnostic, finding): &(Diagnostic, Finding)| {
                let mut entry = json!(diagnostic);
                if let Some(entry) = entry.as_object_mut() {
                    entry.insert("file".into(), json!(name));
                    entry.insert("origin".into(), json!(finding.origin));
                    entry.insert("url".into(), json!(finding.url));
                    entry.insert("fixes".into(), json!(finding.fixes));
                }
                entry
            };
            let entries: Vec<_> = findings.iter().map(entry).collect();
            print(&report::json(&entries)?)?;
        }
        Format::Sarif => {
            let found: Vec<Finding> = findings.iter().map(|(_, finding)| finding.clone()).collect();
            print(&report::json(&lint::sarif(&[(name, source, &found)]))?)?;
        }
    }
    let fails = findings
        .iter()
        .any(|(diagnostic, _)| fail_on.fails(diagnostic.severity));
    Ok(if fails {
        ExitCode::from(Failure::WORK)
    } else {
        ExitCode::SUCCESS
    })
}

/// Makes the fixes that leave the build as it is; says which, with the line of each.
fn mend(input: &mut Input) -> Vec<(String, u32)> {
    let mut done = Vec::new();
    for _ in 0..MOST_ROUNDS {
        let mut edits: Vec<TextEdit> = Vec::new();
        let mut titles = Vec::new();
        for finding in lint::lint(input, scope(input)) {
            let Some(fix) = finding.fixes.into_iter().find(|fix| fix.safe) else {
                continue;
            };
            // One that works on the same words has to wait for the next round.
            let clashes = fix.edits.iter().any(|edit| {
                let touches =
                    |other: &TextEdit| edit.span.start <= other.span.end && other.span.start <= edit.span.end;
                edits.iter().any(touches)
            });
            if !clashes {
                titles.push((fix.title, finding.lines.start));
                edits.extend(fix.edits);
            }
        }
        match apply(&input.source, &edits) {
            Ok(mended) if mended != input.source => input.source = mended,
            Ok(_) | Err(_) => break,
        }
        done.extend(titles);
    }
    done
}
