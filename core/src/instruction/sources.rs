//! What ADD and COPY take, and where they put it.

use crate::diagnostic::Problem;
use crate::span::Span;
use crate::syntax::{Arguments, Keyword, Marker, Node, Word};

/// Sources and a destination.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    /// Paths, patterns and addresses.
    pub(crate) paths: Vec<Word>,
    /// Files that stand in the Dockerfile itself.
    pub(crate) contents: Vec<Inline>,
    pub(crate) destination: Word,
}

/// A file that stands in the Dockerfile itself.
#[derive(Debug, Clone)]
pub(crate) struct Inline {
    pub(crate) name: String,
    pub(crate) data: String,
    /// Whether variables in it are worked out.
    pub(crate) expand: bool,
    pub(crate) span: Span,
}

impl Sources {
    pub(super) fn read(node: &Node<'_>, arguments: Arguments) -> Result<Self, Problem> {
        let keyword = node.keyword.map_or("This", Keyword::name);
        let mut words = arguments.words();
        let (Some(destination), false) = (words.pop(), words.is_empty()) else {
            return Err(
                Problem::new("missing-destination", format!("{keyword} does not say where to."))
                    .hint(format!("Write {keyword} source destination.")),
            );
        };
        if is_marker(&destination.text) {
            return Err(
                Problem::new("heredoc-destination", "A heredoc cannot be a destination.")
                    .at(destination.span),
            );
        }
        let (mut paths, mut contents) = (Vec::new(), Vec::new());
        for word in words {
            let Ok(Some(marker)) = Marker::read(&word.text) else {
                paths.push(word);
                continue;
            };
            // Of several with one name the last one's content counts, as it does in BuildKit; how it is read is up to each.
            let heredoc = node
                .heredocs
                .iter()
                .rev()
                .find(|heredoc| heredoc.marker.name == marker.name);
            let data = heredoc.map(|heredoc| heredoc.read_as(&marker));
            contents.push(Inline {
                name: marker.name,
                data: data.unwrap_or_default(),
                expand: marker.expand,
                span: word.span,
            });
        }
        Ok(Self {
            paths,
            contents,
            destination,
        })
    }
}

fn is_marker(word: &str) -> bool {
    matches!(Marker::read(word), Ok(Some(_)))
}
