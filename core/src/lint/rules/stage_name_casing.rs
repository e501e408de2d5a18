//! `StageNameCasing`: a stage is called by its name in lower case, so it is best written that way.

use crate::lint::file::{File, at, words};
use crate::lint::{Found, Rule};

pub(super) const RULE: Rule = Rule {
    name: "StageNameCasing",
    url: Some("stage-name-casing"),
    experimental: false,
    check,
};

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    for stage in &file.stages {
        let words: Vec<&str> = words(stage.node).collect();
        if let [_, _, name] = words.as_slice()
            && name.to_lowercase() != *name
        {
            let message =
                format!("The name of the stage, {name}, is not in lower case, in which it is known.");
            found.push(at(stage.node, message));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::lines_of;

    #[test]
    fn says_so() {
        assert_eq!(lines_of("StageNameCasing", "FROM scratch AS Build"), [1]);
        assert_eq!(lines_of("StageNameCasing", "FROM scratch AS build"), [0; 0]);
    }
}
