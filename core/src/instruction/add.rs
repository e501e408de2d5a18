//! `ADD`: like COPY, but it also fetches and unpacks.

use crate::diagnostic::Problem;
use crate::syntax::{Arguments, Node, Word};

use super::Sources;
use super::flags::{Flags, Takes};

#[derive(Debug, Clone)]
pub(crate) struct Add {
    pub(crate) sources: Sources,
    pub(crate) chown: Option<Word>,
    pub(crate) chmod: Option<Word>,
    pub(crate) checksum: Option<Word>,
    pub(crate) link: bool,
    pub(crate) exclude: Vec<Word>,
    /// Whether the history of a git source is kept.
    pub(crate) keep_git_dir: Option<bool>,
    /// Whether archives are unpacked; else local ones are and others are not.
    pub(crate) unpack: Option<bool>,
}

pub(super) fn parse(node: &Node<'_>, arguments: Arguments) -> Result<Add, Problem> {
    let flags = Flags::read(
        node,
        &[
            ("chown", Takes::Text),
            ("chmod", Takes::Text),
            ("link", Takes::Switch),
            ("keep-git-dir", Takes::Switch),
            ("checksum", Takes::Text),
            ("unpack", Takes::Switch),
            ("exclude", Takes::Texts),
        ],
    )?;
    Ok(Add {
        sources: Sources::read(node, arguments)?,
        chown: flags.text("chown"),
        chmod: flags.text("chmod"),
        checksum: flags.text("checksum"),
        link: flags.switch("link") == Some(true),
        exclude: flags.texts("exclude"),
        keep_git_dir: flags.switch("keep-git-dir"),
        unpack: flags.switch("unpack"),
    })
}
