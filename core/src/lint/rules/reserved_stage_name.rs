//! `ReservedStageName`: `scratch` and `context` mean something else already.

use crate::lint::Rule;
use crate::lint::file::File;
use crate::lint::finding::Found;
use crate::lint::moment::Moment;

pub(super) const RULE: Rule = Rule::reference(
    "ReservedStageName",
    "reserved-stage-name",
    "`scratch` and `context` mean something else already.",
    check,
);

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    for stage in &file.stages {
        let name = stage.from.and_then(|from| from.name.as_ref());
        if let Some(name) = name
            && ["context", "scratch"].contains(&name.text.as_str())
        {
            let message = format!(
                "{} has a meaning of its own; a stage needs another name.",
                name.text
            );
            found.push(Found::of_file(stage.node, Moment::NAMES, message));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::lines_of;

    #[test]
    fn says_so() {
        assert_eq!(lines_of("ReservedStageName", "FROM alpine AS context\n"), [1]);
        assert_eq!(lines_of("ReservedStageName", "FROM alpine AS contexts\n"), [0; 0]);
    }
}
