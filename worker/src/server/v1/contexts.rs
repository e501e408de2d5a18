//! Contexts, known by what is in them. A client says what it has, and is told which content is lacking here, and how much of
//! that came already; the rest goes to [`super::blobs`].

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use serde::Deserialize;
use stagewright_core::digest::Digest;
use stagewright_core::protocol::{ContextAnswer, ContextEntry, OfferContext};

use super::super::problem::Problem;
use super::super::{App, body};
use super::{blocking, query};

/// A context: a list of its files, or a tar.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Offer {
    #[serde(default)]
    entries: Option<Vec<ContextEntry>>,
    #[serde(default)]
    archive: Option<Archive>,
}

/// A tar that holds a context, also compressed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Archive {
    digest: Digest,
    size: u64,
}

pub(super) async fn offer(
    State(app): State<App>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ContextAnswer>, Problem> {
    let query::None {} = query::read(&uri)?;
    let offer: Offer = body::json(&app, &headers, body, app.limits.message).await?;
    let contexts = app.builds.contexts().clone();
    blocking(move || {
        let answer = match offer {
            Offer {
                entries: Some(entries),
                archive: None,
            } => contexts.offer(OfferContext {
                name: "context".to_owned(),
                entries,
            })?,
            Offer {
                entries: None,
                archive: Some(Archive { digest, size }),
            } => contexts.offer_archive(&digest, size)?,
            _ => {
                return Err(Problem::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "A context is offered as its entries or as an archive, one of the two.",
                ));
            }
        };
        Ok(Json(answer))
    })
    .await
}
