//! `stagewright build`: plans, builds and writes the image in this process, with nothing left running.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::ValueEnum;
use futures_util::StreamExt as _;
use stagewright_core::analysis::{Analysis, Definition, ExternalImage};
use stagewright_core::diagnostic::{Diagnostic, Severity};
use stagewright_core::ignore::Ignore;
use stagewright_core::protocol::{
    BuildFailure, Event, ImageSummary, OutputFormat, ResolveImage, StartBuild, WireOp,
};
use stagewright_core::span::LineRange;
use tokio_util::sync::CancellationToken;

use super::dockerfile::Dockerfile;
use super::progress::Progress;
use super::signals::{INTERRUPTED, Signals};
use super::style::Style;
use super::{Failure, context, dockerfile, machine, print, report, secrets};
use crate::backend::{BackendError, Extras};
use crate::build::Builds;

/// Images may name further images only through stages, so each round of asking finds some or is the last.
const MOST_ROUNDS: usize = 100;

/// Build an image on this machine
///
/// Progress goes to standard error, the image's digest to standard output. Ends with 1 where the file has errors or
/// the build fails, with 2 where it was asked for wrongly, with 130 where it was interrupted.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    dockerfile: dockerfile::Arguments,

    /// Write the image to this file; `-` writes it to standard output. Without it the image only stays in the cache
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// As what to write it
    #[arg(long, value_enum, default_value_t = Format::Oci)]
    format: Format,

    /// What to call the image
    #[arg(short, long, value_name = "NAME", default_value = "image")]
    tag: String,

    /// Run every step again
    #[arg(long)]
    no_cache: bool,

    #[command(flatten)]
    secrets: secrets::Arguments,

    #[command(flatten)]
    machine: machine::Arguments,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// A tar of an OCI image layout
    Oci,
    /// What `docker load` reads
    Docker,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let dockerfile = arguments.dockerfile.read()?;
    arguments.machine.run(build(arguments, dockerfile))
}

async fn build(arguments: &Arguments, mut dockerfile: Dockerfile) -> Result<ExitCode, Failure> {
    let machine = arguments.machine.open()?;
    let builds = &machine.builds;
    let stop = CancellationToken::new();
    let catching = tokio::spawn(Signals::catch()?.watch(stop.clone()));
    let analysis = tokio::select! {
        analysis = plan(builds, &mut dockerfile) => analysis?,
        () = stop.cancelled() => return Ok(ExitCode::from(INTERRUPTED)),
    };
    tell(&report::findings(
        Style::err(),
        &dockerfile.name,
        &dockerfile.input.source,
        &analysis.diagnostics,
    ));
    let (Some(definition), Some(config)) = (&analysis.definition, &analysis.image_config) else {
        let tally = report::tally(&analysis.diagnostics).unwrap_or_else(|| "no stage".into());
        return Err(Failure::new(
            Failure::WORK,
            format!("{} cannot be built: {tally}", dockerfile.name),
        ));
    };
    let ignore = ignore(&dockerfile)?;
    let request = request(arguments, builds, &ignore, definition, config.clone())?;
    let id = builds
        .start_with(request, extras(arguments, definition)?)
        .map_err(|error| Failure::new(Failure::WORK, error.to_string()))?;
    let end = follow(builds, &id, &stop).await?;
    catching.abort();
    match end {
        End::Done(image) => {
            if let Some(output) = &arguments.output {
                write(builds, &id, arguments.format, output).await?;
            }
            let to_stdout = arguments.output.as_deref() == Some(Path::new("-"));
            let digest = format!("{}\n", image.digest);
            if to_stdout {
                tell(&digest);
            } else {
                print(&digest)?;
            }
            Ok(ExitCode::SUCCESS)
        }
        End::Failed(failure) => Err(failed(&dockerfile, &analysis, &failure)),
        End::Cancelled => Ok(ExitCode::from(INTERRUPTED)),
    }
}

/// Plans, asks for the images that the plan names, and plans again until it knows them all.
async fn plan(builds: &Builds, dockerfile: &mut Dockerfile) -> Result<Analysis, Failure> {
    for _ in 0..MOST_ROUNDS {
        let analysis = stagewright_core::analyze(&dockerfile.input);
        let unknown: Vec<_> = analysis
            .images
            .iter()
            .filter(|image| image.needed && !image.resolved)
            .collect();
        if unknown.is_empty() || analysis.has_errors() {
            return Ok(analysis);
        }
        for image in unknown {
            let request = ResolveImage {
                reference: image.reference.clone(),
                platform: image.platform.clone(),
            };
            let facts = match builds.backend().resolve_image(request).await {
                Ok(facts) => facts,
                Err(error) => return Err(unresolved(dockerfile, image, &error)),
            };
            if let Some(note) = &facts.note {
                tell(&format!("{}: {note}\n", image.name));
            }
            dockerfile
                .input
                .options
                .images
                .insert(image.reference.clone(), facts);
        }
    }
    Err(Failure::new(
        Failure::WORK,
        format!("{} names images without end", dockerfile.name),
    ))
}

/// What the ignore file keeps out. One with mistakes is refused, for it might let in what it was meant to keep out.
fn ignore(dockerfile: &Dockerfile) -> Result<Ignore, Failure> {
    let text = dockerfile.input.options.ignore.as_deref().unwrap_or_default();
    let (ignore, diagnostics) = Ignore::parse(text);
    if diagnostics.is_empty() {
        return Ok(ignore);
    }
    let name = dockerfile.ignore_name.as_deref().unwrap_or(".dockerignore");
    tell(&report::findings(Style::err(), name, text, &diagnostics));
    Err(Failure::new(
        Failure::WORK,
        format!("what {name} keeps out of the build context cannot be told"),
    ))
}

fn request(
    arguments: &Arguments,
    builds: &Builds,
    ignore: &Ignore,
    definition: &Definition,
    image_config: serde_json::Value,
) -> Result<StartBuild, Failure> {
    let mut contexts = std::collections::BTreeMap::new();
    // A build that takes nothing from its context reads none.
    if uses_context(definition) {
        let folder = arguments.dockerfile.context()?;
        let offer = context::scan(folder, ignore, builds.contexts().content())?;
        let name = offer.name.clone();
        let answer = builds
            .contexts()
            .offer(offer)
            .map_err(|error| Failure::new(Failure::WORK, error.to_string()))?;
        contexts.insert(name, answer.id);
    }
    let ops = definition
        .ops
        .iter()
        .map(|op| WireOp {
            bytes: op.bytes.clone(),
            name: op.name.clone(),
        })
        .collect();
    Ok(StartBuild {
        ops,
        digest: definition.digest.clone(),
        image_config,
        contexts,
        title: arguments.tag.clone(),
        no_cache: arguments.no_cache,
    })
}

/// What the build brings along beside its plan.
fn extras(arguments: &Arguments, definition: &Definition) -> Result<Extras, Failure> {
    let again = definition.ops.iter().filter(|op| op.ignore_cache);
    Ok(Extras {
        no_cache: Arc::new(again.map(|op| op.digest.clone()).collect()),
        secrets: Arc::new(arguments.secrets.secrets()?),
        agents: Arc::new(arguments.secrets.agents()?),
    })
}

fn uses_context(definition: &Definition) -> bool {
    use stagewright_core::llb::{OpKind, decode};
    definition.ops.iter().any(|op| {
        matches!(
            decode(&op.bytes).ok().and_then(|op| op.kind),
            Some(OpKind::Source(source)) if source.identifier.starts_with("local://")
        )
    })
}

enum End {
    Done(ImageSummary),
    Failed(BuildFailure),
    Cancelled,
}

/// Tells what happens until the build ends.
async fn follow(builds: &Builds, id: &str, stop: &CancellationToken) -> Result<End, Failure> {
    let broken = |error: crate::build::BuildsError| Failure::new(Failure::WORK, error.to_string());
    let (_, mut events) = builds.attach(id, 0).map_err(broken)?;
    let mut progress = Progress::default();
    let mut cancelled = false;
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = stop.cancelled(), if !cancelled => {
                cancelled = true;
                builds.cancel(id).map_err(broken)?;
                continue;
            }
        };
        let Some(event) = event else {
            return Err(Failure::new(
                Failure::WORK,
                "the build's events ended before the build did",
            ));
        };
        match &event.event {
            Event::Status(status) => tell(&progress.tell(status)),
            Event::Layer(_) => {}
            Event::Done(image) => return Ok(End::Done(image.clone())),
            Event::Failed(failure) => return Ok(End::Failed(failure.clone())),
            Event::Cancelled => return Ok(End::Cancelled),
        }
    }
}

/// Writes the image beside its place and renames it, so that a file of that name is always whole.
async fn write(builds: &Builds, id: &str, format: Format, output: &Path) -> Result<(), Failure> {
    let cannot = |error: &dyn std::fmt::Display| {
        Failure::new(
            Failure::WORK,
            format!("cannot write the image to {}: {error}", output.display()),
        )
    };
    let format = match format {
        Format::Oci => OutputFormat::Oci,
        Format::Docker => OutputFormat::Docker,
    };
    if output == Path::new("-") {
        let out: Box<dyn Write + Send> = Box::new(io::stdout());
        return builds
            .export(id, format, out)
            .await
            .map_err(|error| cannot(&error));
    }
    let mut beside = output.as_os_str().to_owned();
    beside.push(".part");
    let beside = PathBuf::from(beside);
    let file = File::create(&beside).map_err(|error| cannot(&error))?;
    let written = builds
        .export(id, format, Box::new(file))
        .await
        .map_err(|error| cannot(&error));
    let renamed = written.and_then(|()| std::fs::rename(&beside, output).map_err(|error| cannot(&error)));
    if renamed.is_err() {
        // What is left of it is of no use; where it cannot even be removed, its name says what it is.
        _ = std::fs::remove_file(&beside);
    }
    renamed
}

/// An image that cannot be had, as an error with its place in the file.
fn unresolved(dockerfile: &Dockerfile, image: &ExternalImage, error: &BackendError) -> Failure {
    let source = &dockerfile.input.source;
    let before = source.get(..image.span.start).unwrap_or_default();
    let line = u32::try_from(before.matches('\n').count())
        .unwrap_or(u32::MAX)
        .saturating_add(1);
    let finding = Diagnostic {
        severity: Severity::Error,
        code: "image".into(),
        message: error.to_string(),
        span: image.span,
        lines: LineRange {
            start: line,
            end: line,
        },
        hint: None,
    };
    tell(&report::findings(
        Style::err(),
        &dockerfile.name,
        source,
        &[finding],
    ));
    Failure::new(
        Failure::WORK,
        format!("{} cannot be built without {}", dockerfile.name, image.name),
    )
}

/// A failed build as an error: why, and the lines of the step.
fn failed(dockerfile: &Dockerfile, analysis: &Analysis, failure: &BuildFailure) -> Failure {
    let mut message = failure.message.clone();
    let step = failure.vertex.as_ref().and_then(|vertex| {
        let steps = analysis.stages.iter().flat_map(|stage| &stage.steps);
        steps
            .into_iter()
            .find(|step| step.vertex.as_ref() == Some(vertex))
    });
    if let Some(step) = step {
        _ = write!(message, "\n --> {}:{}", dockerfile.name, step.lines.start);
        let source = dockerfile
            .input
            .source
            .get(step.span.start..step.span.end)
            .unwrap_or_default();
        for (number, line) in (step.lines.start..).zip(source.lines()) {
            _ = write!(message, "\n{number:>4} | {line}");
        }
    }
    Failure::new(Failure::WORK, message)
}

/// For people. Where nobody reads standard error any more, the build goes on all the same.
fn tell(text: &str) {
    _ = io::stderr().lock().write_all(text.as_bytes());
}
