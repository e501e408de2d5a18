//! What a build printed, as lines of plain text.

use std::rc::Rc;

/// Lines that are kept; the oldest go first.
pub const KEPT_LINES: usize = 10_000;
/// Characters of a line that are kept.
const KEPT_CHARACTERS: usize = 2_000;

/// What a line is, which decides how it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineKind {
    /// A step begins: its name.
    Step,
    /// Printed by a step.
    Output,
    /// A step ended, or was taken from the cache.
    Ended,
    /// A step failed, and why.
    Error,
    /// Said by the worker beside it: a layer, a warning.
    Note,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The step's number in this build; 0 where it belongs to none.
    pub number: usize,
    /// What it is.
    pub kind: LineKind,
    /// Its text, with nothing in it but what can be shown.
    pub text: Rc<str>,
}

/// The lines of a build, capped.
#[derive(Debug, Clone, Default)]
pub struct Log {
    lines: Vec<LogLine>,
    dropped: usize,
}

impl Log {
    /// Adds a text, line by line: the list shows each in a row of one fixed height.
    pub fn push(&mut self, number: usize, kind: LineKind, text: &str) {
        self.lines.extend(text.split('\n').map(|line| LogLine {
            number,
            kind,
            text: line.into(),
        }));
        // Making room is a move of all that stays, so it is done for many lines at once.
        if self.lines.len() > KEPT_LINES + KEPT_LINES / 10 {
            let excess = self.lines.len() - KEPT_LINES;
            self.lines.drain(..excess);
            self.dropped += excess;
        }
    }

    /// The lines that are kept.
    pub fn lines(&self) -> &[LogLine] {
        &self.lines
    }

    /// How many earlier lines are not kept any more.
    pub fn dropped(&self) -> usize {
        self.dropped
    }
}

/// The bytes of a line that has no end yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartialLine(Vec<u8>);

impl PartialLine {
    /// Takes bytes in and gives the lines that they end.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<String> {
        /// A line longer than this is cut, so that output without line breaks cannot fill the memory.
        const LONGEST: usize = 64 * 1024;
        let mut lines = Vec::new();
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(at);
            self.0.extend_from_slice(line);
            lines.push(plain_line(&std::mem::take(&mut self.0)));
            rest = after.get(1..).unwrap_or_default();
        }
        self.0.extend_from_slice(rest);
        if self.0.len() > LONGEST {
            lines.push(plain_line(&std::mem::take(&mut self.0)));
        }
        lines
    }

    /// What is left when no more will come.
    pub fn finish(&mut self) -> Option<String> {
        if self.0.is_empty() {
            None
        } else {
            Some(plain_line(&std::mem::take(&mut self.0)))
        }
    }
}

/// A line as a terminal would leave it, without colours: what a carriage return overwrote is gone, and so are
/// escape sequences and control characters. Bytes that are not UTF-8 become U+FFFD.
fn plain_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_end_matches('\r');
    let text = text.rsplit('\r').next().unwrap_or(text);
    let mut plain = String::with_capacity(text.len().min(KEPT_CHARACTERS));
    let mut letters = text.chars();
    let mut kept = 0;
    while let Some(letter) = letters.next() {
        if letter == '\u{1b}' {
            skip_escape(&mut letters);
        } else if letter == '\t' || !letter.is_control() {
            kept += 1;
            if kept > KEPT_CHARACTERS {
                plain.push('…');
                break;
            }
            plain.push(letter);
        }
    }
    plain
}

/// Skips an escape sequence whose first character was taken (ECMA-48: CSI, and the strings OSC, DCS, APC, PM, SOS).
fn skip_escape(letters: &mut std::str::Chars<'_>) {
    match letters.next() {
        Some('[') => {
            letters.find(|letter| ('@'..='~').contains(letter));
        }
        Some(']' | 'P' | '_' | '^' | 'X') => {
            while let Some(letter) = letters.next() {
                if letter == '\u{7}' {
                    break;
                }
                if letter == '\u{1b}' {
                    letters.next();
                    break;
                }
            }
        }
        // Two-character sequences such as ESC ( B have one more.
        Some('(' | ')' | '#' | '%') => {
            letters.next();
        }
        Some(_) | None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let mut partial = PartialLine::default();
        let mut lines: Vec<_> = pieces.iter().flat_map(|piece| partial.feed(piece)).collect();
        lines.extend(partial.finish());
        lines
    }

    #[test]
    fn a_message_of_several_lines_takes_several_rows() {
        let mut log = Log::default();
        log.push(
            3,
            LineKind::Error,
            "exited with code 1. Its last lines:\nno such file",
        );
        let texts: Vec<_> = log
            .lines()
            .iter()
            .map(|line| (line.number, &*line.text))
            .collect();
        assert_eq!(
            texts,
            [(3, "exited with code 1. Its last lines:"), (3, "no such file")]
        );
    }

    #[test]
    fn lines_are_whole_however_their_bytes_arrive() {
        assert_eq!(lines(&[b"he", b"llo\nwor", b"ld"]), ["hello", "world"]);
        assert_eq!(
            lines(&[
                "gr\u{fc}n\n".as_bytes().split_at(3).0,
                "gr\u{fc}n\n".as_bytes().split_at(3).1
            ]),
            ["grün"]
        );
        assert_eq!(lines(&[b"\n\n"]), ["", ""]);
    }

    #[test]
    fn escape_sequences_leave_nothing_behind() {
        assert_eq!(
            lines(&[b"\x1b[1;31mred\x1b[0m and \x1b]8;;http://x\x07link\x1b]8;;\x1b\\ \x1b(Bend"]),
            ["red and link end"]
        );
        assert_eq!(lines(&[b"a\x1b"]), ["a"]);
        assert_eq!(lines(&[b"a\x1b[12"]), ["a"]);
    }

    #[test]
    fn a_progress_bar_leaves_its_last_state() {
        assert_eq!(lines(&[b"10%\r50%\r100%\r\nnext"]), ["100%", "next"]);
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_such() {
        assert_eq!(lines(&[b"a\xffb\x00\x08c\n"]), ["a\u{fffd}bc"]);
    }

    #[test]
    fn a_long_line_is_cut() {
        let line = lines(&[&vec![b'x'; 5_000]]).pop().unwrap();
        assert_eq!(line.chars().count(), KEPT_CHARACTERS + 1);
        assert_eq!(lines(&[&vec![b'x'; 70_000], b"y\n"]).len(), 2);
    }

    #[test]
    fn old_lines_go_first() {
        let mut log = Log::default();
        for number in 0..KEPT_LINES * 2 {
            log.push(number, LineKind::Output, "");
        }
        assert!(log.lines().len() <= KEPT_LINES + KEPT_LINES / 10);
        assert_eq!(log.dropped() + log.lines().len(), KEPT_LINES * 2);
        assert_eq!(
            log.lines().last().map(|line| line.number),
            Some(KEPT_LINES * 2 - 1)
        );
    }
}
