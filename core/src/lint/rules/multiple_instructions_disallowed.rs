//! `MultipleInstructionsDisallowed`: only the last of them counts.

use crate::lint::file::{File, at};
use crate::lint::{Found, Rule};
use crate::syntax::{Keyword, Node};

pub(super) const RULE: Rule = Rule {
    name: "MultipleInstructionsDisallowed",
    url: Some("multiple-instructions-disallowed"),
    experimental: false,
    check,
};

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    for stage in file.looked_at() {
        for keyword in [Keyword::Cmd, Keyword::Entrypoint, Keyword::Healthcheck] {
            let nodes = stage.steps.iter().map(|step| step.node);
            let same: Vec<&Node<'_>> = nodes.filter(|node| node.keyword == Some(keyword)).collect();
            if let Some((_, before)) = same.split_last() {
                for node in before {
                    let message = format!(
                        "This {} does nothing: a later one of the stage takes its place.",
                        node.name
                    );
                    found.push(at(node, message));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::lines_of;

    #[test]
    fn says_so() {
        assert_eq!(
            lines_of(
                "MultipleInstructionsDisallowed",
                "FROM scratch\nCMD [\"a\"]\nCMD [\"b\"]\n"
            ),
            [2]
        );
        assert_eq!(
            lines_of("MultipleInstructionsDisallowed", "FROM scratch\nCMD [\"b\"]\n"),
            [0; 0]
        );
    }
}
