//! `InvalidDefinitionDescription`: a comment right above a stage or an argument describes it if it begins with its name.

use crate::instruction::Instruction;
use crate::lint::file::{File, at};
use crate::lint::{Found, Rule};
use crate::syntax::Node;

pub(super) const RULE: Rule = Rule {
    name: "InvalidDefinitionDescription",
    url: Some("invalid-definition-description"),
    experimental: true,
    check,
};

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    for arg in &file.study.program.globals {
        let node = file.study.tree.node_at(arg.span.start);
        let names: Vec<&str> = arg
            .value
            .declarations
            .iter()
            .map(|arg| arg.name.as_str())
            .collect();
        if let Some(node) = node {
            describe(node, &names, found);
        }
    }
    for stage in &file.stages {
        if let Some(name) = stage.from.and_then(|from| from.name.as_ref()) {
            describe(stage.node, &[name.text.as_str()], found);
        }
        for step in &stage.steps {
            if let Some(Instruction::Arg(arg)) = step.instruction() {
                let names: Vec<&str> = arg.declarations.iter().map(|arg| arg.name.as_str()).collect();
                describe(step.node, &names, found);
            }
        }
    }
}

fn describe(node: &Node<'_>, names: &[&str], found: &mut Vec<Found>) {
    let Some(comment) = node.comments.last() else {
        return;
    };
    if !names.contains(&comment.split(' ').next().unwrap_or_default()) {
        let message = format!(
            "The comment above does not begin with {}. Leave an empty line below it if it says something else.",
            names.join(" or ")
        );
        found.push(at(node, message));
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::lines_of;

    #[test]
    fn says_so() {
        assert_eq!(
            lines_of(
                "InvalidDefinitionDescription",
                "# check=experimental=all\nARG A\n# the build\nFROM scratch AS build\n"
            ),
            [4]
        );
        assert_eq!(
            lines_of(
                "InvalidDefinitionDescription",
                "# check=experimental=all\n# build compiles it\nFROM scratch AS build\n"
            ),
            [0; 0]
        );
    }
}
