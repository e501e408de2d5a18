//! `ARG`: what `--build-arg` may set.

use crate::diagnostic::Problem;
use crate::span::Span;
use crate::syntax::{Arguments, Node};

use super::guide::Guide;

#[derive(Debug, Clone)]
pub(crate) struct Arg {
    pub(crate) declarations: Vec<Declaration>,
}

/// One name, and what it is where nobody sets it.
#[derive(Debug, Clone)]
pub(crate) struct Declaration {
    pub(crate) name: String,
    pub(crate) default: Option<String>,
    pub(crate) span: Span,
}

/// What people are told about it.
pub(crate) const GUIDE: Guide = Guide {
    text: "Declares a variable that --build-arg may set, and perhaps its default. It holds to the end \
                   of the stage and is not kept in the image. Before the first FROM it is for FROM alone; \
                   repeated in a stage without a default, it can be used there.",
    examples: &["ARG VERSION=1.2", "ARG TARGETARCH"],
    words: &[],
    flags: &[],
};

pub(super) fn parse(node: &Node<'_>, arguments: Arguments) -> Result<Arg, Problem> {
    let words = arguments.words();
    if words.is_empty() {
        return Err(super::missing(node, "ARG name=default"));
    }
    let declaration = |word: crate::syntax::Word| match word.text.split_once('=') {
        Some(("", _)) => Err(Problem::new("blank-name", "There is no name before the =.").at(word.span)),
        Some((name, default)) => Ok(Declaration {
            name: name.to_owned(),
            default: Some(default.to_owned()),
            span: word.span,
        }),
        None => Ok(Declaration {
            name: word.text,
            default: None,
            span: word.span,
        }),
    };
    Ok(Arg {
        declarations: words.into_iter().map(declaration).collect::<Result<_, _>>()?,
    })
}
