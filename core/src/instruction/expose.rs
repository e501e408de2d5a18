//! `EXPOSE`: ports that the image listens on.

use crate::diagnostic::Problem;
use crate::syntax::{Arguments, Node, Word};

use super::flags::Flags;
use super::guide::Guide;

#[derive(Debug, Clone)]
pub(crate) struct Expose {
    /// Ports and ranges, sorted as written.
    pub(crate) ports: Vec<Word>,
}

/// What people are told about it.
pub(crate) const GUIDE: Guide = Guide {
    text: "Says on which ports the image listens. It is a note for people and tools: it opens nothing.",
    examples: &["EXPOSE 8080", "EXPOSE 53/udp 8000-8010"],
    words: &[],
    flags: &[],
};

pub(super) fn parse(node: &Node<'_>, arguments: Arguments) -> Result<Expose, Problem> {
    let words = arguments.words();
    if words.is_empty() {
        return Err(super::missing(node, "EXPOSE 8080"));
    }
    Flags::read(node, &[])?;
    let ports = crate::order::by_text(words, |word| &word.text);
    Ok(Expose { ports })
}
