//! What stands behind the `?` of an address. A parameter that does not exist is refused: one that is silently ignored
//! would be worse.

use axum::extract::Query;
use axum::http::{StatusCode, Uri};
use serde::de::DeserializeOwned;

use super::super::problem::Problem;
use crate::said::innermost;

/// Reads the parameters.
pub(super) fn read<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    Query::try_from_uri(uri)
        .map(|Query(parameters)| parameters)
        .map_err(|error| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                format!("The address's parameters cannot be read: {}", innermost(&error)),
            )
        })
}

/// For addresses that have none.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct None {}
