//! `LABEL`: names and values that go with the image.

use crate::diagnostic::Problem;
use crate::syntax::{Arguments, Node, Pair};

use super::flags::Flags;
use super::guide::Guide;

#[derive(Debug, Clone)]
pub(crate) struct Label {
    pub(crate) pairs: Vec<Pair>,
}

/// What people are told about it.
pub(crate) const GUIDE: Guide = Guide {
    text: "Puts names and values on the image, for people and tools to read.",
    examples: &["LABEL org.opencontainers.image.source=\"https://example.com/repo\""],
    words: &[
        "org.opencontainers.image.authors=",
        "org.opencontainers.image.created=",
        "org.opencontainers.image.description=",
        "org.opencontainers.image.documentation=",
        "org.opencontainers.image.licenses=",
        "org.opencontainers.image.revision=",
        "org.opencontainers.image.source=",
        "org.opencontainers.image.title=",
        "org.opencontainers.image.url=",
        "org.opencontainers.image.vendor=",
        "org.opencontainers.image.version=",
    ],
    flags: &[],
};

pub(super) fn parse(node: &Node<'_>, arguments: Arguments) -> Result<Label, Problem> {
    Flags::read(node, &[])?;
    Ok(Label {
        pairs: super::named_pairs(node, arguments, "LABEL name=value")?,
    })
}
