//! `STOPSIGNAL`: what asks the image's process to end.

use crate::diagnostic::Problem;
use crate::syntax::{Arguments, Node, Word};

use super::guide::Guide;

#[derive(Debug, Clone)]
pub(crate) struct Stopsignal {
    pub(crate) signal: Word,
}

/// What people are told about it.
pub(crate) const GUIDE: Guide = Guide {
    text: "The signal that asks a container to end; SIGTERM where it is not given.",
    examples: &["STOPSIGNAL SIGQUIT"],
    words: &[
        "SIGTERM",
        "SIGINT",
        "SIGQUIT",
        "SIGKILL",
        "SIGHUP",
        "SIGUSR1",
        "SIGUSR2",
        "SIGWINCH",
        "SIGRTMIN+3",
    ],
    flags: &[],
};

pub(super) fn parse(node: &Node<'_>, arguments: Arguments) -> Result<Stopsignal, Problem> {
    Ok(Stopsignal {
        signal: super::only_word(node, arguments, "STOPSIGNAL SIGTERM")?,
    })
}
