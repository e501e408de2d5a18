//! Builds: started, listed, looked at, cancelled and forgotten.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use stagewright_core::protocol::{
    BuildFailure, BuildId, BuildStarted, BuildState, BuildSummary, ImageSummary,
};

use super::super::access::Caller;
use super::super::problem::Problem;
use super::super::{App, body};
use super::{blocking, query};
use crate::build::tally::Figures;
use crate::request::{Asked, BuildRequest, CallbackReport};
use crate::token::Scope;

/// Builds on one page.
const PAGE: usize = 50;
const LONGEST_PAGE: usize = 200;

/// Takes a build into the queue.
pub(super) async fn start(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let query::None {} = query::read(&uri)?;
    if app.draining.is_cancelled() {
        return Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "This worker is shutting down.",
        ));
    }
    let request: BuildRequest = body::json(&app, &headers, body, app.limits.document).await?;
    let id = blocking(move || {
        if app.requests.pushes(&request)? {
            caller.needs(Scope::Push)?;
        }
        let id = app.requests.start(&request, Asked::default())?;
        tracing::info!(build = id, by = caller.name(), "asked for");
        Ok(id)
    })
    .await?;
    let place = format!("/v1/builds/{id}");
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, place)],
        Json(BuildStarted { id }),
    )
        .into_response())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Which {
    state: Option<BuildState>,
    /// Only those that are older than this one.
    before: Option<u64>,
    limit: Option<usize>,
}

/// A page of builds, newest first.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page {
    pub(super) builds: Vec<BuildSummary>,
    /// What `before` has to be for the next page; nothing where this is the last.
    pub(super) next: Option<u64>,
}

pub(super) async fn list(State(app): State<App>, uri: Uri) -> Result<Json<Page>, Problem> {
    let Which { state, before, limit } = query::read(&uri)?;
    let limit = limit.unwrap_or(PAGE);
    if !(1..=LONGEST_PAGE).contains(&limit) {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            format!("A page has 1 to {LONGEST_PAGE} builds."),
        ));
    }
    blocking(move || {
        let number = |build: &BuildSummary| build.id.parse::<u64>().unwrap_or_default();
        let mut builds: Vec<_> = app
            .builds
            .list()
            .into_iter()
            .filter(|build| state.is_none_or(|state| build.state == state))
            .filter(|build| before.is_none_or(|before| number(build) < before))
            .take(limit + 1)
            .collect();
        let more = builds.len() > limit;
        builds.truncate(limit);
        let next = builds.last().filter(|_| more).map(number);
        Ok(Json(Page { builds, next }))
    })
    .await
}

/// All there is to say of a build in one answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Build {
    #[serde(flatten)]
    pub(super) summary: BuildSummary,
    /// Its image, once it has one.
    pub(super) image: Option<ImageSummary>,
    /// How its steps went so far.
    pub(super) steps: Figures,
    /// Why it did not end well, where it did not.
    pub(super) failure: Option<BuildFailure>,
    /// What was asked for, without its secrets; nothing where the page started it.
    pub(super) request: Option<BuildRequest>,
    /// The platforms of which files are kept, as in `linux_amd64`.
    pub(super) files: Vec<String>,
    /// The build that was asked for in the place of this one, before it began.
    pub(super) superseded_by: Option<BuildId>,
    /// What came of telling somebody of its end.
    pub(super) callback: Option<CallbackReport>,
}

pub(super) async fn show(
    State(app): State<App>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Json<Build>, Problem> {
    let query::None {} = query::read(&uri)?;
    blocking(move || {
        let (summary, image, steps) = app.builds.look(&id)?;
        let files = app.requests.files(&id)?;
        Ok(Json(Build {
            summary,
            image,
            steps,
            failure: app.builds.failure(&id)?,
            request: app.requests.request(&id)?,
            files: files.into_iter().map(|files| files.platform).collect(),
            superseded_by: app.builds.superseded_by(&id)?,
            callback: app.requests.callback(&id),
        }))
    })
    .await
}

pub(super) async fn cancel(
    State(app): State<App>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<StatusCode, Problem> {
    let query::None {} = query::read(&uri)?;
    blocking(move || {
        app.builds.cancel(&id)?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

pub(super) async fn forget(
    State(app): State<App>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<StatusCode, Problem> {
    let query::None {} = query::read(&uri)?;
    blocking(move || {
        app.builds.forget(&id)?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}
