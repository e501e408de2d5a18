//! A file line by line, and what each line belongs to.

use crate::span::Span;
use crate::syntax::{Node, Tree, without_continuation};

/// A file as it stands, beside its tree.
pub(super) struct Document<'t, 's> {
    pub(super) source: &'s str,
    pub(super) tree: &'t Tree<'s>,
    /// All lines, in order; the last is the one behind the last newline, which may be empty.
    pub(super) rows: Vec<Row>,
}

/// A line of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) start: usize,
    /// The end of its text.
    pub(super) end: usize,
    /// Where the next line begins.
    pub(super) next: usize,
    pub(super) kind: Kind,
}

/// What a line belongs to. Instructions are counted as in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing stands there.
    Empty,
    /// A comment between instructions.
    Comment,
    /// A parser directive, by index.
    Directive(usize),
    /// Part of an instruction, heredocs apart.
    Head(usize),
    /// An empty line or a comment between the lines of an instruction.
    Within(usize),
    /// A line in a heredoc of an instruction.
    Body(usize, usize),
    /// The line that ends the heredoc.
    End(usize, usize),
    /// A line in a heredoc that never ends.
    Endless(usize),
}

impl Row {
    /// Its text.
    pub(super) fn text<'s>(&self, source: &'s str) -> &'s str {
        source.get(self.start..self.end).unwrap_or_default()
    }

    /// Where its newline stands.
    pub(super) fn newline(&self) -> Span {
        Span::new(self.end, self.next)
    }
}

impl<'t, 's> Document<'t, 's> {
    pub(super) fn new(source: &'s str, tree: &'t Tree<'s>) -> Self {
        let mut rows = Vec::new();
        let mut at = if source.starts_with('\u{feff}') { 3 } else { 0 };
        let (mut node, mut directive) = (0, 0);
        let mut number = 0;
        loop {
            let rest = source.get(at..).unwrap_or_default();
            let length = rest.find('\n').map_or(rest.len(), |newline| newline + 1);
            let text = rest.get(..length).unwrap_or_default();
            let ends = text.ends_with('\n');
            let text = text.trim_end_matches(['\r', '\n']);
            number += 1;
            let at_directive = tree.directives.get(directive);
            while tree.nodes.get(node).is_some_and(|node| node.lines.end < number) {
                node += 1;
            }
            let kind = if at_directive.is_some_and(|directive| directive.lines.start == number) {
                directive += 1;
                Kind::Directive(directive - 1)
            } else {
                match tree.nodes.get(node).filter(|node| node.lines.start <= number) {
                    Some(found) => kind_in(found, node, at, text, number),
                    None => kind_between(text),
                }
            };
            rows.push(Row {
                start: at,
                end: at + text.len(),
                next: at + length,
                kind,
            });
            at += length;
            if !ends {
                break;
            }
            if at >= source.len() {
                let kind = last_kind(tree, source, rows.last());
                let (start, end, next) = (at, at, at);
                rows.push(Row {
                    start,
                    end,
                    next,
                    kind,
                });
                break;
            }
        }
        Self { source, tree, rows }
    }

    /// The index of the line at `offset`.
    pub(super) fn row_at(&self, offset: usize) -> usize {
        self.rows
            .partition_point(|row| row.start <= offset)
            .saturating_sub(1)
    }
}

/// Whether an instruction begins a heredoc that never ends.
pub(super) fn is_endless(node: &Node<'_>) -> bool {
    let problem = node.arguments.as_ref().err();
    problem.is_some_and(|problem| problem.code == "unterminated-heredoc")
}

fn kind_between(text: &str) -> Kind {
    let text = text.trim_start();
    if text.is_empty() {
        Kind::Empty
    } else if text.starts_with('#') {
        Kind::Comment
    } else {
        // Every other line is an instruction's.
        Kind::Empty
    }
}

fn kind_in(node: &Node<'_>, index: usize, start: usize, text: &str, number: u32) -> Kind {
    let head_end = node
        .heredocs
        .first()
        .map_or(node.span.end, |heredoc| heredoc.span.start);
    if number == node.lines.start {
        return Kind::Head(index);
    }
    if start < head_end {
        return match kind_between(text) {
            Kind::Comment => Kind::Within(index),
            _ if text.trim_start().is_empty() => Kind::Within(index),
            _ => Kind::Head(index),
        };
    }
    for (place, heredoc) in node.heredocs.iter().enumerate() {
        if start < heredoc.span.end {
            return Kind::Body(index, place);
        }
        if start == heredoc.span.end {
            return Kind::End(index, place);
        }
    }
    if node.heredocs.is_empty() && start == head_end {
        // The last line of an instruction that the end of the file cut off is empty, and so is its place.
        return Kind::Within(index);
    }
    Kind::Endless(index)
}

/// What the empty line behind the last newline belongs to.
fn last_kind(tree: &Tree<'_>, source: &str, before: Option<&Row>) -> Kind {
    let endless = |node: usize| tree.nodes.get(node).is_some_and(is_endless);
    match before.map(|row| row.kind) {
        Some(Kind::Endless(node)) => Kind::Endless(node),
        Some(Kind::Head(node) | Kind::End(node, _)) if endless(node) => Kind::Endless(node),
        Some(Kind::Within(node)) => Kind::Within(node),
        Some(Kind::Head(node))
            if before.is_some_and(|row| without_continuation(row.text(source), tree.escape).is_some()) =>
        {
            Kind::Within(node)
        }
        _ => Kind::Empty,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::syntax::generated::mutated_files;
    use crate::syntax::parse;

    fn kinds(source: &str) -> Vec<Kind> {
        let tree = parse(source);
        let rows = Document::new(source, &tree).rows;
        rows.iter().map(|row| row.kind).collect()
    }

    #[test]
    fn every_line_belongs_to_something() {
        use Kind::{Body, Comment, Directive, Empty, End, Head, Within};
        assert_eq!(
            kinds("# escape=`\n\n# a\nRUN a `\n # b\n\n c <<E <<F\n#\nE\nF\nRUN\n"),
            [
                Directive(0),
                Empty,
                Comment,
                Head(0),
                Within(0),
                Within(0),
                Head(0),
                Body(0, 0),
                End(0, 0),
                End(0, 1),
                Head(1),
                Empty
            ]
        );
    }

    #[test]
    fn what_the_end_of_a_file_cuts_off_goes_on_there() {
        use Kind::{End, Endless, Head, Within};
        assert_eq!(kinds("RUN a \\\n"), [Head(0), Within(0)]);
        assert_eq!(kinds("RUN a \\\n\n"), [Head(0), Within(0), Within(0)]);
        assert_eq!(kinds("RUN <<E\na\n"), [Head(0), Endless(0), Endless(0)]);
        assert_eq!(kinds("RUN <<E\n"), [Head(0), Endless(0)]);
        assert_eq!(kinds("RUN <<E <<F\nE\n"), [Head(0), End(0, 0), Endless(0)]);
    }

    proptest! {
        #[test]
        fn lines_follow_each_other(source in mutated_files()) {
            let tree = parse(&source);
            let document = Document::new(&source, &tree);
            let mut at = document.rows[0].start;
            for row in &document.rows {
                prop_assert_eq!(row.start, at);
                prop_assert!(row.start <= row.end && row.end <= row.next);
                let text = row.text(&source);
                prop_assert!(row.kind != Kind::Empty || text.trim().is_empty(), "{text:?}");
                at = row.next;
            }
            prop_assert_eq!(at, source.len());
        }
    }
}
