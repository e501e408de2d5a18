//! `ONBUILD`: an instruction for those who build on this image.

use crate::diagnostic::Problem;
use crate::syntax::{Arguments, Keyword, Line, Node};

use super::flags::Flags;
use super::guide::Guide;

#[derive(Debug, Clone)]
pub(crate) struct Onbuild {
    /// The instruction as it is kept in the image's configuration, with the heredocs it begins.
    pub(crate) expression: String,
}

/// What people are told about it.
pub(crate) const GUIDE: Guide = Guide {
    text: "Keeps an instruction for those who start from this image or stage: it is done right behind \
                   their FROM.",
    examples: &["ONBUILD COPY . /src"],
    words: &[],
    flags: &[],
};

pub(super) fn parse(node: &Node<'_>, arguments: Arguments) -> Result<Onbuild, Problem> {
    let Arguments::Trigger(range) = arguments else {
        return Err(super::missing(node, "ONBUILD COPY . ."));
    };
    let text = node.line.text().get(range).unwrap_or_default();
    if text.is_empty() {
        return Err(super::missing(node, "ONBUILD COPY . ."));
    }
    // The escape character counts where the trigger is run, not here.
    let inner = Node::read(Line::new(text, 0), '\\');
    if let Err(problem) = inner.arguments {
        return Err(Problem {
            span: None,
            ..problem
        });
    }
    Flags::read(node, &[])?;
    if let Some(keyword @ (Keyword::Onbuild | Keyword::Maintainer | Keyword::From)) = inner.keyword {
        return Err(Problem::new(
            "bad-trigger",
            format!("{} cannot be a trigger.", keyword.name()),
        ));
    }
    let code = node.line.text().trim_start();
    let mut expression = code
        .get(node.name().len()..)
        .unwrap_or_default()
        .trim_start_matches([' ', '\t', '\u{c}', '\r'])
        .to_owned();
    for heredoc in &node.heredocs {
        expression.push('\n');
        expression.push_str(&heredoc.content);
        expression.push_str(&heredoc.marker.name);
    }
    Ok(Onbuild { expression })
}
