//! Lines: as they stand in the file, and as an instruction has them once its continuations are joined.

use std::borrow::Cow;
use std::ops::Range;

use crate::span::Span;

/// One instruction on one line, and where each part of it stood in the source.
#[derive(Debug, Clone)]
pub(crate) struct Line<'s> {
    text: Cow<'s, str>,
    /// Where its first piece stands in the source.
    start: usize,
    /// Offset in `text` and offset in the source, for each piece that was joined to the first.
    joined: Vec<(usize, usize)>,
    /// Set where the text is not from the source: then every span is this one.
    fixed: Option<Span>,
}

impl<'s> Line<'s> {
    /// A line that begins with `text`, which stands at `start` in the source.
    pub(crate) fn new(text: &'s str, start: usize) -> Self {
        Self {
            text: Cow::Borrowed(text),
            start,
            joined: Vec::new(),
            fixed: None,
        }
    }

    /// The same text, of which whatever is wrong is said of `span`.
    pub(super) fn relocate(self, span: Span) -> Self {
        Self {
            fixed: Some(span),
            ..self
        }
    }

    /// Joins `text`, which stands at `start` in the source, to the end.
    pub(super) fn join(&mut self, text: &'s str, start: usize) {
        if text.is_empty() {
            return;
        }
        if self.text.is_empty() {
            (self.text, self.start) = (Cow::Borrowed(text), start);
            return;
        }
        self.joined.push((self.text.len(), start));
        self.text.to_mut().push_str(text);
    }

    /// The whole text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Where the part `range` of the text stands in the source; from its first piece to its last.
    ///
    /// A range that ends inside a letter is taken to hold all of it: flags are read byte by byte.
    pub(crate) fn span(&self, range: Range<usize>) -> Span {
        if let Some(span) = self.fixed {
            return span;
        }
        let mut range = range.start.min(self.text.len())..range.end.min(self.text.len());
        while !self.text.is_char_boundary(range.start) {
            range.start -= 1;
        }
        while !self.text.is_char_boundary(range.end) {
            range.end += 1;
        }
        let start = self.offset(range.start);
        // The end belongs to the piece that holds the last character, not to the one that begins there.
        let end = if range.end > range.start {
            self.offset(range.end - 1) + 1
        } else {
            start
        };
        Span::new(start, end.max(start))
    }

    /// The same piece by piece, without the continuations that lie in between.
    pub(crate) fn spans(&self, range: Range<usize>) -> Vec<Span> {
        let (start, end) = (range.start, range.end.min(self.text.len()));
        let first = self.joined.partition_point(|&(joined, _)| joined <= start);
        let inner = self.joined.iter().skip(first).map(|&(joined, _)| joined);
        let inner = inner.take_while(|&joined| joined < end);
        let mut spans = Vec::new();
        let mut from = start;
        for to in inner.chain([end]) {
            if from < to {
                spans.push(self.span(from..to));
            }
            from = to;
        }
        spans
    }

    /// The text as far as it stands before `offset` in the source.
    pub(crate) fn before(&self, offset: usize) -> &str {
        let next = self.joined.partition_point(|&(_, source)| source <= offset);
        let piece = next.checked_sub(1).and_then(|index| self.joined.get(index));
        let &(joined, source) = piece.unwrap_or(&(0, self.start));
        let end = self
            .joined
            .get(next)
            .map_or(self.text.len(), |&(joined, _)| joined);
        let end = end.min(joined + offset.saturating_sub(source));
        self.text.get(..end).unwrap_or_default()
    }

    fn offset(&self, at: usize) -> usize {
        let next = self.joined.partition_point(|&(joined, _)| joined <= at);
        match next.checked_sub(1).and_then(|index| self.joined.get(index)) {
            Some(&(joined, source)) => source + (at - joined),
            None => self.start + at,
        }
    }
}

/// A line of the file: its text with the newline, and where it begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Physical<'s> {
    pub(super) text: &'s str,
    pub(super) start: usize,
}

impl<'s> Physical<'s> {
    /// The text without its newline.
    pub(super) fn content(self) -> &'s str {
        let content = self.text.strip_suffix('\n').unwrap_or(self.text);
        if content.ends_with(['\r', '\n']) {
            content.trim_end_matches(['\r', '\n'])
        } else {
            content
        }
    }

    pub(super) fn is_comment(self) -> bool {
        self.text.trim_start().starts_with('#')
    }
}

/// The lines of a file, one after the other.
#[derive(Debug, Clone)]
pub(super) struct Lines<'s> {
    source: &'s str,
    at: usize,
    /// How many have been taken.
    pub(super) taken: u32,
}

impl<'s> Lines<'s> {
    pub(super) fn new(source: &'s str) -> Self {
        // A byte order mark is no part of the first line.
        Self {
            source,
            at: if source.starts_with('\u{feff}') { 3 } else { 0 },
            taken: 0,
        }
    }

    /// Where the next line begins.
    pub(super) fn offset(&self) -> usize {
        self.at
    }

    pub(super) fn next(&mut self) -> Option<Physical<'s>> {
        let rest = self.source.get(self.at..).filter(|rest| !rest.is_empty())?;
        let length = memchr::memchr(b'\n', rest.as_bytes()).map_or(rest.len(), |newline| newline + 1);
        let line = Physical {
            text: rest.get(..length)?,
            start: self.at,
        };
        self.at += length;
        self.taken += 1;
        Some(line)
    }
}

/// Takes a continuation off the end of `line`: the escape character, not escaped itself, before nothing but blanks.
/// `None` where there is none.
pub(crate) fn without_continuation(line: &str, escape: char) -> Option<&str> {
    let before = line.trim_end_matches([' ', '\t']).strip_suffix(escape)?;
    if before.ends_with(escape) {
        None
    } else {
        Some(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_lead_back_through_continuations() {
        let source = "RUN a \\\n# note\n  b";
        let mut line = Line::new("RUN a ", 0);
        line.join("  b", 15);
        assert_eq!(line.text(), "RUN a   b");
        assert_eq!(line.span(8..9), Span::new(17, 18));
        assert_eq!(&source[17..18], "b");
        assert_eq!(line.span(4..9), Span::new(4, 18));
        assert_eq!(line.spans(4..9), [Span::new(4, 6), Span::new(15, 18)]);
        assert_eq!(
            [0, 5, 9, 17, 99].map(|offset| line.before(offset).len()),
            [0, 5, 6, 8, 9]
        );
    }

    #[test]
    fn an_escaped_escape_does_not_continue() {
        assert_eq!(without_continuation("a \\", '\\'), Some("a "));
        assert_eq!(without_continuation("a \\ \t", '\\'), Some("a "));
        assert_eq!(without_continuation("\\", '\\'), Some(""));
        assert_eq!(without_continuation("a \\\\", '\\'), None);
        assert_eq!(without_continuation("a \\x", '\\'), None);
    }
}
