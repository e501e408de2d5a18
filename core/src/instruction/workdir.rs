//! `WORKDIR`: where the steps that follow run, and the image.

use crate::diagnostic::Problem;
use crate::syntax::{Arguments, Node, Word};

use super::flags::Flags;

#[derive(Debug, Clone)]
pub(crate) struct Workdir {
    pub(crate) path: Word,
}

pub(super) fn parse(node: &Node<'_>, arguments: Arguments) -> Result<Workdir, Problem> {
    let path = super::only_word(node, arguments, "WORKDIR /path")?;
    Flags::read(node, &[])?;
    Ok(Workdir { path })
}
