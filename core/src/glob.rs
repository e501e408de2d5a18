//! Patterns for paths: the wildcards of `COPY`. Lists of patterns that include and exclude are [`crate::ignore`]'s.
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
    Glob::new(pattern).is_some_and(|glob| glob.matches(text))
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
}

impl Glob {
    /// Reads a pattern. `None` where a class does not end.
    pub fn new(pattern: &str) -> Option<Self> {
        let mut characters = pattern.chars().peekable();
        let mut tokens = Vec::new();
        while let Some(character) = characters.next() {
            tokens.push(match character {
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
                    Token::Literal(_) | Token::Any | Token::Class(..) => {
                        *out = open;
                        open = *here && character.is_some_and(|character| token.takes(*character));
                    }
                }
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
            Self::Star => false,
        }
    }
}

/// Reads a class after its `[`.
fn class(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Token> {
    let negated = characters.next_if_eq(&'^').is_some();
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

/// The parts of a path, without those that say nothing.
pub fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty() && *part != ".")
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
            ("[!c]", "a", false),
            ("[!c]", "!", true),
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
