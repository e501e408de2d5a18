//! `SOURCE_DATE_EPOCH`: the one time that a reproducible build knows.

use std::collections::BTreeMap;

use crate::diagnostic::Problem;
use crate::instruction::Instruction;
use crate::shell::{Lexer, Variables};
use crate::span::{LineRange, Span};
use crate::stage::{Globals, Program};

use super::env::Env;
use super::remote;

/// The argument's name.
pub(super) const NAME: &str = "SOURCE_DATE_EPOCH";

/// Seconds since 1970, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Epoch(i64);

impl Epoch {
    /// The same in nanoseconds, as LLB has times.
    pub(crate) const fn nanoseconds(self) -> i64 {
        self.0.wrapping_mul(1_000_000_000)
    }

    /// `2006-01-02T15:04:05Z`.
    pub(crate) fn rfc3339(self) -> String {
        // Days are counted from 0000-03-01, so that the leap day is the last of its year (Howard Hinnant's
        // "chrono-compatible low-level date algorithms").
        let days = self.0.div_euclid(86_400).saturating_add(719_468);
        let seconds = self.0.rem_euclid(86_400);
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 {
            month_from_march + 3
        } else {
            month_from_march - 9
        };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// A problem with the epoch, and the place of the stage it is about, where it is about one.
pub(super) type EpochProblem = (Problem, Option<(Span, LineRange)>);

/// Works the epoch out. A number is a time; the name of a stage that only fetches something means that thing's time,
/// which nobody knows while planning.
pub(super) fn resolve(
    program: &Program,
    globals: &Globals,
    build_args: &BTreeMap<String, String>,
) -> Result<Option<Epoch>, EpochProblem> {
    let value = build_args
        .get(NAME)
        .map(String::as_str)
        .or_else(|| globals.get(NAME).filter(|value| !value.is_empty()));
    let Some(value) = value.filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    if let Ok(seconds) = value.parse() {
        return Ok(Some(Epoch(seconds)));
    }
    if value == "context" {
        return Ok(None);
    }
    for stage in &program.stages {
        let Some(from) = &stage.from else { continue };
        if !from
            .name
            .as_ref()
            .is_some_and(|name| name.text.eq_ignore_ascii_case(value))
        {
            continue;
        }
        return check_stage(program, stage, globals, build_args)
            .map(|()| None)
            .map_err(|problem| (problem, Some((stage.span, stage.lines))));
    }
    let problem = Problem::new(
        "bad-epoch",
        format!("{NAME} is \"{value}\", which is neither a number nor a stage."),
    )
    .hint("Give it a number of seconds since 1970.");
    // A time from outside has no place in the file.
    let written = program
        .globals
        .iter()
        .filter(|_| !build_args.contains_key(NAME))
        .find(|arg| {
            arg.value
                .declarations
                .iter()
                .any(|argument| argument.name == NAME)
        });
    Err((problem, written.map(|arg| (arg.span, arg.lines))))
}

/// Puts the epoch that was worked out in the place of what was written.
pub(super) fn settle(epoch: Option<Epoch>, build_args: &mut BTreeMap<String, String>, globals: &mut Globals) {
    let in_args = build_args.contains_key(NAME);
    let in_globals = globals.get(NAME).is_some();
    let Some(value) = epoch.map(|epoch| epoch.0.to_string()) else {
        // An empty one is left alone where nobody but the file says so.
        if build_args.remove(NAME).is_some() || globals.get(NAME).is_some_and(|value| !value.is_empty()) {
            globals.remove(NAME);
        }
        return;
    };
    if in_globals {
        globals.set(NAME, value.clone());
    }
    if in_args {
        build_args.insert(NAME.into(), value);
    }
}

/// Whether a value that is given for the argument `name` stays one: a time that is not known yet is not given.
pub(crate) fn stays_given(name: &str, value: &str) -> bool {
    name != NAME || value.parse::<i64>().is_ok()
}

/// A stage whose time counts starts from nothing and adds one thing from elsewhere.
fn check_stage(
    program: &Program,
    stage: &crate::stage::StageSource,
    globals: &Globals,
    build_args: &BTreeMap<String, String>,
) -> Result<(), Problem> {
    let bad = |message: &str| Problem::new("bad-epoch", format!("A stage that {NAME} names {message}."));
    let lexer = Lexer::new(program.escape.unwrap_or('\\'));
    let mut variables = Env::default();
    for name in globals.names().filter(|name| *name != NAME) {
        variables.set(name, globals.get(name).unwrap_or_default());
    }
    let base = stage
        .from
        .as_ref()
        .map(|from| from.base.text.as_str())
        .unwrap_or_default();
    if super::build::expand(lexer, base, &variables)? != "scratch" {
        return Err(bad("starts from scratch"));
    }
    let mut found = 0;
    for statement in &stage.statements {
        match &statement.instruction {
            Some(Instruction::Arg(arg)) => {
                for declaration in &arg.declarations {
                    let default = declaration.default.as_ref();
                    let value = match (build_args.get(&declaration.name), default) {
                        (Some(value), _) => value.clone(),
                        (None, Some(default)) => {
                            super::build::expand(lexer, default, &variables)?.into_owned()
                        }
                        (None, None) => continue,
                    };
                    variables.set(&declaration.name, &value);
                }
            }
            Some(Instruction::Add(add)) => {
                let [source] = add.sources.paths.as_slice() else {
                    return Err(bad("adds exactly one thing"));
                };
                let source = super::build::expand(lexer, &source.text, &variables)?;
                let remote = remote::is_http(&source) || matches!(remote::git(&source), Ok(Some(_)));
                if !remote || !add.sources.contents.is_empty() {
                    return Err(bad("adds something from an http or git address"));
                }
                found += 1;
            }
            _ => return Err(bad("has no instructions but ARG and ADD")),
        }
    }
    if found == 1 {
        Ok(())
    } else {
        Err(bad("adds exactly one thing from elsewhere"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_dates() {
        for (seconds, written) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_600_000_000, "2020-09-13T12:26:40Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(Epoch(seconds).rfc3339(), written);
        }
        assert!(!Epoch(i64::MIN).rfc3339().is_empty());
        assert!(!Epoch(i64::MAX).rfc3339().is_empty());
    }
}
