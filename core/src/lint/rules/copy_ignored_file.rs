//! `CopyIgnoredFile`: What the ignore file keeps out of the build context cannot be copied from there.
//!
//! Nothing is said where the ignore file lets something in again with `!`: what a source holds then depends on which
//! files there are.

use crate::ignore::Ignore;
use crate::instruction::Instruction;
use crate::lint::Rule;
use crate::lint::file::File;
use crate::lint::finding::Found;
use crate::path::clean;
use crate::plan::is_remote;

pub(super) const RULE: Rule = Rule::reference(
    "CopyIgnoredFile",
    "copy-ignored-file",
    "What the ignore file keeps out of the build context cannot be copied from there.",
    check,
);

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    let Some(text) = &file.study.options.ignore else {
        return;
    };
    let (ignore, _) = Ignore::parse(text);
    if ignore.has_exclusions() {
        return;
    }
    for step in file.steps() {
        match step.instruction() {
            Some(Instruction::Add(_)) => {}
            Some(Instruction::Copy(copy)) if copy.from.is_none() => {}
            _ => continue,
        }
        let Some((_, sources)) = step.worked.words.split_last() else {
            continue;
        };
        for source in sources.iter().filter(|source| !is_remote(source)) {
            let path = clean(source);
            if ignore.ignores_as_written(&path) {
                let message = format!("{path} is kept out by the ignore file, so there is nothing to copy.");
                let finding = Found::done(step, message);
                found.push(if step.worked.failed.is_some() {
                    finding.late()
                } else {
                    finding
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::analysis::{Input, Options};
    use crate::lint::{Scope, lint};

    fn lines(ignore: &str, source: &str) -> Vec<u32> {
        let input = Input {
            source: source.into(),
            options: Options {
                ignore: Some(ignore.into()),
                ..Options::default()
            },
        };
        let findings = lint(&input, Scope::All).into_iter();
        findings
            .filter(|finding| finding.rule == "CopyIgnoredFile")
            .map(|finding| finding.lines.start)
            .collect()
    }

    #[test]
    fn says_so() {
        let source =
            "FROM scratch AS a\nCOPY a.txt b/c.txt ok /x/\nADD ./b/ /\nCOPY --from=a b /\nCOPY ok /\n";
        assert_eq!(lines("a.txt\nb\n", source), [2, 2, 3]);
        assert_eq!(lines("a.txt\n!b\n", source), [0; 0]);
    }

    #[test]
    fn the_root_is_kept_out_with_everything_else_only() {
        let source = "FROM scratch\nCOPY . /\nCOPY / /\n";
        assert_eq!(lines("a\n*.go\n", source), [0; 0]);
        assert_eq!(lines("**\n", source), [2, 3]);
    }

    #[test]
    fn a_path_from_the_root_is_no_path_that_a_pattern_has() {
        assert_eq!(lines("a\n", "FROM scratch\nCOPY /a /\n"), [0; 0]);
        assert_eq!(lines("*\n", "FROM scratch\nCOPY /a /\n"), [2]);
    }

    #[test]
    fn what_is_fetched_is_not_looked_for() {
        assert_eq!(lines("*\n", "FROM scratch\nADD https://a.b/c /\n"), [0; 0]);
    }
}
