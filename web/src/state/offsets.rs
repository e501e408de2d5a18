//! The one place where the planner's offsets meet the editor's.
//!
//! The planner counts bytes; the editor counts UTF-16 units, and every line break as one, whatever the file has.

use stagewright_core::span::Span;

/// Turns byte offsets into the editor's. Made once per text, asked in any order.
#[derive(Debug)]
pub struct EditorOffsets {
    /// Where the two begin to differ by another amount: byte offset, and the editor's offset there.
    steps: Vec<(usize, usize)>,
}

impl EditorOffsets {
    /// Walks `text` once.
    pub fn new(text: &str) -> Self {
        let mut steps = vec![(0, 0)];
        let mut units = 0;
        let mut letters = text.char_indices().peekable();
        while let Some((at, letter)) = letters.next() {
            let followed_by_newline = letters.peek().is_some_and(|(_, next)| *next == '\n');
            let width = if letter == '\r' && followed_by_newline {
                0
            } else {
                letter.len_utf16()
            };
            units += width;
            if width != letter.len_utf8() {
                steps.push((at + letter.len_utf8(), units));
            }
        }
        Self { steps }
    }

    /// The editor's offset of a byte; one inside a character counts as the character's end.
    pub fn of_byte(&self, byte: usize) -> usize {
        let at = self.steps.partition_point(|(start, _)| *start <= byte);
        let Some((start, units)) = at.checked_sub(1).and_then(|at| self.steps.get(at)) else {
            return byte;
        };
        let next = self.steps.get(at).map_or(usize::MAX, |(_, units)| *units);
        (units + (byte - start)).min(next)
    }

    /// Both ends of a span.
    pub fn of_span(&self, span: Span) -> (usize, usize) {
        (self.of_byte(span.start), self.of_byte(span.end))
    }
}

/// What was typed, with the line breaks the file had: the editor gives `\n` only.
pub fn with_breaks_of(original: &str, typed: String) -> String {
    if original.contains("\r\n") {
        typed.replace('\n', "\r\n")
    } else {
        typed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts the slow way.
    fn expected(text: &str, byte: usize) -> usize {
        text[..byte].replace("\r\n", "\n").encode_utf16().count()
    }

    #[test]
    fn every_character_boundary_agrees_with_counting() {
        for text in [
            "",
            "FROM alpine",
            "LABEL a=ä b=雲 c=🐳 d",
            "FROM a\r\nRUN é\r\n",
            "🐳🐳",
            "\r\r\n\r",
        ] {
            let offsets = EditorOffsets::new(text);
            for (byte, _) in text.char_indices().chain([(text.len(), ' ')]) {
                // Between the two bytes of a break there is no place for the editor.
                if text.get(byte.wrapping_sub(1)..=byte) != Some("\r\n") {
                    assert_eq!(offsets.of_byte(byte), expected(text, byte), "{text:?} at {byte}");
                }
            }
        }
    }

    #[test]
    fn an_offset_inside_a_character_is_its_end() {
        assert_eq!(EditorOffsets::new("a🐳b").of_byte(3), 3);
    }

    #[test]
    fn line_breaks_stay_what_they_were() {
        assert_eq!(with_breaks_of("a\r\nb", "a\nc".into()), "a\r\nc");
        assert_eq!(with_breaks_of("a\nb", "a\nc".into()), "a\nc");
    }
}
