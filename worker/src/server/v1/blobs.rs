//! Content that an offered context lacks, sent in as many pieces as it takes.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use stagewright_core::digest::Digest;
use stagewright_core::protocol::ContentFrame;

use super::super::problem::Problem;
use super::super::{App, body};
use super::failure::UPLOAD_OFFSET;
use super::{blocking, query};

const UPLOAD_COMPLETE: HeaderName = HeaderName::from_static("upload-complete");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Where {
    /// Where in the blob the body begins.
    #[serde(default)]
    offset: u64,
}

/// How much of a blob is here.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Standing {
    pub(super) digest: Digest,
    /// Bytes that are here; go on from there.
    pub(super) have: u64,
    /// Whether that is all of it, and its digest was right.
    pub(super) complete: bool,
}

impl Standing {
    fn headers(&self) -> [(HeaderName, HeaderValue); 2] {
        let complete = if self.complete { "?1" } else { "?0" };
        [
            (UPLOAD_OFFSET, HeaderValue::from(self.have)),
            (UPLOAD_COMPLETE, HeaderValue::from_static(complete)),
        ]
    }
}

/// How much of it is here, in the headers.
pub(super) async fn standing(
    State(app): State<App>,
    Path(digest): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let query::None {} = query::read(&uri)?;
    let digest = read(&digest)?;
    let known = standing_of(&app, &digest).await?;
    let known = known.ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_FOUND,
            "Nothing of this content is here. Offer the context that it belongs to.",
        )
    })?;
    Ok((StatusCode::OK, known.headers()).into_response())
}

/// Takes the body as what stands in the blob from `offset` on. What has arrived stays, however the request ends.
pub(super) async fn receive(
    State(app): State<App>,
    Path(digest): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Where { mut offset } = query::read(&uri)?;
    let digest = read(&digest)?;
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Content is sent as it is, without Content-Encoding.",
        ));
    }
    let mut pieces = body::Pieces::of(&app, body);
    let mut complete = false;
    let mut buffer: Vec<u8> = Vec::new();
    loop {
        let piece = pieces.next().await;
        // What came before the client stopped counts all the same.
        let last = !matches!(piece, Ok(Some(_)));
        if let Ok(Some(piece)) = &piece {
            buffer.extend_from_slice(piece);
        }
        while buffer.len() >= ContentFrame::MAX_DATA || last {
            let rest = buffer.split_off(buffer.len().min(ContentFrame::MAX_DATA));
            let data = Bytes::from(std::mem::replace(&mut buffer, rest));
            let length = data.len() as u64;
            // The next piece is not read before this one is stored: the disk sets the pace.
            complete = store(&app, &digest, offset, data).await?;
            offset = offset.saturating_add(length);
            if last && buffer.is_empty() {
                break;
            }
        }
        piece?;
        if last {
            break;
        }
    }
    let standing = match standing_of(&app, &digest).await? {
        Some(standing) => standing,
        None => Standing {
            digest,
            have: offset,
            complete,
        },
    };
    let status = if standing.complete {
        StatusCode::CREATED
    } else {
        StatusCode::ACCEPTED
    };
    Ok((status, standing.headers(), Json(standing)).into_response())
}

async fn store(app: &App, digest: &Digest, offset: u64, data: Bytes) -> Result<bool, Problem> {
    let (contexts, digest) = (app.builds.contexts().clone(), digest.clone());
    blocking(move || {
        let frame = ContentFrame {
            digest,
            offset,
            data: &data,
        };
        Ok(contexts.receive(&frame)?.is_some())
    })
    .await
}

async fn standing_of(app: &App, digest: &Digest) -> Result<Option<Standing>, Problem> {
    let (contexts, digest) = (app.builds.contexts().clone(), digest.clone());
    blocking(move || {
        Ok(contexts.standing(&digest).map(|(have, complete)| Standing {
            digest,
            have,
            complete,
        }))
    })
    .await
}

fn read(digest: &str) -> Result<Digest, Problem> {
    digest.parse().map_err(|_| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "Content is named by its digest: sha256: and 64 hex digits.",
        )
    })
}
