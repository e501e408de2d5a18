//! `ADD`: like COPY, but it also fetches and unpacks.

use crate::diagnostic::Problem;
use crate::syntax::{Arguments, Node, Word};

use super::Sources;
use super::flags::{Flags, Takes};
use super::guide::{FlagGuide, Guide, Value};

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

/// The flags that it knows.
pub(super) const FLAGS: &[(&str, Takes)] = &[
    ("chown", Takes::Text),
    ("chmod", Takes::Text),
    ("link", Takes::Switch),
    ("keep-git-dir", Takes::Switch),
    ("checksum", Takes::Text),
    ("unpack", Takes::Switch),
    ("exclude", Takes::Texts),
];

/// What people are told about it.
pub(crate) const GUIDE: Guide = Guide {
    text: "Adds files like COPY does, and more: it fetches http addresses and git repositories, and \
                   unpacks archives of the build context. Where files are only copied, COPY says so.",
    examples: &[
        "ADD app.tar.gz /opt/",
        "ADD --checksum=sha256:24454f830cdb571e2c4ad15481119c43b3cafd48dd869a9b2945d1036d1dc68d https://example.com/a /a",
        "ADD https://example.com/repo.git#main /src",
    ],
    words: &[],
    flags: &[
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
            name: "keep-git-dir",
            value: Value::Switch,
            text: "Keeps the .git directory of a repository.",
        },
        FlagGuide {
            name: "checksum",
            value: Value::Like("sha256:"),
            text: "The digest that the content has to have, or the commit of a repository. The build fails \
                   where it is another.",
        },
        FlagGuide {
            name: "unpack",
            value: Value::Switch,
            text: "Whether archives are unpacked. Those of the build context are and others are not, where it \
                   is not given.",
        },
        FlagGuide {
            name: "exclude",
            value: Value::Like("*.md"),
            text: "Leaves out what matches this pattern. It may be given again.",
        },
    ],
};

pub(super) fn parse(node: &Node<'_>, arguments: Arguments) -> Result<Add, Problem> {
    let flags = Flags::read(node, FLAGS)?;
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
