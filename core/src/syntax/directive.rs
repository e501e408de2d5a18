//! Parser directives: `# escape=…` and its like, at the very top of a file.

use nom::Parser as _;
use nom::bytes::complete::take_while;
use nom::character::complete::{char, satisfy};
use nom::combinator::{recognize, rest};
use nom::sequence::{pair, preceded, separated_pair};

use crate::span::{LineRange, Span};

/// A parser directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Directive {
    /// `syntax`, `escape` or `check`.
    pub(crate) name: String,
    /// What stands after `=`.
    pub(crate) value: String,
    pub(crate) span: Span,
    pub(crate) lines: LineRange,
}

/// Reads a line as a directive; `None` where it is none, which ends the directives of a file.
pub(super) fn read(line: &str) -> Option<(String, &str)> {
    named(line.strip_prefix('#')?)
}

/// Reads the text of a comment as a directive.
pub(super) fn named(text: &str) -> Option<(String, &str)> {
    let blank = |letter: char| matches!(letter, '\t' | '\n' | '\u{c}' | '\r' | ' ');
    let name = recognize(pair(
        satisfy(|letter| letter.is_ascii_alphabetic()),
        take_while(|letter: char| letter.is_ascii_alphanumeric()),
    ));
    let equals = (take_while(blank), char('='), take_while(blank));
    let mut directive = preceded(
        take_while::<_, &str, nom::error::Error<&str>>(char::is_whitespace),
        separated_pair(name, equals, rest),
    );
    let (_, (name, value)) = directive.parse(text).ok()?;
    let name = name.to_ascii_lowercase();
    let value = value.trim_end_matches(blank);
    let known = matches!(name.as_str(), "syntax" | "escape" | "check");
    (known && !value.is_empty()).then_some((name, value))
}

/// What `BuildKit` takes for the text of a comment line: all behind the first letter. So the text of an indented comment begins with
/// its `#`, that of `## a` with the second, and neither describes what comes below.
pub(super) fn comment(line: &str) -> &str {
    line.strip_prefix('#').unwrap_or(line).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_read_in_any_case_and_spacing() {
        assert_eq!(read("# escape=`"), Some(("escape".into(), "`")));
        assert_eq!(
            read("#\tSyntax = docker/dockerfile:1 "),
            Some(("syntax".into(), "docker/dockerfile:1"))
        );
        assert_eq!(
            read("#check=skip=all;error=true"),
            Some(("check".into(), "skip=all;error=true"))
        );
        for none in ["# a comment", "#other=1", "# escape=", "escape=`", "# 1a=b", ""] {
            assert_eq!(read(none), None, "{none}");
        }
    }

    #[test]
    fn a_comment_says_what_is_behind_its_first_letter() {
        let lines = ["#\ta ", "## a", "  # a", "\t#", "#", "#  "];
        assert_eq!(lines.map(comment), ["a", "# a", "# a", "#", "", ""]);
    }
}
