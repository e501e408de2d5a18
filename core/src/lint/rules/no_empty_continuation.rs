//! `NoEmptyContinuation`: an empty line within an instruction will one day end it.

use crate::lint::Place;
use crate::lint::file::File;
use crate::lint::{Found, Rule};

pub(super) const RULE: Rule = Rule {
    name: "NoEmptyContinuation",
    url: Some("no-empty-continuation"),
    experimental: false,
    check,
};

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    let empty = file
        .study
        .diagnostics
        .iter()
        .filter(|finding| finding.code == RULE.name);
    found.extend(empty.map(|finding| Found {
        place: Place {
            span: finding.span,
            lines: finding.lines,
            ..Place::default()
        },
        message: finding.message.clone(),
    }));
}

#[cfg(test)]
mod tests {
    use crate::lint::lines_of;

    #[test]
    fn says_so() {
        assert_eq!(
            lines_of("NoEmptyContinuation", "FROM scratch\nLABEL a=b \\\n\n  c=d\n"),
            [4]
        );
        assert_eq!(
            lines_of("NoEmptyContinuation", "FROM scratch\nLABEL a=b \\\n  c=d\n"),
            [0; 0]
        );
    }
}
