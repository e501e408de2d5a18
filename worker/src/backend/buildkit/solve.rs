//! One build in a daemon, from the definition to the image in our own store.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard_buildkit_proto::moby::buildkit::v1::control_client::ControlClient;
use bollard_buildkit_proto::moby::buildkit::v1::{
    self as told, CacheOptions, CacheOptionsEntry, StatusRequest,
};
use stagewright_core::llb::OpKind;
use stagewright_core::platform::Platform;
use stagewright_core::protocol::{BuildFailure, ImageSummary, SolveStatus, Vertex, VertexLog};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::connection::Unreachable;
use super::definition::{self, Afresh, Sent};
use super::exporting::{self, Exporting};
use super::fleet::Chosen;
use super::image::reading;
use super::session::{Export, Given, Layouts, Pieces, Session};
use super::status::Translation;
use super::{Shared, engine, failure};
use crate::backend::embedded::files;
use crate::backend::{EventSink, Extras, SolveRequest, task, timestamp};
use crate::build::validate::asks_for;
use crate::sandbox::Limits;
use crate::sharing::Place;

/// How long what is told may come after what was done.
const LATE: Duration = Duration::from_secs(5);
/// How long an engine may take to remove an image that nobody wants any more.
const TIDYING: Duration = Duration::from_secs(2);
/// The repository of images that an engine keeps until they are taken out. No registry has this name.
const PASSING: &str = "stagewright.invalid/passing";
/// Under what a daemon says which image it exported.
const DIGEST: &str = "containerimage.digest";
/// Longest message of a daemon.
const LONGEST_MESSAGE: usize = 64 << 20;

/// A build under way.
pub(super) struct Solve {
    shared: Arc<Shared>,
    request: SolveRequest,
    events: EventSink,
    translation: Mutex<Translation>,
    /// The image's name in the engine, where one is on its way through it.
    passing: Mutex<Option<(super::connection::Route, String)>>,
}

impl Solve {
    /// Runs a build to its end.
    pub(super) async fn run(
        shared: Arc<Shared>,
        request: SolveRequest,
        events: EventSink,
        cancel: CancellationToken,
    ) -> Result<ImageSummary, BuildFailure> {
        let build = Self {
            shared,
            request,
            events,
            translation: Mutex::new(Translation::new(BTreeMap::new(), false)),
            passing: Mutex::default(),
        };
        let result = tokio::select! {
            biased;
            // With the calls the build ends in the daemon.
            () = cancel.cancelled() => Err(said("the build was cancelled")),
            result = build.build(&cancel) => result,
        };
        let passing = build
            .passing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some((route, name)) = passing {
            let forgotten = tokio::time::timeout(TIDYING, engine::forget(&route, &name)).await;
            if !matches!(forgotten, Ok(Ok(()))) && !cancel.is_cancelled() {
                tracing::warn!(image = name, address = %route.address, "the engine still has an image of this build");
            }
        }
        if cancel.is_cancelled() {
            build.events.status(build.translation().stopped(&timestamp()));
        }
        result
    }

    fn translation(&self) -> std::sync::MutexGuard<'_, Translation> {
        self.translation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn build(&self, cancel: &CancellationToken) -> Result<ImageSummary, BuildFailure> {
        let extras = &self.request.extras;
        let caches = caches(extras).map_err(said)?;
        let chosen = self.choose().await?;
        let mut session = Session::open(chosen.channel.clone(), random_name()?, self.given()?);
        let afresh = if self.request.no_cache {
            Afresh::All
        } else {
            Afresh::Some(&extras.no_cache)
        };
        let sent = definition::sent(&self.request.graph, &self.request.contexts, &afresh);
        *self.translation() = Translation::new(sent.names.clone(), extras.tell_exports);
        let solving = Solving {
            build: self,
            chosen: &chosen,
            sent,
            caches,
        };
        let image = if extras.image.unmade {
            if extras.files.is_empty() {
                solving.solve(&mut session, Exporting::default()).await?;
            }
            self.shared
                .taking
                .unmade(&self.request.image_config, &extras.image)
                .map_err(said)?
        } else if chosen.about.keeps_images {
            solving.image_of_engine(&mut session).await?
        } else {
            solving.image(&mut session).await?
        };
        if !extras.files.is_empty() {
            // All is there by now, unless nothing was asked for but the files.
            let mut solving = solving;
            if !extras.image.unmade {
                let none = BTreeSet::new();
                solving.sent =
                    definition::sent(&self.request.graph, &self.request.contexts, &Afresh::Some(&none));
                solving.caches = CacheOptions::default();
            }
            solving.files(&mut session, cancel).await?;
        }
        Ok(image)
    }

    /// Finds a daemon, and says which it is and what others were not taken.
    async fn choose(&self) -> Result<Chosen, BuildFailure> {
        let extras = &self.request.extras;
        let chosen = self.shared.fleet.choose(platform(&self.request).as_ref()).await;
        let (name, notes, error) = match &chosen {
            Ok(chosen) => {
                let name = format!(
                    "building in {} at {}",
                    chosen.about.version, chosen.daemon.route.address
                );
                let mut notes: Vec<String> = chosen.passed_over.iter().map(Unreachable::to_string).collect();
                if extras.limits != Limits::default() {
                    notes.push(
                        "limits of memory, processes and processors are the daemon's own to set".to_owned(),
                    );
                }
                (name, notes, None)
            }
            Err(errors) => {
                let all: Vec<String> = errors.iter().map(Unreachable::to_string).collect();
                (
                    "looking for a BuildKit".to_owned(),
                    Vec::new(),
                    Some(all.join("; ")),
                )
            }
        };
        if extras.tell_exports {
            let mut vertex = task(&name, &format!("build {}", self.request.build));
            let logs = notes.iter().map(|note| log(&vertex, note)).collect();
            self.tell(vertex.clone(), logs);
            vertex.completed = Some(timestamp());
            vertex.error = error.clone().unwrap_or_default();
            self.tell(vertex, Vec::new());
        } else {
            for note in &notes {
                tracing::warn!("{note}");
            }
        }
        chosen.map_err(|_| said(error.unwrap_or_default()))
    }

    /// Tells of something that is no step of the plan.
    fn tell(&self, vertex: Vertex, logs: Vec<VertexLog>) {
        if self.request.extras.tell_exports {
            self.events.status(SolveStatus {
                vertexes: vec![vertex],
                logs,
                ..SolveStatus::default()
            });
        }
    }

    /// What the daemon may ask us for.
    fn given(&self) -> Result<Given, BuildFailure> {
        let mut contexts = BTreeMap::new();
        for (name, id) in &self.request.contexts {
            let manifest = self.shared.contexts.get(id).ok_or_else(|| {
                said("the build context is not on this worker any more: offer it again and start the build again")
            })?;
            contexts.insert(name.clone(), manifest);
        }
        let extras = &self.request.extras;
        Ok(Given {
            contexts,
            content: self.shared.contexts.content().clone(),
            secrets: Arc::clone(&extras.secrets),
            agents: Arc::clone(&extras.agents),
            registries: Arc::clone(&self.shared.registries),
            layouts: Layouts::of(&self.request.graph, &self.shared.embedded),
            export: Export::new(
                self.shared.contexts.content().clone(),
                self.shared.taking.limits.image_size,
            ),
        })
    }
}

/// A build with its daemon.
struct Solving<'a> {
    build: &'a Solve,
    chosen: &'a Chosen,
    sent: Sent,
    caches: CacheOptions,
}

impl Solving<'_> {
    /// The image: its blobs, or an archive of them, which come through the session.
    async fn image(&self, session: &mut Session) -> Result<ImageSummary, BuildFailure> {
        let request = &self.build.request;
        let exporting = exporting::image(&request.image_config, &request.extras.image);
        let taking = self.build.shared.taking.clone();
        let (pieces, verdict) = session.receiving().expect();
        session.export().expect(true);
        let archived = {
            let taking = taking.clone();
            reading(move || told_to(verdict, taking.take(pieces)))
        };
        let (answer, archived) = self.received(session, exporting, archived).await?;
        session.export().expect(false);
        let digest = answer.get(DIGEST).and_then(|digest| digest.parse().ok());
        let taken = match (archived, digest) {
            (Ok(taken), _) => Ok(taken),
            // No archive came, so the blobs did.
            (Err(_), Some(digest)) => reading(move || taking.here(&digest)).await,
            (Err(reason), None) => Err(reason),
        };
        self.finish(taken.map_err(said)?).await
    }

    /// The image, by way of the engine's own images.
    async fn image_of_engine(&self, session: &mut Session) -> Result<ImageSummary, BuildFailure> {
        let request = &self.build.request;
        let route = self.chosen.daemon.route.clone();
        let name = format!("{PASSING}:{}", session.id);
        *self.build.passing.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((route.clone(), name.clone()));
        let exporting = exporting::engine_image(&request.image_config, &request.extras.image, &name);
        self.solve(session, exporting).await?;
        let taking = self.build.shared.taking.clone();
        let (feed, pieces) = Pieces::fed();
        let saving = engine::save(&route, &name, feed);
        let both = async { tokio::join!(saving, reading(move || taking.take(pieces))) };
        // An engine that stalls is noticed by the session alone.
        let (saved, taken) = tokio::select! {
            both = both => both,
            status = session.ended() => return Err(said(format!("{}: {}", route.address, status.message()))),
        };
        saved.map_err(|error| said(error.to_string()))?;
        let taken = taken.map_err(said)?;
        self.finish(taken).await
    }

    async fn finish(&self, taken: super::image::Taken) -> Result<ImageSummary, BuildFailure> {
        let request = &self.build.request;
        let (taking, graph) = (self.build.shared.taking.clone(), Arc::clone(&request.graph));
        let (options, events) = (request.extras.image.clone(), self.build.events.clone());
        reading(move || taking.finish(taken, &graph, &options, &events))
            .await
            .map_err(said)
    }

    /// The files of the result, to where they are wanted.
    async fn files(&self, session: &mut Session, cancel: &CancellationToken) -> Result<(), BuildFailure> {
        let extras = &self.build.request.extras;
        let scratch = tempfile::tempdir_in(&self.build.shared.scratch)
            .map_err(|error| said(format!("there is no place for the files of the result: {error}")))?;
        // Whoever works in it last removes it: a build that is cancelled does not wait for them.
        let scratch = Arc::new(scratch);
        let folder = scratch.path().join("files");
        let (pieces, verdict) = session.receiving().expect();
        let (archive, unpacked) = (scratch.path().join("files.tar"), folder.clone());
        let held = Arc::clone(&scratch);
        let unpacking = reading(move || {
            let unpacked = told_to(verdict, files::unpack(pieces, &archive, &unpacked));
            drop(held);
            unpacked
        });
        let (_, unpacked) = self.received(session, exporting::files(), unpacking).await?;
        unpacked.map_err(said)?;
        if let Some(draft) = &extras.provenance {
            let (folder, draft, held) = (folder.clone(), Arc::clone(draft), Arc::clone(&scratch));
            let stated = reading(move || {
                let stated = files::state(&folder, &draft);
                drop(held);
                stated
            });
            stated.await.map_err(said)?;
        }
        for output in extras.files.iter() {
            let (output, epoch) = (output.clone(), extras.image.epoch);
            let name = output.told();
            let mut vertex = task(&name, &format!("build {}", self.build.request.build));
            self.build.tell(vertex.clone(), Vec::new());
            let (folder, cancel) = (folder.clone(), cancel.clone());
            let held = Arc::clone(&scratch);
            let written = reading(move || {
                let written = files::deliver(&folder, &output, epoch, &cancel);
                drop(held);
                written
            })
            .await;
            vertex.completed = Some(timestamp());
            vertex.error = written.as_ref().err().cloned().unwrap_or_default();
            self.build.tell(vertex, Vec::new());
            written.map_err(|error| said(format!("{name}: {error}")))?;
        }
        // As large as the result, so not on a thread that others wait for.
        reading(move || {
            drop(scratch);
            Ok(())
        })
        .await
        .map_err(said)
    }

    /// Has the result exported, and gives what the daemon says of it and what `taken` made of it.
    async fn received<T>(
        &self,
        session: &mut Session,
        exporting: Exporting,
        taken: impl Future<Output = Result<T, String>>,
    ) -> Result<(HashMap<String, String>, Result<T, String>), BuildFailure> {
        let receiving = session.receiving().clone();
        let solved = async {
            let solved = self.solve(&mut *session, exporting).await;
            // Where nothing came, nothing will; and what is half here stays so.
            receiving.close();
            if solved.is_err() {
                session.close();
            }
            solved
        };
        let (solved, taken) = tokio::join!(solved, taken);
        solved.map(|answer| (answer, taken))
    }

    /// Runs the definition, and tells what happens.
    async fn solve(
        &self,
        session: &mut Session,
        exporting: Exporting,
    ) -> Result<HashMap<String, String>, BuildFailure> {
        let request = &self.build.request;
        let reference = random_name()?;
        let asked = told::SolveRequest {
            r#ref: reference.clone(),
            definition: Some(self.sent.definition.clone()),
            exporter_deprecated: exporting.exporter,
            exporter_attrs_deprecated: exporting.attributes,
            session: session.id.clone(),
            cache: Some(self.caches.clone()),
            entitlements: entitlements(request),
            ..told::SolveRequest::default()
        };
        let client =
            ControlClient::new(self.chosen.channel.clone()).max_decoding_message_size(LONGEST_MESSAGE);
        let (mut to_solve, mut to_watch) = (client.clone(), client);
        let solve = to_solve.solve(asked);
        let watch = async {
            let mut stream = to_watch
                .status(StatusRequest { r#ref: reference })
                .await?
                .into_inner();
            while let Some(response) = stream.message().await? {
                let status = self.build.translation().status(response);
                if status != SolveStatus::default() {
                    self.build.events.status(status);
                }
            }
            Ok::<(), Status>(())
        };
        tokio::pin!(solve, watch);
        let mut watching = true;
        let ended = session.ended();
        tokio::pin!(ended);
        let solved = loop {
            tokio::select! {
                solved = &mut solve => break solved.map(|answer| answer.into_inner().exporter_response),
                status = &mut ended => break Err(status),
                watched = &mut watch, if watching => {
                    watching = false;
                    if let Err(error) = watched {
                        tracing::debug!(%error, "the daemon tells nothing of the build any more");
                    }
                }
            }
        };
        if watching {
            // What it did it may tell a moment later.
            _ = tokio::time::timeout(LATE, &mut watch).await;
        }
        let address = &self.chosen.daemon.route.address;
        let told = self.build.translation();
        solved.map_err(|status| failure::of(&status, &told, &request.graph, address))
    }
}

/// Lets whoever waits know whether it went well.
fn told_to<T>(verdict: oneshot::Sender<Result<(), String>>, result: Result<T, String>) -> Result<T, String> {
    _ = verdict.send(result.as_ref().map(drop).map_err(Clone::clone));
    result
}

/// A name that is nobody else's: a daemon joins what has one name.
fn random_name() -> Result<String, BuildFailure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| said(format!("the system gives no random numbers ({error})")))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

fn said(message: impl Into<String>) -> BuildFailure {
    BuildFailure {
        message: message.into(),
        vertex: None,
        exit_code: None,
    }
}

fn log(vertex: &Vertex, note: &str) -> VertexLog {
    VertexLog {
        vertex: vertex.digest.clone(),
        stream: 2,
        data: format!("{note}\n").into_bytes(),
        timestamp: timestamp(),
    }
}

/// What the build is for: the platform of its last step.
fn platform(request: &SolveRequest) -> Option<Platform> {
    let head = request.graph.head?;
    let platform = request.graph.vertices.get(head.vertex)?.op.platform.as_ref()?;
    Some(Platform {
        os: platform.os.clone(),
        architecture: platform.architecture.clone(),
        variant: platform.variant.clone(),
        ..Platform::default()
    })
}

/// What steps ask for beyond their sandbox. It has been allowed by now, by this worker; the daemon has its own word.
fn entitlements(request: &SolveRequest) -> Vec<String> {
    let execs = request
        .graph
        .vertices
        .iter()
        .filter_map(|vertex| match &vertex.op.kind {
            Some(OpKind::Exec(exec)) => Some(exec),
            _ => None,
        });
    let asked: BTreeSet<String> = execs
        .flat_map(asks_for)
        .map(|entitlement| entitlement.to_string())
        .collect();
    asked.into_iter().collect()
}

/// The caches of other machines, which the daemon reads and writes itself.
fn caches(extras: &Extras) -> Result<CacheOptions, String> {
    let entry = |place: &Place, more: &[(&str, &str)]| match place {
        Place::Registry(name) => {
            let named = [("ref", name.to_string())];
            let more = more.iter().map(|(key, value)| (*key, (*value).to_owned()));
            Ok(CacheOptionsEntry {
                r#type: "registry".to_owned(),
                attrs: named
                    .into_iter()
                    .chain(more)
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect(),
            })
        }
        Place::Folder { path, .. } => Err(format!(
            "the cache in {} is on this machine and the build is not: name one in a registry (type=registry,ref=NAME)",
            path.display()
        )),
    };
    let mut options = CacheOptions::default();
    for place in extras.cache_from.iter() {
        options.imports.push(entry(place, &[])?);
    }
    for export in extras.cache_to.iter() {
        let extent = if export.all { "max" } else { "min" };
        let more = [
            ("mode", extent),
            ("image-manifest", "true"),
            ("oci-mediatypes", "true"),
        ];
        options.exports.push(entry(&export.place, &more)?);
        export.leave();
    }
    if extras.inline_cache {
        options.exports.push(CacheOptionsEntry {
            r#type: "inline".to_owned(),
            ..CacheOptionsEntry::default()
        });
    }
    Ok(options)
}
