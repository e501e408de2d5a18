//! `ENTRYPOINT`: what the image always runs.

use crate::diagnostic::Problem;
use crate::syntax::{Arguments, Node};

use super::CommandLine;
use super::flags::Flags;
use super::guide::Guide;

#[derive(Debug, Clone)]
pub(crate) struct Entrypoint {
    pub(crate) command: CommandLine,
}

/// What people are told about it.
pub(crate) const GUIDE: Guide = Guide {
    text: "The program that a container of the image always runs. As an array it gets CMD, or what is \
                   asked for at the start, as further arguments; as a text a shell runs it, and it gets none.",
    examples: &["ENTRYPOINT [\"app\"]", "ENTRYPOINT exec app"],
    words: &[],
    flags: &[],
};

pub(super) fn parse(node: &Node<'_>, arguments: Arguments) -> Result<Entrypoint, Problem> {
    Flags::read(node, &[])?;
    Ok(Entrypoint {
        command: CommandLine::read(node, arguments),
    })
}
