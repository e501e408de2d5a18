//! `MAINTAINER`: who made the image, in the way of long ago.

use crate::diagnostic::Problem;
use crate::syntax::{Arguments, Node, Word};

use super::flags::Flags;

#[derive(Debug, Clone)]
pub(crate) struct Maintainer {
    pub(crate) name: Word,
}

pub(super) fn parse(node: &Node<'_>, arguments: Arguments) -> Result<Maintainer, Problem> {
    let name = super::only_word(node, arguments, "MAINTAINER someone")?;
    Flags::read(node, &[])?;
    Ok(Maintainer { name })
}
