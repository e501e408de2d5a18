//! What a step's commands printed, as people are shown it. What is recorded, and sent to others, stays as it was printed.

/// A line that a program printed, as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    /// Whether the program went back to the beginning of the line before and wrote this over it, as progress bars do.
    pub(super) replaces: bool,
}

/// One output of a step, read piece by piece.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// The beginning of a line that has not ended.
    partial: Vec<u8>,
    /// What the line showed before the program went back to its beginning.
    shown: Option<String>,
}

impl Output {
    /// The lines that end in `data`, and what lines showed before they were written over. Of a state that says nothing new
    /// there is no line.
    pub(super) fn take(&mut self, data: &[u8], mut line: impl FnMut(Line)) {
        for piece in data.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            self.partial.extend_from_slice(piece);
            if !matches!(piece.last(), Some(b'\n' | b'\r')) {
                break;
            }
            let goes_on = self.partial.pop() == Some(b'\r');
            self.ended(goes_on, &mut line);
        }
    }

    /// What is left at the end.
    pub(super) fn rest(&mut self) -> Option<Line> {
        let mut rest = None;
        if !self.partial.is_empty() {
            self.ended(false, &mut |line| rest = Some(line));
        }
        rest
    }

    /// `goes_on` is whether what comes is written over it.
    fn ended(&mut self, goes_on: bool, line: &mut dyn FnMut(Line)) {
        let text = printable(&std::mem::take(&mut self.partial));
        let before = self.shown.take();
        let says_nothing = text.is_empty() && (goes_on || before.is_some());
        let now = if says_nothing || before.as_ref() == Some(&text) {
            before
        } else {
            line(Line {
                text: text.clone(),
                replaces: before.is_some(),
            });
            Some(text)
        };
        self.shown = now.filter(|_| goes_on);
    }
}

/// A text as people may read it: without what would colour it or move the cursor. A step's output belongs to whoever wrote
/// the Dockerfile, and may not rename the terminal either.
pub(super) fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    super::style::plain(&unstyled(text.trim_end_matches(['\r', '\n']))).replace('\n', "\u{fffd}")
}

/// Several lines that a program printed, each as it stood last.
pub(super) fn settled(text: &str) -> String {
    let mut lines = text.split('\n').map(|line| {
        let mut states = line.rsplit('\r').map(unstyled);
        let last = states.by_ref().find(|state| !state.is_empty());
        last.unwrap_or_default()
    });
    let mut out = lines.next().unwrap_or_default();
    for line in lines {
        out.push('\n');
        out.push_str(&line);
    }
    out
}

/// `text` without escape sequences (ECMA-48). One that does not end stays.
fn unstyled(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('\u{1b}') {
        out.push_str(&rest[..start]);
        let sequence = &rest[start..];
        let length = sequence_length(sequence.as_bytes()).unwrap_or_else(|| {
            out.push('\u{1b}');
            1
        });
        rest = &sequence[length..];
    }
    out.push_str(rest);
    out
}

/// How long the sequence is that begins here with an escape.
fn sequence_length(bytes: &[u8]) -> Option<usize> {
    let end_of = |from: usize, is_inside: fn(u8) -> bool, is_last: fn(u8) -> bool| {
        let inside = bytes
            .iter()
            .skip(from)
            .take_while(|byte| is_inside(**byte))
            .count();
        bytes
            .get(from + inside)
            .filter(|byte| is_last(**byte))
            .map(|_| from + inside + 1)
    };
    match bytes.get(1)? {
        // Colours, and moves of the cursor: parameters and a letter.
        b'[' => end_of(
            2,
            |byte| matches!(byte, 0x20..=0x3f),
            |byte| matches!(byte, 0x40..=0x7e),
        ),
        // Titles and links: a text that a bell ends, or an escape with a backslash.
        b']' => match end_of(2, |byte| byte >= 0x20, |byte| matches!(byte, 0x07 | 0x1b))? {
            end if bytes.get(end - 1) == Some(&0x07) => Some(end),
            end => (bytes.get(end) == Some(&b'\\')).then_some(end + 1),
        },
        // Sets of characters, and what needs one letter.
        _ => end_of(
            1,
            |byte| matches!(byte, 0x20..=0x2f),
            |byte| matches!(byte, 0x30..=0x7e),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines, those that were written over another behind a `<`.
    fn shown(pieces: &[&str]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut output = Output::default();
        let mut add =
            |line: Line| lines.push(format!("{}{}", if line.replaces { "<" } else { "" }, line.text));
        for piece in pieces {
            output.take(piece.as_bytes(), &mut add);
        }
        if let Some(rest) = output.rest() {
            add(rest);
        }
        lines
    }

    #[test]
    fn colours_and_moves_of_the_cursor_are_left_out_and_the_rest_cannot_drive_the_terminal() {
        for (printed, seen) in [
            ("\u{1b}[32mgreen\u{1b}[0m", "green"),
            (
                "\u{1b}[1;38;5;9mred\u{1b}[m \u{1b}[2K\u{1b}[1Aup\u{1b}[?25l",
                "red up",
            ),
            ("\u{1b}(B\u{1b}[mplain\u{1b}7\u{1b}M", "plain"),
            ("\u{1b}]0;title\u{7}a\tb", "a\tb"),
            (
                "\u{1b}]8;;https://a.example\u{1b}\\link\u{1b}]8;;\u{1b}\\",
                "link",
            ),
            ("\u{1b}[3", "\u{fffd}[3"),
            ("\u{1b}]0;never ends", "\u{fffd}]0;never ends"),
            ("ä\u{1b}[3ä\u{1b}", "ä\u{fffd}[3ä\u{fffd}"),
            ("a\u{8}b\u{9b}c", "a\u{fffd}b\u{fffd}c"),
        ] {
            assert_eq!(printable(printed.as_bytes()), seen, "{printed:?}");
        }
        assert_eq!(printable(b"a\xff\r\n"), "a\u{fffd}");
    }

    #[test]
    fn a_line_that_is_written_over_is_shown_in_each_of_its_states() {
        assert_eq!(
            shown(&["10%\r50%\r", "50%\r10", "0%\nnext\n"]),
            ["10%", "<50%", "<100%", "next"]
        );
        assert_eq!(
            shown(&["\r10%\r\u{1b}[K20%\r\u{1b}[K\nnext"]),
            ["10%", "<20%", "next"]
        );
    }

    #[test]
    fn lines_are_the_same_whatever_ends_them_and_however_they_come() {
        let lines = ["one", "", "two", "three"];
        assert_eq!(shown(&["one\n\ntwo\nthree"]), lines);
        assert_eq!(shown(&["one\r\n\r\ntwo\r\nthree"]), lines);
        assert_eq!(
            shown(&["on", "e\r", "\n", "\r", "\ntwo\r\r\nthr", "", "ee\n"]),
            lines
        );
    }

    #[test]
    fn last_lines_stand_as_they_stood_last() {
        assert_eq!(
            settled("10%\r\u{1b}[32m100%\u{1b}[0m\r\n\nerror: x\r\n"),
            "100%\n\nerror: x\n"
        );
    }
}
