//! Folding: what can be put away while one looks at something else.

use serde::{Deserialize, Serialize};

use crate::span::{LineRange, Span};
use crate::syntax;

use super::document::{Document, Kind};
use super::stages::Stages;

/// Lines that can be folded into the first of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FoldingRange {
    /// What they are.
    pub kind: FoldingKind,
    /// What goes: from the end of the first line to the end of the last.
    pub span: Span,
    /// The lines, from the one that stays; never one alone.
    pub lines: LineRange,
}

/// What a [`FoldingRange`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FoldingKind {
    /// A stage, from its FROM to its last instruction.
    Stage,
    /// An instruction that is continued, without its heredocs.
    Instruction,
    /// A heredoc, from the line before it to the one that ends it.
    Heredoc,
    /// Comments one below the other.
    Comment,
}

/// What can be folded, in the order of the file; what holds others stands before them.
#[must_use]
pub fn folding(source: &str) -> Vec<FoldingRange> {
    let tree = syntax::parse(source);
    let document = Document::new(source, &tree);
    let stages = Stages::new(&tree);
    let mut found = Vec::new();
    let mut add = |kind, first: usize, last: usize| {
        let (Some(start), Some(end)) = (document.rows.get(first), document.rows.get(last)) else {
            return;
        };
        let number = |row: usize| u32::try_from(row + 1).unwrap_or(u32::MAX);
        if first < last {
            found.push(FoldingRange {
                kind,
                span: Span::new(start.end, end.end),
                lines: LineRange {
                    start: number(first),
                    end: number(last),
                },
            });
        }
    };
    for (index, stage) in stages.all.iter().enumerate() {
        let next = stages
            .all
            .get(index + 1)
            .map_or(tree.nodes.len(), |next| next.node);
        let last = next.checked_sub(1).and_then(|last| tree.nodes.get(last));
        if let (Some(from), Some(last)) = (tree.nodes.get(stage.node), last) {
            let last = document.row_at(last.span.end.max(last.span.start));
            add(FoldingKind::Stage, document.row_at(from.span.start), last);
        }
    }
    let mut row = 0;
    while let Some(kind) = document.rows.get(row).map(|row| row.kind) {
        let like = |same: &dyn Fn(Kind) -> bool| {
            let rows = document.rows.iter().skip(row);
            row + rows.take_while(|row| same(row.kind)).count().max(1) - 1
        };
        row = match kind {
            Kind::Comment => {
                let last = like(&|other| other == Kind::Comment);
                add(FoldingKind::Comment, row, last);
                last
            }
            Kind::Head(node) => {
                let last = like(&|other| other == Kind::Head(node) || other == Kind::Within(node));
                let shown = document
                    .rows
                    .iter()
                    .take(last + 1)
                    .rposition(|row| row.kind == Kind::Head(node));
                add(FoldingKind::Instruction, row, shown.unwrap_or(last));
                last
            }
            Kind::Body(node, heredoc) => {
                let last = like(&|other| other == Kind::Body(node, heredoc)) + 1;
                add(FoldingKind::Heredoc, row.saturating_sub(1), last);
                last
            }
            Kind::Empty | Kind::Directive(_) | Kind::Within(_) | Kind::End(..) | Kind::Endless(_) => row,
        } + 1;
    }
    found.sort_by_key(|range| (range.span.start, std::cmp::Reverse(range.span.end), range.kind));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_heredocs_continuations_and_comments_fold() {
        let source = "# a\n# b\nFROM x\nRUN a \\\n # c\n b <<E\n1\n2\nE\n\n# d\nFROM y\n";
        let found = folding(source).into_iter();
        let found: Vec<_> = found
            .map(|range| (range.kind, range.lines.start, range.lines.end))
            .collect();
        assert_eq!(
            found,
            [
                (FoldingKind::Comment, 1, 2),
                (FoldingKind::Stage, 3, 9),
                (FoldingKind::Instruction, 4, 6),
                (FoldingKind::Heredoc, 6, 9),
            ]
        );
        let stage = folding(source)[1].span;
        assert!(source[stage.start..stage.end].starts_with("\nRUN") && source[..stage.end].ends_with("\nE"));
    }
}
