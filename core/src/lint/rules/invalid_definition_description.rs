//! `InvalidDefinitionDescription`: A comment right above a stage or an argument describes it if it begins with its name.

use crate::edit::TextEdit;
use crate::instruction::Instruction;
use crate::instruction::arg::Arg;
use crate::lint::Rule;
use crate::lint::file::File;
use crate::lint::finding::{Fix, Found};
use crate::lint::moment::Moment;
use crate::syntax::Node;

pub(super) const RULE: Rule = Rule {
    experimental: true,
    ..Rule::reference(
        "InvalidDefinitionDescription",
        "invalid-definition-description",
        "A comment right above a stage or an argument describes it if it begins with its name.",
        check,
    )
};

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    for arg in &file.study.program.globals {
        if let Some(node) = file.study.tree.node_at(arg.span.start) {
            describe(file, node, &names(&arg.value), found);
        }
    }
    for stage in &file.stages {
        if let Some(name) = stage.from.and_then(|from| from.name.as_ref()) {
            describe(file, stage.node, &[name.text.as_str()], found);
        }
        for step in stage.steps.iter().filter(|step| !step.trigger) {
            if let Some(Instruction::Arg(arg)) = step.instruction() {
                describe(file, &step.node, &names(arg), found);
            }
        }
    }
}

fn names(arg: &Arg) -> Vec<&str> {
    arg.declarations.iter().map(|arg| arg.name.as_str()).collect()
}

fn describe(file: &File<'_>, node: &Node<'_>, names: &[&str], found: &mut Vec<Found>) {
    let Some(comment) = node.comments.last() else {
        return;
    };
    if !names.contains(&comment.split(' ').next().unwrap_or_default()) {
        let message = format!(
            "The comment above does not begin with {}. Put a line with nothing but # below it if it says something else.",
            names.join(" or ")
        );
        let before = file.study.source.get(..node.span.start).unwrap_or_default();
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let fix = Fix::safe(
            "Part the comment from the instruction",
            vec![TextEdit::insert(start, "#\n")],
        );
        found.push(Found::at(node, Moment::read(node.span.start), message).fix([fix]));
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
