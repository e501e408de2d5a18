//! `WorkdirRelativePath`: a relative path depends on what the base image says.

use crate::instruction::Instruction;
use crate::lint::file::{File, at};
use crate::lint::variables::InStage;
use crate::lint::{Found, Rule};

pub(super) const RULE: Rule = Rule {
    name: "WorkdirRelativePath",
    url: Some("workdir-relative-path"),
    experimental: false,
    check,
};

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    let mut set: Vec<bool> = Vec::new();
    let mut finished = Vec::new();
    for stage in &file.stages {
        let base = file
            .study
            .plan
            .resolved
            .nodes
            .get(stage.index)
            .and_then(|node| node.base);
        let mut known = base.and_then(|base| set.get(base).copied()).unwrap_or_default();
        let mut variables = InStage::at_start(file, stage.index, &finished);
        for step in &stage.steps {
            variables.take(file, step);
            let Some(Instruction::Workdir(workdir)) = step.instruction() else {
                continue;
            };
            let path = variables.word(file, &workdir.path.text).unwrap_or_default();
            if !known && stage.looked_at && !path.starts_with('/') {
                let message = format!(
                    "Where {} is depends on the base image. Begin with an absolute path.",
                    workdir.path.text
                );
                found.push(at(step.node, message));
            }
            known = true;
        }
        set.push(known);
        finished.push(variables);
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::lines_of;

    #[test]
    fn says_so() {
        assert_eq!(
            lines_of("WorkdirRelativePath", "FROM alpine\nWORKDIR app\nWORKDIR sub\n"),
            [2]
        );
        assert_eq!(
            lines_of("WorkdirRelativePath", "FROM alpine\nWORKDIR /app\nWORKDIR sub\n"),
            [0; 0]
        );
    }
}
