//! Words as a shell reads them: quotes, escapes and `${…}`, in the dialect that Dockerfiles have.
//!
//! Nothing here splits a file into instructions; it is given one piece of text and the variables that hold there.

mod pattern;
mod recorded;

pub(crate) use recorded::Recorded;

use std::borrow::Cow;
use std::collections::BTreeSet;

/// Where variables get their values.
pub(crate) trait Variables {
    /// The value of `name`; `None` where it is not set.
    fn get(&self, name: &str) -> Option<&str>;
}

/// No variable is set.
pub(crate) struct NoVariables;

impl Variables for NoVariables {
    fn get(&self, _: &str) -> Option<&str> {
        None
    }
}

/// How to read words.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a way of reading that goes with every other"
)]
pub(crate) struct Lexer {
    /// What takes the meaning from the character after it.
    pub(crate) escape: char,
    /// Quotes stay in the result.
    pub(crate) raw_quotes: bool,
    /// Escapes stay in the result.
    pub(crate) raw_escapes: bool,
    /// Quotes are letters like any other.
    pub(crate) ignore_quotes: bool,
    /// A variable that is not set stays as it is written.
    pub(crate) keep_unset: bool,
}

/// What became of a piece of text.
#[derive(Debug, Default)]
pub(crate) struct Expanded {
    /// The text with quotes, escapes and variables worked out.
    pub(crate) text: String,
    /// The same, split at white space that was not quoted.
    pub(crate) words: Vec<String>,
    /// Variables that were asked for and are not set.
    pub(crate) unset: BTreeSet<String>,
}

/// How much longer than it is written a text may become. Linux hands no process a longer variable or argument; without
/// an end, twenty lines of `ENV A=$A$A` would fill any memory.
const LONGEST: usize = 128 * 1024;

/// Why a piece of text cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExpandError {
    #[error("A {0} is missing its closing partner.")]
    OpenQuote(&'static str),
    #[error("A ${{ is missing its closing }}.")]
    OpenBrace,
    #[error("A ${{name/pattern/replacement}} is missing its second /.")]
    OpenPattern,
    #[error("What stands in ${{ }} does not begin with the name of a variable.")]
    BadSubstitution,
    #[error("\"{0}\" is not something that ${{ }} can do.")]
    Modifier(String),
    #[error("{0}: {1}")]
    Required(String, String),
    #[error("\"{0}\" is not a pattern: a backslash may stand before *, ? and \\ only.")]
    Pattern(String),
    #[error("The text nests ${{ }} too deeply.")]
    TooDeep,
    #[error("The text grows by more than {LONGEST} bytes once its variables are worked out.")]
    TooLong,
}

impl Lexer {
    /// Reads words with `escape`; quotes and escapes are taken away, and variables that are not set are empty.
    pub(crate) const fn new(escape: char) -> Self {
        Self {
            escape,
            raw_quotes: false,
            raw_escapes: false,
            ignore_quotes: false,
            keep_unset: false,
        }
    }

    /// Works `text` out, as one word.
    pub(crate) fn word(self, text: &str, variables: &dyn Variables) -> Result<String, ExpandError> {
        self.worked_out(text, variables).map(Cow::into_owned)
    }

    /// The same, borrowed where there is nothing to work out, as in most text.
    pub(crate) fn worked_out<'t>(
        self,
        text: &'t str,
        variables: &dyn Variables,
    ) -> Result<Cow<'t, str>, ExpandError> {
        if !self.has_special(text) {
            return Ok(Cow::Borrowed(text));
        }
        let text = Run::new(self, text, variables).until(None, self.raw_escapes)?;
        Ok(Cow::Owned(text))
    }

    /// The same, with the variables that were asked for and are not set.
    pub(crate) fn with_unset<'t>(
        self,
        text: &'t str,
        variables: &dyn Variables,
    ) -> Result<(Cow<'t, str>, BTreeSet<String>), ExpandError> {
        if !self.has_special(text) {
            return Ok((Cow::Borrowed(text), BTreeSet::new()));
        }
        let mut run = Run::new(self, text, variables);
        run.unset = Some(BTreeSet::new());
        let text = run.until(None, self.raw_escapes)?;
        Ok((Cow::Owned(text), run.unset.unwrap_or_default()))
    }

    fn has_special(self, text: &str) -> bool {
        let bytes = text.as_bytes();
        match u8::try_from(self.escape) {
            Ok(escape) => {
                memchr::memchr3(b'$', b'<', escape, bytes).is_some()
                    || memchr::memchr2(b'\'', b'"', bytes).is_some()
            }
            Err(_) => true,
        }
    }

    /// Works `text` out, and tells of words and of variables that are not set.
    pub(crate) fn expand(self, text: &str, variables: &dyn Variables) -> Result<Expanded, ExpandError> {
        let (unset, result) = self.expand_far(text, variables);
        let (text, words) = result?;
        Ok(Expanded { text, words, unset })
    }

    /// Works `text` out; gives the variables that are not set also where it cannot be worked out, up to that place.
    pub(crate) fn expand_far(
        self,
        text: &str,
        variables: &dyn Variables,
    ) -> (BTreeSet<String>, TextAndWords) {
        let mut run = Run {
            words: Some(Words::default()),
            unset: Some(BTreeSet::new()),
            ..Run::new(self, text, variables)
        };
        let result = run.until(None, self.raw_escapes);
        let words = run.words.map(Words::finish).unwrap_or_default();
        (run.unset.unwrap_or_default(), result.map(|text| (text, words)))
    }
}

/// A text worked out as one word, and as words.
pub(crate) type TextAndWords = Result<(String, Vec<String>), ExpandError>;

/// Collects words: white space ends one, unless it was quoted.
#[derive(Default)]
struct Words {
    done: Vec<String>,
    open: String,
    inside: bool,
}

impl Words {
    fn letter(&mut self, letter: char) {
        if !letter.is_whitespace() {
            self.open.push(letter);
            self.inside = true;
        } else if self.inside && !self.open.is_empty() {
            self.done.push(std::mem::take(&mut self.open));
            self.inside = false;
        }
    }

    fn quoted(&mut self, text: &str) {
        self.open.push_str(text);
        self.inside = true;
    }

    fn finish(mut self) -> Vec<String> {
        if !self.open.is_empty() {
            self.done.push(self.open);
        }
        self.done
    }
}

struct Run<'t> {
    lexer: Lexer,
    rest: &'t str,
    variables: &'t dyn Variables,
    /// Set where variables that are not set are asked for.
    unset: Option<BTreeSet<String>>,
    /// Set where words are asked for; what stands within `${ }` is no word of its own.
    words: Option<Words>,
    depth: usize,
    /// The longest that anything may become.
    limit: usize,
}

impl<'t> Run<'t> {
    /// Nested `${a:-${b:-…}}` uses the stack, so there is an end to it.
    const DEEPEST: usize = 200;

    fn new(lexer: Lexer, text: &'t str, variables: &'t dyn Variables) -> Self {
        Self {
            lexer,
            rest: text,
            variables,
            unset: None,
            words: None,
            depth: 0,
            limit: text.len() + LONGEST,
        }
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.peek()?;
        self.take(letter.len_utf8());
        Some(letter)
    }

    /// The next `length` bytes.
    fn take(&mut self, length: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    fn get(&mut self, name: &str) -> Option<&'t str> {
        let value = self.variables.get(name);
        if value.is_none()
            && let Some(unset) = &mut self.unset
        {
            unset.insert(name.to_owned());
        }
        value
    }

    /// Reads what stands within `${ }`, up to `stop`, which is taken too.
    fn within(&mut self, stop: char, raw_escapes: bool) -> Result<String, ExpandError> {
        let words = self.words.take();
        let text = self.until(Some(stop), raw_escapes);
        self.words = words;
        text
    }

    /// Reads up to `stop`, which is taken too; up to the end where there is none.
    fn until(&mut self, stop: Option<char>, raw_escapes: bool) -> Result<String, ExpandError> {
        self.depth += 1;
        if self.depth > Self::DEEPEST {
            return Err(ExpandError::TooDeep);
        }
        let before = std::mem::replace(&mut self.lexer.raw_escapes, raw_escapes);
        let result = self.read_until(stop);
        self.lexer.raw_escapes = before;
        self.depth -= 1;
        result
    }

    fn read_until(&mut self, stop: Option<char>) -> Result<String, ExpandError> {
        // Within ${ } little is read of a rest that may be long.
        let mut text = String::with_capacity(stop.map_or(self.rest.len(), |_| 0));
        while let Some(letter) = self.peek() {
            if stop == Some(letter) {
                self.next();
                return Ok(text);
            }
            let from = text.len();
            let quoted = match letter {
                '$' => {
                    self.dollar(&mut text)?;
                    false
                }
                '<' => {
                    self.possible_heredoc(&mut text);
                    true
                }
                '\'' if !self.lexer.ignore_quotes => {
                    self.single_quoted(&mut text)?;
                    true
                }
                '"' if !self.lexer.ignore_quotes => {
                    self.double_quoted(&mut text)?;
                    true
                }
                escape if escape == self.lexer.escape => {
                    self.next();
                    if self.lexer.raw_escapes {
                        text.push(escape);
                    }
                    text.extend(self.next());
                    true
                }
                _ => {
                    text.push_str(self.plain(stop));
                    false
                }
            };
            if text.len() > self.limit {
                return Err(ExpandError::TooLong);
            }
            let Some(words) = &mut self.words else { continue };
            let read = text.get(from..).unwrap_or_default();
            if quoted {
                words.quoted(read);
            } else {
                read.chars().for_each(|letter| words.letter(letter));
            }
        }
        match stop {
            None => Ok(text),
            Some('/') => Err(ExpandError::OpenPattern),
            Some(_) => Err(ExpandError::OpenBrace),
        }
    }

    /// The next letter, and those behind it that mean nothing but themselves.
    fn plain(&mut self, stop: Option<char>) -> &'t str {
        let first = self.peek().map_or(0, char::len_utf8);
        // All that means something is one byte, and no byte of a longer letter is the same.
        let byte = |letter: char| u8::try_from(letter).unwrap_or(b'$');
        let rest = self.rest.as_bytes().get(first..).unwrap_or_default();
        let end = memchr::memchr3(b'$', b'<', b'\'', rest).unwrap_or(rest.len());
        let rest = rest.get(..end).unwrap_or_default();
        let (escape, stop) = (byte(self.lexer.escape), byte(stop.unwrap_or('$')));
        self.take(first + memchr::memchr3(b'"', escape, stop, rest).unwrap_or(end))
    }

    /// Between single quotes everything is itself.
    fn single_quoted(&mut self, text: &mut String) -> Result<(), ExpandError> {
        self.quote(text);
        let length = memchr::memchr(b'\'', self.rest.as_bytes()).ok_or(ExpandError::OpenQuote("'"))?;
        text.push_str(self.take(length));
        self.quote(text);
        Ok(())
    }

    /// Between double quotes variables are worked out, and `"`, `$` and the escape character can be escaped.
    fn double_quoted(&mut self, text: &mut String) -> Result<(), ExpandError> {
        self.quote(text);
        loop {
            match self.peek() {
                None => return Err(ExpandError::OpenQuote("\"")),
                Some('"') => {
                    self.quote(text);
                    return Ok(());
                }
                Some('$') => {
                    self.dollar(text)?;
                    if text.len() > self.limit {
                        return Err(ExpandError::TooLong);
                    }
                }
                Some(escape) if escape == self.lexer.escape => {
                    self.next();
                    if self.lexer.raw_escapes {
                        text.push(escape);
                    }
                    match self.peek() {
                        // At the end of the text an escape is passed over.
                        None => {}
                        Some(letter) if letter == '"' || letter == '$' || letter == escape => {
                            self.next();
                            text.push(letter);
                        }
                        Some(_) => text.push(escape),
                    }
                }
                Some(letter) => {
                    self.next();
                    text.push(letter);
                }
            }
        }
    }

    fn quote(&mut self, text: &mut String) {
        if let Some(quote) = self.next()
            && self.lexer.raw_quotes
        {
            text.push(quote);
        }
    }

    /// Between `<<` and its word there may be white space, which then belongs to the word.
    fn possible_heredoc(&mut self, text: &mut String) {
        text.extend(self.next());
        if self.peek() != Some('<') {
            return;
        }
        text.extend(self.next());
        while let Some(space @ ('\t' | '\r' | ' ')) = self.peek() {
            self.next();
            text.push(space);
        }
    }

    /// Works out the variable that begins here, to the end of `text`.
    fn dollar(&mut self, text: &mut String) -> Result<(), ExpandError> {
        self.next();
        if self.peek() != Some('{') {
            let name = self.name();
            if name.is_empty() {
                text.push('$');
                return Ok(());
            }
            match self.get(name) {
                Some(value) => text.push_str(value),
                None if self.lexer.keep_unset => {
                    text.push('$');
                    text.push_str(name);
                }
                None => {}
            }
            return Ok(());
        }
        self.next();
        match self.peek() {
            None => return Err(ExpandError::OpenBrace),
            Some('{' | '}' | ':') => return Err(ExpandError::BadSubstitution),
            Some(_) => {}
        }
        let name = self.name();
        match self.next() {
            None => return Err(ExpandError::OpenBrace),
            Some('}') => match self.get(name) {
                Some(value) => text.push_str(value),
                None if self.lexer.keep_unset => {
                    for part in ["${", name, "}"] {
                        text.push_str(part);
                    }
                }
                None => {}
            },
            Some(':') => {
                let Some(modifier) = self.next() else {
                    return Err(ExpandError::OpenBrace);
                };
                text.push_str(&self.modified(name, modifier, true)?);
            }
            Some('/') => text.push_str(&self.replaced(name)?),
            Some(modifier) => text.push_str(&self.modified(name, modifier, false)?),
        }
        Ok(())
    }

    /// `${name-word}` and its like; with `colon`, empty counts as unset.
    fn modified(&mut self, name: &str, modifier: char, colon: bool) -> Result<String, ExpandError> {
        let written = if colon {
            format!(":{modifier}")
        } else {
            modifier.to_string()
        };
        let trims = matches!(modifier, '#' | '%');
        if (trims && colon) || (!colon && !trims && !matches!(modifier, '+' | '-' | '?')) {
            return Err(ExpandError::Modifier(written));
        }
        let word = self.within('}', trims)?;
        let value = self.get(name);
        if value.is_none() && self.lexer.keep_unset {
            return Ok(format!("${{{name}{written}{word}}}"));
        }
        let there = value.filter(|value| !(colon && value.is_empty()));
        match (modifier, there) {
            ('-', None) | ('+', Some(_)) => Ok(word),
            ('+', None) => Ok(String::new()),
            ('?', None) => {
                let reason = if !word.is_empty() {
                    word
                } else if value.is_none() {
                    "is not allowed to be unset".into()
                } else {
                    "is not allowed to be empty".into()
                };
                Err(ExpandError::Required(name.to_owned(), reason))
            }
            ('-' | '?', Some(value)) => Ok(value.to_owned()),
            ('#' | '%', _) => {
                let (pattern, greedy) = match word.strip_prefix(modifier) {
                    Some(pattern) => (pattern, true),
                    None => (word.as_str(), false),
                };
                let value = value.unwrap_or_default();
                if modifier == '#' {
                    pattern::trim_start(pattern, value, greedy)
                } else {
                    pattern::trim_end(pattern, value, greedy)
                }
            }
            _ => Err(ExpandError::Modifier(written)),
        }
    }

    /// `${name/pattern/replacement}`, and with a second `/` for all matches.
    fn replaced(&mut self, name: &str) -> Result<String, ExpandError> {
        let all = self.peek() == Some('/');
        if all {
            self.next();
        }
        let pattern = self.within('/', true)?;
        let replacement = self.within('}', true)?;
        match self.get(name) {
            None if self.lexer.keep_unset => Ok(format!("${{{name}/{pattern}/{replacement}}}")),
            value => pattern::replace(&pattern, value.unwrap_or_default(), &replacement, all, self.limit),
        }
    }

    /// Letters, digits and `_`; digits alone where it begins with one; or one of the shell's special parameters.
    fn name(&mut self) -> &'t str {
        let digits = self.peek().is_some_and(char::is_numeric);
        let fits = |letter: char| {
            if digits {
                letter.is_numeric()
            } else {
                letter.is_alphanumeric() || letter == '_'
            }
        };
        let length = self.rest.find(|letter| !fits(letter)).unwrap_or(self.rest.len());
        let special = matches!(self.peek(), Some('@' | '*' | '#' | '?' | '-' | '$' | '!'));
        self.take(if length == 0 && special { 1 } else { length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Pairs(&'static [(&'static str, &'static str)]);

    impl Variables for Pairs {
        fn get(&self, name: &str) -> Option<&str> {
            self.0
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| *value)
        }
    }

    const VARIABLES: Pairs = Pairs(&[
        ("a", "abcabc"),
        ("empty", ""),
        ("path", "/x/y.tar.gz"),
        ("two", "p q"),
    ]);

    #[track_caller]
    fn check(written: &str, expected: &str) {
        assert_eq!(
            Lexer::new('\\').word(written, &VARIABLES).as_deref(),
            Ok(expected),
            "{written}"
        );
    }

    #[test]
    fn quotes_and_escapes_are_taken_away() {
        check(r#"'$a' "$a" \$a"#, "$a abcabc $a");
        check(r#""a\b\"c""#, r#"a\b"c"#);
        check(r"a\", "a");
        check("it''s", "its");
    }

    #[test]
    fn every_modifier_does_what_a_shell_does() {
        for (written, expected) in [
            ("${a}", "abcabc"),
            ("${none}", ""),
            ("${none:-x}", "x"),
            ("${none-x}", "x"),
            ("${empty:-x}", "x"),
            ("${empty-x}", ""),
            ("${a:+x}", "x"),
            ("${empty:+x}", ""),
            ("${empty+x}", "x"),
            ("${a:?no}", "abcabc"),
            ("${path#*/}", "x/y.tar.gz"),
            ("${path##*/}", "y.tar.gz"),
            ("${path%.*}", "/x/y.tar"),
            ("${path%%.*}", "/x/y"),
            ("${a/b/X}", "aXcabc"),
            ("${a//b/X}", "aXcaXc"),
            ("${a//b?/X}", "aXaX"),
            ("${none:-${a}}", "abcabc"),
            ("$a.x", "abcabc.x"),
            ("a$", "a$"),
        ] {
            check(written, expected);
        }
    }

    #[test]
    fn unset_variables_can_stay_as_written() {
        let lexer = Lexer {
            keep_unset: true,
            raw_quotes: true,
            ..Lexer::new('\\')
        };
        for written in ["$x", "${x}", "${x:-y}", "'$x'", "${x/a/b}", "${x%%y}"] {
            assert_eq!(lexer.word(written, &VARIABLES).as_deref(), Ok(written));
        }
    }

    #[test]
    fn words_split_at_white_space_outside_quotes() {
        let expanded = Lexer::new('\\')
            .expand(r#"$two "a b" c\ d  e"#, &VARIABLES)
            .unwrap();
        assert_eq!(expanded.words, ["p", "q", "a b", "c d", "e"]);
    }

    #[test]
    fn text_that_grows_without_end_is_an_error() {
        struct Long(String);
        impl Variables for Long {
            fn get(&self, _: &str) -> Option<&str> {
                Some(&self.0)
            }
        }
        let long = Long("a".repeat(LONGEST / 2));
        let word = |text: &str| Lexer::new('\\').word(text, &long);
        assert_eq!(word("$A$A").map(|text| text.len()), Ok(LONGEST));
        for written in [
            "$A$A$A",
            "\"$A$A$A\"",
            "${B:+$A$A$A}",
            "${A//a/$A}",
            "${A/*/$A$A$A}",
            "${A//*/$0$0$0}",
        ] {
            let written = written.replace("$0", "\\$0");
            assert_eq!(word(&written), Err(ExpandError::TooLong), "{written}");
        }
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        for (written, error) in [
            ("'a", ExpandError::OpenQuote("'")),
            ("\"a", ExpandError::OpenQuote("\"")),
            ("${a", ExpandError::OpenBrace),
            ("${}", ExpandError::BadSubstitution),
            ("${a:#b}", ExpandError::Modifier(":#".into())),
            ("${a@b}", ExpandError::Modifier("@".into())),
            ("${none:?why}", ExpandError::Required("none".into(), "why".into())),
        ] {
            assert_eq!(
                Lexer::new('\\').word(written, &VARIABLES),
                Err(error),
                "{written}"
            );
        }
        assert_eq!(
            Lexer::new('\\').word(&"${a:-".repeat(100_000), &VARIABLES),
            Err(ExpandError::TooDeep)
        );
    }
}
