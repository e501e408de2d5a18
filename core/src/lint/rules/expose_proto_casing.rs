//! `ExposeProtoCasing`: Protocols have names in lower case.

use crate::edit::TextEdit;
use crate::lint::Rule;
use crate::lint::file::File;
use crate::lint::finding::{Fix, Found};
use crate::lint::ports::ports;

pub(super) const RULE: Rule = Rule::reference(
    "ExposeProtoCasing",
    "expose-proto-casing",
    "Protocols have names in lower case.",
    check,
);

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    for step in file.steps() {
        for port in ports(step) {
            let inside = port.text.rsplit(':').next().unwrap_or_default();
            let protocol = inside.split_once('/').map_or("", |(_, protocol)| protocol);
            let lower = protocol.to_lowercase();
            if lower != protocol {
                let message = format!("The protocol of {} is best in lower case.", port.text);
                let edit = port.span.map(|span| {
                    let start = port.text.strip_suffix(protocol).unwrap_or_default();
                    TextEdit::replace(span, [start, &lower].concat())
                });
                let fix = edit.map(|edit| Fix::safe(format!("Write {lower}"), vec![edit]));
                found.push(port.found(step, message).fix(fix));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::{fixed, lines_of};

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

    #[test]
    fn the_protocol_is_written_in_lower_case() {
        let source = "FROM scratch\nEXPOSE 80/TCP 81/Udp\n";
        assert_eq!(
            fixed("ExposeProtoCasing", source),
            "FROM scratch\nEXPOSE 80/tcp 81/Udp\n"
        );
    }

    #[test]
    fn a_variable_may_hold_the_protocol() {
        let source = "FROM scratch\nENV P=80/TCP\nEXPOSE $P\n";
        assert_eq!(lines_of("ExposeProtoCasing", source), [3]);
    }
}
