//! `VOLUME`: directories whose content is not the image's.

use crate::diagnostic::Problem;
use crate::syntax::{Arguments, Node, Word};

use super::flags::Flags;
use super::guide::Guide;

#[derive(Debug, Clone)]
pub(crate) struct Volume {
    pub(crate) paths: Vec<Word>,
}

/// What people are told about it.
pub(crate) const GUIDE: Guide = Guide {
    text: "Marks directories that every container of the image gets a volume of its own for, filled with what the \
           image has there.",
    examples: &["VOLUME /data", "VOLUME [\"/data\", \"/cache\"]"],
    words: &[],
    flags: &[],
};

pub(super) fn parse(node: &Node<'_>, arguments: Arguments) -> Result<Volume, Problem> {
    let mut paths = arguments.words();
    if paths.is_empty() {
        return Err(super::missing(node, "VOLUME /data"));
    }
    Flags::read(node, &[])?;
    for path in &mut paths {
        path.text = path.text.trim().to_owned();
        if path.text.is_empty() {
            return Err(empty_volume(path));
        }
    }
    Ok(Volume { paths })
}

/// A volume without a path.
pub(crate) fn empty_volume(path: &Word) -> Problem {
    Problem::new("empty-volume", "A VOLUME here has no path.")
        .at(path.span)
        .hint("Give it a path such as /data.")
}
