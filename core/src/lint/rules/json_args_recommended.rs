//! `JSONArgsRecommended`: a shell between the system and the program keeps signals from it.

use crate::instruction::Instruction;
use crate::lint::file::{File, at};
use crate::lint::{Found, Rule};

pub(super) const RULE: Rule = Rule {
    name: "JSONArgsRecommended",
    url: Some("json-args-recommended"),
    experimental: false,
    check,
};

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    let mut finished: Vec<bool> = Vec::new();
    for stage in &file.stages {
        // Who chooses a shell wants one; a stage has that of the stage it starts from.
        let base = file
            .study
            .plan
            .resolved
            .nodes
            .get(stage.index)
            .and_then(|node| node.base);
        let mut chosen = base
            .and_then(|base| finished.get(base).copied())
            .unwrap_or_default();
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
            if command.shell && !chosen && stage.looked_at {
                let message = format!(
                    "The program of {} gets no signals, because a shell starts it. Write it as JSON: [\"program\", \"argument\"].",
                    step.node.name
                );
                found.push(at(step.node, message));
            }
        }
        finished.push(chosen);
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::lines_of;

    #[test]
    fn says_so() {
        assert_eq!(lines_of("JSONArgsRecommended", "FROM scratch\nCMD a b\n"), [2]);
        assert_eq!(
            lines_of("JSONArgsRecommended", "FROM scratch\nSHELL [\"sh\"]\nCMD a b\n"),
            [0; 0]
        );
        let inherited = "FROM scratch AS a\nSHELL [\"sh\"]\nFROM a AS b\nFROM b\nCMD a b\n";
        assert_eq!(lines_of("JSONArgsRecommended", inherited), [0; 0]);
    }
}
