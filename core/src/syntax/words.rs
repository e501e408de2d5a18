//! Splitting an instruction's text: into words, flags and comma-separated fields.

use std::ops::Range;

use nom::Parser as _;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_till};
use nom::character::complete::char;
use nom::combinator::{eof, peek, value};
use nom::multi::fold_many0;
use nom::sequence::{delimited, terminated};

use crate::span::Span;

/// A piece of an instruction, and where it stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) span: Span,
}

/// White space between the words of an instruction. Unlike Unicode's it knows no space that does not break.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b'\t' | 0xb | 0xc | b'\r' | b' ')
}

/// The text up to the first blank, and where what stands behind the blanks begins.
pub(super) fn first_word(text: &str) -> (&str, Option<usize>) {
    let bytes = text.as_bytes();
    let Some(end) = bytes.iter().position(|&byte| is_blank(byte)) else {
        return (text, None);
    };
    let blanks = bytes.iter().skip(end).take_while(|&&byte| is_blank(byte)).count();
    (text.get(..end).unwrap_or(text), Some(end + blanks))
}

/// Splits at runs of blanks, quotes or not.
pub(super) fn split_blanks(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut from = Some(0);
    std::iter::from_fn(move || {
        let at = from?;
        let (word, next) = first_word(text.get(at..).unwrap_or_default());
        from = next.map(|next| at + next);
        Some(at..at + word.len())
    })
}

/// Splits at white space outside quotes. Quotes and escapes stay, for the shell to work out.
pub(super) fn split_quoted(text: &str, escape: char) -> Vec<(String, Range<usize>)> {
    let mut words = Vec::new();
    let mut letters = text.char_indices().peekable();
    while let Some(&(start, first)) = letters.peek() {
        if first.is_whitespace() {
            letters.next();
            continue;
        }
        let mut quote = None;
        let mut end = text.len();
        // Where the word ends, but for an escape at the very end of the text, which is passed over.
        let mut meant = text.len();
        while let Some(&(at, letter)) = letters.peek() {
            if quote.is_none() && letter.is_whitespace() {
                (end, meant) = (at, at);
                break;
            }
            letters.next();
            match quote {
                // Elsewhere an escape takes the meaning from what follows.
                open if letter == escape && open != Some('\'') => match letters.next() {
                    Some(_) => {}
                    None => meant = at,
                },
                None if matches!(letter, '\'' | '"') => quote = Some(letter),
                Some(open) if open == letter => quote = None,
                _ => {}
            }
        }
        if let Some(word) = text.get(start..meant).filter(|word| !word.is_empty()) {
            words.push((word.to_owned(), start..end));
        }
    }
    words
}

/// A flag as it stands before the arguments.
pub(super) type RawFlag = (String, Range<usize>);

/// Takes the flags off the front; gives them and where the arguments begin.
///
/// BuildKit reads flags byte by byte and takes each byte for a letter, so `é` becomes the two letters of its UTF-8
/// bytes, and a byte that is a space in Latin-1 ends a flag. Digests depend on it.
pub(super) fn flags(text: &str, escape: char) -> (Vec<RawFlag>, usize) {
    let letter_at = |at: usize| text.as_bytes().get(at).copied().map(char::from);
    let mut flags = Vec::new();
    let mut at = 0;
    loop {
        while letter_at(at).is_some_and(char::is_whitespace) {
            at += 1;
        }
        let start = at;
        if letter_at(at) != Some('-') || letter_at(at + 1) != Some('-') {
            return (flags, start);
        }
        // Most flags are letters and no more.
        let plain = |byte: &u8| {
            byte.is_ascii_graphic() && !matches!(byte, b'\'' | b'"') && char::from(*byte) != escape
        };
        let rest = text.as_bytes().get(start..).unwrap_or_default();
        at += rest.iter().take_while(|byte| plain(byte)).count();
        let mut word = text.get(start..at).unwrap_or_default().to_owned();
        let mut quote = None;
        while let Some(letter) = letter_at(at) {
            if quote.is_none() && letter.is_whitespace() {
                break;
            }
            at += 1;
            match quote {
                None if matches!(letter, '\'' | '"') => quote = Some(letter),
                Some(open) if open == letter => quote = None,
                _ if letter == escape => {
                    word.extend(letter_at(at));
                    at = (at + 1).min(text.len());
                }
                _ => word.push(letter),
            }
        }
        let end = at;
        if word == "--" {
            return (flags, end);
        }
        flags.push((word, start..end));
    }
}

/// The fields of one line of comma-separated values (RFC 4180, as Go's reader has it). The error says what is wrong.
pub(crate) fn comma_separated(text: &str) -> Result<Vec<String>, &'static str> {
    type Failure<'t> = nom::error::Error<&'t str>;
    let mut fields = Vec::new();
    let mut rest = text.trim_end_matches(['\r', '\n']);
    if rest.is_empty() {
        return Ok(fields);
    }
    loop {
        let field;
        if rest.starts_with('"') {
            let inner = fold_many0(
                alt((value("\"", tag::<_, _, Failure<'_>>("\"\"")), take_some_plain)),
                String::new,
                |mut field, part| {
                    field.push_str(part);
                    field
                },
            );
            let closing = terminated(char('"'), peek(alt((value((), char(',')), value((), eof)))));
            (rest, field) = delimited(char('"'), inner, closing)
                .parse(rest)
                .map_err(|_| "a quoted field has to end in a quote and a comma")?;
        } else {
            let plain: &str;
            (rest, plain) = take_till::<_, _, Failure<'_>>(|letter| letter == ',')
                .parse(rest)
                .map_err(|_| "it cannot be split")?;
            if plain.contains('"') {
                return Err("a quote may stand only around a whole field");
            }
            field = plain.to_owned();
        }
        fields.push(field);
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Ok(fields),
        }
    }
}

fn take_some_plain(text: &str) -> nom::IResult<&str, &str> {
    nom::bytes::complete::take_till1(|letter| letter == '"')(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_keep_words_together_and_stay() {
        let words: Vec<_> = split_quoted(r#"a="b c" d\ e 'f\' g"#, '\\')
            .into_iter()
            .map(|(word, _)| word)
            .collect();
        assert_eq!(words, [r#"a="b c""#, r"d\ e", r"'f\'", "g"]);
    }

    #[test]
    fn flags_end_where_the_arguments_begin() {
        let text = r#"--a=1  --b="x y" c --d"#;
        let (found, rest) = flags(text, '\\');
        let found: Vec<_> = found
            .into_iter()
            .map(|(flag, range)| (flag, &text[range]))
            .collect();
        assert_eq!(
            found,
            [("--a=1".into(), "--a=1"), ("--b=x y".into(), r#"--b="x y""#)]
        );
        assert_eq!(&text[rest..], "c --d");
        assert_eq!(flags("-- --a", '\\'), (Vec::new(), 2));
        assert_eq!(flags("--é", '\\').0[0].0, "--Ã©");
        assert_eq!(
            flags(r"--a\", '\\'),
            (vec![("--a".into(), 0..4)], 4),
            "an escape of nothing"
        );
    }

    #[test]
    fn fields_may_be_quoted() {
        assert_eq!(comma_separated("a,b=c").unwrap(), ["a", "b=c"]);
        assert_eq!(comma_separated(r#""a,""b""",c,"#).unwrap(), ["a,\"b\"", "c", ""]);
        assert_eq!(comma_separated("").unwrap(), [] as [&str; 0]);
        assert!(comma_separated("a\"b\"").is_err());
        assert!(comma_separated("\"a\"b").is_err());
        assert!(comma_separated("\"a").is_err());
    }
}
