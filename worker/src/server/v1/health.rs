//! Whether the worker is there, and whether it takes builds, for those who watch over it.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use serde::Serialize;

use super::super::App;
use super::super::problem::Problem;
use super::query;

#[derive(Debug, Serialize)]
pub(super) struct Health {
    pub(super) status: &'static str,
}

/// It answers, and that is all that is said.
pub(super) async fn alive(uri: Uri) -> Result<Json<Health>, Problem> {
    let query::None {} = query::read(&uri)?;
    Ok(Json(Health { status: "ok" }))
}

/// It takes builds. Why it does not is for its owner, in `stagewright doctor`.
pub(super) async fn ready(State(app): State<App>, uri: Uri) -> Result<Json<Health>, Problem> {
    let query::None {} = query::read(&uri)?;
    let refusal = |why| Problem::new(StatusCode::SERVICE_UNAVAILABLE, why);
    if app.draining.is_cancelled() {
        return Err(refusal("This worker is shutting down."));
    }
    if !app.builds.backend().obstacles().is_empty() {
        return Err(refusal("This worker cannot run builds on its machine."));
    }
    Ok(Json(Health { status: "ready" }))
}
