//! `COPY`: files from the context, another stage or an image.

use crate::diagnostic::Problem;
use crate::syntax::{Arguments, Node, Word};

use super::Sources;
use super::flags::{Flags, Takes};
use super::guide::{FlagGuide, Guide, Value};

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

/// The flags that it knows.
pub(super) const FLAGS: &[(&str, Takes)] = &[
    ("from", Takes::Text),
    ("chown", Takes::Text),
    ("chmod", Takes::Text),
    ("link", Takes::Switch),
    ("exclude", Takes::Texts),
    ("parents", Takes::Switch),
];

/// What people are told about it.
pub(crate) const GUIDE: Guide = Guide {
    text: "Copies files and directories: from the build context, from another stage, or from an image.",
    examples: &[
        "COPY src/ /app/",
        "COPY --from=build /out/app /usr/bin/",
        "COPY <<config.txt /etc/\na=b\nconfig.txt",
    ],
    words: &[],
    flags: &[
        FlagGuide {
            name: "from",
            value: Value::Source,
            text: "Where the files come from: a stage by name or number, or an image. The build context where \
                   it is not given.",
        },
        FlagGuide {
            name: "chown",
            value: Value::Like("user:group"),
            text: "Who owns what is copied: a user, or a user and a group, by name or number. Root where it is \
                   not given.",
        },
        FlagGuide {
            name: "chmod",
            value: Value::Like("0755"),
            text: "The permissions of what is copied: in octal, or in letters like u=rwX,go=rX. Those of the \
                   source where it is not given.",
        },
        FlagGuide {
            name: "link",
            value: Value::Switch,
            text: "Makes a layer of its own, which stays as it is when what is below it changes. Symbolic links \
                   in the destination are not followed.",
        },
        FlagGuide {
            name: "exclude",
            value: Value::Like("*.md"),
            text: "Leaves out what matches this pattern. It may be given again.",
        },
        FlagGuide {
            name: "parents",
            value: Value::Switch,
            text: "Keeps the directories that lead to each source, from /./ on where its path has that.",
        },
    ],
};

pub(super) fn parse(node: &Node<'_>, arguments: Arguments) -> Result<Copy, Problem> {
    let flags = Flags::read(node, FLAGS)?;
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
