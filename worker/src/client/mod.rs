//! A worker on another machine, as the command line uses it: over the API for programs that it has under `/v1`.
//!
//! ```text
//! address   where it is, and what proves who asks
//! call      one question and its answer; what can be asked again is asked again when the line drops
//! content   files of a context on their way, from where the last piece arrived
//! events    what happens in a build, each event once, over as many lines as it takes
//! ```

mod address;
mod call;
mod content;
mod events;

pub(crate) use self::address::{Address, Token};
pub(crate) use self::call::Client;
pub(crate) use self::content::Piece;
pub(crate) use self::events::{Events, Heard};

/// Why a worker elsewhere did not do what it was asked for.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ClientError {
    /// It cannot be reached, or was not any more.
    #[error("the worker at {worker} cannot be reached: {reason}")]
    Unreachable {
        /// Its address.
        worker: String,
        /// What stood in the way.
        reason: String,
    },
    /// It answered, and it is a refusal.
    #[error("{detail}")]
    Refused {
        /// The status of its answer.
        status: u16,
        /// Its own sentence.
        detail: String,
    },
    /// Something answers there that is no worker, or one of another kind.
    #[error("what answers at {worker} is no worker that this command understands: {reason}")]
    Strange {
        /// The address.
        worker: String,
        /// What was wrong with the answer.
        reason: String,
    },
    /// A file cannot be read that is to be sent, or what arrives cannot be written.
    #[error("{0}")]
    File(String),
}

impl ClientError {
    /// What to do about it, where that is not in the sentence itself.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { .. } => {
                Some("see that `stagewright serve` runs there, and that the address is right")
            }
            Self::Refused { status: 401, .. } => Some(
                "make a token there with `stagewright token create`, and give it here as STAGEWRIGHT_TOKEN",
            ),
            Self::Refused { .. } | Self::File(_) => None,
            Self::Strange { .. } => Some("name the address that the worker printed, without a path"),
        }
    }
}
