//! `ExposeInvalidFormat`: An image says which ports it has, not where a host shows them.

use crate::edit::TextEdit;
use crate::lint::Rule;
use crate::lint::file::File;
use crate::lint::finding::{Fix, Found};
use crate::lint::ports::ports;

pub(super) const RULE: Rule = Rule::reference(
    "ExposeInvalidFormat",
    "expose-invalid-format",
    "An image says which ports it has, not where a host shows them.",
    check,
);

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    for step in file.steps() {
        for port in ports(step) {
            // Nothing but colons names nothing.
            if port
                .text
                .rsplit_once(':')
                .is_some_and(|(outside, _)| outside.contains(|letter| letter != ':'))
            {
                let message = format!(
                    "{} names an address or a port of the host, which is said when it runs.",
                    port.text
                );
                let inside = port.text.rsplit(':').next().unwrap_or_default();
                let edit = port.span.map(|span| TextEdit::replace(span, inside));
                let fix = edit.map(|edit| Fix::safe(format!("Expose {inside}"), vec![edit]));
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
            lines_of(
                "ExposeInvalidFormat",
                "FROM scratch\nEXPOSE 127.0.0.1:80:80 8080:80\n"
            ),
            [2, 2]
        );
        assert_eq!(
            lines_of(
                "ExposeInvalidFormat",
                "FROM scratch\nEXPOSE 80 8000-8010/udp ::80 :80\n"
            ),
            [0; 0]
        );
    }

    #[test]
    fn the_port_inside_stays() {
        let source = "FROM scratch\nEXPOSE 127.0.0.1:80:8080/udp 9\n";
        assert_eq!(
            fixed("ExposeInvalidFormat", source),
            "FROM scratch\nEXPOSE 8080/udp 9\n"
        );
    }
}
