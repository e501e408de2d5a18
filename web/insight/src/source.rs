//! Looking a place up in the source.

use stagewright_core::span::Span;

/// How much of a line is shown, in characters.
const WIDTH: usize = 160;

/// A line of the source around a place in it: what stands before, at, and after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Excerpt<'s> {
    pub(crate) before: &'s str,
    pub(crate) at: &'s str,
    pub(crate) after: &'s str,
}

impl<'s> Excerpt<'s> {
    /// The line in which `span` begins. A place that goes on for more lines ends with the first.
    pub(crate) fn of(source: &'s str, span: Span) -> Self {
        let start = floor(source, span.start);
        let line = source.get(..start).unwrap_or_default();
        let begin = line.rfind('\n').map_or(0, |at| at + 1);
        let rest = source.get(start..).unwrap_or_default();
        let end = start + rest.find('\n').unwrap_or(rest.len());
        let stop = floor(source, span.end.clamp(start, end));
        let part = |from: usize, to: usize| source.get(from..to).unwrap_or_default();
        Self {
            before: last(part(begin, start).trim_start()),
            at: first(part(start, stop).trim_end_matches('\r')),
            after: first(part(stop, end).trim_end()),
        }
    }
}

/// The nearest place at or before `offset` where a character begins.
fn floor(source: &str, offset: usize) -> usize {
    let mut at = offset.min(source.len());
    while !source.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn first(text: &str) -> &str {
    match text.char_indices().nth(WIDTH) {
        Some((at, _)) => text.get(..at).unwrap_or(text),
        None => text,
    }
}

fn last(text: &str) -> &str {
    match text.char_indices().rev().nth(WIDTH) {
        Some((at, _)) => text.get(at..).unwrap_or(text),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(source: &str, start: usize, end: usize) -> (&str, &str, &str) {
        let Excerpt { before, at, after } = Excerpt::of(source, Span::new(start, end));
        (before, at, after)
    }

    #[test]
    fn a_place_is_shown_in_its_line() {
        let source = "FROM a\n  COPY b c\nRUN d";
        assert_eq!(parts(source, 14, 15), ("COPY ", "b", " c"));
        assert_eq!(parts(source, 9, 23), ("", "COPY b c", ""));
        assert_eq!(parts(source, 0, 0), ("", "", "FROM a"));
    }

    #[test]
    fn a_place_that_is_not_there_is_no_fault() {
        assert_eq!(parts("ü", 1, 9), ("", "ü", ""));
        assert_eq!(parts("", 3, 9), ("", "", ""));
    }

    #[test]
    fn a_long_line_is_cut() {
        let source = "x".repeat(1000);
        let excerpt = Excerpt::of(&source, Span::new(500, 600));
        assert_eq!(
            [excerpt.before.len(), excerpt.at.len(), excerpt.after.len()],
            [161, 100, 160]
        );
    }
}
