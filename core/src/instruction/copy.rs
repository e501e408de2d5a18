//! `COPY`: files from the context, another stage or an image.

use crate::diagnostic::Problem;
use crate::syntax::{Arguments, Node, Word};

use super::Sources;
use super::flags::{Flags, Takes};

#[derive(Debug, Clone)]
pub(crate) struct Copy {
    pub(crate) sources: Sources,
    /// A stage by index or name, or an image; the context where there is none.
    pub(crate) from: Option<Word>,
    pub(crate) chown: Option<Word>,
    pub(crate) chmod: Option<Word>,
    pub(crate) link: bool,
    /// Whether the directories that lead to a source come along.
    pub(crate) parents: bool,
    pub(crate) exclude: Vec<Word>,
}

pub(super) fn parse(node: &Node<'_>, arguments: Arguments) -> Result<Copy, Problem> {
    let flags = Flags::read(
        node,
        &[
            ("from", Takes::Text),
            ("chown", Takes::Text),
            ("chmod", Takes::Text),
            ("link", Takes::Switch),
            ("exclude", Takes::Texts),
            ("parents", Takes::Switch),
        ],
    )?;
    Ok(Copy {
        sources: Sources::read(node, arguments)?,
        from: flags.text("from"),
        chown: flags.text("chown"),
        chmod: flags.text("chmod"),
        link: flags.switch("link") == Some(true),
        parents: flags.switch("parents") == Some(true),
        exclude: flags.texts("exclude"),
    })
}
