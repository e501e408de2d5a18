//! Colour where a person reads it, and lines that fit into 80 columns.

use std::io::IsTerminal;

use stagewright_core::diagnostic::Severity;

pub(super) use crate::said::plain;

/// How wide text for people is.
pub(super) const COLUMNS: usize = 80;

/// Whether text goes to somebody who sees colour.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Style {
    colour: bool,
}

impl Style {
    /// Colour on a terminal, unless `NO_COLOR` is set; none in files and pipes.
    pub(super) fn of(stream: &impl IsTerminal) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            colour: stream.is_terminal() && !refused && !dumb,
        }
    }

    pub(super) fn out() -> Self {
        Self::of(&std::io::stdout())
    }

    pub(super) fn err() -> Self {
        Self::of(&std::io::stderr())
    }

    /// Whether what is written with it has colours.
    pub(super) fn has_colour(self) -> bool {
        self.colour
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(super) fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }

    pub(super) fn accent(self, text: &str) -> String {
        self.paint("36", text)
    }

    pub(super) fn severity(self, severity: Severity, text: &str) -> String {
        self.paint(
            match severity {
                Severity::Error => "1;31",
                Severity::Warning => "1;33",
                Severity::Info => "1;36",
            },
            text,
        )
    }
}

/// A text as [`plain`] gives it, with styles of ours in it, which stay.
pub(super) fn plain_but_styled(text: &str) -> String {
    let mut pieces = text.split('\u{1b}');
    let mut out = plain(pieces.next().unwrap_or_default());
    for piece in pieces {
        let style = piece.strip_prefix('[').and_then(|rest| rest.split_once('m'));
        let is_style = |numbers: &str| numbers.bytes().all(|byte| byte.is_ascii_digit() || byte == b';');
        match style {
            Some((numbers, rest)) if is_style(numbers) => {
                out.extend(["\u{1b}[", numbers, "m"]);
                out.push_str(&plain(rest));
            }
            _ => {
                out.push(char::REPLACEMENT_CHARACTER);
                out.push_str(&plain(piece));
            }
        }
    }
    out
}

/// `text` in no more than `width` columns, with … for what is left out.
pub(super) fn cut(text: &str, width: usize) -> String {
    let text = plain(text);
    if text.chars().count() <= width {
        return text;
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// `text` in lines that fit, all but the first behind `indent` blanks. A word that is too long stays whole.
pub(super) fn wrapped(text: &str, first: usize, indent: usize) -> String {
    let mut out = String::new();
    let mut column = first;
    for word in text.split(' ') {
        let width = word.chars().count();
        if column > indent.max(first.min(indent)) && column + width > COLUMNS && !out.is_empty() {
            while out.ends_with(' ') {
                out.pop();
            }
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        }
        out.push_str(word);
        out.push(' ');
        column += width + 1;
    }
    out.pop();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_steer_a_terminal_is_seen_and_does_nothing() {
        let evil = "a\u{1b}]0;title\u{7}b\rc\u{8}d\u{9b}e\u{202e}f\n\tg";
        assert_eq!(
            plain(evil),
            "a\u{fffd}]0;title\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}e\u{fffd}f\n\tg"
        );
        let styled = "\u{1b}[1mbold\u{1b}[0m \u{1b}[2J\u{1b}]52;c;x\u{7}\u{1b}[31";
        assert_eq!(
            plain_but_styled(styled),
            "\u{1b}[1mbold\u{1b}[0m \u{fffd}[2J\u{fffd}]52;c;x\u{fffd}\u{fffd}[31"
        );
        assert_eq!(cut("a\u{1b}[31mb", 20), "a\u{fffd}[31mb");
    }

    #[test]
    fn long_lines_are_cut_or_wrapped() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("äbcd", 3), "äb…");
        let text = "word ".repeat(30);
        let wrapped = wrapped(text.trim_end(), 4, 6);
        for line in wrapped.lines() {
            assert!(line.chars().count() <= COLUMNS, "{line}");
        }
        assert_eq!(wrapped.split_whitespace().count(), 30);
        assert!(wrapped.lines().skip(1).all(|line| line.starts_with("      word")));
    }

    #[test]
    fn without_a_terminal_there_is_no_colour() {
        assert_eq!(Style::default().bold("x"), "x");
        assert_eq!(Style { colour: true }.bold("x"), "\u{1b}[1mx\u{1b}[0m");
    }
}
