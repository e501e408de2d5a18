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
    let end = matched(&pieces, &letters, 0, greedy).unwrap_or(0);
    Ok(letters.iter().skip(end).collect())
}

/// Takes the match at the end away: the longest where `greedy`, else the shortest.
pub(super) fn trim_end(pattern: &str, value: &str, greedy: bool) -> Result<String, ExpandError> {
    let mut pieces = parse(pattern)?;
    pieces.reverse();
    let letters: Vec<char> = value.chars().rev().collect();
    let end = matched(&pieces, &letters, 0, greedy).unwrap_or(0);
    Ok(letters.iter().skip(end).rev().collect())
}

/// Replaces the first match, or all of them.
pub(super) fn replace(
    pattern: &str,
    value: &str,
    replacement: &str,
    all: bool,
) -> Result<String, ExpandError> {
    let pieces = parse(pattern)?;
    let letters: Vec<char> = value.chars().collect();
    let mut text = String::with_capacity(value.len());
    let mut at = 0;
    let mut touched = false;
    while at <= letters.len() {
        // An empty match right after a match is none, or "*" would match twice.
        let found = if touched && !all {
            None
        } else {
            matched(&pieces, &letters, at, true)
        };
        match found {
            Some(end) => {
                let inside: String = letters.get(at..end).unwrap_or_default().iter().collect();
                if all {
                    text.push_str(&filled(replacement, &inside));
                } else {
                    text.push_str(replacement);
                }
                touched = true;
                if end > at {
                    at = end;
                    if at == letters.len() {
                        break;
                    }
                    continue;
                }
            }
            None => {}
        }
        text.extend(letters.get(at));
        at += 1;
    }
    Ok(text)
}

/// Where all matches are replaced, `$0` stands for the match and other `$name`s for nothing.
fn filled(replacement: &str, inside: &str) -> String {
    let mut text = String::with_capacity(replacement.len());
    let mut rest = replacement;
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
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

/// The end of the match of all `pieces` that begins at `start`.
///
/// Every pair of piece and place is tried once only, so that no pattern takes more than its length times the value's.
fn matched(pieces: &[Piece], letters: &[char], start: usize, greedy: bool) -> Option<usize> {
    let width = letters.len() + 1;
    let mut tried = vec![
        false;
        (pieces.len() + 1)
            .checked_mul(width)
            .filter(|&cells| cells < 1 << 24)?
    ];
    let mut open = vec![(0, start)];
    while let Some((piece, at)) = open.pop() {
        let cell = tried.get_mut(piece * width + at)?;
        if std::mem::replace(cell, true) {
            continue;
        }
        let letter = letters.get(at).copied();
        match pieces.get(piece) {
            None => return Some(at),
            Some(Piece::Letter(expected)) if letter == Some(*expected) => open.push((piece + 1, at + 1)),
            Some(Piece::Any) if letter.is_some_and(|letter| letter != '\n') => open.push((piece + 1, at + 1)),
            Some(Piece::Letter(_) | Piece::Any) => {}
            Some(Piece::Many) => {
                let more = letter
                    .is_some_and(|letter| letter != '\n')
                    .then_some((piece, at + 1));
                // What is pushed last is tried first.
                if greedy {
                    open.push((piece + 1, at));
                    open.extend(more);
                } else {
                    open.extend(more);
                    open.push((piece + 1, at));
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_wildcards_are_letters() {
        assert_eq!(trim_start(r"a\*", "a*b", false).as_deref(), Ok("b"));
        assert_eq!(trim_end(r"\?b", "a?b", false).as_deref(), Ok("a"));
        assert_eq!(replace(r"\/", "a/b", "-", true).as_deref(), Ok("a-b"));
        assert!(trim_start(r"\a", "a", false).is_err());
    }

    #[test]
    fn replacement_of_all_matches_knows_the_match() {
        assert_eq!(replace("b", "abab", "[$0]", true).as_deref(), Ok("a[b]a[b]"));
        assert_eq!(replace("b", "abab", "[$0]", false).as_deref(), Ok("a[$0]ab"));
        assert_eq!(replace("*", "abc", "x", true).as_deref(), Ok("x"));
    }

    #[test]
    fn patterns_that_backtrack_end_soon() {
        let value = "a".repeat(3000);
        assert_eq!(
            trim_start(&"*a".repeat(40).replace("*a", "*ab"), &value, true).as_deref(),
            Ok(value.as_str())
        );
    }
}
