//! A build's image, as one file.

use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
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
        let image = builds.image(&build)?;
        let content = builds.contexts().content();
        // Where nobody asked for it, its layers are named and were never made; else they may be pruned.
        if !image.layers.iter().all(|layer| content.contains(&layer.digest)) {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                format!(
                    "The image of build {build} is not here: either it was not asked for, or its layers were removed \
                     since to make room. Build it again, with no outputs or with type=image."
                ),
            ));
        }
        Ok(builds.look(&build)?.0.title)
    })
    .await?;
    downloads::archive(&app, id, &title, format).await
}
