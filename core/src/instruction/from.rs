//! `FROM`: what a stage starts from, and what it is called.

use crate::diagnostic::Problem;
use crate::syntax::{Arguments, Node, Word};

use super::flags::{Flags, Takes};
use super::guide::{FlagGuide, Guide, Value};

#[derive(Debug, Clone)]
pub(crate) struct From {
    /// An image, or an earlier stage.
    pub(crate) base: Word,
    /// Its own name, in lower case.
    pub(crate) name: Option<Word>,
    pub(crate) platform: Option<Word>,
}

/// The flags that it knows.
pub(super) const FLAGS: &[(&str, Takes)] = &[("platform", Takes::Text)];

/// What people are told about it.
pub(crate) const GUIDE: Guide = Guide {
    text: "Begins a stage: names the image or the earlier stage that it starts from, and with AS the \
                   stage itself. What scratch names is empty.",
    examples: &[
        "FROM alpine:3.20 AS build",
        "FROM --platform=$BUILDPLATFORM golang:1.22",
        "FROM scratch",
    ],
    words: &[],
    flags: &[FlagGuide {
        name: "platform",
        value: Value::Platform,
        text: "Which variant of an image is taken. $BUILDPLATFORM is that of the machine that builds; \
                   without the flag it is what is built for.",
    }],
};

pub(super) fn parse(node: &Node<'_>, arguments: Arguments) -> Result<From, Problem> {
    let mut words = arguments.words().into_iter();
    let (base, name) = match (words.next(), words.next(), words.next(), words.next()) {
        (Some(base), None, ..) => (base, None),
        (Some(base), Some(word), Some(name), None) if word.text.eq_ignore_ascii_case("as") => {
            (base, Some(stage_name(&name)?))
        }
        _ => {
            return Err(Problem::new(
                "bad-from",
                "FROM takes an image, and a name for the stage after AS.",
            )
            .hint("Write FROM image AS name."));
        }
    };
    let flags = Flags::read(node, FLAGS)?;
    Ok(From {
        base,
        name,
        platform: flags.text("platform"),
    })
}

/// Whether a stage may be called so, in lower case.
pub(crate) fn is_stage_name(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase();
    name.bytes().next().is_some_and(letter)
        && name
            .bytes()
            .all(|byte| letter(byte) || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.'))
}

fn stage_name(word: &Word) -> Result<Word, Problem> {
    let name = word.text.to_ascii_lowercase();
    if !is_stage_name(&name) {
        return Err(Problem::new(
            "bad-stage-name",
            format!("\"{}\" cannot be the name of a stage.", word.text),
        )
        .at(word.span)
        .hint("Begin with a letter, and go on with letters, digits, -, _ and . only."));
    }
    Ok(Word {
        text: name,
        span: word.span,
    })
}

#[cfg(test)]
mod tests {
    use crate::instruction::{Instruction, parse};

    fn from(source: &str) -> Result<(String, Option<String>), &'static str> {
        match parse(&mut crate::syntax::parse(source).nodes[0]) {
            Ok(Instruction::From(from)) => Ok((from.base.text, from.name.map(|name| name.text))),
            Ok(_) => Err("not a FROM"),
            Err(problem) => Err(problem.code),
        }
    }

    #[test]
    fn stage_names_are_lower_cased() {
        assert_eq!(
            from("FROM a as Build.1"),
            Ok(("a".into(), Some("build.1".into())))
        );
        assert_eq!(from("from a"), Ok(("a".into(), None)));
    }

    #[test]
    fn other_forms_are_refused() {
        assert_eq!(from("FROM"), Err("bad-from"));
        assert_eq!(from("FROM a b"), Err("bad-from"));
        assert_eq!(from("FROM a AS 1b"), Err("bad-stage-name"));
        assert_eq!(from("FROM --plattform=x a"), Err("unknown-flag"));
    }
}
