//! `ENTRYPOINT`: what the image always runs.

use crate::diagnostic::Problem;
use crate::syntax::{Arguments, Node};

use super::CommandLine;
use super::flags::Flags;

#[derive(Debug, Clone)]
pub(crate) struct Entrypoint {
    pub(crate) command: CommandLine,
}

pub(super) fn parse(node: &Node<'_>, arguments: Arguments) -> Result<Entrypoint, Problem> {
    Flags::read(node, &[])?;
    Ok(Entrypoint {
        command: CommandLine::read(node, arguments),
    })
}
