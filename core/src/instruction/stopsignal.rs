//! `STOPSIGNAL`: what asks the image's process to end.

use crate::diagnostic::Problem;
use crate::syntax::{Arguments, Node, Word};

#[derive(Debug, Clone)]
pub(crate) struct Stopsignal {
    pub(crate) signal: Word,
}

pub(super) fn parse(node: &Node<'_>, arguments: Arguments) -> Result<Stopsignal, Problem> {
    Ok(Stopsignal {
        signal: super::only_word(node, arguments, "STOPSIGNAL SIGTERM")?,
    })
}
