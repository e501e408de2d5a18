//! Changes to a text: what a quick fix, a rename or the formatter wants to be done, as data.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::span::Span;

/// One change: what stands at `span` becomes `text`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TextEdit {
    /// What is replaced, in bytes of the text before any change; empty to insert.
    pub span: Span,
    /// What stands there afterwards; empty to remove.
    pub text: String,
}

impl TextEdit {
    /// Replaces what stands at `span`.
    pub fn replace(span: Span, text: impl Into<String>) -> Self {
        Self {
            span,
            text: text.into(),
        }
    }

    /// Puts `text` before the byte at `offset`.
    pub fn insert(offset: usize, text: impl Into<String>) -> Self {
        Self::replace(Span::new(offset, offset), text)
    }

    /// Takes out what stands at `span`.
    pub fn remove(span: Span) -> Self {
        Self::replace(span, "")
    }
}

/// Why edits cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EditError {
    /// Two of them change the same letters, so the result would depend on which came first.
    #[error("two edits change the same text, at byte {0}")]
    Overlap(usize),
    /// One lies outside of the text, or begins or ends within a letter.
    #[error("there is no text from byte {} to byte {}", .0.start, .0.end)]
    Outside(Span),
}

/// `source` with all `edits` made. Their order does not matter, but for insertions at one place, which stay in theirs.
pub fn apply(source: &str, edits: &[TextEdit]) -> Result<String, EditError> {
    let mut order: Vec<(usize, usize, usize)> = edits
        .iter()
        .enumerate()
        .map(|(index, edit)| (edit.span.start, edit.span.end, index))
        .collect();
    order.sort_unstable();
    let mut text = String::with_capacity(source.len());
    let mut done = 0;
    for (start, end, index) in order {
        let Some(edit) = edits.get(index) else { continue };
        if start < done {
            return Err(EditError::Overlap(start));
        }
        if source.get(start..end).is_none() {
            return Err(EditError::Outside(edit.span));
        }
        text.push_str(source.get(done..start).unwrap_or_default());
        text.push_str(&edit.text);
        done = end;
    }
    text.push_str(source.get(done..).unwrap_or_default());
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_made_in_any_order() {
        let edits = [
            TextEdit::remove(Span::new(4, 5)),
            TextEdit::insert(0, "# a\n"),
            TextEdit::insert(0, "# b\n"),
            TextEdit::replace(Span::new(0, 4), "FROM"),
        ];
        assert_eq!(apply("from  a", &edits).unwrap(), "# a\n# b\nFROM a");
    }

    #[test]
    fn edits_of_the_same_letters_are_refused() {
        let edits = [
            TextEdit::remove(Span::new(0, 3)),
            TextEdit::replace(Span::new(2, 4), "x"),
        ];
        assert_eq!(apply("abcdef", &edits), Err(EditError::Overlap(2)));
    }

    #[test]
    fn an_edit_within_a_letter_or_outside_is_refused() {
        for span in [Span::new(0, 1), Span::new(1, 2), Span::new(2, 9), Span::new(3, 2)] {
            assert_eq!(
                apply("ü", &[TextEdit::remove(span)]),
                Err(EditError::Outside(span))
            );
        }
    }
}
