//! What a build would do, and what is wrong with its Dockerfile: nothing is built.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use stagewright_core::analysis::Analysis;
use stagewright_core::layout::svg::{SvgOptions, render_svg};
use stagewright_core::layout::{LayoutOptions, layout};
use stagewright_core::lint::{self, Finding};
use tokio::sync::OwnedSemaphorePermit;

use super::super::problem::Problem;
use super::super::{App, body};
use super::{blocking, query};
use crate::request::BuildRequest;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct How {
    /// Whether to draw it.
    #[serde(default)]
    svg: bool,
}

/// The plans, one for each platform.
#[derive(Debug, Serialize)]
pub(super) struct Plans {
    pub(super) plans: Vec<Plan>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Plan {
    /// As in `linux/amd64`.
    pub(super) platform: String,
    /// What the Dockerfile is called.
    pub(super) name: String,
    /// All that the planner knows.
    pub(super) analysis: Analysis,
    /// The drawing, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) svg: Option<String>,
}

pub(super) async fn plan(
    State(app): State<App>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Plans>, Problem> {
    let How { svg } = query::read(&uri)?;
    let _place = place(&app)?;
    let request: BuildRequest = body::json(&app, &headers, body, app.limits.document).await?;
    let planned = app.requests.plan(&request).await?;
    blocking(move || {
        let plans = planned.into_iter().map(|planned| Plan {
            platform: planned.platform.to_string(),
            name: planned.name,
            svg: svg.then(|| {
                let drawing = layout(&planned.analysis, &LayoutOptions::default());
                render_svg(&planned.analysis, &drawing, &SvgOptions::default())
            }),
            analysis: planned.analysis,
        });
        Ok(Json(Plans {
            plans: plans.collect(),
        }))
    })
    .await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    #[serde(default)]
    format: Format,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Json,
    Sarif,
}

/// What was found in a Dockerfile.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    /// What the Dockerfile is called.
    pub(super) name: String,
    pub(super) findings: Vec<Finding>,
}

pub(super) async fn check(
    State(app): State<App>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Form { format } = query::read(&uri)?;
    let _place = place(&app)?;
    let request: BuildRequest = body::json(&app, &headers, body, app.limits.document).await?;
    let checked = app.requests.check(&request).await?;
    Ok(match format {
        Format::Json => Json(Check {
            name: checked.name,
            findings: checked.findings,
        })
        .into_response(),
        Format::Sarif => {
            let log = lint::sarif(&[(&checked.name, &checked.source, &checked.findings)]);
            let kind = "application/sarif+json";
            let text = serde_json::to_string(&log).map_err(|_| Problem::failed_inside())?;
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
    })
}

/// A place among those who plan: a plan may ask registries and fetch repositories.
fn place(app: &App) -> Result<OwnedSemaphorePermit, Problem> {
    Arc::clone(&app.planning).try_acquire_owned().map_err(|_| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "As many plans are made at once as this worker allows. Try again in a moment.",
        )
        .retry_after(Duration::from_secs(1))
    })
}
