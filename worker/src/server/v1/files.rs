//! The files that a build put out, as a tar.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use tokio_util::io::ReaderStream;

use super::super::App;
use super::super::problem::Problem;
use super::{blocking, query};
use crate::request::KeptFiles;

/// How much of a file is read at once.
const CHUNK: usize = 64 << 10;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    platform: Option<String>,
}

pub(super) async fn files(
    State(app): State<App>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let Which { platform } = query::read(&uri)?;
    let (file, length, name) = blocking(move || {
        let kept = app.requests.files(&id)?;
        let found = one(&id, kept, platform.as_deref())?;
        let missing = |error: std::io::Error| {
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("The files of build {id} cannot be read: {error}"),
            )
        };
        let file = std::fs::File::open(&found.path).map_err(missing)?;
        let length = file.metadata().map_err(missing)?.len();
        Ok((file, length, format!("build-{id}.{}.tar", found.platform)))
    })
    .await?;
    let stream = ReaderStream::with_capacity(tokio::fs::File::from_std(file), CHUNK);
    let mut response = Body::from_stream(stream).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/x-tar"),
    );
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    // Numbers and platforms make up the name.
    if let Ok(disposition) = HeaderValue::try_from(format!("attachment; filename=\"{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

/// The files for the platform that is asked for, or the only ones there are.
fn one(id: &str, mut kept: Vec<KeptFiles>, platform: Option<&str>) -> Result<KeptFiles, Problem> {
    let platforms: Vec<String> = kept.iter().map(|files| files.platform.clone()).collect();
    // As people write it, and as it is written where no slash can be.
    let wanted = platform.map(|platform| platform.replace('/', "_"));
    let place = match &wanted {
        Some(wanted) => platforms.iter().position(|platform| platform == wanted),
        None if platforms.len() > 1 => {
            return Err(Problem::new(
                StatusCode::BAD_REQUEST,
                format!(
                    "Build {id} kept files for {}: name one of them as platform.",
                    platforms.join(", ")
                ),
            ));
        }
        None => (!kept.is_empty()).then_some(0),
    };
    match place {
        Some(place) => Ok(kept.swap_remove(place)),
        None => Err(Problem::new(
            StatusCode::NOT_FOUND,
            format!(
                "Build {id} kept no such files. Those of a build that ended well are kept where it was asked for with an output \
                 of type=tar or type=local."
            ),
        )),
    }
}
