//! `USER`: who runs the steps that follow, and the image.

use crate::diagnostic::Problem;
use crate::syntax::{Arguments, Node, Word};

use super::flags::Flags;
use super::guide::Guide;

#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) user: Word,
}

/// What people are told about it.
pub(crate) const GUIDE: Guide = Guide {
    text: "Who runs the steps that follow and the containers of the image: a user, and perhaps a group, \
                   by name or number.",
    examples: &["USER nobody", "USER 1000:1000"],
    words: &["root", "nobody"],
    flags: &[],
};

pub(super) fn parse(node: &Node<'_>, arguments: Arguments) -> Result<User, Problem> {
    let user = super::only_word(node, arguments, "USER nobody")?;
    Flags::read(node, &[])?;
    Ok(User { user })
}
