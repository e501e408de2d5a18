//! `stagewright check`: what is wrong with a Dockerfile, and nothing else.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::ValueEnum;
use stagewright_core::Input;
use stagewright_core::diagnostic::Diagnostic;
use stagewright_core::lint::{self, Scope};

use super::style::Style;
use super::{Failure, dockerfile, print, report};

/// Check a Dockerfile without building it
///
/// Prints each error and each finding of lint with its place in the file. Ends with 1 where a finding keeps the target
/// from being built, with 2 where the file cannot be read, else with 0.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    dockerfile: dockerfile::Arguments,

    /// How to print the findings
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// The findings as a JSON array
    Json,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let dockerfile = arguments.dockerfile.read()?;
    let analysis = stagewright_core::analyze(&dockerfile.input);
    let diagnostics = with_lint(&dockerfile.input, &analysis.diagnostics);
    match arguments.format {
        Format::Text => {
            let mut text = report::findings(
                Style::out(),
                &dockerfile.name,
                &dockerfile.input.source,
                &diagnostics,
            );
            let tally = report::tally(&diagnostics);
            let tally = tally.as_deref().unwrap_or("nothing to complain about");
            _ = writeln!(text, "{}: {tally}", dockerfile.name);
            print(&text)?;
        }
        Format::Json => {
            let json = serde_json::to_string_pretty(&diagnostics).map_err(|error| {
                Failure::new(Failure::WORK, format!("cannot write the findings: {error}"))
            })?;
            print(&(json + "\n"))?;
        }
    }
    Ok(if analysis.has_errors() {
        ExitCode::from(Failure::WORK)
    } else {
        ExitCode::SUCCESS
    })
}

/// What the planner has to say and what lint has, by place. What both say is said once.
fn with_lint(input: &Input, planned: &[Diagnostic]) -> Vec<Diagnostic> {
    // Without a target the whole file is meant.
    let scope = match &input.options.target {
        Some(_) => Scope::Target,
        None => Scope::All,
    };
    let mut diagnostics = planned.to_vec();
    for finding in lint::lint(input, scope) {
        let known = |known: &Diagnostic| known.code == finding.rule && known.lines == finding.lines;
        if !planned.iter().any(known) {
            let about = format!("see {}", finding.url);
            diagnostics.push(Diagnostic {
                severity: finding.severity,
                code: finding.rule,
                message: finding.message,
                span: finding.span,
                lines: finding.lines,
                hint: (!finding.url.is_empty()).then_some(about),
            });
        }
    }
    diagnostics.sort_by_key(|finding| finding.span.start);
    diagnostics
}
