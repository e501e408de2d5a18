//! The worker's errors as HTTP has them. Their text goes along as it is.

use axum::http::{HeaderName, HeaderValue, StatusCode};

use super::super::problem::Problem;
use crate::backend::BackendError;
use crate::build::BuildsError;
use crate::content::ContentError;
use crate::source::local::ContextError;

/// How much of a blob is here, as the draft for resumable uploads names it.
pub(super) const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");

impl From<BuildsError> for Problem {
    fn from(error: BuildsError) -> Self {
        let status = match &error {
            BuildsError::Unknown(_) => StatusCode::NOT_FOUND,
            BuildsError::NoImage { .. } | BuildsError::AtWork(_) => StatusCode::CONFLICT,
            BuildsError::Records { .. } => StatusCode::INTERNAL_SERVER_ERROR,
            BuildsError::Backend(error) => backend(error),
        };
        Self::new(status, sentence(&error.to_string()))
    }
}

fn backend(error: &BackendError) -> StatusCode {
    match error {
        BackendError::NotFound(_) => StatusCode::NOT_FOUND,
        BackendError::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
        BackendError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        BackendError::Upstream(_) => StatusCode::BAD_GATEWAY,
        BackendError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<ContextError> for Problem {
    fn from(error: ContextError) -> Self {
        let status = match &error {
            ContextError::Path { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            ContextError::Limit(_) => StatusCode::PAYLOAD_TOO_LARGE,
            ContextError::Unexpected(_) => StatusCode::NOT_FOUND,
            ContextError::Io { .. } => StatusCode::INTERNAL_SERVER_ERROR,
            ContextError::Content(error) => match error {
                ContentError::Gap { .. } | ContentError::Busy(_) => StatusCode::CONFLICT,
                ContentError::WrongDigest { .. } | ContentError::WrongSize { .. } => {
                    StatusCode::UNPROCESSABLE_ENTITY
                }
                ContentError::Missing(_) => StatusCode::NOT_FOUND,
                ContentError::Io { .. }
                | ContentError::Present(_)
                | ContentError::Damaged { .. }
                | ContentError::TooLarge { .. } => StatusCode::INTERNAL_SERVER_ERROR,
            },
        };
        let problem = Self::new(status, sentence(&error.to_string()));
        match error {
            ContextError::Content(ContentError::Gap { have, .. }) => {
                problem.with(UPLOAD_OFFSET, HeaderValue::from(have))
            }
            _ => problem,
        }
    }
}

/// An error's text as a sentence of its own.
pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let mut sentence: String = letters
        .next()
        .map(|first| first.to_uppercase().collect::<String>())
        .unwrap_or_default();
    sentence.push_str(letters.as_str());
    if !sentence.ends_with(['.', '!', '?']) {
        sentence.push('.');
    }
    sentence
}
