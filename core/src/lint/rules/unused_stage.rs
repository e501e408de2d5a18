//! `UnusedStage`: A stage that the build leaves out, and that no other stage needs.
//!
//! A stage with a name may be there to be built by `--target`, which is worth knowing and no more. One without a name
//! can never be built:
//!
//! ```dockerfile
//! FROM golang
//! RUN go build -o /app .
//! FROM scratch
//! COPY app /
//! ```
//!
//! Nothing is said where a target is named, for then what else there is was left out on purpose.

use crate::diagnostic::Severity;
use crate::edit::TextEdit;
use crate::instruction::Instruction;
use crate::lint::Rule;
use crate::lint::file::{File, Stage};
use crate::lint::finding::{Fix, Found};
use crate::lint::moment::Moment;
use crate::span::Span;

pub(super) const RULE: Rule = Rule::own(
    "UnusedStage",
    "A stage that the build leaves out, and that no other stage needs.",
    check,
);

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    let nodes = &file.study.plan.resolved.nodes;
    let asked = file
        .study
        .options
        .target
        .as_ref()
        .is_some_and(|target| !target.is_empty());
    if asked || file.study.plan.target.is_none() {
        return;
    }
    let mut used = vec![false; nodes.len()];
    for node in nodes {
        let on = node.dependencies.iter().map(|dependency| dependency.on);
        for index in on.chain(node.base) {
            if let Some(used) = used.get_mut(index) {
                *used = true;
            }
        }
    }
    // Without one stage, others would have other numbers.
    let by_number = named_by_number(file);
    for stage in file.looked_at() {
        if stage.needed || used.get(stage.index) != Some(&false) {
            continue;
        }
        // A stage that cannot be read may have a name all the same.
        let Some(from) = stage.from else { continue };
        let name = from.name.as_ref();
        let (message, severity) = match name {
            Some(name) => (
                format!(
                    "No stage needs {0}, so it is built with --target {0} only.",
                    name.text
                ),
                Severity::Info,
            ),
            None => (
                "This stage is never built: no other needs it, and it has no name to be a target.".to_owned(),
                Severity::Warning,
            ),
        };
        // Where an instruction cannot be read, neither is it known where the stage ends.
        let whole = stage.steps.iter().all(|step| step.instruction().is_some());
        let fix = if name.is_none() && !by_number && whole {
            without(file, stage)
        } else {
            None
        };
        let mut finding = Found::at(stage.node, Moment::TEXT, message).fix(fix);
        finding.severity = Some(severity);
        found.push(finding);
    }
}

/// Whether a stage is named by its place in the file.
fn named_by_number(file: &File<'_>) -> bool {
    file.stages.iter().flat_map(|stage| &stage.steps).any(|step| {
        let from = match step.instruction() {
            Some(Instruction::Copy(copy)) => copy.from.as_ref(),
            _ => None,
        };
        from.is_some_and(|from| from.text.parse::<usize>().is_ok())
    })
}

/// The file without a stage. A comment that would come to stand at the top of the file might become a directive.
fn without(file: &File<'_>, stage: &Stage<'_>) -> Option<Fix> {
    let last = stage.steps.iter().rev().find(|step| !step.trigger);
    let last = last.map_or(stage.node, |step| &*step.node);
    let span = Span::new(file.whole_lines(stage.node).start, file.whole_lines(last).end);
    let comment = |line: &str| line.trim_start().starts_with('#');
    let (before, after) = (
        file.study.source.get(..span.start)?,
        file.study.source.get(span.end..)?,
    );
    if comment(after) && before.lines().all(comment) {
        return None;
    }
    Some(Fix::safe("Remove the stage", vec![TextEdit::remove(span)]))
}

#[cfg(test)]
mod tests {
    use crate::diagnostic::Severity;
    use crate::lint::{findings_of, fixed, lines_of};

    #[test]
    fn says_so() {
        let source =
            "FROM a AS test\nFROM b AS lib\nFROM lib\nFROM c AS main\nFROM main\nCOPY --from=a / /\n";
        assert_eq!(lines_of("UnusedStage", source), [1, 3]);
        let severities = findings_of("UnusedStage", source).into_iter();
        let severities: Vec<Severity> = severities.map(|finding| finding.severity).collect();
        assert_eq!(severities, [Severity::Info, Severity::Warning]);
        assert_eq!(lines_of("UnusedStage", "FROM a AS b\nFROM b\n"), [0; 0]);
    }

    #[test]
    fn a_stage_whose_end_is_not_known_stays() {
        let source = "FROM a\nRUN cat <<X\nCMD x\nFROM b\n";
        let found = findings_of("UnusedStage", source);
        assert_eq!((found.len(), found[0].fixes.len()), (1, 0));
    }

    #[test]
    fn no_comment_becomes_a_directive() {
        let source = "# escape=`\nFROM a\n# check=error=true\nFROM b\n";
        let found = findings_of("UnusedStage", source);
        assert_eq!((found.len(), found[0].fixes.len()), (1, 0));
    }

    #[test]
    fn a_stage_that_can_never_be_built_goes() {
        let source = "FROM a\nRUN \\\n x\n\nFROM b\n";
        assert_eq!(fixed("UnusedStage", source), "\nFROM b\n");
        let numbered = "FROM a\nFROM b\nFROM c\nCOPY --from=1 / /\n";
        assert_eq!(fixed("UnusedStage", numbered), numbered);
    }
}
