//! `stagewright plan`: what a build would do.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use clap::ValueEnum;
use stagewright_core::analysis::{Analysis, Base, EdgeKind, EdgeSource, Stage};
use stagewright_core::layout::svg::{SvgOptions, render_svg};
use stagewright_core::layout::{self, LayoutOptions};

use super::{Failure, dockerfile, print, report};

/// Show what a build would do, without building
///
/// Images are not asked for: the plan says what it assumed of them. Findings go to standard error. Ends with 1
/// where a finding keeps the target from being built, with 2 where the file cannot be read, else with 0.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    dockerfile: dockerfile::Arguments,

    /// How to print the plan
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// Stages, their steps and what flows between them, for people
    Table,
    /// Everything the planner knows, operations included
    Json,
    /// The drawing that the playground shows, as a document of its own
    Svg,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let dockerfile = arguments.dockerfile.read()?;
    let analysis = stagewright_core::analyze(&dockerfile.input);
    let findings = report::findings(&dockerfile.name, &dockerfile.input.source, &analysis.diagnostics);
    // Where standard error is closed the findings are lost, but the plan and the exit code are not.
    _ = std::io::stderr().write_all(findings.as_bytes());
    match arguments.format {
        Format::Table => print(&table(&analysis))?,
        Format::Json => {
            let json = serde_json::to_string_pretty(&analysis)
                .map_err(|error| Failure::new(Failure::WORK, format!("cannot write the plan: {error}")))?;
            print(&(json + "\n"))?;
        }
        Format::Svg => {
            let drawing = layout::layout(&analysis, &LayoutOptions::default());
            print(&render_svg(&analysis, &drawing, &SvgOptions::default()))?;
        }
    }
    Ok(if analysis.has_errors() {
        ExitCode::from(Failure::WORK)
    } else {
        ExitCode::SUCCESS
    })
}

fn table(analysis: &Analysis) -> String {
    let mut text = String::new();
    for stage in &analysis.stages {
        heading(&mut text, analysis, stage);
        for (index, step) in stage.steps.iter().enumerate() {
            let digest = step.vertex.as_ref().map_or("", |digest| digest.short());
            _ = writeln!(text, "  {:>4}  {:<12}  {}", step.lines.start, digest, step.text);
            for edge in &analysis.edges {
                if edge.to_stage == stage.index && edge.to_step == Some(index) {
                    let verb = match edge.kind {
                        EdgeKind::Base => "starts from",
                        EdgeKind::Copy => "copies from",
                        EdgeKind::Mount => "mounts",
                    };
                    _ = writeln!(
                        text,
                        "        {:<12}  ↳ {verb} {}",
                        "",
                        source(analysis, edge.from)
                    );
                }
            }
        }
        text.push('\n');
    }
    let unknown: Vec<&str> = analysis
        .images
        .iter()
        .filter(|image| image.needed && !image.resolved)
        .map(|image| image.name.as_str())
        .collect();
    if !unknown.is_empty() {
        _ = writeln!(
            text,
            "Assumed of {}: nothing but a default PATH.",
            unknown.join(", ")
        );
    }
    match &analysis.definition {
        Some(definition) => {
            _ = writeln!(
                text,
                "Plan {} of {} operations.",
                definition.digest,
                definition.ops.len()
            );
        }
        None => text.push_str("No plan: what stands in its way is said above.\n"),
    }
    text
}

fn heading(text: &mut String, analysis: &Analysis, stage: &Stage) {
    let base = match &stage.base {
        Base::Scratch => "scratch".to_owned(),
        Base::Stage(index) => source(analysis, EdgeSource::Stage(*index)),
        Base::Image(index) => source(analysis, EdgeSource::Image(*index)),
        Base::Unknown => "an unreadable base".to_owned(),
    };
    let role = match (stage.ships, stage.needed) {
        (true, _) => "ships",
        (false, true) => "needed",
        (false, false) => "skipped",
    };
    _ = writeln!(text, "{}  from {base}: {role}. {}", stage.label, stage.reason);
}

fn source(analysis: &Analysis, source: EdgeSource) -> String {
    match source {
        EdgeSource::Context => "the build context".into(),
        EdgeSource::Stage(index) => analysis.stages.get(index).map_or_else(
            || format!("stage {index}"),
            |stage| format!("stage {}", stage.label),
        ),
        EdgeSource::Image(index) => analysis
            .images
            .get(index)
            .map_or_else(|| format!("image {index}"), |image| image.name.clone()),
    }
}
