//! A file with all that can be read off its text at once.

use crate::syntax::{Keyword, Tree};

use super::document::Document;
use super::pieces::{Piece, Role, pieces};
use super::stages::Stages;

/// A file, its stages and its pieces.
pub(super) struct Reading<'t, 's> {
    pub(super) document: Document<'t, 's>,
    pub(super) stages: Stages,
    pub(super) pieces: Vec<Piece>,
}

impl<'t, 's> Reading<'t, 's> {
    pub(super) fn new(source: &'s str, tree: &'t Tree<'s>) -> Self {
        let document = Document::new(source, tree);
        let stages = Stages::new(tree);
        let pieces = pieces(&document, &stages);
        Self {
            document,
            stages,
            pieces,
        }
    }

    /// The piece at a place; where none begins there, the one that ends there.
    pub(super) fn piece_at(&self, offset: usize) -> Option<&Piece> {
        let behind = self.pieces.partition_point(|piece| piece.span.start <= offset);
        let piece = self.pieces.get(behind.checked_sub(1)?)?;
        if piece.span.contains(offset) {
            return Some(piece);
        }
        // Where two meet, the one that begins was found above, unless there is nothing between the last and the place.
        (piece.span.end == offset).then_some(piece)
    }

    /// The text of a piece.
    pub(super) fn text(&self, piece: &Piece) -> &'s str {
        let source: &'s str = self.document.source;
        source.get(piece.span.start..piece.span.end).unwrap_or_default()
    }

    /// The stage that a piece names, or names by its number.
    pub(super) fn stage_of(&self, piece: &Piece) -> Option<usize> {
        let text = self.text(piece);
        let own = self.stages.of_node(piece.node?);
        match piece.role {
            Role::StageName => own,
            Role::Base => self.stages.base(own?, text),
            Role::Source { numbers } => self.stages.source(text, numbers),
            Role::Plain
            | Role::Instruction(_)
            | Role::Flag(..)
            | Role::MountType(_)
            | Role::MountOption(..)
            | Role::Variable(_)
            | Role::Declared(_)
            | Role::Directive(_) => None,
        }
    }

    /// Whether variables of an instruction are the global ones: those of FROM, and of what stands before the first.
    pub(super) fn is_global(&self, node: usize) -> bool {
        let from = self.document.tree.nodes.get(node).map(|node| node.keyword);
        from == Some(Some(Keyword::From)) || self.stages.of_node(node).is_none()
    }
}

/// The nearest place in the text that is not behind `offset`.
pub(super) fn clamp(source: &str, offset: usize) -> usize {
    let mut offset = offset.min(source.len());
    while !source.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}
