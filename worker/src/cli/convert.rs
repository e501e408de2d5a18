//! `stagewright convert`: a build script and its Dockerfiles as one multi-stage Dockerfile.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;
use stagewright_core::convert::{Became, Conversion, Pattern, SourceFile, convert};
use stagewright_core::layout::svg::{SvgOptions, render_svg};
use stagewright_core::layout::{self, LayoutOptions, dot, mermaid};

use super::report::{self, json};
use super::style::{COLUMNS, Style, cut, wrapped};
use super::{Failure, dockerfile, print};

/// Turn a build script and its Dockerfiles into one multi-stage Dockerfile
///
/// For the builder pattern: a script that builds one image, copies files out of a container of it, and builds another
/// image with them. The script is read, never run. The Dockerfile goes to standard output, and what became of each
/// command of the script to standard error. Ends with 1 where something cannot be converted, with 2 where a file
/// cannot be read, else with 0.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The build script
    #[arg(value_name = "SCRIPT")]
    script: PathBuf,

    /// A Dockerfile that the script builds; may be given several times [default: those that the script names]
    #[arg(short, long, value_name = "FILE")]
    file: Vec<PathBuf>,

    /// A variable that the script takes from its environment; without `=VALUE` it is taken from this one
    #[arg(long, value_name = "NAME[=VALUE]")]
    set: Vec<String>,

    /// Print the builds as they were, as one graph, in the place of the Dockerfile
    #[arg(long, value_enum, value_name = "FORMAT")]
    graph: Option<Graph>,

    /// Print everything that is known of the conversion as JSON
    #[arg(long, conflicts_with = "graph")]
    json: bool,

    /// Write the Dockerfile to this file
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["graph", "json"])]
    output: Option<PathBuf>,

    /// Say nothing of what became of the script
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Graph {
    /// A drawing
    Svg,
    /// For Graphviz
    Dot,
    /// For Mermaid
    Mermaid,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let (pattern, conversion) = converted(arguments)?;
    let style = Style::err();
    // Where standard error is closed the notes are lost, but not the result.
    let tell = |text: &str| _ = std::io::stderr().write_all(text.as_bytes());
    tell(&findings(style, &pattern, &conversion));
    if !arguments.quiet && !arguments.json && arguments.graph.is_none() {
        tell(&notes(style, &pattern, &conversion));
    }
    if let Some(graph) = arguments.graph {
        let analysis = &conversion.graph.analysis;
        print(&match graph {
            Graph::Svg => {
                let drawing = layout::layout(analysis, &LayoutOptions::default());
                render_svg(analysis, &drawing, &SvgOptions::default())
            }
            Graph::Dot => dot::render_dot(analysis),
            Graph::Mermaid => mermaid::render_mermaid(analysis),
        })?;
    } else if arguments.json {
        print(&json(&conversion)?)?;
    } else if let Some(dockerfile) = &conversion.dockerfile {
        match &arguments.output {
            Some(output) => super::replace_file(output, dockerfile)?,
            None => print(dockerfile)?,
        }
    }
    if conversion.has_errors() {
        let diagnostics: Vec<_> = conversion
            .findings
            .into_iter()
            .map(|finding| finding.diagnostic)
            .collect();
        let tally = report::tally(&diagnostics).unwrap_or_default();
        return Err(Failure::new(
            Failure::WORK,
            format!("{} is not converted: {tally}", pattern.script.name),
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads the script and the Dockerfiles, and converts them.
fn converted(arguments: &Arguments) -> Result<(Pattern, Conversion), Failure> {
    let (_, text) = dockerfile::text(&arguments.script)?;
    let folder = match arguments.script.parent() {
        Some(folder) if folder != Path::new("") && arguments.script != Path::new("-") => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let script = arguments
        .script
        .file_name()
        .unwrap_or(arguments.script.as_os_str());
    let mut pattern = Pattern {
        script: SourceFile {
            name: script.to_string_lossy().into_owned(),
            text,
        },
        variables: dockerfile::named_values("--set", &arguments.set, |name| std::env::var(name).ok())?,
        ..Pattern::default()
    };
    for file in &arguments.file {
        let (_, text) = dockerfile::text(file)?;
        let name = file.strip_prefix(&folder).unwrap_or(file);
        pattern.dockerfiles.push(SourceFile {
            name: name.to_string_lossy().into_owned(),
            text,
        });
    }
    let mut asked = BTreeSet::new();
    loop {
        let conversion = convert(&pattern);
        let mut found = false;
        if arguments.file.is_empty() {
            for name in &conversion.lacking {
                if !asked.insert(name.clone()) {
                    continue;
                }
                let path = folder.join(name);
                if path.is_file() {
                    let (_, text) = dockerfile::text(&path)?;
                    pattern.dockerfiles.push(SourceFile {
                        name: name.clone(),
                        text,
                    });
                    found = true;
                }
            }
        }
        if !found {
            return Ok((pattern, conversion));
        }
    }
}

fn findings(style: Style, pattern: &Pattern, conversion: &Conversion) -> String {
    let mut text = String::new();
    for finding in &conversion.findings {
        let mut files = std::iter::once(&pattern.script).chain(&pattern.dockerfiles);
        let source = files
            .find(|file| file.name == finding.file)
            .map_or("", |file| file.text.as_str());
        let diagnostics = std::slice::from_ref(&finding.diagnostic);
        text.push_str(&report::findings(style, &finding.file, source, diagnostics));
    }
    text
}

/// What became of each command.
fn notes(style: Style, pattern: &Pattern, conversion: &Conversion) -> String {
    let mut text = String::new();
    for note in &conversion.notes {
        let command = pattern
            .script
            .text
            .get(note.span.start..note.span.end)
            .unwrap_or_default();
        let command = cut(command.lines().next().unwrap_or_default(), COLUMNS - 6);
        _ = writeln!(
            text,
            "{}  {}",
            style.dim(&format!("{:>4}", note.lines.start)),
            style.bold(&command)
        );
        let word = match note.became {
            Became::Stage => "stages",
            Became::Copy => "COPY",
            Became::Run => "RUN",
            Became::Nothing => "gone",
            Became::Beside => "beside",
            Became::Unclear => "unclear",
        };
        let word = format!("{word:<8}");
        let word = match note.became {
            Became::Stage | Became::Copy | Became::Run => style.good(&word),
            Became::Nothing => style.dim(&word),
            Became::Beside => style.accent(&word),
            Became::Unclear => style.bad(&word),
        };
        _ = writeln!(text, "      {word} {}", wrapped(&note.message, 15, 15));
    }
    if let Some(command) = &conversion.command {
        _ = writeln!(
            text,
            "\nIn the place of the script:\n      {}\n",
            style.bold(command)
        );
    }
    text
}
