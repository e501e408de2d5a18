//! `stagewright build`: plans, builds and writes the image in this process, with nothing left running.

mod annotation;
mod answer;
mod call;
mod deliver;
mod display;
mod epoch;
mod failure;
mod output;
mod planning;
mod remote;
mod request;
mod running;

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use stagewright_core::analysis::Analysis;
use stagewright_core::digest::Digest;
use stagewright_core::platform::Platform;
use stagewright_core::protocol::{ImageSummary, StartBuild};
use tokio_util::sync::CancellationToken;

use self::annotation::{Annotation, Place};
use self::answer::{Built, Files};
use self::call::Call;
use self::deliver::Image;
use self::display::{Display, Manner};
use self::output::{Choice, Destination, Kind, Output, Push};
use self::remote::{Address, Checkout};
use self::request::Sources;
use self::running::End;
use super::dockerfile::Dockerfile;
use super::machine::Machine;
use super::named::{self, Folder};
use super::signals::{INTERRUPTED, Signals};
use super::style::Style;
use super::{Failure, dockerfile, machine, print, report, secrets};
use crate::backend::{Extras, FilesOutput};
use crate::build::Builds;
use crate::export::{INDEX_TYPE, ImageOptions, MANIFEST_TYPE, Naming, assemble_index};
use crate::source::image::reference::Reference;
use crate::storage::names::ImageNames;

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

    /// What becomes of the result, besides that it stays in the cache: a folder for its files, `-` for a tar of them,
    /// or type=local|tar|oci|docker|image|registry with more keys; may be given several times
    #[arg(short, long, value_name = "OUTPUT", value_parser = Output::read)]
    output: Vec<Output>,

    /// Push the image to the registries of its names; short for --output type=registry
    #[arg(long)]
    push: bool,

    /// Load the image into Docker or Podman on this machine; short for --output type=docker
    #[arg(long)]
    load: bool,

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

    /// How to show progress
    #[arg(
        long,
        value_enum,
        value_name = "MANNER",
        env = "BUILDKIT_PROGRESS",
        default_value_t
    )]
    progress: Manner,

    /// Say nothing but the image's id; short for --progress quiet
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    files: Files,

    #[command(flatten)]
    secrets: secrets::Arguments,

    #[command(flatten)]
    machine: machine::Arguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let Some(address) = Address::read(arguments.dockerfile.place())? else {
        return match begin(arguments, &arguments.dockerfile)? {
            Begun::Answered(code) => Ok(code),
            Begun::Ready(ready) => arguments
                .machine
                .run(build(arguments, &arguments.dockerfile, *ready)),
        };
    };
    arguments.machine.run(async {
        if arguments.manner() != Manner::Quiet {
            tell(&format!("fetching {}\n", arguments.dockerfile.place().display()));
        }
        let checkout = Checkout::fetch(&address).await?;
        let place = checkout.arguments(&arguments.dockerfile)?;
        match begin(arguments, &place)? {
            Begun::Answered(code) => Ok(code),
            Begun::Ready(ready) => build(arguments, &place, *ready).await,
        }
    })
}

/// How far a command comes before it needs the machine.
enum Begun {
    /// Something else than a build was asked for.
    Answered(ExitCode),
    Ready(Box<Ready>),
}

/// A build that is understood.
struct Ready {
    wanted: Wanted,
    dockerfile: Dockerfile,
    folders: BTreeMap<String, Folder>,
}

/// Reads what is to be built at `place`, and what is to come of it.
fn begin(arguments: &Arguments, place: &dockerfile::Arguments) -> Result<Begun, Failure> {
    let mut dockerfile = place.read_for_several()?;
    epoch::enter(&mut dockerfile.input.options, |name| std::env::var(name).ok());
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
        return answer.map(Begun::Answered);
    }
    let wanted = Wanted::of(arguments, &dockerfile)?;
    arguments.files.clear()?;
    Ok(Begun::Ready(Box::new(Ready {
        wanted,
        dockerfile,
        folders,
    })))
}

impl Arguments {
    fn manner(&self) -> Manner {
        if self.quiet { Manner::Quiet } else { self.progress }
    }
}

/// What is to come of a build.
struct Wanted {
    outputs: Vec<Output>,
    names: Vec<Reference>,
    /// The image's, as all outputs have it.
    choice: Choice,
    platforms: Vec<Platform>,
    epoch: Option<i64>,
}

impl Wanted {
    fn of(arguments: &Arguments, dockerfile: &Dockerfile) -> Result<Self, Failure> {
        let usage = |message: String| Failure::new(Failure::USAGE, message);
        let mut outputs = arguments.output.clone();
        if arguments.push {
            let image = outputs
                .iter_mut()
                .find(|output| matches!(output.kind, Kind::Image(_)));
            match image {
                Some(image) => image.kind = Kind::Image(Some(Push::default())),
                None => outputs.push(Output::of(Kind::Image(Some(Push::default())))),
            }
        }
        if arguments.load {
            outputs.push(Output::of(Kind::Load));
        }
        let mut choice = output::agreed(&outputs).map_err(usage)?;
        choice.annotations.extend(arguments.annotation.iter().cloned());
        // Names that the flag gives count for all outputs; else each may name its image itself.
        let names = if arguments.tag.is_empty() {
            let named = outputs.iter().flat_map(|output| &output.choice.names);
            named.cloned().collect()
        } else {
            arguments.tag.clone()
        };
        deliver::check(&outputs, &names)?;
        for output in &outputs {
            if let Kind::Folder(place, _) = &output.kind
                && place.extension().is_some_and(|ending| ending == "tar")
                && !place.exists()
            {
                let place = place.display();
                tell(&format!(
                    "note: {place} becomes a folder with the image's files; an archive of the image is -o type=oci,dest={place}\n"
                ));
            }
        }
        let epoch = epoch::of(&dockerfile.input.options);
        if choice.rewrite_timestamps && epoch.is_none() {
            return Err(usage("rewrite-timestamp=true needs a time to write".into())
                .hint("set SOURCE_DATE_EPOCH, in the environment or as --build-arg, to seconds since 1970"));
        }
        let platforms = arguments.dockerfile.platforms();
        if platforms.len() == 1 && choice.annotations.iter().any(Annotation::wants_an_index) {
            return Err(
                usage("an index is annotated, but an image for one platform has none".into())
                    .hint("annotate its manifest: --annotation manifest:NAME=VALUE"),
            );
        }
        let several = platforms.len() > 1;
        let single = |output: &&Output| {
            matches!(
                output.kind,
                Kind::Load | Kind::Archive(stagewright_core::protocol::OutputFormat::Docker, _)
            ) || matches!(output.kind, Kind::Tar(_))
        };
        if several && let Some(output) = outputs.iter().find(single) {
            let what = match output.kind {
                Kind::Tar(_) => "a tar of files holds those of one platform",
                _ => "what docker load takes holds an image for one platform",
            };
            return Err(usage(format!("{what}, and {} are asked for", platforms.len()))
                .hint("write -o type=oci,dest=FILE or -o type=local,dest=FOLDER, or build for one"));
        }
        Ok(Self {
            outputs,
            names,
            choice,
            platforms,
            epoch,
        })
    }

    /// Whether anybody takes the image, rather than its files only.
    fn image(&self) -> bool {
        self.outputs.is_empty() || self.outputs.iter().any(|output| output.kind.is_image())
    }

    /// Where the files for one platform go.
    fn files(&self, platform: &Platform) -> Vec<FilesOutput> {
        let several = self.platforms.len() > 1;
        let place = |output: &Output| match &output.kind {
            Kind::Folder(place, split) if split.unwrap_or(several) => {
                let own = platform.to_string().replace('/', "_");
                Some(FilesOutput::Folder(place.join(own)))
            }
            Kind::Folder(place, _) => Some(FilesOutput::Folder(place.clone())),
            Kind::Tar(Destination::StandardOutput) => Some(FilesOutput::TarToStandardOutput),
            Kind::Tar(Destination::File(place)) => Some(FilesOutput::Tar(place.clone())),
            Kind::Archive(..) | Kind::Layout(_) | Kind::Load | Kind::Image(_) => None,
        };
        self.outputs.iter().filter_map(place).collect()
    }

    fn image_options(&self, platform: &Platform) -> ImageOptions {
        ImageOptions {
            annotations: Annotation::of(&self.choice.annotations, Place::Manifest, platform),
            encoding: self.choice.encoding,
            encode_all: self.choice.encode_all,
            epoch: self.epoch,
            rewrite_timestamps: self.choice.rewrite_timestamps,
            unmade: !self.image(),
        }
    }
}

/// The plan for one platform.
struct Planned {
    platform: Platform,
    dockerfile: Dockerfile,
    analysis: Analysis,
}

async fn build(
    arguments: &Arguments,
    place: &dockerfile::Arguments,
    ready: Ready,
) -> Result<ExitCode, Failure> {
    let Ready {
        wanted,
        dockerfile,
        folders,
    } = &ready;
    let machine = arguments.machine.open()?;
    let builds = &machine.builds;
    let stop = CancellationToken::new();
    let catching = tokio::spawn(Signals::catch()?.watch(stop.clone()));
    let mut display = Display::new(arguments.manner());
    let names = machine.storage.names();
    let local = arguments.local_images.then_some(&names);
    let planned = tokio::select! {
        planned = plan(builds, local, wanted, dockerfile, &mut display) => planned?,
        () = stop.cancelled() => return Ok(ExitCode::from(INTERRUPTED)),
    };
    let sources = Sources {
        arguments: place,
        ignore: (
            dockerfile.input.options.ignore.as_deref().unwrap_or_default(),
            dockerfile.ignore_name.as_deref().unwrap_or(".dockerignore"),
        ),
        named: folders,
    };
    let mut contexts = BTreeMap::new();
    let mut ids = Vec::new();
    for plan in &planned {
        ids.push(start(arguments, wanted, builds, plan, &sources, &mut contexts)?);
    }
    let ended = carry_out(arguments, wanted, &machine, &planned, &ids, &stop, &mut display).await;
    catching.abort();
    let storage = machine.storage.clone();
    // What was wanted is written, so what is too much may go.
    _ = tokio::task::spawn_blocking(move || storage.tidy()).await;
    ended
}

/// Follows the builds to their end, and puts out what they gave.
async fn carry_out(
    arguments: &Arguments,
    wanted: &Wanted,
    machine: &Machine,
    planned: &[Planned],
    ids: &[String],
    stop: &CancellationToken,
    display: &mut Display,
) -> Result<ExitCode, Failure> {
    let images = match running::follow(&machine.builds, ids, stop, display).await? {
        End::Done(images) => images,
        End::Failed(index, failure) => {
            let plan = planned.get(index);
            let plan = plan.map(|plan| (&plan.dockerfile, &plan.analysis));
            return Err(failure::of(plan, &failure));
        }
        End::Cancelled => return Ok(ExitCode::from(INTERRUPTED)),
    };
    let built = tokio::select! {
        built = finish(wanted, machine, planned, &images, display) => built?,
        () = stop.cancelled() => return Ok(ExitCode::from(INTERRUPTED)),
    };
    display.finish();
    arguments.files.write(built.as_ref())?;
    if let Some(built) = built {
        let said = if arguments.manner() == Manner::Quiet {
            built.id()
        } else {
            &built.digest
        };
        let said = format!("{said}\n");
        let mut outputs = wanted.outputs.iter();
        if outputs.any(|output| output.kind.takes_standard_output()) {
            display.note(&said);
        } else {
            print(&said)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Plans for every platform. What is found in the file is said once.
async fn plan(
    builds: &Builds,
    local: Option<&ImageNames>,
    wanted: &Wanted,
    dockerfile: &Dockerfile,
    display: &mut Display,
) -> Result<Vec<Planned>, Failure> {
    let mut planned = Vec::new();
    let mut said = String::new();
    for platform in &wanted.platforms {
        let mut dockerfile = dockerfile.clone();
        let options = &mut dockerfile.input.options;
        options.platform = Some(platform.clone());
        options.name_platforms = wanted.platforms.len() > 1;
        let analysis = planning::plan(builds, local, &mut dockerfile, display).await?;
        let findings = report::findings(
            Style::err(),
            &dockerfile.name,
            &dockerfile.input.source,
            &analysis.diagnostics,
        );
        if findings != said {
            if analysis.has_errors() {
                tell(&findings);
            } else {
                display.note(&findings);
            }
            said = findings;
        }
        if analysis.definition.is_none() {
            let tally = report::tally(&analysis.diagnostics).unwrap_or_else(|| "no stage".into());
            return Err(Failure::new(
                Failure::WORK,
                format!("{} cannot be built: {tally}", dockerfile.name),
            ));
        }
        planned.push(Planned {
            platform: platform.clone(),
            dockerfile,
            analysis,
        });
    }
    Ok(planned)
}

/// Starts the build for one platform.
fn start(
    arguments: &Arguments,
    wanted: &Wanted,
    builds: &Builds,
    plan: &Planned,
    sources: &Sources<'_>,
    contexts: &mut BTreeMap<String, Digest>,
) -> Result<String, Failure> {
    let (Some(definition), Some(config)) = (&plan.analysis.definition, &plan.analysis.image_config) else {
        return Err(Failure::new(Failure::WORK, "there is no plan to build"));
    };
    sources.offer(builds, definition, contexts)?;
    let request = StartBuild {
        ops: request::ops(definition),
        digest: definition.digest.clone(),
        image_config: request::labelled(config.to_value(), &arguments.label),
        contexts: contexts.clone(),
        title: title(&wanted.names),
        no_cache: arguments.no_cache,
    };
    let extras = Extras {
        no_cache: Arc::new(request::afresh(definition)),
        secrets: Arc::new(arguments.secrets.secrets()?),
        agents: Arc::new(arguments.secrets.agents()?),
        local: true,
        image: wanted.image_options(&plan.platform),
        files: Arc::new(wanted.files(&plan.platform)),
        tell_exports: true,
    };
    builds
        .start_with(request, extras)
        .map_err(|error| Failure::new(Failure::WORK, error.to_string()))
}

/// Puts the images out; gives what was built, where anybody wanted the image.
async fn finish(
    wanted: &Wanted,
    machine: &Machine,
    planned: &[Planned],
    images: &[ImageSummary],
    display: &mut Display,
) -> Result<Option<Built>, Failure> {
    if !wanted.image() {
        return Ok(None);
    }
    let builds = &machine.builds;
    let annotated = |place, plan: &Planned| Annotation::of(&wanted.choice.annotations, place, &plan.platform);
    let (root, media_type, annotations) = if let ([plan], [image]) = (planned, images) {
        let annotations = annotated(Place::ManifestDescriptor, plan);
        (image.digest.clone(), MANIFEST_TYPE, annotations)
    } else {
        let entry = |(plan, image): (&Planned, &ImageSummary)| {
            (image.digest.clone(), annotated(Place::ManifestDescriptor, plan))
        };
        let entries: Vec<_> = planned.iter().zip(images).map(entry).collect();
        let of = |place| {
            planned
                .first()
                .map(|plan| annotated(place, plan))
                .unwrap_or_default()
        };
        let index = assemble_index(builds.contexts().content(), &entries, &of(Place::Index));
        let index = index.map_err(|error| Failure::new(Failure::WORK, error.to_string()))?;
        (index, INDEX_TYPE, of(Place::IndexDescriptor))
    };
    let kept = machine.storage.names();
    for name in &wanted.names {
        kept.give(name, &root)
            .map_err(|error| Failure::new(Failure::PLACE, error.to_string()))?;
    }
    let naming = Naming {
        names: wanted.names.clone(),
        annotations,
    };
    let image = Image {
        builds,
        root: &root,
        naming: &naming,
        origins: origins(planned, images),
    };
    for output in &wanted.outputs {
        image.deliver(output, display).await?;
    }
    let config = match images {
        [image] => Some(image.config.clone()),
        _ => None,
    };
    Ok(Some(Built {
        size: builds.contexts().content().size(&root).unwrap_or(0),
        digest: root,
        media_type,
        config,
        names: naming.names,
    }))
}

/// The base images that layers came from, by the layers' blobs.
fn origins(planned: &[Planned], images: &[ImageSummary]) -> BTreeMap<Digest, Reference> {
    let mut origins = BTreeMap::new();
    for (plan, image) in planned.iter().zip(images) {
        for layer in &image.layers {
            let base = plan
                .analysis
                .images
                .iter()
                .find(|image| image.vertex.is_some() && image.vertex == layer.vertex);
            if let Some(reference) = base.and_then(|base| base.reference.parse().ok()) {
                origins.insert(layer.digest.clone(), reference);
            }
        }
    }
    origins
}

/// What the build is called where builds are listed.
fn title(names: &[Reference]) -> String {
    let name = names.first().map(ToString::to_string);
    let name = name.unwrap_or_else(|| "image".into());
    // A reference is ASCII, and may be longer than a title.
    let name = name.strip_prefix("docker.io/library/").unwrap_or(&name);
    name.chars().take(200).collect()
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

/// For people. Where nobody reads standard error any more, the build goes on all the same.
fn tell(text: &str) {
    _ = io::stderr().lock().write_all(text.as_bytes());
}
