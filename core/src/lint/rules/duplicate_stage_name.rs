//! `DuplicateStageName`: of stages with one name only the last can be found by it.

use std::collections::BTreeSet;

use crate::lint::file::{File, of_file};
use crate::lint::{Found, Rule};

pub(super) const RULE: Rule = Rule {
    name: "DuplicateStageName",
    url: Some("duplicate-stage-name"),
    experimental: false,
    check,
};

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    let mut names = BTreeSet::new();
    for stage in &file.stages {
        let name = stage.from.and_then(|from| from.name.as_ref());
        if let Some(name) = name
            && !names.insert(name.text.as_str())
        {
            let message = format!("There is a stage {} already, which this one hides.", name.text);
            found.push(of_file(stage.node, message));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::lines_of;

    #[test]
    fn says_so() {
        assert_eq!(
            lines_of("DuplicateStageName", "FROM scratch AS a\nFROM scratch AS a\n"),
            [2]
        );
        assert_eq!(
            lines_of("DuplicateStageName", "FROM scratch AS a\nFROM scratch AS b\n"),
            [0; 0]
        );
    }
}
