//! `CMD`: what the image runs where nobody says otherwise.

use crate::diagnostic::Problem;
use crate::syntax::{Arguments, Node};

use super::CommandLine;
use super::flags::Flags;

#[derive(Debug, Clone)]
pub(crate) struct Cmd {
    pub(crate) command: CommandLine,
}

pub(super) fn parse(node: &Node<'_>, arguments: Arguments) -> Result<Cmd, Problem> {
    Flags::read(node, &[])?;
    Ok(Cmd {
        command: CommandLine::read(node, arguments),
    })
}
