//! `HEALTHCHECK`: how to tell that the image's process is well.

use crate::diagnostic::Problem;
use crate::syntax::{Arguments, Node, Word};

use super::flags::{Flags, Takes};
use super::guide::{FlagGuide, Guide, Value};
use super::number;

/// Times are in nanoseconds; 0 leaves the choice to the runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Healthcheck {
    /// `NONE`, or `CMD` or `CMD-SHELL` and the command.
    pub(crate) test: Vec<String>,
    pub(crate) interval: i64,
    pub(crate) timeout: i64,
    pub(crate) start_period: i64,
    pub(crate) start_interval: i64,
    pub(crate) retries: i64,
}

/// The flags that it knows.
pub(super) const FLAGS: &[(&str, Takes)] = &[
    ("interval", Takes::Text),
    ("timeout", Takes::Text),
    ("start-period", Takes::Text),
    ("start-interval", Takes::Text),
    ("retries", Takes::Text),
];

/// What people are told about it.
pub(crate) const GUIDE: Guide = Guide {
    text: "How to tell that a container is well: a command that is run again and again, and fails where \
                   it is not. NONE drops the one of the base.",
    examples: &[
        "HEALTHCHECK --interval=10s CMD curl -f http://localhost/",
        "HEALTHCHECK NONE",
    ],
    words: &[],
    flags: &[
        FlagGuide {
            name: "interval",
            value: Value::Like("30s"),
            text: "The time between two checks; 30s where it is not given.",
        },
        FlagGuide {
            name: "timeout",
            value: Value::Like("30s"),
            text: "How long a check may take before it has failed; 30s where it is not given.",
        },
        FlagGuide {
            name: "start-period",
            value: Value::Like("10s"),
            text: "How long failures do not count after the start; 0s where it is not given.",
        },
        FlagGuide {
            name: "start-interval",
            value: Value::Like("5s"),
            text: "The time between two checks in the start period; 5s where it is not given.",
        },
        FlagGuide {
            name: "retries",
            value: Value::Like("3"),
            text: "How many checks in a row have to fail; 3 where it is not given.",
        },
    ],
};

pub(super) fn parse(node: &Node<'_>, arguments: Arguments) -> Result<Healthcheck, Problem> {
    const EXAMPLE: &str = "HEALTHCHECK --interval=30s CMD curl -f http://localhost/";
    let Arguments::Tagged(kind, command) = arguments else {
        return Err(super::missing(node, EXAMPLE));
    };
    let shell = !matches!(*command, Arguments::Json(_));
    let words = command.words();
    let unset = Healthcheck {
        test: vec!["NONE".into()],
        interval: 0,
        timeout: 0,
        start_period: 0,
        start_interval: 0,
        retries: 0,
    };
    let form = kind.text.to_ascii_uppercase();
    if form.is_empty() {
        return Err(super::missing(node, EXAMPLE));
    }
    if form == "NONE" {
        if !words.is_empty() {
            return Err(Problem::new(
                "bad-healthcheck",
                "HEALTHCHECK NONE takes nothing else.",
            ));
        }
        return Ok(unset);
    }
    let flags = Flags::read(node, FLAGS)?;
    if form != "CMD" {
        return Err(Problem::new(
            "bad-healthcheck",
            format!("HEALTHCHECK knows NONE and CMD, not \"{}\".", kind.text),
        )
        .at(kind.span)
        .hint(format!("Write {EXAMPLE}.")));
    }
    if words.is_empty() {
        return Err(
            Problem::new("missing-argument", "HEALTHCHECK CMD has no command.")
                .hint(format!("Write {EXAMPLE}.")),
        );
    }
    let mut test = vec![if shell { "CMD-SHELL".to_owned() } else { form }];
    test.extend(words.into_iter().map(|Word { text, .. }| text));
    Ok(Healthcheck {
        test,
        interval: time(&flags, "interval")?,
        timeout: time(&flags, "timeout")?,
        start_period: time(&flags, "start-period")?,
        start_interval: time(&flags, "start-interval")?,
        retries: retries(&flags)?,
    })
}

fn time(flags: &Flags, name: &str) -> Result<i64, Problem> {
    const MILLISECOND: i64 = 1_000_000;
    let Some(word) = flags.text(name) else {
        return Ok(0);
    };
    match number::duration(&word.text) {
        Some(nanoseconds) if nanoseconds == 0 || nanoseconds >= MILLISECOND => Ok(nanoseconds),
        Some(_) => {
            Err(Problem::new("bad-duration", format!("--{name} is less than a millisecond.")).at(word.span))
        }
        None => Err(Problem::new(
            "bad-duration",
            format!("\"{}\" is not a length of time.", word.text),
        )
        .at(word.span)
        .hint("Write it like 30s, 1m30s or 500ms.")),
    }
}

fn retries(flags: &Flags) -> Result<i64, Problem> {
    let Some(word) = flags.text("retries") else {
        return Ok(0);
    };
    match word.text.parse::<i32>() {
        Ok(retries) if retries >= 0 => Ok(retries.into()),
        _ => Err(Problem::new(
            "bad-number",
            format!("\"{}\" is not a number of retries.", word.text),
        )
        .at(word.span)),
    }
}
