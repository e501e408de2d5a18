//! `CMD`: what the image runs where nobody says otherwise.

use crate::diagnostic::Problem;
use crate::syntax::{Arguments, Node};

use super::CommandLine;
use super::flags::Flags;
use super::guide::Guide;

#[derive(Debug, Clone)]
pub(crate) struct Cmd {
    pub(crate) command: CommandLine,
}

/// What people are told about it.
pub(crate) const GUIDE: Guide = Guide {
    text: "What a container of the image runs where nothing else is asked for; with an ENTRYPOINT, its \
                   arguments. The last one of a stage counts.",
    examples: &["CMD [\"app\", \"--serve\"]", "CMD app --serve"],
    words: &[],
    flags: &[],
};

pub(super) fn parse(node: &Node<'_>, arguments: Arguments) -> Result<Cmd, Problem> {
    Flags::read(node, &[])?;
    Ok(Cmd {
        command: CommandLine::read(node, arguments),
    })
}
