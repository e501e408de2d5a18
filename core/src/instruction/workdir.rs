//! `WORKDIR`: where the steps that follow run, and the image.

use crate::diagnostic::Problem;
use crate::syntax::{Arguments, Node, Word};

use super::flags::Flags;
use super::guide::Guide;

#[derive(Debug, Clone)]
pub(crate) struct Workdir {
    pub(crate) path: Word,
}

/// What people are told about it.
pub(crate) const GUIDE: Guide = Guide {
    text: "The directory in which the steps that follow and the containers of the image run. It is made \
                   where there is none; a relative path goes on from the one before.",
    examples: &["WORKDIR /app"],
    words: &[],
    flags: &[],
};

pub(super) fn parse(node: &Node<'_>, arguments: Arguments) -> Result<Workdir, Problem> {
    let path = super::only_word(node, arguments, "WORKDIR /path")?;
    Flags::read(node, &[])?;
    Ok(Workdir { path })
}
