//! How the page stands with a worker.

use stagewright_core::protocol::Welcome;

use super::shared::Shared;

/// How the page stands with a worker.
#[derive(Debug, Clone, PartialEq)]
pub enum Connection {
    /// The first try is under way.
    Connecting,
    /// A worker trusts this page.
    Online(Shared<Welcome>),
    /// There is none where this page came from.
    None,
    /// It was there, and is not answering now.
    Reconnecting,
    /// It is there, and does not trust this page; why, in its own words.
    Refused(String),
}

impl Connection {
    /// The word for it in attributes.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Online(_) => "online",
            Self::None => "none",
            Self::Reconnecting => "reconnecting",
            Self::Refused(_) => "refused",
        }
    }

    /// What to say of it.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Connecting => "looking for a worker…",
            Self::Online(worker) if !worker.can_build => "worker cannot build here",
            Self::Online(_) => "worker on this machine",
            Self::None => "no worker",
            Self::Reconnecting => "reconnecting…",
            Self::Refused(_) => "worker needs a token",
        }
    }

    /// What the worker said of itself.
    pub fn worker(&self) -> Option<&Welcome> {
        match self {
            Self::Online(worker) => Some(worker),
            Self::Connecting | Self::None | Self::Reconnecting | Self::Refused(_) => None,
        }
    }
}
