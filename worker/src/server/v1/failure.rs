//! The worker's errors as HTTP has them. Their text goes along as it is.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, StatusCode};

use super::super::problem::Problem;
use crate::backend::BackendError;
use crate::build::{BuildsError, StartError};
use crate::content::ContentError;
use crate::request::RequestError;
use crate::source::local::ContextError;

/// The kind of error that an image is which cannot be had.
const UNRESOLVED: &str = "image";

/// How soon there may be room in a full queue.
const FULL: Duration = Duration::from_secs(10);

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

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Self {
        let status = match &error {
            // Nothing is wrong with the file: somebody else does not have what it names, or does not answer.
            RequestError::Dockerfile { findings, .. }
                if findings.iter().all(|found| found.code == UNRESOLVED) =>
            {
                StatusCode::FAILED_DEPENDENCY
            }
            RequestError::Field { .. } | RequestError::Together { .. } | RequestError::Dockerfile { .. } => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            RequestError::NotAllowed { .. } => StatusCode::FORBIDDEN,
            // What it depends on, somebody else has or has not.
            RequestError::Lacking { .. } => StatusCode::FAILED_DEPENDENCY,
            RequestError::Place(_) => StatusCode::INTERNAL_SERVER_ERROR,
            RequestError::Start(error) => match error {
                StartError::Invalid(_) | StartError::Context(_) => StatusCode::UNPROCESSABLE_ENTITY,
                StartError::NotAllowed(_) => StatusCode::FORBIDDEN,
                StartError::Limit(_) | StartError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
                StartError::Record(_) => StatusCode::INTERNAL_SERVER_ERROR,
            },
            RequestError::Builds(error) => return error.clone().into(),
        };
        let problem = Self::new(status, sentence(&error.to_string()));
        let problem = match error.field() {
            Some(field) => problem.and("field", field),
            None => problem,
        };
        match &error {
            RequestError::Dockerfile { findings, .. } => problem.and("findings", findings),
            RequestError::Start(StartError::Limit(_)) => problem.retry_after(FULL),
            _ => problem,
        }
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

/// An error's text as a sentence of its own. What begins with the name of a field keeps it as it is written.
pub(super) fn sentence(text: &str) -> String {
    let names_field = text.split(' ').next().is_some_and(|word| word.ends_with(':'));
    let mut letters = text.chars();
    let mut sentence: String = match letters.next() {
        Some(first) if !names_field => first.to_uppercase().collect(),
        Some(first) => first.into(),
        None => String::new(),
    };
    sentence.push_str(letters.as_str());
    if !sentence.ends_with(['.', '!', '?']) {
        sentence.push('.');
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_become_sentences_and_fields_keep_their_names() {
        for (error, told) in [
            ("there is no build", "There is no build."),
            ("outputs: dest is a place", "outputs: dest is a place."),
            ("Cancel it first!", "Cancel it first!"),
            ("", "."),
        ] {
            assert_eq!(sentence(error), told);
        }
    }
}
