//! `InvalidDefaultArgInFrom`: Without `--build-arg` there is no image to start from.

use crate::lint::Rule;
use crate::lint::file::File;
use crate::lint::finding::Found;
use crate::lint::moment::Moment;
use crate::lint::variables::Defaults;
use crate::reference::Reference;

pub(super) const RULE: Rule = Rule::reference(
    "InvalidDefaultArgInFrom",
    "invalid-default-arg-in-from",
    "Without `--build-arg` there is no image to start from.",
    check,
);

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    let Some(defaults) = Defaults::of(file) else {
        return;
    };
    let lexer = file.lexer();
    for stage in &file.stages {
        let Some(from) = stage.from else { continue };
        let Ok(base) = lexer.word(&from.base.text, &defaults) else {
            return;
        };
        if base.parse::<Reference>().is_err() {
            let message = format!(
                "{} names no image unless a build sets its variables.",
                from.base.text
            );
            found.push(Found::of_file(stage.node, Moment::NAMES.after(), message));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::lines_of;

    #[test]
    fn says_so() {
        let rule = "InvalidDefaultArgInFrom";
        assert_eq!(lines_of(rule, "ARG TAG\nFROM alpine:$TAG\n"), [2]);
        assert_eq!(lines_of(rule, "ARG TAG=3\nFROM alpine:$TAG\n"), [0; 0]);
    }
}
