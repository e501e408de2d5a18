//! `stagewright plan`: what a build would do.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use clap::ValueEnum;
use stagewright_core::analysis::{Analysis, Base, EdgeKind, EdgeSource, Stage};
use stagewright_core::calls;
use stagewright_core::layout::svg::{SvgOptions, render_svg};
use stagewright_core::layout::{self, LayoutOptions, dot, mermaid};
use stagewright_core::llb;

use super::style::{COLUMNS, Style, cut, wrapped};
use super::{Failure, dockerfile, named, print, print_bytes, report, steps};

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

    /// Plan that no step comes from the cache
    #[arg(long)]
    no_cache: bool,

    /// Plan that no step of this stage comes from the cache; may be given several times
    #[arg(long, value_name = "STAGE", conflicts_with = "no_cache")]
    no_cache_filter: Vec<String>,

    /// Put something in the place of an image or a stage: a folder, docker-image://…,
    /// oci-layout://…, a git or http address
    #[arg(long, value_name = "NAME=VALUE")]
    build_context: Vec<String>,

    #[command(flatten)]
    steps: steps::Arguments,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// Stages, their steps and what flows between them, for people
    Table,
    /// Everything the planner knows, operations included
    Json,
    /// The drawing that the playground shows, as a document of its own
    Svg,
    /// Stages and what flows between them, for Graphviz
    Dot,
    /// The same as a Mermaid flowchart, which many sites draw where they show Markdown
    Mermaid,
    /// The definition as BuildKit takes it: `buildctl build < FILE`
    Llb,
    /// The same as JSON
    LlbJson,
    /// The same for people, operation by operation
    LlbText,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let mut dockerfile = arguments.dockerfile.read()?;
    let options = &mut dockerfile.input.options;
    if arguments.no_cache || !arguments.no_cache_filter.is_empty() {
        options.no_cache = Some(arguments.no_cache_filter.clone());
    }
    options.run = arguments.steps.options();
    let contexts = named::read(&arguments.build_context, options)?;
    if let Some(archive) = contexts.archives.first() {
        let message = format!("{} is looked into by build only", archive.path.display());
        return Err(Failure::new(Failure::USAGE, message)
            .hint("unpack it into a folder, and name that as oci-layout://FOLDER"));
    }
    let analysis = stagewright_core::analyze(&dockerfile.input);
    let findings = report::findings(
        Style::err(),
        &dockerfile.name,
        &dockerfile.input.source,
        &analysis.diagnostics,
    );
    // Where standard error is closed the findings are lost, but the plan and the exit code are not.
    _ = std::io::stderr().write_all(findings.as_bytes());
    match arguments.format {
        Format::Table => print(&table(Style::out(), &analysis))?,
        Format::Json => {
            let json = serde_json::to_string_pretty(&analysis)
                .map_err(|error| Failure::new(Failure::WORK, format!("cannot write the plan: {error}")))?;
            print(&(json + "\n"))?;
        }
        Format::Svg => {
            let drawing = layout::layout(&analysis, &LayoutOptions::default());
            print(&render_svg(&analysis, &drawing, &SvgOptions::default()))?;
        }
        Format::Dot => print(&dot::render_dot(&analysis))?,
        Format::Mermaid => print(&mermaid::render_mermaid(&analysis))?,
        Format::Llb | Format::LlbJson | Format::LlbText => {
            // What is wrong was said above already.
            let Ok(definition) = calls::llb(&dockerfile.input, &dockerfile.name) else {
                return Ok(ExitCode::from(Failure::WORK));
            };
            let bytes = definition.to_bytes();
            if matches!(arguments.format, Format::Llb) {
                print_bytes(&bytes)?;
            } else {
                let (definition, vertices) = llb::Definition::decode(&bytes).map_err(|error| {
                    Failure::new(Failure::WORK, format!("cannot write the definition: {error}"))
                })?;
                if matches!(arguments.format, Format::LlbJson) {
                    print(&report::json(&llb::to_json(&definition, &vertices))?)?;
                } else {
                    print(&llb::print(&definition, &vertices))?;
                }
            }
        }
    }
    Ok(if analysis.has_errors() {
        ExitCode::from(Failure::WORK)
    } else {
        ExitCode::SUCCESS
    })
}

/// Room for the line number and the digest before a step.
const STEP: usize = 2 + 4 + 2 + 12 + 2;

fn table(style: Style, analysis: &Analysis) -> String {
    let mut text = String::new();
    for stage in &analysis.stages {
        heading(&mut text, style, analysis, stage);
        for (index, step) in stage.steps.iter().enumerate() {
            let digest = step.vertex.as_ref().map_or("", |digest| digest.short());
            let line = style.dim(&format!("{:>4}", step.lines.start));
            let digest = style.dim(&format!("{digest:<12}"));
            let code = cut(&step.text, COLUMNS - STEP);
            let code = if stage.needed { code } else { style.dim(&code) };
            _ = writeln!(text, "  {line}  {digest}  {code}");
            for edge in &analysis.edges {
                if edge.to_stage == stage.index && edge.to_step == Some(index) {
                    let verb = match edge.kind {
                        EdgeKind::Base => "starts from",
                        EdgeKind::Copy => "copies from",
                        EdgeKind::Mount => "mounts",
                    };
                    let flow = format!("↳ {verb} {}", source(analysis, edge.from));
                    let loud = edge.kind == EdgeKind::Copy && edge.from != EdgeSource::Context && edge.needed;
                    let flow = if loud {
                        style.accent(&flow)
                    } else {
                        style.dim(&flow)
                    };
                    _ = writeln!(text, "{:STEP$}{flow}", "");
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
        let assumed = format!("Assumed of {}: nothing but a default PATH.", unknown.join(", "));
        _ = writeln!(text, "{}", wrapped(&assumed, 0, 2));
    }
    match &analysis.definition {
        Some(definition) => {
            _ = writeln!(
                text,
                "Plan {}… of {} operations.",
                definition.digest.to_string().get(..19).unwrap_or_default(),
                definition.ops.len()
            );
        }
        None => text.push_str("No plan: what stands in its way is said above.\n"),
    }
    text
}

fn heading(text: &mut String, style: Style, analysis: &Analysis, stage: &Stage) {
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
    let role = if stage.needed {
        style.good(role)
    } else {
        style.dim(role)
    };
    _ = writeln!(text, "{} from {base}: {role}", style.bold(&stage.label));
    _ = writeln!(text, "  {}", style.dim(&wrapped(&stage.reason, 2, 2)));
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
