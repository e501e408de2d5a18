//! `stagewright build`: plans, builds and writes the image in this process, with nothing left running.

mod answer;
mod attest;
mod call;
mod display;
mod elsewhere;
mod lent;
mod limits;
pub(in crate::cli) mod refused;
mod remote;
mod running;
mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use stagewright_core::analysis::Options;
use tokio_util::sync::CancellationToken;

use self::answer::Files;
use self::call::Call;
use self::display::{Display, Manner};
use self::remote::Address;
use self::running::End;
use self::written::{Written, values};
use super::dockerfile::Dockerfile;
use super::machine::Machine;
use super::named;
use super::signals::{INTERRUPTED, Signals};
use super::terminal::tell;
use super::{Failure, backend, dockerfile, machine, print, secrets, steps};
use crate::config::{Config, Entitlement};
use crate::provenance::Origin;
use crate::request::annotation::Annotation;
use crate::request::cache::{CacheFrom, CacheTo, Caches};
use crate::request::finish::Built;
use crate::request::order::Order;
use crate::request::output::{Kind, Output};
use crate::request::planning::{Planned, plan};
use crate::request::sources::Sources;
use crate::request::wanted::{Wanted, Wishes};
use crate::request::watcher::Watcher as _;
use crate::request::{allow, epoch, failure, finish, places};
use crate::source::image::reference::{self, Reference};

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
    /// or type=local|tar|oci|docker|image|registry|cacheonly with more keys; may be given several times
    #[arg(short, long, value_name = "OUTPUT", value_parser = Written::by(Output::read))]
    output: Vec<Written<Output>>,

    /// Push the image to the registries of its names; short for --output type=registry
    #[arg(long)]
    push: bool,

    /// Load the image into Docker or Podman on this machine; short for --output type=docker
    #[arg(long)]
    load: bool,

    /// What to call the image, which is kept under that name (see `image`); may be given several times
    #[arg(short, long, value_name = "NAME", value_parser = reference::name)]
    tag: Vec<Reference>,

    /// Put something in the place of an image, a stage or a folder: a folder, docker-image://…,
    /// oci-layout://…, oci-archive:…, docker-archive:…, a git or http address
    #[arg(long, value_name = "NAME=VALUE")]
    build_context: Vec<String>,

    /// Give the image a label, beside those of the Dockerfile
    #[arg(long, value_name = "NAME=VALUE")]
    label: Vec<String>,

    /// Annotate the image's manifest, or what stands before a colon: manifest, manifest-descriptor, index or
    /// index-descriptor, each for one platform where it ends in [OS/ARCH]
    #[arg(long, value_name = "NAME=VALUE", value_parser = Written::by(Annotation::read))]
    annotation: Vec<Written<Annotation>>,

    /// Take steps from a cache of another machine: a name in a registry, type=registry,ref=NAME or
    /// type=local,src=FOLDER; may be given several times
    #[arg(long, value_name = "CACHE", value_parser = Written::by(CacheFrom::read))]
    cache_from: Vec<Written<CacheFrom>>,

    /// Write a cache for other machines: type=registry,ref=NAME, type=local,dest=FOLDER or type=inline; with mode=max
    /// the layers of all steps are in it; may be given several times
    #[arg(long, value_name = "CACHE", value_parser = Written::by(CacheTo::read))]
    cache_to: Vec<Written<CacheTo>>,

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

    #[command(flatten)]
    steps: steps::Arguments,

    #[command(flatten)]
    limits: limits::Arguments,

    /// Allow steps what they have only where that is allowed: network.host or security.insecure; may be given several
    /// times
    #[arg(long, value_name = "ENTITLEMENT", value_delimiter = ',')]
    allow: Vec<Entitlement>,

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
    attest: attest::Arguments,

    #[command(flatten)]
    files: Files,

    #[command(flatten)]
    secrets: secrets::Arguments,

    #[command(flatten)]
    whom: elsewhere::Whom,

    #[command(flatten)]
    backend: backend::Arguments,

    #[command(flatten)]
    machine: machine::Arguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    if arguments.whom.is_elsewhere() {
        return elsewhere::run(arguments);
    }
    let Some(address) = Address::read(arguments.dockerfile.place()) else {
        return match begin(arguments, &arguments.dockerfile)? {
            Begun::Answered(code) => Ok(code),
            Begun::Ready(ready) => arguments.machine.run(async {
                let stop = Signals::stop()?;
                let config = arguments.machine.config()?;
                build(arguments, &arguments.dockerfile, *ready, &config, &stop).await
            }),
        };
    };
    arguments.machine.run(async {
        // Before anything is there that would be left behind.
        let stop = Signals::stop()?;
        let config = arguments.machine.config()?;
        if let Some(place) = address.far().filter(|_| arguments.manner().speaks()) {
            tell(&format!("fetching {place}\n"));
        }
        let fetched = tokio::select! {
            fetched = address.fetch(&arguments.dockerfile, config.limits.download_size) => fetched?,
            () = stop.cancelled() => return Ok(ExitCode::from(INTERRUPTED)),
        };
        match begin(arguments, &fetched.arguments)? {
            Begun::Answered(code) => Ok(code),
            Begun::Ready(mut ready) => {
                ready.fetched = true;
                ready.repository = fetched.repository;
                build(arguments, &fetched.arguments, *ready, &config, &stop).await
            }
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
    order: Order,
    dockerfile: Dockerfile,
    contexts: named::Contexts,
    /// Whether the context was brought here for this build.
    fetched: bool,
    /// The repository that is the context, and its commit.
    repository: Option<(String, String)>,
}

/// Reads what is to be built at `place`, and what is to come of it.
fn begin(arguments: &Arguments, place: &dockerfile::Arguments) -> Result<Begun, Failure> {
    let mut dockerfile = place.read_for_several()?;
    epoch::enter(&mut dockerfile.input.options, |name| std::env::var(name).ok());
    let options = &mut dockerfile.input.options;
    if arguments.no_cache || !arguments.no_cache_filter.is_empty() {
        options.no_cache = Some(arguments.no_cache_filter.clone());
    }
    options.run = arguments.steps.options();
    let contexts = named::read(&arguments.build_context, options)?;
    let call = if arguments.check {
        Some(Call::CHECK)
    } else {
        arguments.call
    };
    if let Some(answer) = call.and_then(|call| call.answer(&dockerfile)) {
        return answer.map(Begun::Answered);
    }
    let order = arguments.order(&dockerfile.input.options)?;
    arguments.files.clear()?;
    Ok(Begun::Ready(Box::new(Ready {
        order,
        dockerfile,
        contexts,
        fetched: false,
        repository: None,
    })))
}

impl Arguments {
    fn manner(&self) -> Manner {
        if self.quiet { Manner::Quiet } else { self.progress }
    }

    /// What steps may have beyond their sandbox. Who gives all of them the machine's network means it.
    fn entitlements(&self) -> BTreeSet<Entitlement> {
        let mut allowed: BTreeSet<Entitlement> = self.allow.iter().copied().collect();
        if self.steps.network == steps::Network::Host {
            allowed.insert(Entitlement::NetworkHost);
        }
        allowed
    }

    /// Tells what was built, on standard output and in files.
    fn said(
        &self,
        wanted: &Wanted,
        built: Option<&Built>,
        display: &mut Display,
    ) -> Result<ExitCode, Failure> {
        self.files.write(built)?;
        if let Some(built) = built {
            let said = if self.manner() == Manner::Quiet {
                built.id()
            } else {
                &built.digest
            };
            let said = format!("{said}\n");
            if wanted
                .outputs
                .iter()
                .any(|output| output.kind.takes_standard_output())
            {
                display.note(&said);
            } else {
                print(&said)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// All that is asked for, taken together.
    fn order(&self, options: &Options) -> Result<Order, Failure> {
        let outputs = values(&self.output);
        standard_output(&outputs)?;
        let provenance = self.attest.asked();
        let wishes = Wishes {
            outputs,
            push: self.push,
            load: self.load,
            tags: self.tag.clone(),
            annotations: values(&self.annotation),
            platforms: self.dockerfile.platforms(),
            stated: provenance.is_some(),
        };
        let wanted = Wanted::of(wishes, options)?;
        // An hour later would be late to say so.
        places::check(&wanted.outputs)?;
        for cache in self.cache_to.iter().filter_map(|cache| cache.folder()) {
            places::folder(cache)?;
        }
        for output in self.output.iter().filter(|_| self.manner().speaks()) {
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
        Ok(Order {
            wanted,
            caches: Caches::of(&values(&self.cache_from), &values(&self.cache_to)),
            labels: self.label.clone(),
            no_cache: self.no_cache,
            provenance,
            secrets: Arc::new(self.secrets.secrets()?),
            agents: Arc::new(self.secrets.agents()?),
            entitlements: self.entitlements(),
            limits: self.limits.limits(),
            local: true,
        })
    }
}

/// Refuses outputs that would mix on standard output, or spoil a terminal.
fn standard_output(outputs: &[Output]) -> Result<(), Failure> {
    let usage = |message: &str, hint: &str| Err(Failure::new(Failure::USAGE, message).hint(hint));
    let standard = outputs
        .iter()
        .filter(|output| output.kind.takes_standard_output())
        .count();
    if standard > 1 {
        return usage(
            "two outputs go to standard output",
            "give all but one a file with dest=FILE",
        );
    }
    if standard > 0 && io::stdout().is_terminal() {
        return usage(
            "an archive would go to the terminal",
            "redirect standard output, or name a file with dest=FILE",
        );
    }
    Ok(())
}

async fn build(
    arguments: &Arguments,
    place: &dockerfile::Arguments,
    ready: Ready,
    config: &Config,
    stop: &CancellationToken,
) -> Result<ExitCode, Failure> {
    let Ready {
        order,
        mut dockerfile,
        contexts: brought,
        fetched,
        repository,
    } = ready;
    let waiting = |place: &Path| {
        if arguments.manner().speaks() {
            tell(&format!("waiting for another build in {}\n", place.display()));
        }
    };
    let routes = arguments.backend.routes(config)?;
    let Some(machine) = arguments.machine.open_in_turn(config, routes, stop, waiting)? else {
        return Ok(ExitCode::from(INTERRUPTED));
    };
    lent::lend(&machine, &brought, &mut dockerfile.input.options)?;
    let dockerfile = &dockerfile;
    let builds = &machine.builds;
    let mut display = Display::new(arguments.manner(), stop);
    let names = machine.storage.names();
    let local = arguments.local_images.then_some(&names);
    let mut planned = tokio::select! {
        planned = plan(builds, local, &order.wanted.platforms, dockerfile, &mut display) => planned?,
        () = stop.cancelled() => return Ok(ExitCode::from(INTERRUPTED)),
    };
    let own = place.context();
    let sources = Sources {
        own: own.as_deref().map_err(Clone::clone),
        ignore: (
            dockerfile.input.options.ignore.as_deref().unwrap_or_default(),
            dockerfile.ignore_name.as_deref().unwrap_or(".dockerignore"),
        ),
        named: &brought.folders,
        fetched,
        scans: &machine.state.path.join("scans"),
    };
    let allowed = &order.entitlements | &builds.limits().entitlements;
    for plan in &planned {
        allow::check(&plan.dockerfile, &plan.analysis, &allowed, &mut display)?;
    }
    let origin = || Origin {
        path: attest::path(
            arguments.dockerfile.file().unwrap_or(Path::new(place.usual())),
            repository.is_some(),
        ),
        repository: repository.clone(),
    };
    order.state(&mut planned, origin, || builds.backend().describe().platform)?;
    let mut contexts = BTreeMap::new();
    let mut ids = Vec::new();
    for plan in &planned {
        if let Some(definition) = &plan.analysis.definition {
            sources.offer(builds, definition, &mut contexts, &mut display)?;
        }
        let (request, extras) = order.ready(plan, &contexts)?;
        let started = builds.start_with(request, extras);
        ids.push(started.map_err(|error| Failure::new(Failure::WORK, error.to_string()))?);
    }
    let followed = Followed {
        machine: &machine,
        planned: &planned,
        stop,
    };
    let ended = carry_out(arguments, &order, &followed, &ids, &mut display).await;
    let storage = machine.storage.clone();
    // What was wanted is written, so what is too much may go.
    _ = tokio::task::spawn_blocking(move || storage.tidy()).await;
    ended
}

/// Builds under way.
struct Followed<'a> {
    machine: &'a Machine,
    planned: &'a [Planned],
    stop: &'a CancellationToken,
}

/// Follows the builds to their end, and puts out what they gave.
async fn carry_out(
    arguments: &Arguments,
    order: &Order,
    followed: &Followed<'_>,
    ids: &[String],
    display: &mut Display,
) -> Result<ExitCode, Failure> {
    let Followed {
        machine,
        planned,
        stop,
    } = followed;
    let images = match running::follow(&machine.builds, ids, stop, display).await? {
        End::Done(images) => images,
        End::Failed(index, failure) => {
            let plan = planned.get(index);
            let plan = plan.map(|plan| (&plan.dockerfile, &plan.analysis));
            return Err(Failure::new(Failure::WORK, failure::told(plan, &failure)));
        }
        End::Cancelled => return Ok(ExitCode::from(INTERRUPTED)),
    };
    let names = machine.storage.names();
    let built = tokio::select! {
        built = finish::finish(&order.wanted, &machine.builds, &names, planned, &images, display) => built?,
        () = stop.cancelled() => return Ok(ExitCode::from(INTERRUPTED)),
    };
    tokio::select! {
        written = order.caches.write(&machine.builds, display) => written?,
        () = stop.cancelled() => return Ok(ExitCode::from(INTERRUPTED)),
    }
    display.finish();
    arguments.said(&order.wanted, built.as_ref(), display)
}
