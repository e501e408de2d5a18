//! A failed build as an error: why, and the lines of the step.

use std::fmt::Write as _;

use stagewright_core::analysis::Analysis;
use stagewright_core::protocol::BuildFailure;

use crate::cli::Failure;
use crate::cli::dockerfile::Dockerfile;

/// What to say of a build that failed, of the plan that it carried out where it is known.
pub(super) fn of(plan: Option<(&Dockerfile, &Analysis)>, failure: &BuildFailure) -> Failure {
    let mut message = failure.message.clone();
    if let Some((dockerfile, analysis)) = plan {
        let steps = analysis.stages.iter().flat_map(|stage| &stage.steps);
        let at_fault = |vertex| {
            steps
                .into_iter()
                .find(|step| step.vertex.as_ref() == Some(vertex))
        };
        if let Some(step) = failure.vertex.as_ref().and_then(at_fault) {
            _ = write!(message, "\n --> {}:{}", dockerfile.name, step.lines.start);
            let source = dockerfile
                .input
                .source
                .get(step.span.start..step.span.end)
                .unwrap_or_default();
            for (number, line) in (step.lines.start..).zip(source.lines()) {
                _ = write!(message, "\n{number:>4} | {line}");
            }
        }
    }
    Failure::new(Failure::WORK, message)
}
