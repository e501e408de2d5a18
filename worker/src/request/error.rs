//! Why a request was not taken, or what it asked for could not be had.

use stagewright_core::diagnostic::Diagnostic;

use super::obstacle::{Kind, Obstacle};
use crate::build::{BuildsError, StartError};

/// Why a request was not taken, or what it asked for could not be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RequestError {
    /// A field says what cannot be done.
    #[error("{field}: {what}; {next}")]
    Field {
        /// The field's name.
        field: &'static str,
        /// What is wrong with it.
        what: String,
        /// What to do.
        next: String,
    },
    /// A field asks for what the worker's owner did not allow.
    #[error("{field}: {what}; {next}")]
    NotAllowed {
        /// The field's name.
        field: &'static str,
        /// What was asked for.
        what: String,
        /// What to do.
        next: String,
    },
    /// The fields do not go together.
    #[error("{what}{}", with(next.as_deref()))]
    Together {
        /// What does not.
        what: String,
        /// What to do.
        next: Option<String>,
    },
    /// The Dockerfile has errors.
    #[error("{what}")]
    Dockerfile {
        /// What is wrong, in one sentence.
        what: String,
        /// Each error with its place.
        findings: Vec<Diagnostic>,
    },
    /// The context, an image or another thing that the build is made of cannot be had.
    #[error("{what}{}", with(next.as_deref()))]
    Lacking {
        /// What happened.
        what: String,
        /// What to do.
        next: Option<String>,
    },
    /// The worker's own files cannot be read or written.
    #[error("{0}")]
    Place(String),
    /// The build could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// There is no such build, or none that was asked for by a request.
    #[error(transparent)]
    Builds(#[from] BuildsError),
}

impl RequestError {
    /// The field at fault.
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::Field { field, .. } | Self::NotAllowed { field, .. } => Some(field),
            Self::Together { .. }
            | Self::Dockerfile { .. }
            | Self::Lacking { .. }
            | Self::Place(_)
            | Self::Start(_)
            | Self::Builds(_) => None,
        }
    }

    pub(super) fn wrong(field: &'static str, what: impl Into<String>, next: impl Into<String>) -> Self {
        Self::Field {
            field,
            what: what.into(),
            next: next.into(),
        }
    }
}

impl From<Obstacle> for RequestError {
    fn from(obstacle: Obstacle) -> Self {
        let Obstacle { kind, message, hint } = obstacle;
        match kind {
            Kind::Usage => Self::Together {
                what: message,
                next: hint,
            },
            Kind::Work => Self::Lacking {
                what: message,
                next: hint,
            },
            Kind::Place => Self::Place(message),
        }
    }
}

fn with(next: Option<&str>) -> String {
    next.map(|next| format!("; {next}")).unwrap_or_default()
}
