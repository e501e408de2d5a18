//! `USER`: who runs the steps that follow, and the image.

use crate::diagnostic::Problem;
use crate::syntax::{Arguments, Node, Word};

use super::flags::Flags;

#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) user: Word,
}

pub(super) fn parse(node: &Node<'_>, arguments: Arguments) -> Result<User, Problem> {
    let user = super::only_word(node, arguments, "USER nobody")?;
    Flags::read(node, &[])?;
    Ok(User { user })
}
