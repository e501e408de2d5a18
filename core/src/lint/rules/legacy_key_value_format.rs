//! `LegacyKeyValueFormat`: an `=` leaves no doubt where a name ends.

use crate::instruction::Instruction;
use crate::lint::file::{File, at};
use crate::lint::{Found, Rule};

pub(super) const RULE: Rule = Rule {
    name: "LegacyKeyValueFormat",
    url: Some("legacy-key-value-format"),
    experimental: false,
    check,
};

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    for step in file.steps() {
        let pairs = match step.instruction() {
            Some(Instruction::Env(env)) => &env.pairs,
            Some(Instruction::Label(label)) => &label.pairs,
            _ => continue,
        };
        for pair in pairs.iter().filter(|pair| pair.legacy) {
            let message = format!(
                "Write {}=… with an =, so that more than one fits in an instruction.",
                pair.key
            );
            found.push(at(step.node, message));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::lines_of;

    #[test]
    fn says_so() {
        assert_eq!(lines_of("LegacyKeyValueFormat", "FROM scratch\nENV A 1\n"), [2]);
        assert_eq!(
            lines_of("LegacyKeyValueFormat", "FROM scratch\nENV A=1\n"),
            [0; 0]
        );
    }
}
