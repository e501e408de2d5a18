//! `ConsistentInstructionCasing`: a file reads best with all its instructions in one case.

use crate::lint::file::{File, of_file};
use crate::lint::{Found, Rule};
use crate::syntax::Node;

pub(super) const RULE: Rule = Rule {
    name: "ConsistentInstructionCasing",
    url: Some("consistent-instruction-casing"),
    experimental: false,
    check,
};

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    let nodes = || {
        let stages = file.stages.iter();
        stages.flat_map(|stage| std::iter::once(stage.node).chain(stage.steps.iter().map(|step| step.node)))
    };
    let lower = nodes().filter(|node| is_lower(node)).count();
    let upper = nodes().filter(|node| is_upper(node)).count();
    for node in nodes() {
        let (fits, case) = if lower > upper {
            (is_lower(node), "lower")
        } else {
            (is_upper(node), "upper")
        };
        if !fits {
            let message = format!(
                "{} is not in {case} case, as most instructions of this file are.",
                node.name
            );
            found.push(of_file(node, message));
        }
    }
}

fn is_lower(node: &Node<'_>) -> bool {
    node.name.to_lowercase() == node.name
}

fn is_upper(node: &Node<'_>) -> bool {
    node.name.to_uppercase() == node.name
}

#[cfg(test)]
mod tests {
    use crate::lint::lines_of;

    #[test]
    fn says_so() {
        assert_eq!(
            lines_of(
                "ConsistentInstructionCasing",
                "FROM scratch\nCMD [\"a\"]\nenv A=1\n"
            ),
            [3]
        );
        assert_eq!(
            lines_of("ConsistentInstructionCasing", "from scratch\nenv A=1\n"),
            [0; 0]
        );
    }
}
