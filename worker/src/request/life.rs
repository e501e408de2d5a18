//! The work of a requested build: its context is brought here, it is planned, built for each platform and put out. All of that
//! is told among its events.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use futures_util::future::join_all;
use stagewright_core::digest::Digest;
use stagewright_core::protocol::{BuildFailure, ImageSummary};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio_util::sync::CancellationToken;

use super::finish::{self, Built};
use super::ground::Ground;
use super::obstacle::Obstacle;
use super::planning::{Dockerfile, Planned, plan};
use super::remote::Asker;
use super::told::Told;
use super::understood::{Place, Understood, Written};
use super::watcher::task;
use super::{allow, failure};
use crate::backend::SolveRequest;
use crate::build::{Builds, Job};
use crate::provenance::Origin;
use crate::storage::names::ImageNames;

/// Where files of the result are kept, in the folder of a build.
pub(crate) const FILES: &str = "files";

/// What it takes to carry requests out.
#[derive(Clone)]
pub(crate) struct Means {
    pub(crate) builds: Builds,
    pub(crate) names: ImageNames,
    /// A folder for contexts that are brought here.
    pub(crate) beneath: PathBuf,
}

/// Plans what is asked for, with all that the plans stand on.
pub(crate) async fn prepare(
    means: &Means,
    understood: &Understood,
    asker: &Asker,
    told: &mut Told,
) -> Result<(Ground, Dockerfile, Vec<Planned>), Obstacle> {
    let builds = &means.builds;
    let fetching = Ground::of(&understood.place, asker, builds, &means.beneath);
    let ground = match &understood.place {
        Place::Nowhere | Place::Content(_) => fetching.await?,
        Place::Upload(_) => task(told, "unpacking the context", fetching, |_| String::new()).await?,
        Place::Far(address) => {
            let name = format!("fetching the context from {}", address.shown());
            task(told, &name, fetching, |ground| {
                let commit = ground.repository.as_ref().map(|(_, commit)| commit);
                commit
                    .map(|commit| format!("commit {commit}"))
                    .unwrap_or_default()
            })
            .await?
        }
    };
    let mut heard = told.clone();
    let planning = async {
        let dockerfile = blocking(|| ground.dockerfile(understood, builds))?;
        let platforms = &understood.order.wanted.platforms;
        let planned = plan(builds, None, platforms, &dockerfile, &mut heard).await?;
        let allowed = &understood.order.entitlements | &builds.limits().entitlements;
        for plan in &planned {
            allow::check(&plan.dockerfile, &plan.analysis, &allowed, &mut heard)?;
        }
        Ok::<_, Obstacle>((dockerfile, planned))
    };
    let (dockerfile, planned) = task(told, "planning the build", planning, |_| String::new()).await?;
    Ok((ground, dockerfile, planned))
}

/// Carries a request out, as the work of a build.
pub(crate) async fn carry_out(
    means: Means,
    mut understood: Understood,
    asker: Asker,
    job: Job,
) -> Result<ImageSummary, BuildFailure> {
    let mut told = Told::new(job.events(), job.id());
    understood.order.wanted.keep = job.folder().join(FILES);
    let cancel = job.cancel().clone();
    let failed = |error: Obstacle, told: &Told| BuildFailure {
        message: told.with_error(error.to_string()),
        vertex: None,
        exit_code: None,
    };
    let begun = async {
        let begun = begin(&means, &understood, &asker, &job, &mut told).await;
        begun.map_err(|error| failed(error, &told))
    };
    let (planned, solves) = until(&cancel, begun).await?;
    let images = solve(&means.builds, &planned, solves, &job).await?;
    let mut told = Told::new(job.events(), job.id());
    let finishing = async {
        let order = &understood.order;
        let (builds, names) = (&means.builds, &means.names);
        let built = finish::finish(&order.wanted, builds, names, &planned, &images, &mut told).await;
        let built = built.map_err(|error| failed(error, &told))?;
        let cached = order.caches.write(builds, &mut told).await;
        cached.map_err(|error| failed(error, &told))?;
        Ok(built)
    };
    let built = until(&cancel, finishing).await?;
    Ok(summary(built.as_ref(), images))
}

/// Ends with the work, or when that is given up.
async fn until<T>(
    cancel: &CancellationToken,
    work: impl Future<Output = Result<T, BuildFailure>>,
) -> Result<T, BuildFailure> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(BuildFailure {
            message: "the build was cancelled".to_owned(),
            vertex: None,
            exit_code: None,
        }),
        done = work => done,
    }
}

/// All up to the first step.
async fn begin(
    means: &Means,
    understood: &Understood,
    asker: &Asker,
    job: &Job,
    told: &mut Told,
) -> Result<(Vec<Planned>, Vec<SolveRequest>), Obstacle> {
    let (ground, dockerfile, mut planned) = prepare(means, understood, asker, told).await?;
    let (builds, order) = (&means.builds, &understood.order);
    let origin = || Origin {
        path: match &understood.dockerfile {
            Written::Inline(_) => "Dockerfile".to_owned(),
            Written::In(path) => ground.place(path),
        },
        repository: ground.repository.clone(),
    };
    order.state(&mut planned, origin, || builds.backend().describe().platform)?;
    if order.wanted.keeps() {
        let made = std::fs::create_dir_all(&order.wanted.keep);
        made.map_err(|error| Obstacle::place(format!("files cannot be kept: {error}")))?;
    }
    let mut contexts = ground.contexts(understood);
    let mut solves = Vec::new();
    let several = planned.len() > 1;
    for plan in &planned {
        if let Some(definition) = &plan.analysis.definition {
            blocking(|| ground.offer(builds, &dockerfile, definition, &mut contexts, told))?;
        }
        let (request, mut extras) = order.ready(plan, &contexts)?;
        if solves.is_empty() {
            blocking(|| job.planned(request.digest.clone()));
        }
        if several {
            extras.part = plan.platform.to_string();
        }
        let solve = builds.prepare(request, extras);
        let mut solve = solve.map_err(|error| Obstacle::work(error.to_string()))?;
        solve.build = job.id();
        solves.push(solve);
    }
    Ok((planned, solves))
}

/// Builds for all platforms at once. Where one fails, the others are stopped.
async fn solve(
    builds: &Builds,
    planned: &[Planned],
    solves: Vec<SolveRequest>,
    job: &Job,
) -> Result<Vec<ImageSummary>, BuildFailure> {
    let stop = job.cancel().child_token();
    let first: Mutex<Option<BuildFailure>> = Mutex::new(None);
    let solving = solves.into_iter().zip(planned).map(|(solve, plan)| {
        let (stop, first) = (stop.clone(), &first);
        async move {
            let ended = builds.backend().solve(solve, job.events(), stop.clone()).await;
            ended.map_err(|mut failure| {
                failure.message = failure::told(Some((&plan.dockerfile, &plan.analysis)), &failure);
                let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
                let first = first.get_or_insert(failure);
                stop.cancel();
                first.clone()
            })
        }
    });
    // All are waited for: nothing of this build goes on once it has ended.
    join_all(solving)
        .await
        .into_iter()
        .collect::<Result<_, _>>()
        .map_err(|failure| {
            let first = first.lock().unwrap_or_else(PoisonError::into_inner);
            first.clone().unwrap_or(failure)
        })
}

/// What is told of the image in the end: of several, what they are together.
fn summary(built: Option<&Built>, images: Vec<ImageSummary>) -> ImageSummary {
    let mut all = images.into_iter();
    let empty = || ImageSummary {
        digest: Digest::of(b""),
        config: Digest::of(b""),
        layers: Vec::new(),
        size: 0,
    };
    let mut summary = all.next().unwrap_or_else(empty);
    for image in all {
        for layer in image.layers {
            if !summary.layers.iter().any(|known| known.digest == layer.digest) {
                summary.size += layer.size;
                summary.layers.push(layer);
            }
        }
    }
    if let Some(built) = built {
        summary.digest = built.digest.clone();
    }
    summary
}

/// Does what blocks, where others can go on meanwhile.
pub(crate) fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}
