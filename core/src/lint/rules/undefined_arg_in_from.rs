//! `UndefinedArgInFrom`: What `FROM` uses has to be declared before the first stage.

use std::collections::BTreeSet;

use crate::edit::TextEdit;
use crate::lint::Rule;
use crate::lint::file::File;
use crate::lint::finding::{Fix, Found};
use crate::lint::moment::Moment;

pub(super) const RULE: Rule = Rule::reference(
    "UndefinedArgInFrom",
    "undefined-arg-in-from",
    "What `FROM` uses has to be declared before the first stage.",
    check,
);

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    let args = file.study.plan.args.iter().filter(|arg| arg.stage.is_none());
    let declared: BTreeSet<&str> = args.map(|arg| arg.name.as_str()).collect();
    let first = file.stages.first().map_or(0, |stage| stage.node.span.start);
    for stage in &file.stages {
        let Some(from) = stage.from else { continue };
        let base = (Some(&from.base), Moment::base(stage.index));
        let platform = (from.platform.as_ref(), Moment::platform(stage.index));
        for (word, when) in [base, platform] {
            let Some(word) = word else { continue };
            let (unset, _) = file.lexer().expand_far(&word.text, &file.study.plan.globals);
            for name in unset.iter().filter(|name| !declared.contains(name.as_str())) {
                let message = format!("{name} is not declared: put ARG {name} before the first FROM.");
                let before = file.study.source.get(..first).unwrap_or_default();
                // A mark of the byte order stays the first thing in the file.
                let top = if before.starts_with('\u{feff}') { 3 } else { 0 };
                let line = before.rfind('\n').map_or(top, |newline| newline + 1);
                let edit = TextEdit::insert(line, format!("ARG {name}\n"));
                let fix = Fix::changing(format!("Declare {name}"), vec![edit]);
                found.push(Found::at(stage.node, when, message).fix([fix]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::{fixed, lines_of};

    #[test]
    fn says_so() {
        assert_eq!(lines_of("UndefinedArgInFrom", "FROM alpine:3$MINOR\n"), [1]);
        assert_eq!(
            lines_of("UndefinedArgInFrom", "ARG MINOR\nFROM alpine:3$MINOR\n"),
            [0; 0]
        );
    }

    #[test]
    fn it_is_declared_before_the_first_stage() {
        assert_eq!(
            fixed("UndefinedArgInFrom", "# a\nFROM alpine:3$MINOR\n"),
            "# a\nARG MINOR\nFROM alpine:3$MINOR\n"
        );
        assert_eq!(
            fixed("UndefinedArgInFrom", "\u{feff}FROM a:$B\n"),
            "\u{feff}ARG B\nFROM a:$B\n"
        );
    }
}
