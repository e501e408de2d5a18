//! Patterns for paths: the wildcards of `COPY`, and the lists of patterns that include and exclude.
//!
//! The worker copies by these, and whoever foretells what it copies reads them alike.

/// Whether `text` holds a wildcard that is not escaped.
pub fn has_wildcards(text: &str) -> bool {
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

/// Whether the whole of `text` matches `pattern` as Go's `filepath.Match` has it: `*` and `?` stop at `/`, `[a-z]`
/// and `[^a-z]` are one character, `\` takes the next character as it is.
pub fn matches(pattern: &str, text: &str) -> bool {
    Glob::new(pattern, false).is_some_and(|glob| glob.matches(text))
}

/// A pattern, read.
#[derive(Debug, Clone)]
pub struct Glob(Vec<Token>);

#[derive(Debug, Clone)]
enum Token {
    /// This character.
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
    DeepDirectory,
}

impl Glob {
    /// Reads a pattern, with `**` where `deep`. `None` where a class does not end.
    pub fn new(pattern: &str, deep: bool) -> Option<Self> {
        let mut characters = pattern.chars().peekable();
        let mut tokens = Vec::new();
        while let Some(character) = characters.next() {
            tokens.push(match character {
                '*' if deep && characters.next_if_eq(&'*').is_some() => {
                    if characters.next_if_eq(&'/').is_some() {
                        Token::DeepDirectory
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

    /// Whether the whole of `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        self.takes(&text.chars().collect::<Vec<_>>())
    }

    /// Walks the tokens and keeps which beginnings of the text they can match, so that time grows with the product
    /// of the two lengths and never faster, whatever a stranger writes.
    fn takes(&self, text: &[char]) -> bool {
        let mut reached = vec![false; text.len() + 1];
        if let Some(start) = reached.first_mut() {
            *start = true;
        }
        for token in &self.0 {
            let mut next = vec![false; text.len() + 1];
            let mut open = false;
            let mut before = None;
            for ((here, out), character) in reached
                .iter()
                .zip(next.iter_mut())
                .zip(text.iter().map(Some).chain([None]))
            {
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
                    Token::DeepDirectory => {
                        *out = *here || (open && before == Some('/'));
                        open |= here;
                    }
                    Token::Literal(_) | Token::Any | Token::Class(..) => {
                        *out = open;
                        open = *here && character.is_some_and(|character| token.takes(*character));
                    }
                }
                before = character.copied();
            }
            reached = next;
        }
        reached.last().copied().unwrap_or(false)
    }
}

impl Token {
    /// Whether this token, one that stands for a single character, stands for `character`.
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
            Self::Star | Self::Deep | Self::DeepDirectory => false,
        }
    }
}

/// Reads a class after its `[`.
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

/// A list of patterns as in `.dockerignore`: a path matches where it or a directory above it does, `**` crosses
/// directories, and a later pattern with `!` takes back what earlier ones matched.
#[derive(Debug, Clone, Default)]
pub struct Patterns(Vec<Pattern>);

#[derive(Debug, Clone)]
struct Pattern {
    negated: bool,
    glob: Glob,
    parts: Vec<String>,
}

impl Patterns {
    /// Reads the patterns. Empty ones and those for the root are passed over.
    pub fn new<S: AsRef<str>>(patterns: &[S]) -> Self {
        let read = |pattern: &S| {
            let text = pattern.as_ref().trim();
            let (negated, text) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
            let parts: Vec<&str> = parts(text).collect();
            let glob = Glob::new(&parts.join("/"), true).filter(|_| !parts.is_empty())?;
            Some(Pattern {
                negated,
                glob,
                parts: parts.into_iter().map(str::to_owned).collect(),
            })
        };
        Self(patterns.iter().filter_map(read).collect())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether any takes back what earlier ones matched.
    pub fn has_exceptions(&self) -> bool {
        self.0.iter().any(|pattern| pattern.negated)
    }

    /// Whether `path`, relative and plain, matches.
    pub fn matches(&self, path: &str) -> bool {
        let characters: Vec<char> = path.chars().collect();
        let mut matched = false;
        for pattern in &self.0 {
            if matched == pattern.negated && reaches(&pattern.glob, &characters) {
                matched = !pattern.negated;
            }
        }
        matched
    }

    /// Whether something under the directory `path` could match; `true` where in doubt.
    pub fn may_match_under(&self, path: &str) -> bool {
        self.0.iter().filter(|pattern| !pattern.negated).any(|pattern| {
            let mut parts = pattern.parts.iter();
            path.split('/').all(|name| match parts.next() {
                Some(part) if part.contains("**") => {
                    parts = [].iter();
                    true
                }
                Some(part) => matches(part, name),
                None => true,
            })
        })
    }
}

/// The parts of a path, without those that say nothing.
pub fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty() && *part != ".")
}

/// Whether the pattern matches the path or a directory above it.
fn reaches(glob: &Glob, path: &[char]) -> bool {
    let above = path
        .iter()
        .enumerate()
        .filter(|(_, character)| **character == '/')
        .map(|(at, _)| at);
    above
        .chain([path.len()])
        .any(|end| glob.takes(path.get(..end).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_as_in_go() {
        for (pattern, text, expected) in [
            ("*.go", "app.go", true),
            ("*.go", "cmd/app.go", false),
            ("package*.json", "package-lock.json", true),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("[", "[", false),
            ("é*", "été", true),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn later_exceptions_take_back_earlier_matches() {
        let patterns = Patterns::new(&["**/*.md", "!README.md", "docs"]);
        assert!(patterns.matches("a/b/c.md"));
        assert!(patterns.matches("x.md"));
        assert!(!patterns.matches("README.md"));
        assert!(patterns.matches("docs/deep/file"));
        assert!(!patterns.matches("src/docs"));
    }

    #[test]
    fn directories_are_entered_only_where_something_could_match() {
        let patterns = Patterns::new(&["a/*/c", "d/**/e"]);
        for (path, expected) in [
            ("a", true),
            ("a/b", true),
            ("b", false),
            ("d/x/y", true),
            ("a/b/x", false),
        ] {
            assert_eq!(patterns.may_match_under(path), expected, "{path}");
        }
    }

    #[test]
    fn many_stars_do_not_take_forever() {
        let pattern = "*a".repeat(2_000);
        assert!(!matches(&pattern, &"a".repeat(1_000)));
    }

    #[test]
    fn only_unescaped_wildcards_count() {
        assert!(has_wildcards("a*"));
        assert!(!has_wildcards("a\\*"));
    }
}
