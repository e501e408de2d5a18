//! Why an image cannot be had, in words that say what to do about it.

use std::fmt::Write as _;
use std::path::PathBuf;

use stagewright_core::digest::Digest;
use stagewright_core::platform::Platform;

use super::reference::{InvalidReference, Reference};
use crate::content::ContentError;

/// An image cannot be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ImageError {
    /// The text is no image reference.
    #[error(transparent)]
    Reference(#[from] InvalidReference),
    /// The worker's owner lists the registries that may be used, and this is not among them.
    #[error(
        "{reference}: this worker takes no images from {registry}; its owner may add it to allowed-registries in \
         the worker's configuration", registry = reference.registry()
    )]
    NotAllowed {
        /// The image.
        reference: Box<Reference>,
    },
    /// There is no such image.
    #[error("{reference}: {registry} says there is no such image; check the name and tag")]
    NotFound {
        /// The image.
        reference: Box<Reference>,
        /// Who said so.
        registry: String,
    },
    /// The registry wants to know who is asking, or does not like who is asking.
    #[error(
        "{reference}: {registry} {}", if *known {
            "refuses it to the user in the worker's configuration; check the credentials and the image's name"
        } else {
            "says there is no such image, or that it is for known users only; check the name and tag, or give the \
             worker credentials (username and password-file under [registry.\"…\"] in its configuration)"
        }
    )]
    Denied {
        /// The image.
        reference: Box<Reference>,
        /// Who said so.
        registry: String,
        /// Whether credentials were sent.
        known: bool,
    },
    /// Too many requests for the registry's taste.
    #[error(
        "{reference}: {registry} wants us to wait{}; try later, or give the worker credentials or a mirror",
        after.as_ref().map(|after| format!(" ({after} s)")).unwrap_or_default()
    )]
    RateLimited {
        /// The image.
        reference: Box<Reference>,
        /// Who said so.
        registry: String,
        /// The `Retry-After` it sent.
        after: Option<String>,
    },
    /// No answer from the registry.
    #[error(
        "{reference}: cannot reach {registry}: {reason}. Check the network, or name another place for its images in \
         the worker's configuration: a mirror (mirrors under [registry.\"{name}\"]) or a [[substitute]] for this image",
        name = reference.registry()
    )]
    Unreachable {
        /// The image.
        reference: Box<Reference>,
        /// The host that does not answer.
        registry: String,
        /// What the network said.
        reason: String,
    },
    /// The registry answered, but with nothing that is of use.
    #[error("{reference}: {registry} {reason}")]
    Answer {
        /// The image.
        reference: Box<Reference>,
        /// Who answered.
        registry: String,
        /// What was wrong with the answer.
        reason: String,
    },
    /// Content that is not what its digest says.
    #[error(
        "{reference}: {origin} sent other content than was asked for: {expected} was wanted, {actual} came. Nothing of \
         it was kept; the registry or something on the way to it is broken or not to be trusted"
    )]
    WrongDigest {
        /// The image.
        reference: Box<Reference>,
        /// Where it came from.
        origin: String,
        /// What was asked for.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// The image is there, but not for this platform.
    #[error("{reference} is not there for {wanted}; it is there for {}", list(there))]
    NoPlatform {
        /// The image.
        reference: Box<Reference>,
        /// What was asked for.
        wanted: Box<Platform>,
        /// What there is.
        there: Vec<Platform>,
    },
    /// The image's manifest, index, configuration or layers are malformed, or of a kind that is not supported.
    #[error("{reference} cannot be used: {reason}")]
    Malformed {
        /// The image.
        reference: Box<Reference>,
        /// What is wrong.
        reason: String,
    },
    /// The image is larger than the worker's owner allows.
    #[error(
        "{reference}: {what} {size} bytes, more than the {limit} that this worker takes{}",
        hint(setting)
    )]
    TooLarge {
        /// The image.
        reference: Box<Reference>,
        /// What is too large: `its layers have`.
        what: &'static str,
        /// How large it is, or says it is.
        size: u64,
        /// The most that is taken.
        limit: u64,
        /// The limit's key in the configuration; empty where it is fixed.
        setting: &'static str,
    },
    /// An OCI layout is not as it should be.
    #[error("{reference} is substituted by the OCI layout {path}, but {reason}", path = path.display())]
    Layout {
        /// The image.
        reference: Box<Reference>,
        /// The layout's directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Several places were tried, in vain.
    #[error("{}", attempts(reference, errors))]
    Everywhere {
        /// The image.
        reference: Box<Reference>,
        /// What each place said.
        errors: Vec<ImageError>,
    },
    /// The worker's own disk failed.
    #[error("{reference}: {reason}")]
    Storage {
        /// The image.
        reference: Box<Reference>,
        /// What failed.
        reason: String,
    },
    /// Whoever asked no longer wants it.
    #[error("{reference}: cancelled")]
    Cancelled {
        /// The image.
        reference: Box<Reference>,
    },
}

impl ImageError {
    pub(super) fn malformed(reference: &Reference, reason: impl Into<String>) -> Self {
        Self::Malformed {
            reference: Box::new(reference.clone()),
            reason: reason.into(),
        }
    }

    pub(super) fn content(reference: &Reference, origin: &str, error: ContentError) -> Self {
        let reference = Box::new(reference.clone());
        match error {
            ContentError::WrongDigest { expected, actual } => Self::WrongDigest {
                reference,
                origin: origin.to_owned(),
                expected,
                actual,
            },
            ContentError::WrongSize { .. } | ContentError::Gap { .. } => Self::Answer {
                reference,
                registry: origin.to_owned(),
                reason: format!("misbehaves: {error}"),
            },
            ContentError::Io { .. }
            | ContentError::Missing(_)
            | ContentError::Damaged { .. }
            | ContentError::Present(_)
            | ContentError::Busy(_)
            | ContentError::TooLarge { .. } => Self::Storage {
                reference,
                reason: error.to_string(),
            },
        }
    }

    /// Whether it is the image that is not there, rather than something that failed.
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::NotFound { .. } | Self::NoPlatform { .. } => true,
            Self::Everywhere { errors, .. } => errors.iter().all(Self::is_not_found),
            Self::Reference(_)
            | Self::NotAllowed { .. }
            | Self::Denied { .. }
            | Self::RateLimited { .. }
            | Self::Unreachable { .. }
            | Self::Answer { .. }
            | Self::WrongDigest { .. }
            | Self::Malformed { .. }
            | Self::TooLarge { .. }
            | Self::Layout { .. }
            | Self::Storage { .. }
            | Self::Cancelled { .. } => false,
        }
    }

    /// Whether another place that holds the same image may do better.
    pub(super) fn may_differ_elsewhere(&self) -> bool {
        !matches!(
            self,
            Self::Reference(_) | Self::NotAllowed { .. } | Self::Storage { .. } | Self::Cancelled { .. }
        )
    }
}

fn list(platforms: &[Platform]) -> String {
    if platforms.is_empty() {
        return "no platform at all".to_owned();
    }
    platforms
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

fn hint(setting: &str) -> String {
    match setting {
        "" => String::new(),
        key => format!(" ({key} in the worker's configuration)"),
    }
}

fn attempts(reference: &Reference, errors: &[ImageError]) -> String {
    let mut text = format!(
        "{reference} could not be had from any of {} places:",
        errors.len()
    );
    let prefix = format!("{reference}: ");
    for error in errors {
        let message = error.to_string();
        let _ = write!(
            text,
            "\n  - {}",
            message.strip_prefix(&prefix).unwrap_or(&message)
        );
    }
    text
}
