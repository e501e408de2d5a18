//! `FromAsCasing`: `FROM` and `AS` are one instruction and are best written alike.

use crate::edit::TextEdit;
use crate::lint::Rule;
use crate::lint::file::File;
use crate::lint::finding::{Fix, Found};

pub(super) const RULE: Rule = Rule::reference(
    "FromAsCasing",
    "from-as-casing",
    "`FROM` and `AS` are one instruction and are best written alike.",
    check,
);

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    for stage in &file.stages {
        let from = stage.node.name();
        let (lower, upper) = (from.to_lowercase() == from, from.to_uppercase() == from);
        let [_, word, _, ..] = stage.words.as_slice() else {
            continue;
        };
        let alike = if lower {
            word.text.to_lowercase()
        } else {
            word.text.to_uppercase()
        };
        if (lower || upper) && alike != word.text {
            let message = format!("{from} and {} are not in the same case.", word.text);
            let fix = Fix::safe(
                format!("Write {alike}"),
                vec![TextEdit::replace(word.span, alike)],
            );
            found.push(Found::written(stage.node, message).fix([fix]));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::{fixed, lines_of};

    #[test]
    fn says_so() {
        assert_eq!(lines_of("FromAsCasing", "FROM scratch as build"), [1]);
        assert_eq!(lines_of("FromAsCasing", "from scratch as build"), [0; 0]);
    }

    #[test]
    fn as_is_written_like_from() {
        assert_eq!(fixed("FromAsCasing", "FROM a as b\n"), "FROM a AS b\n");
        assert_eq!(fixed("FromAsCasing", "from a \\\n As b\n"), "from a \\\n as b\n");
    }
}
