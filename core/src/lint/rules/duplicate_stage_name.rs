//! `DuplicateStageName`: Of stages with one name only the last can be found by it.

use std::collections::BTreeSet;

use crate::lint::Rule;
use crate::lint::file::File;
use crate::lint::finding::Found;
use crate::lint::moment::Moment;

pub(super) const RULE: Rule = Rule::reference(
    "DuplicateStageName",
    "duplicate-stage-name",
    "Of stages with one name only the last can be found by it.",
    check,
);

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    let mut names = BTreeSet::new();
    for stage in &file.stages {
        let name = stage.from.and_then(|from| from.name.as_ref());
        if let Some(name) = name
            && !names.insert(name.text.as_str())
        {
            let message = format!("There is a stage {} already, which this one hides.", name.text);
            found.push(Found::of_file(stage.node, Moment::NAMES, message));
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
