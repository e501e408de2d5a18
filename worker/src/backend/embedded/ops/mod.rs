//! What each kind of op does.

pub(crate) mod diff;
pub(crate) mod exec;
pub(crate) mod file;
pub(crate) mod git;
pub(crate) mod http;
pub(crate) mod merge;
pub(crate) mod source;

use stagewright_core::digest::Digest;

/// Why a step failed, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StepFailure {
    /// What happened and what to do next.
    pub(crate) message: String,
    /// The exit code, where a process ran and exited.
    pub(crate) exit_code: Option<i32>,
    /// The step that is at fault, where it is not the one that failed: an image whose layers could not be had.
    pub(crate) vertex: Option<Digest>,
    /// It did not fail but was stopped.
    pub(crate) cancelled: bool,
}

impl StepFailure {
    /// It failed for this reason.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            exit_code: None,
            vertex: None,
            cancelled: false,
        }
    }

    /// It was stopped.
    pub(crate) fn cancelled() -> Self {
        Self {
            cancelled: true,
            ..Self::new("cancelled")
        }
    }

    /// The worker itself failed at something.
    pub(crate) fn internal(error: impl std::fmt::Display) -> Self {
        Self::new(format!("the worker failed: {error}"))
    }
}

impl From<crate::snapshot::SnapshotError> for StepFailure {
    fn from(error: crate::snapshot::SnapshotError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<file::FileError> for StepFailure {
    fn from(error: file::FileError) -> Self {
        match error {
            file::FileError::Cancelled => Self::cancelled(),
            error => Self::new(error.to_string()),
        }
    }
}

impl From<super::select::SelectError> for StepFailure {
    fn from(error: super::select::SelectError) -> Self {
        Self::new(error.to_string())
    }
}

/// Runs something that blocks on a thread where it may.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StepFailure> + Send + 'static,
) -> Result<T, StepFailure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(StepFailure::internal(error)),
    }
}
