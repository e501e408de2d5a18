//! `UndefinedVar`: A variable that nobody sets is empty.

use crate::diagnostic::Severity;
use crate::lint::Rule;
use crate::lint::file::File;
use crate::lint::finding::Found;

pub(super) const RULE: Rule = Rule::reference(
    "UndefinedVar",
    "undefined-var",
    "A variable that nobody sets is empty.",
    check,
);

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    for stage in file.looked_at() {
        for step in &stage.steps {
            for (name, reached) in &step.worked.undefined {
                let message = if stage.known {
                    format!("Nothing sets {name} here, so it is empty. Set it with ARG or ENV first.")
                } else {
                    format!("Nothing in this file sets {name} here: it is empty unless the base image does.")
                };
                let mut finding = Found::done(step, message);
                if !reached {
                    finding = finding.late();
                }
                if !stage.known {
                    finding.severity = Some(Severity::Info);
                }
                found.push(finding);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::lines_of;

    #[test]
    fn says_so() {
        let rule = "UndefinedVar";
        assert_eq!(
            lines_of(rule, "FROM alpine\nUSER $NAME\nCOPY <<EOF /x\n$OTHER\nEOF\n"),
            [2, 3]
        );
        assert_eq!(
            lines_of(
                rule,
                "FROM alpine AS a\nARG NAME\nFROM a\nUSER $NAME\nENV P=$PATH\n"
            ),
            [0; 0]
        );
    }
}
