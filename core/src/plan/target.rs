//! What is to be built, and whether it can be.

use crate::diagnostic::{Diagnostic, Problem, Severity};
use crate::span::{LineRange, Span};
use crate::stage::{self, Program, Resolved};

/// The node to build: the last stage, or the one that was asked for.
pub(super) fn find(
    resolved: &Resolved,
    program: &Program,
    target: Option<&str>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<usize> {
    match target.filter(|target| !target.is_empty()) {
        None => program.stages.len().checked_sub(1),
        Some(target) => {
            let found = resolved.by_name(target);
            if found.is_none() {
                let names: Vec<&str> = resolved.names().collect();
                let hint = if names.is_empty() {
                    "The file has no stages.".to_owned()
                } else {
                    format!("The file has these stages: {}.", names.join(", "))
                };
                let problem = Problem::new(
                    "unknown-target",
                    format!("There is no stage \"{target}\" to build."),
                );
                let problem = problem.hint(hint).suggest(target, names.iter().copied());
                diagnostics.push(problem.into_diagnostic(
                    Severity::Error,
                    Span::default(),
                    LineRange::default(),
                ));
            }
            found
        }
    }
}

/// Says which stages need each other in a circle. True where the target is one of those that can never be built.
pub(super) fn report_cycle(
    resolved: &mut Resolved,
    target: Option<usize>,
    diagnostics: &mut Vec<Diagnostic>,
) -> bool {
    let Some(cycle) = stage::find_cycle(&resolved.nodes) else {
        return false;
    };
    let label = |node: usize| resolved.nodes.get(node).map_or("", |node| &*node.label);
    let chain: Vec<String> = cycle
        .iter()
        .map(|(node, dependency)| {
            format!(
                "{} {} {} (line {})",
                label(*node),
                dependency.kind,
                label(dependency.on),
                dependency.lines.start
            )
        })
        .collect();
    let Some((_, first)) = cycle.first() else {
        return false;
    };
    let problem = Problem::new(
        "cycle",
        format!("These stages need each other in a circle: {}.", chain.join(", ")),
    )
    .hint("Take one of these lines out, or move what both need into a stage of its own.");
    for (node, _) in &cycle {
        if let Some(node) = resolved.nodes.get_mut(*node) {
            (node.broken, node.in_cycle) = (true, true);
        }
    }
    diagnostics.push(problem.into_diagnostic(Severity::Error, first.span, first.lines));
    let reached = target
        .map(|target| resolved.reachable(target))
        .unwrap_or_default();
    cycle.iter().any(|(node, _)| reached.get(*node) == Some(&true))
}
