//! Why a build failed, and where that stands in the Dockerfile.

use std::fmt::Write as _;

use stagewright_core::analysis::Analysis;
use stagewright_core::protocol::BuildFailure;

use super::planning::Dockerfile;

/// Lines that are shown before and after those of the step.
const AROUND: usize = 2;
/// Lines of the step that are shown: a heredoc may have hundreds.
const LONGEST: usize = 16;

/// What to say of a build that failed, of the plan that it carried out where it is known. What its step printed last
/// is in the failure's message.
pub(crate) fn told(plan: Option<(&Dockerfile, &Analysis)>, failure: &BuildFailure) -> String {
    let mut message = failure.message.clone();
    if let Some((dockerfile, analysis)) = plan
        && let Some((first, last)) = place(analysis, failure)
    {
        excerpt(&mut message, dockerfile, first, last);
    }
    message
}

/// The first and last line of what failed: an instruction, or the `FROM` whose image could not be had.
fn place(analysis: &Analysis, failure: &BuildFailure) -> Option<(usize, usize)> {
    let vertex = failure.vertex.as_ref()?;
    for stage in &analysis.stages {
        for step in &stage.steps {
            if step.vertex.as_ref() == Some(vertex) {
                return Some((step.lines.start as usize, step.lines.end as usize));
            }
        }
    }
    let stage = analysis
        .stages
        .iter()
        .find(|stage| stage.base_vertex.as_ref() == Some(vertex))?;
    let line = stage.lines.start as usize;
    Some((line, line))
}

/// The lines around, those that are meant behind a mark.
fn excerpt(message: &mut String, dockerfile: &Dockerfile, first: usize, last: usize) {
    _ = write!(message, "\n --> {}:{first}", dockerfile.name);
    let from = first.saturating_sub(AROUND).max(1);
    let width = (last + AROUND).to_string().len().max(4);
    let lines = dockerfile.input.source.lines().enumerate();
    let mut left_out = 0;
    for (index, line) in lines.skip(from - 1).take(last + AROUND + 1 - from) {
        let number = index + 1;
        let meant = (first..=last).contains(&number);
        if meant && number >= first + LONGEST && number < last {
            left_out += 1;
            continue;
        }
        if left_out > 0 {
            _ = write!(message, "\n{:width$} | >>> … {left_out} more lines", "");
            left_out = 0;
        }
        let mark = if meant { ">>> " } else { "    " };
        let row = format!("{number:>width$} | {mark}{line}");
        _ = write!(message, "\n{}", row.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use stagewright_core::Input;

    use super::*;

    fn failed(source: &str, step: Option<usize>) -> String {
        let dockerfile = Dockerfile {
            name: "Dockerfile".into(),
            input: Input {
                source: source.into(),
                ..Input::default()
            },
            ignore_name: None,
        };
        let analysis = stagewright_core::analyze(&dockerfile.input);
        let stage = &analysis.stages[0];
        let vertex = match step {
            Some(step) => stage.steps[step].vertex.clone(),
            None => stage.base_vertex.clone(),
        };
        assert!(vertex.is_some());
        let failure = BuildFailure {
            message: "RUN make: it ended with exit code 2".into(),
            vertex,
            exit_code: Some(2),
        };
        told(Some((&dockerfile, &analysis)), &failure)
    }

    #[test]
    fn step_is_marked_among_the_lines_around_it() {
        let source = "FROM a\nENV b=c\n\nRUN make \\\n  all\nRUN after\nRUN later\nRUN last\n";
        assert_eq!(
            failed(source, Some(1)),
            "RUN make: it ended with exit code 2\n \
             --> Dockerfile:4\n   2 |     ENV b=c\n   3 |\n   4 | >>> RUN make \\\n   5 | >>>   all\n   6 |     RUN after\n   7 |     RUN later"
        );
    }

    #[test]
    fn image_that_could_not_be_had_is_marked_at_its_from() {
        let message = failed("FROM a AS x\nRUN y\n", None);
        assert!(message.contains("\n   1 | >>> FROM a AS x"), "{message}");
        assert!(message.contains("\n   2 |     RUN y"), "{message}");
    }

    #[test]
    fn long_step_is_shortened_in_its_middle() {
        let source = format!("FROM a\nRUN <<E\n{}E\nRUN b\n", "line\n".repeat(300));
        let message = failed(&source, Some(0));
        assert!(message.lines().count() < 30, "{message}");
        assert!(message.contains(">>> … 285 more lines"), "{message}");
        assert!(message.contains(" 303 | >>> E"), "{message}");
    }
}
