//! `ExposeProtoCasing`: protocols have names in lower case.

use crate::instruction::Instruction;
use crate::lint::file::{File, at};
use crate::lint::{Found, Rule};

pub(super) const RULE: Rule = Rule {
    name: "ExposeProtoCasing",
    url: Some("expose-proto-casing"),
    experimental: false,
    check,
};

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    for step in file.steps() {
        let Some(Instruction::Expose(expose)) = step.instruction() else {
            continue;
        };
        for port in &expose.ports {
            let protocol = port.text.split_once('/').map_or("", |(_, protocol)| protocol);
            if !protocol.contains('$') && protocol.to_lowercase() != protocol {
                let message = format!("The protocol of {} is best in lower case.", port.text);
                found.push(at(step.node, message));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::lines_of;

    #[test]
    fn says_so() {
        assert_eq!(
            lines_of("ExposeProtoCasing", "FROM scratch\nEXPOSE 80/TCP\n"),
            [2]
        );
        assert_eq!(
            lines_of("ExposeProtoCasing", "FROM scratch\nEXPOSE 80/tcp\n"),
            [0; 0]
        );
    }
}
