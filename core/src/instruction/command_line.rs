//! Commands in exec form and shell form: RUN, CMD and ENTRYPOINT.

use crate::syntax::{Arguments, Heredoc, Node, Word};

/// A command.
#[derive(Debug, Clone)]
pub(crate) struct CommandLine {
    /// The program and its arguments; in shell form the whole text as one.
    pub(crate) args: Vec<String>,
    /// Whether a shell reads it.
    pub(crate) shell: bool,
    /// Heredocs that the text begins.
    pub(crate) heredocs: Vec<Heredoc>,
}

impl CommandLine {
    pub(super) fn read(node: &Node<'_>, arguments: Arguments) -> Self {
        let shell = !matches!(arguments, Arguments::Json(_));
        let args = arguments
            .words()
            .into_iter()
            .map(|Word { text, .. }| text)
            .collect();
        Self {
            args,
            shell,
            heredocs: node.heredocs.clone(),
        }
    }
}
