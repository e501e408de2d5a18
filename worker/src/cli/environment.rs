//! Flags that environment variables stand for.

use std::ffi::OsStr;

use clap::Command;
use clap::builder::Resettable;

/// The program as it is where a variable that is empty is as good as one that is not set: that is how scripts, and the
/// settings of CI jobs, take a variable back.
pub(super) fn without_empty_variables(program: Command) -> Command {
    without(program, &|name| {
        std::env::var_os(name).is_some_and(|value| value.is_empty())
    })
}

fn without(program: Command, is_empty: &dyn Fn(&OsStr) -> bool) -> Command {
    program
        .mut_args(|argument| {
            if argument.get_env().is_some_and(is_empty) {
                argument.env(Resettable::Reset)
            } else {
                argument
            }
        })
        .mut_subcommands(|command| without(command, is_empty))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// The variables that a command and those below it read.
    fn read(command: &Command, into: &mut Vec<String>) {
        let names = command.get_arguments().filter_map(|argument| argument.get_env());
        into.extend(names.map(|name| name.to_str().unwrap().to_owned()));
        for inner in command.get_subcommands() {
            read(inner, into);
        }
    }

    #[test]
    fn an_empty_variable_is_read_by_no_command() {
        let variables = |is_empty: &dyn Fn(&OsStr) -> bool| {
            let mut names = Vec::new();
            read(&without(super::super::Arguments::command(), is_empty), &mut names);
            names
        };
        let (all, none) = (variables(&|_| false), variables(&|_| true));
        assert!(all.iter().any(|name| name == "BUILDKIT_PROGRESS"), "{all:?}");
        assert!(none.is_empty(), "{none:?}");
        let but_one = variables(&|name| name == "STAGEWRIGHT_STATE");
        assert!(!but_one.iter().any(|name| name == "STAGEWRIGHT_STATE"));
        assert!(but_one.iter().any(|name| name == "STAGEWRIGHT_CONFIG"));
    }
}
