//! `InvalidDefaultArgInFrom`: without `--build-arg` there is no image to start from.

use crate::lint::file::{File, of_file};
use crate::lint::variables::Defaults;
use crate::lint::{Found, Rule};
use crate::reference::Reference;
use crate::shell::Lexer;

pub(super) const RULE: Rule = Rule {
    name: "InvalidDefaultArgInFrom",
    url: Some("invalid-default-arg-in-from"),
    experimental: false,
    check,
};

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    let Some(defaults) = Defaults::of(file) else {
        return;
    };
    let lexer = Lexer::new(file.study.program.escape.unwrap_or('\\'));
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
            found.push(of_file(stage.node, message));
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
