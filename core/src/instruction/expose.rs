//! `EXPOSE`: ports that the image listens on.

use crate::diagnostic::Problem;
use crate::syntax::{Arguments, Node, Word};

use super::flags::Flags;

#[derive(Debug, Clone)]
pub(crate) struct Expose {
    /// Ports and ranges, sorted as written.
    pub(crate) ports: Vec<Word>,
}

pub(super) fn parse(node: &Node<'_>, arguments: Arguments) -> Result<Expose, Problem> {
    let mut ports = arguments.words();
    if ports.is_empty() {
        return Err(super::missing(node, "EXPOSE 8080"));
    }
    Flags::read(node, &[])?;
    ports.sort_by(|left, right| left.text.cmp(&right.text));
    Ok(Expose { ports })
}
