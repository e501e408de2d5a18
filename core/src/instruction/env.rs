//! `ENV`: variables of the image and of the steps that follow.

use crate::diagnostic::Problem;
use crate::syntax::{Arguments, Node, Pair};

use super::flags::Flags;

#[derive(Debug, Clone)]
pub(crate) struct Env {
    pub(crate) pairs: Vec<Pair>,
}

pub(super) fn parse(node: &Node<'_>, arguments: Arguments) -> Result<Env, Problem> {
    Flags::read(node, &[])?;
    Ok(Env {
        pairs: super::named_pairs(node, arguments, "ENV name=value")?,
    })
}
