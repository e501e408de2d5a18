//! `JSONArgsRecommended`: a shell between the system and the program keeps signals from it.

use crate::lint::file::{File, Step, at};
use crate::instruction::Instruction;
use crate::lint::{Found, Rule};

pub(super) const RULE: Rule = Rule {
    name: "JSONArgsRecommended",
    url: Some("json-args-recommended"),
    experimental: false,
    check,
};

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    for stage in file.looked_at() {
        // Who chooses a shell wants one.
        let mut chosen = inherits_shell(file, stage.index);
        for step in &stage.steps {
            let command = match step.instruction() {
                Some(Instruction::Cmd(cmd)) => &cmd.command,
                Some(Instruction::Entrypoint(entrypoint)) => &entrypoint.command,
                Some(Instruction::Shell(_)) => {
                    chosen = true;
                    continue;
                }
                _ => continue,
            };
            if command.shell && !chosen {
                let message = format!(
                    "The program of {} gets no signals, because a shell starts it. Write it as JSON: [\"program\", \"argument\"].",
                    step.node.name
                );
                found.push(at(step.node, message));
            }
        }
    }
}

/// Whether what a stage starts from has chosen a shell.
fn inherits_shell(file: &File<'_>, mut index: usize) -> bool {
    while let Some(base) = file.study.plan.resolved.nodes.get(index).and_then(|node| node.base) {
        // A circle of stages was reported, and has no beginning.
        if base >= index {
            return false;
        }
        let stage = file.stages.get(base);
        let steps = stage.into_iter().flat_map(|stage| &stage.steps);
        if steps.filter_map(Step::instruction).any(|step| matches!(step, Instruction::Shell(_))) {
            return true;
        }
        index = base;
    }
    false
}

#[cfg(test)]
mod tests {
    use crate::lint::lines_of;

    #[test]
    fn says_so() {
        assert_eq!(lines_of("JSONArgsRecommended", "FROM scratch\nCMD a b\n"), [2]);
        assert_eq!(lines_of("JSONArgsRecommended", "FROM scratch\nSHELL [\"sh\"]\nCMD a b\n"), [0; 0]);
    }
}
