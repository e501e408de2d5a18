//! `ENV`: variables of the image and of the steps that follow.

use crate::diagnostic::Problem;
use crate::syntax::{Arguments, Node, Pair};

use super::flags::Flags;
use super::guide::Guide;

#[derive(Debug, Clone)]
pub(crate) struct Env {
    pub(crate) pairs: Vec<Pair>,
}

/// What people are told about it.
pub(crate) const GUIDE: Guide = Guide {
    text: "Sets variables for the steps that follow, for stages that start from this one, and for \
                   containers of the image.",
    examples: &["ENV PORT=8080 MODE=\"with spaces\""],
    words: &[],
    flags: &[],
};

pub(super) fn parse(node: &Node<'_>, arguments: Arguments) -> Result<Env, Problem> {
    Flags::read(node, &[])?;
    Ok(Env {
        pairs: super::named_pairs(node, arguments, "ENV name=value")?,
    })
}
