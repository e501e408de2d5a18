//! What steps ask for beyond their sandbox, against what was allowed: told with its place before anything runs.

use std::collections::BTreeSet;

use stagewright_core::analysis::Analysis;
use stagewright_core::diagnostic::{Diagnostic, Severity};
use stagewright_core::llb::{OpKind, decode};

use super::obstacle::Obstacle;
use super::planning::Dockerfile;
use super::watcher::Watcher;
use crate::build::validate::asks_for;
use crate::config::Entitlement;

/// Refuses a plan whose steps ask for more than `allowed`.
pub(crate) fn check(
    dockerfile: &Dockerfile,
    analysis: &Analysis,
    allowed: &BTreeSet<Entitlement>,
    watcher: &mut dyn Watcher,
) -> Result<(), Obstacle> {
    let mut findings = Vec::new();
    let mut lacking = BTreeSet::new();
    for op in analysis.definition.iter().flat_map(|definition| &definition.ops) {
        let Some(OpKind::Exec(exec)) = decode(&op.bytes).ok().and_then(|op| op.kind) else {
            continue;
        };
        let asked = asks_for(&exec)
            .into_iter()
            .filter(|asked| !allowed.contains(asked));
        for asked in asked {
            lacking.insert(asked);
            let what = match asked {
                Entitlement::NetworkHost => "This command asks for the machine's own network.",
                Entitlement::SecurityInsecure => "This command asks to run without confinement.",
            };
            // A trigger of a base image stands in no line of this file; the failure below speaks of it all the same.
            let steps = analysis.stages.iter().flat_map(|stage| &stage.steps);
            findings.extend(
                steps
                    .filter(|step| step.vertex.as_ref() == Some(&op.digest))
                    .map(|step| Diagnostic {
                        severity: Severity::Error,
                        code: "not-allowed".into(),
                        message: what.to_owned(),
                        span: step.span,
                        lines: step.lines,
                        hint: Some(format!(
                            "Allow it with --allow {asked}, if you trust what it runs."
                        )),
                    }),
            );
        }
    }
    if lacking.is_empty() {
        return Ok(());
    }
    let source = &dockerfile.input.source;
    watcher.findings(&dockerfile.name, source, &findings, true);
    let flags: Vec<String> = lacking
        .iter()
        .map(|lacking| format!("--allow {lacking}"))
        .collect();
    Err(Obstacle::work(format!(
        "{} asks for more than steps of a build may have",
        dockerfile.name
    ))
    .hint(format!(
        "build with {}, if you trust what it runs",
        flags.join(" ")
    )))
}
