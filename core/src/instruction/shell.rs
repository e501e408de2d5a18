//! `SHELL`: what reads commands in shell form.

use crate::diagnostic::Problem;
use crate::syntax::{Arguments, Node, Word};

use super::flags::Flags;
use super::guide::Guide;

#[derive(Debug, Clone)]
pub(crate) struct Shell {
    pub(crate) command: Vec<String>,
}

/// What people are told about it.
pub(crate) const GUIDE: Guide = Guide {
    text: "What reads commands that are written as text from here on: in RUN, CMD, ENTRYPOINT and \
                   HEALTHCHECK.",
    examples: &["SHELL [\"/bin/bash\", \"-o\", \"pipefail\", \"-c\"]"],
    words: &[
        "[\"/bin/sh\", \"-c\"]",
        "[\"/bin/sh\", \"-ec\"]",
        "[\"/bin/bash\", \"-c\"]",
        "[\"/bin/bash\", \"-o\", \"pipefail\", \"-c\"]",
        "[\"cmd\", \"/S\", \"/C\"]",
        "[\"powershell\", \"-Command\"]",
    ],
    flags: &[],
};

pub(super) fn parse(node: &Node<'_>, arguments: Arguments) -> Result<Shell, Problem> {
    Flags::read(node, &[])?;
    match arguments {
        Arguments::Json(words) if !words.is_empty() => Ok(Shell {
            command: words.into_iter().map(|Word { text, .. }| text).collect(),
        }),
        Arguments::Text(word) => Err(
            Problem::new("shell-form", "SHELL takes a JSON array of strings only.")
                .at(word.span)
                .hint("Write SHELL [\"/bin/bash\", \"-c\"]."),
        ),
        _ => Err(super::missing(node, "SHELL [\"/bin/bash\", \"-c\"]")),
    }
}
