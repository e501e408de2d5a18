//! Triggers: the instructions that a base left behind with `ONBUILD`.

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::diagnostic::{Diagnostic, Problem, Severity};
use crate::instruction::{self, Instruction};
use crate::stage::{Origin, Resolved, Statement};
use crate::syntax;

use super::Build;

/// Adds the instructions that bases left behind to the stages that the target needs; gives what it needs.
///
/// A trigger may copy from a stage that was not needed before, which then has to be looked at too.
pub(super) fn add(
    resolved: &mut Resolved,
    started: &mut [Build],
    target: Option<usize>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<bool> {
    let Some(target) = target else {
        return vec![false; resolved.nodes.len()];
    };
    let mut done = BTreeSet::new();
    loop {
        let needed = resolved.reachable(target);
        let mut found = false;
        for index in 0..started.len().min(needed.len()) {
            if needed.get(index) != Some(&true) || !done.insert(index) {
                continue;
            }
            let triggers = triggers(resolved, started, index);
            found |= add_stage_triggers(resolved, started, index, &triggers, diagnostics);
        }
        if !found {
            return needed;
        }
    }
}

/// The triggers of a node: those in the configuration of its base image, or those of its base stage.
fn triggers(resolved: &Resolved, started: &mut [Build], index: usize) -> Vec<String> {
    let base = resolved.nodes.get(index).and_then(|node| node.base);
    match base.and_then(|base| resolved.nodes.get(base)) {
        Some(base) => base
            .commands
            .iter()
            .filter_map(|command| match &command.statement.instruction {
                Some(Instruction::Onbuild(onbuild)) => Some(onbuild.expression.clone()),
                _ => None,
            })
            .collect(),
        None => started
            .get_mut(index)
            .map(|build| std::mem::take(&mut build.image.config.on_build))
            .unwrap_or_default(),
    }
}

fn add_stage_triggers(
    resolved: &mut Resolved,
    started: &mut [Build],
    index: usize,
    triggers: &[String],
    diagnostics: &mut Vec<Diagnostic>,
) -> bool {
    let Some(node) = resolved.nodes.get(index) else {
        return false;
    };
    if triggers.is_empty() || node.origin == Origin::Hidden {
        return false;
    }
    let (span, lines, before) = (node.base_span, node.lines, node.commands.len());
    let mut found = false;
    for trigger in triggers {
        let parsed = syntax::parse_trigger(trigger, span, lines)
            .ok_or_else(|| {
                Problem::new(
                    "bad-trigger",
                    format!("The ONBUILD trigger \"{trigger}\" of its base cannot be read."),
                )
            })
            .and_then(|mut node| match instruction::parse(&mut node)? {
                Instruction::From(_) => Err(Problem::new(
                    "bad-trigger",
                    "Its base wants to begin a stage in the middle of this one.",
                )),
                instruction => Ok(Statement::new(&node, Some(instruction))),
            });
        match parsed {
            Ok(statement) => {
                found |= resolved.add_command(index, Rc::new(statement), None, Severity::Error, diagnostics);
            }
            Err(problem) => {
                diagnostics.push(problem.into_diagnostic(Severity::Error, span, lines));
                if let Some(node) = resolved.nodes.get_mut(index) {
                    node.broken = true;
                }
            }
        }
    }
    resolved.triggers_first(index, before);
    if let Some(build) = started.get_mut(index) {
        build.steps.total += triggers.len();
    }
    found
}
