//! The lines of an ignore file, before anyone looks at what their patterns mean.

use crate::diagnostic::Problem;
use crate::path::clean;
use crate::span::Span;

/// A line that has a pattern.
pub(super) struct Line {
    /// From 1.
    pub(super) number: u32,
    /// What stands between its blanks.
    pub(super) span: Span,
    /// The pattern, cleaned, with its `!`.
    pub(super) pattern: Result<String, Problem>,
}

/// BuildKit's reader has room for a line of this many bytes.
const LONGEST: usize = 65_535;

/// The lines that have patterns.
pub(super) fn lines(text: &str) -> impl Iterator<Item = Line> {
    let mut start = 0;
    text.split('\n').zip(1..).filter_map(move |(whole, number)| {
        let mut place = start;
        start += whole.len() + 1;
        let mut line = whole.strip_suffix('\r').unwrap_or(whole);
        if number == 1
            && let Some(rest) = line.strip_prefix('\u{feff}')
        {
            place += line.len() - rest.len();
            line = rest;
        }
        // Only the very first letter makes a comment; a # behind blanks is a pattern.
        if line.starts_with('#') {
            return None;
        }
        let trimmed = line.trim();
        if trimmed.is_empty() {
            return None;
        }
        place += line.len() - line.trim_start().len();
        let pattern = if whole.len() > LONGEST {
            Err(
                Problem::new("bad-ignore-pattern", "This line is too long.").hint(format!(
                    "A line may have {LONGEST} bytes. Split it, or name a folder."
                )),
            )
        } else {
            Ok(cleaned(trimmed))
        };
        Some(Line {
            number,
            span: Span::new(place, place + trimmed.len()),
            pattern,
        })
    })
}

/// The patterns of an ignore file, as a definition names them to the one who sends the context.
pub(crate) fn patterns(text: &str) -> Vec<String> {
    lines(text).filter_map(|line| line.pattern.ok()).collect()
}

/// A pattern seen from the context's root: cleaned, and with one `/` less in front.
fn cleaned(written: &str) -> String {
    let (mark, path) = match written.strip_prefix('!') {
        Some(rest) => ("!", rest.trim()),
        None => ("", written),
    };
    if path.is_empty() {
        return mark.to_owned();
    }
    let path = clean(path);
    let path = match path.strip_prefix('/') {
        Some(rest) if !rest.is_empty() => rest,
        _ => &path,
    };
    format!("{mark}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_read_as_the_reference_reads_them() {
        let text = "\u{feff}# comment\n #x\n\n  ! /a/../b  \r\n/c/\n!\n//d\n\\#e\n\u{feff}# late\n/";
        assert_eq!(
            patterns(text),
            ["#x", "!b", "c", "!", "d", "\\#e", "\u{feff}# late", "/"]
        );
    }

    #[test]
    fn spans_hold_the_pattern_without_its_blanks() {
        let text = "\u{feff} a\n\t!b \n";
        let spans: Vec<&str> = lines(text)
            .map(|line| &text[line.span.start..line.span.end])
            .collect();
        assert_eq!(spans, ["a", "!b"]);
    }

    #[test]
    fn lines_beyond_the_reader_are_errors() {
        let text = format!("{}\n{}\nb", "a".repeat(LONGEST), "a".repeat(LONGEST + 1));
        let read: Vec<bool> = lines(&text).map(|line| line.pattern.is_ok()).collect();
        assert_eq!(read, [true, false, true]);
    }
}
