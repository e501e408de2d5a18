//! `LABEL`: names and values that go with the image.

use crate::diagnostic::Problem;
use crate::syntax::{Arguments, Node, Pair};

use super::flags::Flags;

#[derive(Debug, Clone)]
pub(crate) struct Label {
    pub(crate) pairs: Vec<Pair>,
}

pub(super) fn parse(node: &Node<'_>, arguments: Arguments) -> Result<Label, Problem> {
    Flags::read(node, &[])?;
    Ok(Label {
        pairs: super::named_pairs(node, arguments, "LABEL name=value")?,
    })
}
