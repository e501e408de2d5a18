//! A build's image, as one file.

use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;
use serde::Deserialize;
use stagewright_core::protocol::OutputFormat;

use super::super::problem::Problem;
use super::super::{App, downloads};
use super::{blocking, query};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct How {
    format: Option<OutputFormat>,
}

pub(super) async fn image(
    State(app): State<App>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let How { format } = query::read(&uri)?;
    let format = format.unwrap_or(OutputFormat::Oci);
    let (builds, build) = (app.builds.clone(), id.clone());
    let title = blocking(move || {
        // Asked now, so that a build without an image is an answer of its own.
        builds.image(&build)?;
        Ok(builds.look(&build)?.0.title)
    })
    .await?;
    downloads::archive(&app, id, &title, format).await
}
