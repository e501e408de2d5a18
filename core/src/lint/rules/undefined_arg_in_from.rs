//! `UndefinedArgInFrom`: what `FROM` uses has to be declared before the first stage.

use crate::lint::file::{File, at};
use crate::lint::variables::expanded;
use crate::lint::{Found, Rule};

pub(super) const RULE: Rule = Rule {
    name: "UndefinedArgInFrom",
    url: Some("undefined-arg-in-from"),
    experimental: false,
    check,
};

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    for stage in &file.stages {
        let Some(from) = stage.from else { continue };
        for word in std::iter::once(&from.base).chain(&from.platform) {
            for name in expanded(file, &word.text).into_iter().flat_map(|word| word.unset) {
                let declared = file.study.plan.args.iter();
                if !declared
                    .filter(|arg| arg.stage.is_none())
                    .any(|arg| arg.name == name)
                {
                    let message = format!("{name} is not declared: put ARG {name} before the first FROM.");
                    found.push(at(stage.node, message));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::lines_of;

    #[test]
    fn says_so() {
        assert_eq!(lines_of("UndefinedArgInFrom", "FROM alpine:3$MINOR\n"), [1]);
        assert_eq!(
            lines_of("UndefinedArgInFrom", "ARG MINOR\nFROM alpine:3$MINOR\n"),
            [0; 0]
        );
    }
}
