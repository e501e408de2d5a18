//! The wildcards of `${name#pattern}`, `${name%pattern}` and `${name/pattern/…}`: `*` and `?`, but no brackets.

use super::ExpandError;

/// A pattern, piece by piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Letter(char),
    /// `?`: any letter but a newline.
    Any,
    /// `*`: any number of letters, none of them a newline.
    Many,
}

fn parse(pattern: &str) -> Result<Vec<Piece>, ExpandError> {
    let mut pieces = Vec::with_capacity(pattern.len());
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        pieces.push(match letter {
            '*' => Piece::Many,
            '?' => Piece::Any,
            // What `${}` itself needs escaped loses its escape here.
            '\\' if matches!(letters.peek(), Some('}' | '/')) => continue,
            '\\' => match letters.next() {
                Some(escaped @ ('*' | '?' | '\\')) => Piece::Letter(escaped),
                _ => return Err(ExpandError::Pattern(pattern.to_owned())),
            },
            letter => Piece::Letter(letter),
        });
    }
    Ok(pieces)
}

/// Takes the match at the start away: the longest where `greedy`, else the shortest.
pub(super) fn trim_start(pattern: &str, value: &str, greedy: bool) -> Result<String, ExpandError> {
    let pieces = parse(pattern)?;
    let letters: Vec<char> = value.chars().collect();
    let end = Matcher::new(&pieces, &letters, greedy).end(0).unwrap_or(0);
    Ok(letters.iter().skip(end).collect())
}

/// Takes the match at the end away: the longest where `greedy`, else the shortest.
pub(super) fn trim_end(pattern: &str, value: &str, greedy: bool) -> Result<String, ExpandError> {
    let mut pieces = parse(pattern)?;
    pieces.reverse();
    let letters: Vec<char> = value.chars().rev().collect();
    let end = Matcher::new(&pieces, &letters, greedy).end(0).unwrap_or(0);
    Ok(letters.iter().skip(end).rev().collect())
}

/// Replaces the first match, or all of them. What comes out may be `limit` bytes long.
pub(super) fn replace(
    pattern: &str,
    value: &str,
    replacement: &str,
    all: bool,
    limit: usize,
) -> Result<String, ExpandError> {
    let pieces = parse(pattern)?;
    let letters: Vec<char> = value.chars().collect();
    let mut matcher = Matcher::new(&pieces, &letters, true);
    let mut text = String::with_capacity(value.len());
    let mut at = 0;
    let mut open = true;
    while at <= letters.len() {
        if let Some(end) = if open { matcher.end(at) } else { None } {
            if all {
                let inside: String = letters.get(at..end).unwrap_or_default().iter().collect();
                text.push_str(&filled(replacement, &inside, limit));
            } else {
                text.push_str(replacement);
            }
            if text.len() > limit {
                return Err(ExpandError::TooLong);
            }
            open = all;
            if end > at {
                at = end;
                // An empty match right after a match is none, or "*" would match twice.
                if at == letters.len() {
                    break;
                }
                continue;
            }
        }
        text.extend(letters.get(at));
        at += 1;
    }
    Ok(text)
}

/// Where all matches are replaced, `$0` stands for the match and other `$name`s for nothing. It ends soon after `limit`
/// bytes.
fn filled(replacement: &str, inside: &str, limit: usize) -> String {
    let mut text = String::with_capacity(replacement.len());
    let mut rest = replacement;
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        if text.len() > limit {
            return text;
        }
        let braced = after.strip_prefix('{');
        let word = braced.unwrap_or(after);
        let length = word
            .find(|letter: char| !(letter.is_alphanumeric() || letter == '_'))
            .unwrap_or(word.len());
        let (name, tail) = word.split_at(length);
        rest = if after.starts_with('$') {
            text.push('$');
            after.get(1..).unwrap_or_default()
        } else if name.is_empty() || (braced.is_some() && !tail.starts_with('}')) {
            text.push('$');
            after
        } else {
            if name == "0" {
                text.push_str(inside);
            }
            if braced.is_some() {
                tail.get(1..).unwrap_or_default()
            } else {
                tail
            }
        };
    }
    text.push_str(rest);
    text
}

/// Finds where matches end.
///
/// What has led nowhere once is not tried again, from wherever it is come to, so that no pattern takes more than its
/// length times the value's.
struct Matcher<'p> {
    pieces: &'p [Piece],
    letters: &'p [char],
    greedy: bool,
    /// By piece and place; empty where there would be too many of them, and then nothing matches.
    tried: Vec<bool>,
}

impl<'p> Matcher<'p> {
    const MOST: usize = 1 << 24;

    fn new(pieces: &'p [Piece], letters: &'p [char], greedy: bool) -> Self {
        let cells = (pieces.len() + 1)
            .checked_mul(letters.len() + 1)
            .filter(|&cells| cells < Self::MOST);
        Self {
            pieces,
            letters,
            greedy,
            tried: vec![false; cells.unwrap_or(0)],
        }
    }

    /// The end of the match that begins at `start`.
    fn end(&mut self, start: usize) -> Option<usize> {
        let width = self.letters.len() + 1;
        let mut open = vec![(0, start)];
        let mut seen = Vec::new();
        while let Some((piece, at)) = open.pop() {
            let cell = piece * width + at;
            if std::mem::replace(self.tried.get_mut(cell)?, true) {
                continue;
            }
            seen.push(cell);
            let letter = self.letters.get(at).copied();
            match self.pieces.get(piece) {
                None => {
                    // Some of these led here, so they may lead somewhere again.
                    for cell in seen {
                        if let Some(tried) = self.tried.get_mut(cell) {
                            *tried = false;
                        }
                    }
                    return Some(at);
                }
                Some(Piece::Letter(expected)) if letter == Some(*expected) => open.push((piece + 1, at + 1)),
                Some(Piece::Any) if letter.is_some_and(|letter| letter != '\n') => {
                    open.push((piece + 1, at + 1));
                }
                Some(Piece::Letter(_) | Piece::Any) => {}
                Some(Piece::Many) => {
                    let more = letter
                        .is_some_and(|letter| letter != '\n')
                        .then_some((piece, at + 1));
                    // What is pushed last is tried first.
                    if !self.greedy {
                        open.extend(more);
                    }
                    open.push((piece + 1, at));
                    if self.greedy {
                        open.extend(more);
                    }
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_wildcards_are_letters() {
        assert_eq!(trim_start(r"a\*", "a*b", false).as_deref(), Ok("b"));
        assert_eq!(trim_end(r"\?b", "a?b", false).as_deref(), Ok("a"));
        assert_eq!(replace(r"\/", "a/b", "-", true, usize::MAX).as_deref(), Ok("a-b"));
        assert!(trim_start(r"\a", "a", false).is_err());
    }

    #[test]
    fn replacement_of_all_matches_knows_the_match() {
        assert_eq!(
            replace("b", "abab", "[$0]", true, usize::MAX).as_deref(),
            Ok("a[b]a[b]")
        );
        assert_eq!(
            replace("b", "abab", "[$0]", false, usize::MAX).as_deref(),
            Ok("a[$0]ab")
        );
        assert_eq!(replace("*", "abc", "x", true, usize::MAX).as_deref(), Ok("x"));
    }

    #[test]
    fn patterns_that_backtrack_end_soon() {
        let long = "a".repeat(60_000);
        assert_eq!(replace("a", &long, "", true, usize::MAX).as_deref(), Ok(""));
        assert_eq!(
            replace("*b", &long, "x", true, usize::MAX).as_deref(),
            Ok(long.as_str())
        );
        let value = "a".repeat(3000);
        assert_eq!(
            trim_start(&"*a".repeat(40).replace("*a", "*ab"), &value, true).as_deref(),
            Ok(value.as_str())
        );
    }
}
