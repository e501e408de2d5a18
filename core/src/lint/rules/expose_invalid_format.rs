//! `ExposeInvalidFormat`: an image says which ports it has, not where a host shows them.

use crate::instruction::Instruction;
use crate::lint::file::{File, at};
use crate::lint::{Found, Rule};

pub(super) const RULE: Rule = Rule {
    name: "ExposeInvalidFormat",
    url: Some("expose-invalid-format"),
    experimental: false,
    check,
};

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    for step in file.steps() {
        let Some(Instruction::Expose(expose)) = step.instruction() else {
            continue;
        };
        for port in expose
            .ports
            .iter()
            .filter(|port| !port.text.contains('$') && port.text.contains(':'))
        {
            let message = format!(
                "{} names an address or a port of the host, which is said when it runs.",
                port.text
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
        assert_eq!(
            lines_of(
                "ExposeInvalidFormat",
                "FROM scratch\nEXPOSE 127.0.0.1:80:80 8080:80\n"
            ),
            [2, 2]
        );
        assert_eq!(
            lines_of("ExposeInvalidFormat", "FROM scratch\nEXPOSE 80 8000-8010/udp\n"),
            [0; 0]
        );
    }
}
