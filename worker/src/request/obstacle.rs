//! Why a build cannot be begun, or not be finished, for whoever asked for it in whichever way.

use std::fmt;

/// What stands in a build's way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Obstacle {
    pub(crate) kind: Kind,
    /// What happened, in one sentence.
    pub(crate) message: String,
    /// What to do next.
    pub(crate) hint: Option<String>,
}

/// Whose it is to do something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The work itself failed: the file has errors, the build broke.
    Work,
    /// It was asked for wrongly.
    Usage,
    /// The machine stands in the way.
    Place,
}

impl Obstacle {
    pub(crate) fn work(message: impl Into<String>) -> Self {
        Self::new(Kind::Work, message)
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    pub(crate) fn place(message: impl Into<String>) -> Self {
        Self::new(Kind::Place, message)
    }

    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(formatter, ": {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Obstacle {}
