//! `FromAsCasing`: `FROM` and `AS` are one instruction and are best written alike.

use crate::lint::file::{File, at, words};
use crate::lint::{Found, Rule};

pub(super) const RULE: Rule = Rule {
    name: "FromAsCasing",
    url: Some("from-as-casing"),
    experimental: false,
    check,
};

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    for stage in &file.stages {
        let from = stage.node.name.as_str();
        let (lower, upper) = (from.to_lowercase() == from, from.to_uppercase() == from);
        let Some(word) = words(stage.node).nth(1).filter(|_| words(stage.node).count() > 2) else {
            continue;
        };
        let alike = if lower {
            word.to_lowercase()
        } else {
            word.to_uppercase()
        };
        if (lower || upper) && alike != word {
            found.push(at(
                stage.node,
                format!("{from} and {word} are not in the same case."),
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::lines_of;

    #[test]
    fn says_so() {
        assert_eq!(lines_of("FromAsCasing", "FROM scratch as build"), [1]);
        assert_eq!(lines_of("FromAsCasing", "from scratch as build"), [0; 0]);
    }
}
