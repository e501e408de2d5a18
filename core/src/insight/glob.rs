//! Patterns that `COPY` and `ADD` have: wildcards for one level of a path, and lists of what to include or exclude.

/// Whether `text` holds a wildcard that is not escaped.
pub(super) fn has_wildcards(text: &str) -> bool {
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                characters.next();
            }
            '*' | '?' | '[' => return true,
            _ => {}
        }
    }
    false
}

/// A pattern, read.
#[derive(Debug, Clone)]
pub(super) struct Glob(Vec<Token>);

#[derive(Debug, Clone)]
enum Token {
    Literal(char),
    /// `?`: any character but `/`.
    Any,
    /// `[…]`: one of these ranges, or none of them; never `/`.
    Class(bool, Vec<(char, char)>),
    /// `*`: any characters but `/`.
    Star,
    /// `**`: any characters.
    Deep,
    /// `**/`: nothing, or anything that ends in `/`.
    DeepFolder,
}

impl Glob {
    /// Reads a pattern as Go's `filepath.Match` has it; where `deep`, also `**`. `None` where it cannot be read.
    pub(super) fn new(pattern: &str, deep: bool) -> Option<Self> {
        let mut characters = pattern.chars().peekable();
        let mut tokens = Vec::new();
        while let Some(character) = characters.next() {
            tokens.push(match character {
                '*' if deep && characters.next_if_eq(&'*').is_some() => {
                    if characters.next_if_eq(&'/').is_some() {
                        Token::DeepFolder
                    } else {
                        Token::Deep
                    }
                }
                '*' => Token::Star,
                '?' => Token::Any,
                '[' => class(&mut characters)?,
                '\\' => Token::Literal(characters.next()?),
                literal => Token::Literal(literal),
            });
        }
        Some(Self(tokens))
    }

    /// Whether the whole of `text` matches. All places that could be reached are kept at once, so the cost is the
    /// product of the two lengths at most.
    pub(super) fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let mut reached = vec![false; text.len() + 1];
        if let Some(start) = reached.first_mut() {
            *start = true;
        }
        for token in &self.0 {
            let mut next = vec![false; text.len() + 1];
            let mut open = false;
            for (place, (here, out)) in reached.iter().zip(&mut next).enumerate() {
                let before = place.checked_sub(1).and_then(|place| text.get(place));
                let character = text.get(place);
                match token {
                    Token::Star => {
                        open |= here;
                        *out = open;
                        open &= character != Some(&'/');
                    }
                    Token::Deep => {
                        open |= here;
                        *out = open;
                    }
                    Token::DeepFolder => {
                        *out = *here || (open && before == Some(&'/'));
                        open |= here;
                    }
                    Token::Literal(_) | Token::Any | Token::Class(..) => {
                        *out = open;
                        open = *here && character.is_some_and(|character| token.takes(*character));
                    }
                }
            }
            reached = next;
        }
        reached.last() == Some(&true)
    }
}

impl Token {
    /// Whether a token that stands for one character stands for this one.
    fn takes(&self, character: char) -> bool {
        match self {
            Self::Literal(literal) => *literal == character,
            Self::Any => character != '/',
            Self::Class(negated, ranges) => {
                let found = ranges
                    .iter()
                    .any(|(low, high)| (*low..=*high).contains(&character));
                character != '/' && found != *negated
            }
            Self::Star | Self::Deep | Self::DeepFolder => false,
        }
    }
}

/// Reads a class behind its `[`.
fn class(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Token> {
    let negated = characters
        .next_if(|character| matches!(character, '^' | '!'))
        .is_some();
    let mut ranges = Vec::new();
    loop {
        let low = match characters.next()? {
            ']' if !ranges.is_empty() => return Some(Token::Class(negated, ranges)),
            '\\' => characters.next()?,
            low => low,
        };
        let high = if characters.next_if_eq(&'-').is_some() {
            match characters.next()? {
                '\\' => characters.next()?,
                high => high,
            }
        } else {
            low
        };
        ranges.push((low, high));
    }
}

/// A list of patterns: a path is in it where it or a folder above it matches, and a later `!` takes it out again.
#[derive(Debug, Clone, Default)]
pub(super) struct Patterns(Vec<(bool, Glob)>);

impl Patterns {
    /// Reads them. What is empty, names the root or cannot be read is passed over.
    pub(super) fn new(patterns: &[String]) -> Self {
        let read = |pattern: &String| {
            let text = pattern.trim();
            let (negated, text) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
            let parts: Vec<&str> = parts(text).collect();
            let glob = Glob::new(&parts.join("/"), true).filter(|_| !parts.is_empty())?;
            Some((negated, glob))
        };
        Self(patterns.iter().filter_map(read).collect())
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `path`, relative and plain, is in it.
    pub(super) fn matches(&self, path: &str) -> bool {
        self.0.iter().fold(false, |matched, (negated, glob)| {
            if matched == *negated && reaches(glob, path) {
                !negated
            } else {
                matched
            }
        })
    }
}

/// Whether the pattern matches the path or a folder above it.
fn reaches(glob: &Glob, path: &str) -> bool {
    let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
    ends.filter_map(|end| path.get(..end))
        .any(|above| glob.matches(above))
}

/// The parts of a path, without those that say nothing.
pub(super) fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty() && *part != ".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stop_at_folders() {
        for (pattern, text, expected) in [
            ("*.go", "app.go", true),
            ("*.go", "cmd/app.go", false),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("\\*", "*", true),
            ("*", "", true),
            ("é*", "été", true),
        ] {
            assert_eq!(
                Glob::new(pattern, false).unwrap().matches(text),
                expected,
                "{pattern} on {text}"
            );
        }
        assert!(Glob::new("[", false).is_none());
        assert!(has_wildcards("a*") && !has_wildcards("a\\*"));
    }

    #[test]
    fn lists_reach_below_folders_and_take_back() {
        let patterns = Patterns::new(&["**/*.md".into(), "!README.md".into(), "/docs/".into()]);
        for (path, expected) in [
            ("a/b/c.md", true),
            ("x.md", true),
            ("README.md", false),
            ("docs/deep/file", true),
            ("src/docs", false),
        ] {
            assert_eq!(patterns.matches(path), expected, "{path}");
        }
    }

    #[test]
    fn many_stars_do_not_take_forever() {
        assert!(
            !Glob::new(&"*a".repeat(2_000), false)
                .unwrap()
                .matches(&"a".repeat(1_000))
        );
    }
}
