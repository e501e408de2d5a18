//! The description of all this for others: `OpenAPI` 3.1.

use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse as _, Response};

use super::super::problem::Problem;
use super::query;

/// The document, as it is served.
pub(super) const TEXT: &str = include_str!("openapi.json");

pub(super) async fn document(uri: Uri) -> Result<Response, Problem> {
    let query::None {} = query::read(&uri)?;
    let mut response = TEXT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}
