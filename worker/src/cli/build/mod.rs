//! `stagewright build`: plans, builds and writes the image in this process, with nothing left running.

mod annotation;
mod answer;
mod call;
mod planning;
mod request;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::ValueEnum;
use futures_util::StreamExt as _;
use stagewright_core::analysis::Analysis;
use stagewright_core::protocol::{BuildFailure, Event, ImageSummary, OutputFormat, StartBuild};
use tokio_util::sync::CancellationToken;

use self::annotation::{Annotation, Place};
use self::answer::{Built, Files};
use self::call::Call;
use self::request::Sources;
use super::dockerfile::Dockerfile;
use super::named::{self, Folder};
use super::progress::Progress;
use super::signals::{INTERRUPTED, Signals};
use super::style::Style;
use super::{Failure, dockerfile, machine, print, report, secrets};
use crate::backend::Extras;
use crate::build::Builds;
use crate::export::ImageOptions;
use crate::source::image::reference::Reference;

/// Build an image on this machine
///
/// Progress goes to standard error, the image's digest to standard output. Ends with 1 where the file has errors or
/// the build fails, with 2 where it was asked for wrongly, with 130 where it was interrupted.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of its own, as docker build has them"
)]
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

    /// What to call the image, which is kept under that name (see `image`); may be given several times
    #[arg(short, long, value_name = "NAME", value_parser = tag)]
    tag: Vec<Reference>,

    /// Put something in the place of an image, a stage or a folder: a folder, docker-image://…, a git or http address
    #[arg(long, value_name = "NAME=VALUE")]
    build_context: Vec<String>,

    /// Give the image a label, beside those of the Dockerfile
    #[arg(long, value_name = "NAME=VALUE")]
    label: Vec<String>,

    /// Annotate the image's manifest, or what stands before a colon: manifest, manifest-descriptor, index or
    /// index-descriptor, each for one platform where it ends in [OS/ARCH]
    #[arg(long, value_name = "NAME=VALUE", value_parser = Annotation::read)]
    annotation: Vec<Annotation>,

    /// Run every step again
    #[arg(long)]
    no_cache: bool,

    /// Run the steps of this stage again; may be given several times
    #[arg(
        long,
        value_name = "STAGE",
        value_delimiter = ',',
        conflicts_with = "no_cache"
    )]
    no_cache_filter: Vec<String>,

    /// Ask registries what tags point to now, which every build does anyway
    #[arg(long)]
    pull: bool,

    /// Take images that have a name here (see `image`) before asking registries, as Docker's own builder does
    #[arg(long)]
    local_images: bool,

    /// Look at the Dockerfile instead of building it, as `stagewright check` does; any warning ends it with 1
    #[arg(long, conflicts_with = "call")]
    check: bool,

    /// Answer a question instead of building: check, outline, or targets; with ,format=json for programs
    #[arg(long, value_name = "QUESTION", value_parser = Call::read)]
    call: Option<Call>,

    /// Say nothing but the image's id
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    files: Files,

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
    let mut dockerfile = arguments.dockerfile.read()?;
    let options = &mut dockerfile.input.options;
    if arguments.no_cache || !arguments.no_cache_filter.is_empty() {
        options.no_cache = Some(arguments.no_cache_filter.clone());
    }
    let folders = named::read(&arguments.build_context, options)?;
    let call = if arguments.check {
        Some(Call::CHECK)
    } else {
        arguments.call
    };
    if let Some(answer) = call.and_then(|call| call.answer(&dockerfile)) {
        return answer;
    }
    if arguments.annotation.iter().any(Annotation::wants_an_index) {
        return Err(Failure::new(
            Failure::USAGE,
            "an index is annotated, but an image for one platform has none",
        )
        .hint("annotate its manifest: --annotation manifest:NAME=VALUE"));
    }
    arguments.files.clear()?;
    arguments.machine.run(build(arguments, dockerfile, folders))
}

async fn build(
    arguments: &Arguments,
    mut dockerfile: Dockerfile,
    folders: BTreeMap<String, Folder>,
) -> Result<ExitCode, Failure> {
    let machine = arguments.machine.open()?;
    let builds = &machine.builds;
    let stop = CancellationToken::new();
    let catching = tokio::spawn(Signals::catch()?.watch(stop.clone()));
    let kept = machine.storage.names();
    let local = arguments.local_images.then_some(&kept);
    let analysis = tokio::select! {
        analysis = planning::plan(builds, local, &mut dockerfile) => analysis?,
        () = stop.cancelled() => return Ok(ExitCode::from(INTERRUPTED)),
    };
    if !arguments.quiet || analysis.has_errors() {
        tell(&report::findings(
            Style::err(),
            &dockerfile.name,
            &dockerfile.input.source,
            &analysis.diagnostics,
        ));
    }
    let (Some(definition), Some(config)) = (&analysis.definition, &analysis.image_config) else {
        let tally = report::tally(&analysis.diagnostics).unwrap_or_else(|| "no stage".into());
        return Err(Failure::new(
            Failure::WORK,
            format!("{} cannot be built: {tally}", dockerfile.name),
        ));
    };
    let sources = Sources {
        arguments: &arguments.dockerfile,
        ignore: (
            dockerfile.input.options.ignore.as_deref().unwrap_or_default(),
            dockerfile.ignore_name.as_deref().unwrap_or(".dockerignore"),
        ),
        named: &folders,
    };
    let request = StartBuild {
        ops: request::ops(definition),
        digest: definition.digest.clone(),
        image_config: request::labelled(config.clone(), &arguments.label),
        contexts: sources.offer(builds, definition)?,
        title: arguments.title(),
        no_cache: arguments.no_cache,
    };
    let platform = dockerfile.input.options.platform.clone().unwrap_or_default();
    let extras = Extras {
        no_cache: Arc::new(request::afresh(definition)),
        secrets: Arc::new(arguments.secrets.secrets()?),
        agents: Arc::new(arguments.secrets.agents()?),
        local: true,
        image: ImageOptions {
            annotations: Annotation::of(&arguments.annotation, Place::Manifest, &platform),
        },
    };
    let id = builds
        .start_with(request, extras)
        .map_err(|error| Failure::new(Failure::WORK, error.to_string()))?;
    let end = follow(builds, &id, &stop, arguments.quiet).await?;
    catching.abort();
    let storage = machine.storage.clone();
    let ended = match end {
        End::Done(image) => {
            for name in &arguments.tag {
                kept.give(name, &image.digest)
                    .map_err(|error| Failure::new(Failure::PLACE, error.to_string()))?;
            }
            if let Some(output) = &arguments.output {
                write(builds, &id, &arguments.tag, arguments.format, output).await?;
            }
            let built = Built {
                size: builds.contexts().content().size(&image.digest).unwrap_or(0),
                media_type: "application/vnd.oci.image.manifest.v1+json",
                digest: image.digest,
                config: Some(image.config),
                names: arguments.tag.clone(),
            };
            arguments.files.write(&built)?;
            let to_stdout = arguments.output.as_deref() == Some(Path::new("-"));
            let said = if arguments.quiet {
                built.id()
            } else {
                &built.digest
            };
            let said = format!("{said}\n");
            if to_stdout {
                tell(&said);
            } else {
                print(&said)?;
            }
            Ok(ExitCode::SUCCESS)
        }
        End::Failed(failure) => Err(failed(&dockerfile, &analysis, &failure)),
        End::Cancelled => Ok(ExitCode::from(INTERRUPTED)),
    };
    // The image was written, so what is too much may go.
    _ = tokio::task::spawn_blocking(move || storage.tidy()).await;
    ended
}

impl Arguments {
    /// What the build is called where builds are listed.
    fn title(&self) -> String {
        let name = self.tag.first().map(ToString::to_string);
        let name = name.unwrap_or_else(|| "image".into());
        // A reference is ASCII, and may be longer than a title.
        let name = name.strip_prefix("docker.io/library/").unwrap_or(&name);
        name.chars().take(200).collect()
    }
}

/// Reads a name for the image; the error completes clap's own sentence.
fn tag(text: &str) -> Result<Reference, String> {
    let reference: Reference = text
        .parse()
        .map_err(|error: crate::source::image::reference::InvalidReference| error.to_string())?;
    match reference.digest() {
        Some(_) => Err("a name for a new image cannot have a digest: write NAME:TAG".into()),
        None => Ok(reference),
    }
}

enum End {
    Done(ImageSummary),
    Failed(BuildFailure),
    Cancelled,
}

/// Tells what happens until the build ends.
async fn follow(builds: &Builds, id: &str, stop: &CancellationToken, quiet: bool) -> Result<End, Failure> {
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
            Event::Status(_) if quiet => {}
            Event::Status(status) => tell(&progress.tell(status)),
            Event::Layer(_) => {}
            Event::Done(image) => return Ok(End::Done(image.clone())),
            Event::Failed(failure) => return Ok(End::Failed(failure.clone())),
            Event::Cancelled => return Ok(End::Cancelled),
        }
    }
}

/// Writes the image beside its place and renames it, so that a file of that name is always whole.
async fn write(
    builds: &Builds,
    id: &str,
    names: &[Reference],
    format: Format,
    output: &Path,
) -> Result<(), Failure> {
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
            .export_as(id, names, format, out)
            .await
            .map_err(|error| cannot(&error));
    }
    let mut beside = output.as_os_str().to_owned();
    beside.push(".part");
    let beside = PathBuf::from(beside);
    let file = File::create(&beside).map_err(|error| cannot(&error))?;
    let written = builds
        .export_as(id, names, format, Box::new(file))
        .await
        .map_err(|error| cannot(&error));
    let renamed = written.and_then(|()| std::fs::rename(&beside, output).map_err(|error| cannot(&error)));
    if renamed.is_err() {
        // What is left of it is of no use; where it cannot even be removed, its name says what it is.
        _ = std::fs::remove_file(&beside);
    }
    renamed
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
