//! `MAINTAINER`: who made the image, in the way of long ago.

use crate::diagnostic::Problem;
use crate::syntax::{Arguments, Node, Word};

use super::flags::Flags;
use super::guide::Guide;

#[derive(Debug, Clone)]
pub(crate) struct Maintainer {
    pub(crate) name: Word,
}

/// What people are told about it.
pub(crate) const GUIDE: Guide = Guide {
    text: "Says who made the image. It is out of date: LABEL org.opencontainers.image.authors says the \
                   same.",
    examples: &["MAINTAINER someone@example.com"],
    words: &[],
    flags: &[],
};

pub(super) fn parse(node: &Node<'_>, arguments: Arguments) -> Result<Maintainer, Problem> {
    let name = super::only_word(node, arguments, "MAINTAINER someone")?;
    Flags::read(node, &[])?;
    Ok(Maintainer { name })
}
