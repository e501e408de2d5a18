//! What one pattern matches.

use crate::diagnostic::Problem;
use crate::path::clean;

use super::glob;
use super::regex::Program;

/// A pattern of an ignore file.
pub(super) struct Pattern {
    /// Without the `!`.
    pub(super) pattern: String,
    pub(super) negated: bool,
}

/// A pattern as the reader left it; `None` where nothing stands there.
pub(super) fn read(text: &str) -> Result<Option<Pattern>, Problem> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    // It was cleaned once; with its mark in front, and blanks taken away again, there may be more to clean.
    let text = clean(text);
    let (negated, pattern) = match text.strip_prefix('!') {
        Some(rest) => (true, rest.to_owned()),
        None => (false, text.into_owned()),
    };
    if pattern.is_empty() {
        return Err(
            Problem::new("bad-ignore-pattern", "There is no pattern behind the \"!\".")
                .hint("Name what is to be let in again, as in !README.md."),
        );
    }
    if !glob::is_valid(&pattern) {
        return Err(bad(&pattern)
            .hint("Close every [ with a ], with something between, and put a \\ before a letter only."));
    }
    Ok(Some(Pattern { pattern, negated }))
}

fn bad(pattern: &str) -> Problem {
    Problem::new(
        "bad-ignore-pattern",
        format!("\"{pattern}\" is not a pattern that can be read."),
    )
}

/// How a pattern is compared with paths. Most need no more than a comparison of letters.
#[derive(Debug, Clone)]
pub(super) enum Matcher {
    /// The path itself.
    Exact(String),
    /// `a/**`: everything that begins so.
    Prefix(String),
    /// `**/a`: everything that ends so.
    Suffix(String),
    /// The rest.
    Expression(Program),
}

impl Matcher {
    /// Takes from `room` what it needs of memory.
    pub(super) fn compile(pattern: &str, room: &mut usize) -> Result<Self, Problem> {
        let (kind, expression) = translate(pattern);
        Ok(match kind {
            Kind::Exact => Self::Exact(pattern.to_owned()),
            Kind::Prefix => Self::Prefix(pattern.strip_suffix("**").unwrap_or(pattern).to_owned()),
            Kind::Suffix => Self::Suffix(pattern.strip_prefix("**").unwrap_or(pattern).to_owned()),
            Kind::Expression => {
                Self::Expression(Program::compile(&expression, room).map_err(|hint| bad(pattern).hint(hint))?)
            }
        })
    }

    /// Whether `path` is matched, from its first to its last letter.
    pub(super) fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(pattern) => path == pattern,
            Self::Prefix(prefix) => path.starts_with(prefix.as_str()),
            // **/a is also a at the root.
            Self::Suffix(suffix) => {
                path.ends_with(suffix.as_str())
                    || suffix.strip_prefix('/').is_some_and(|suffix| path == suffix)
            }
            Self::Expression(program) => program.matches(path),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Exact,
    Prefix,
    Suffix,
    Expression,
}

/// A pattern as a regular expression, and whether one is needed.
///
/// The reference writes a pattern out as an expression letter by letter. What it does not escape has the meaning that
/// expressions give it: `\d` is a digit, `{2}` repeats and `|` chooses, wherever the pattern needs an expression at
/// all. So they do here.
fn translate(pattern: &str) -> (Kind, String) {
    let mut kind = Kind::Exact;
    let mut expression = String::from("^");
    // The reference's scanner passes over a byte order mark in front.
    let mut letters = pattern
        .strip_prefix('\u{feff}')
        .unwrap_or(pattern)
        .chars()
        .peekable();
    let mut first = true;
    while let Some(letter) = letters.next() {
        match letter {
            '*' if letters.next_if_eq(&'*').is_some() => {
                // **/ is ** too: any number of folders, or none.
                letters.next_if_eq(&'/');
                if letters.peek().is_some() {
                    expression.push_str("(.*/)?");
                    kind = Kind::Expression;
                } else if kind == Kind::Exact {
                    kind = Kind::Prefix;
                } else {
                    expression.push_str(".*");
                    kind = Kind::Expression;
                }
                if first {
                    kind = Kind::Suffix;
                }
            }
            '*' => {
                expression.push_str("[^/]*");
                kind = Kind::Expression;
            }
            '?' => {
                expression.push_str("[^/]");
                kind = Kind::Expression;
            }
            '.' | '+' | '(' | ')' | '$' => {
                expression.push('\\');
                expression.push(letter);
            }
            '\\' => {
                expression.push('\\');
                if let Some(escaped) = letters.next() {
                    expression.push(escaped);
                    kind = Kind::Expression;
                }
            }
            '[' | ']' => {
                expression.push(letter);
                kind = Kind::Expression;
            }
            letter => expression.push(letter),
        }
        first = false;
    }
    expression.push('$');
    (kind, expression)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        Matcher::compile(pattern, &mut 10_000).unwrap().matches(path)
    }

    #[test]
    fn patterns_match_as_in_the_reference() {
        for (pattern, path, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "a", true),
            ("*", "a/b", false),
            ("a/**", "a/b/c", true),
            ("a/**", "a", false),
            ("**", "anything/at/all", true),
            ("**/a", "a", true),
            ("**/a", "b/a", true),
            ("**/a", "ba", false),
            ("**a", "ba", true),
            ("**/a/**", "x/a/y", true),
            ("**/a/**", "a/y", true),
            ("**/*.go", "x/y.go", true),
            ("**/*.go", "y.go", true),
            ("a**b", "a/x/b", true),
            ("a/**/b", "a/b", true),
            ("?", "é", true),
            ("?", "/", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("a.b", "axb", false),
            ("a.b*", "axb", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            // What expressions make of it, as in the reference.
            ("\\d", "7", true),
            ("x{2}*", "xx", true),
            ("x{2}", "x{2}", true),
            ("*.{js,ts}", "a.{js,ts}", true),
            ("*.{js,ts}", "a.js", false),
            ("a|b*", "bx", true),
            ("a|b*", "ax", true),
            ("^a*", "ab", true),
            ("[*]", "^]", true),
            ("[a**]", "(", true),
            ("[[:digit:]]", "4", true),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }
}
