//! Switches with a value, as `docker build` takes them: `--push=true`, `--no-cache=false`.

use std::collections::BTreeMap;
use std::ffi::OsString;

use clap::{Arg, ArgAction, Command};
use stagewright_core::boolean;

use super::Failure;

/// The arguments as they would be written without such values: `--push` in the place of `--push=true`, and nothing in the
/// place of `--push=false`. What a flag goes together with is then for its definition alone to say. Of a switch that is
/// written several times the last counts.
pub(super) fn without_values(
    program: &Command,
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Vec<OsString>, Failure> {
    let mut command = program;
    // `None` where a switch stood that does not count.
    let mut kept: Vec<Option<OsString>> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut arguments = arguments.into_iter();
    kept.push(arguments.next());
    while let Some(argument) = arguments.next() {
        let text = argument.to_str().unwrap_or_default();
        if text == "--" {
            kept.push(Some(argument));
            break;
        }
        if let Some(inner) = command.find_subcommand(text) {
            command = inner;
            kept.push(Some(argument));
            continue;
        }
        let (flag, value) = match text.split_once('=') {
            Some((flag, value)) => (flag, Some(value)),
            None => (text, None),
        };
        let Some(known) = command.get_arguments().find(|known| is_called(known, flag)) else {
            kept.push(Some(argument));
            continue;
        };
        if !matches!(known.get_action(), ArgAction::SetTrue) {
            let has_value_behind = value.is_none() && known.get_action().takes_values();
            kept.push(Some(argument));
            if has_value_behind {
                kept.push(arguments.next());
            }
            continue;
        }
        let is_on = match value {
            None => true,
            Some(value) => boolean::read(value).ok_or_else(|| {
                Failure::new(
                    Failure::USAGE,
                    format!("{flag}={value}: it is a switch, and {value:?} says neither yes nor no"),
                )
                .hint(format!("write {flag}, {flag}=true or {flag}=false"))
            })?,
        };
        if let Some(place) = places
            .insert(known.get_id().as_str(), kept.len())
            .and_then(|place| kept.get_mut(place))
        {
            *place = None;
        }
        kept.push(is_on.then(|| flag.into()));
    }
    kept.extend(arguments.map(Some));
    Ok(kept.into_iter().flatten().collect())
}

fn is_called(argument: &Arg, flag: &str) -> bool {
    if let Some(long) = flag.strip_prefix("--") {
        return argument.get_long() == Some(long)
            || argument
                .get_all_aliases()
                .is_some_and(|aliases| aliases.contains(&long));
    }
    let mut letters = flag.strip_prefix('-').unwrap_or_default().chars();
    argument.get_short().is_some() && argument.get_short() == letters.next() && letters.next().is_none()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn read(line: &str) -> Result<String, String> {
        let program = super::super::Arguments::command();
        let arguments = format!("stagewright {line}");
        let read = without_values(&program, arguments.split(' ').map(OsString::from));
        let read = read.map_err(|failure| failure.to_string())?;
        let words: Vec<_> = read.iter().skip(1).map(|word| word.to_str().unwrap()).collect();
        Ok(words.join(" "))
    }

    #[test]
    fn a_switch_takes_dockers_booleans_behind_an_equals_sign() {
        for yes in ["1", "t", "T", "TRUE", "true", "True"] {
            assert_eq!(
                read(&format!("build --push={yes} -q={yes} .")).unwrap(),
                "build --push -q ."
            );
        }
        for no in ["0", "f", "F", "FALSE", "false", "False"] {
            assert_eq!(read(&format!("build --push={no} -q={no} .")).unwrap(), "build .");
        }
        assert_eq!(read("prune --all=true --force=0").unwrap(), "prune --all");
        assert_eq!(read("history rm --all=false 3").unwrap(), "history rm 3");
        assert_eq!(
            read("build --push --quiet=true --push=false -q=0 .").unwrap(),
            "build ."
        );
        for wrong in ["yes", "", "tRUE", "2"] {
            let said = read(&format!("build --load={wrong} .")).unwrap_err();
            assert!(said.contains("--load=false"), "{said}");
        }
    }

    #[test]
    fn what_is_no_switch_stays_as_it_is_written() {
        for line in [
            "build --pull true",
            "build --label a=true --label=--push=false --unknown=true -x=1 .",
            "build -t --push=false .",
            "build -- --push=false",
            "build -vq --output=type=image,push=false .",
            "--push=false",
        ] {
            assert_eq!(read(line).unwrap(), line);
        }
    }
}
