//! `ReservedStageName`: `scratch` and `context` mean something else already.

use crate::lint::file::{File, of_file};
use crate::lint::{Found, Rule};

pub(super) const RULE: Rule = Rule {
    name: "ReservedStageName",
    url: Some("reserved-stage-name"),
    experimental: false,
    check,
};

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
            found.push(of_file(stage.node, message));
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
