//! What stands behind an instruction's name and flags, in the shape that the instruction takes.

use std::ops::Range;

use crate::diagnostic::Problem;
use crate::span::Span;

use super::words::{first_word, split_blanks, split_quoted};
use super::{Keyword, Line, Shape, Word};

/// The arguments of an instruction.
#[derive(Debug, Clone)]
pub(crate) enum Arguments {
    /// Words, with quotes and escapes still in them.
    Words(Vec<Word>),
    /// A JSON array of strings.
    Json(Vec<Word>),
    /// All of the text.
    Text(Word),
    /// Names and values.
    Pairs(Vec<Pair>),
    /// HEALTHCHECK: a word, and what follows it.
    Tagged(Word, Box<Self>),
    /// ONBUILD: where the instruction that it holds begins.
    Trigger(Range<usize>),
}

/// A name and a value of ENV or LABEL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) span: Span,
    /// Written with white space in the place of `=`, as it was done long ago.
    pub(crate) legacy: bool,
}

impl Arguments {
    /// Reads the part `range` of `line` as `keyword` has it.
    pub(super) fn read(
        keyword: Keyword,
        line: &Line<'_>,
        range: Range<usize>,
        escape: char,
    ) -> Result<Self, Problem> {
        let text = line.text().get(range.clone()).unwrap_or_default();
        let place = Place {
            line,
            start: range.start,
        };
        match keyword.shape() {
            Shape::Sources | Shape::List => match place.json(text)? {
                Some(array) => Ok(Self::Json(array)),
                None => Ok(place.blanks(text)),
            },
            Shape::Words => Ok(place.blanks(text)),
            Shape::Command | Shape::Script => place.maybe_json(text),
            Shape::Assignments => Ok(Self::Words(place.quoted(text, escape))),
            Shape::Pairs => place.pairs(text, keyword, escape),
            Shape::Text => Ok(place.text(text)),
            Shape::Tagged => {
                let (kind, next) = first_word(text);
                let next = next.unwrap_or(text.len());
                let kind = Word {
                    text: kind.to_owned(),
                    span: line.span(range.start..range.start + kind.len()),
                };
                let rest = Place {
                    line,
                    start: range.start + next,
                }
                .maybe_json(text.get(next..).unwrap_or_default())?;
                Ok(Self::Tagged(kind, Box::new(rest)))
            }
            Shape::Trigger => Ok(Self::Trigger(range)),
        }
    }

    /// The words, where they are such or a JSON array.
    pub(crate) fn words(self) -> Vec<Word> {
        match self {
            Self::Words(words) | Self::Json(words) => words,
            Self::Text(word) => vec![word],
            Self::Pairs(_) | Self::Tagged(..) | Self::Trigger(_) => Vec::new(),
        }
    }
}

/// Part of a line, and where it begins there.
struct Place<'l, 's> {
    line: &'l Line<'s>,
    start: usize,
}

impl Place<'_, '_> {
    fn span(&self, range: &Range<usize>) -> Span {
        self.line.span(self.start + range.start..self.start + range.end)
    }

    fn text(&self, text: &str) -> Arguments {
        if text.is_empty() {
            return Arguments::Words(Vec::new());
        }
        Arguments::Text(Word {
            text: text.to_owned(),
            span: self.span(&(0..text.len())),
        })
    }

    fn blanks(&self, text: &str) -> Arguments {
        if text.is_empty() {
            return Arguments::Words(Vec::new());
        }
        let word = |range: Range<usize>| Word {
            span: self.span(&range),
            text: text.get(range).unwrap_or_default().to_owned(),
        };
        Arguments::Words(split_blanks(text).map(word).collect())
    }

    fn quoted(&self, text: &str, escape: char) -> Vec<Word> {
        let word = |(text, range): (String, Range<usize>)| Word {
            span: self.span(&range),
            text,
        };
        split_quoted(text, escape).into_iter().map(word).collect()
    }

    /// A JSON array of strings; `None` where the text is anything else, which is then taken as it stands.
    fn json(&self, text: &str) -> Result<Option<Vec<Word>>, Problem> {
        let text = text.trim_start();
        if !text.starts_with('[') {
            return Ok(None);
        }
        let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(text) else {
            return Ok(None);
        };
        let span = self.span(&(0..text.len()));
        let word = |value| match value {
            serde_json::Value::String(text) => Ok(Word { text, span }),
            _ => Err(Problem::new(
                "json-not-strings",
                "This array holds something else than strings.",
            )
            .at(span)
            .hint("Put every element in double quotes.")),
        };
        values.into_iter().map(word).collect::<Result<_, _>>().map(Some)
    }

    fn maybe_json(&self, text: &str) -> Result<Arguments, Problem> {
        Ok(match self.json(text)? {
            Some(array) => Arguments::Json(array),
            None => self.text(text),
        })
    }

    fn pairs(&self, text: &str, keyword: Keyword, escape: char) -> Result<Arguments, Problem> {
        let words = self.quoted(text, escape);
        let Some(first) = words.first() else {
            return Ok(Arguments::Pairs(Vec::new()));
        };
        if !first.text.contains('=') {
            let (key, next) = first_word(text);
            let Some(next) = next else {
                return Err(Problem::new(
                    "missing-value",
                    format!("{} {key} gives no value.", keyword.name()),
                )
                .at(self.span(&(0..text.len())))
                .hint(format!("Write {} {key}=value.", keyword.name())));
            };
            let value = text.get(next..).unwrap_or_default().to_owned();
            let span = self.span(&(0..text.len()));
            return Ok(Arguments::Pairs(vec![Pair {
                key: key.to_owned(),
                value,
                span,
                legacy: true,
            }]));
        }
        let pair = |word: Word| match word.text.split_once('=') {
            Some((key, value)) => Ok(Pair {
                key: key.to_owned(),
                value: value.to_owned(),
                span: word.span,
                legacy: false,
            }),
            None => Err(
                Problem::new("missing-equals", format!("\"{}\" has no = in it.", word.text))
                    .at(word.span)
                    .hint("Write name=value, and put values with spaces in quotes."),
            ),
        };
        words
            .into_iter()
            .map(pair)
            .collect::<Result<_, _>>()
            .map(Arguments::Pairs)
    }
}
