//! Why a build failed, and where that stands in the Dockerfile.

use std::fmt::Write as _;

use stagewright_core::analysis::{Analysis, EdgeSource, NamedContext, Step};
use stagewright_core::glob;
use stagewright_core::ignore::Ignore;
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
    if let Some((dockerfile, analysis)) = plan {
        kept_out(&mut message, dockerfile, analysis, failure);
        if let Some((first, last)) = place(analysis, failure) {
            excerpt(&mut message, dockerfile, first, last);
        }
    }
    message
}

/// Says which of the files that a step did not find an ignore file keeps out. Whoever carries out the step sees only what was
/// let in, so that it can at best name what is like it.
fn kept_out(message: &mut String, dockerfile: &Dockerfile, analysis: &Analysis, failure: &BuildFailure) {
    let Some(vertex) = &failure.vertex else { return };
    for edge in &analysis.edges {
        let stage = analysis.stages.get(edge.to_stage);
        let step = edge.to_step.and_then(|step| stage?.steps.get(step));
        let Some(step) = step.filter(|step| step.vertex.as_ref() == Some(vertex)) else {
            continue;
        };
        let Some((text, name)) = ignore_file(dockerfile, analysis, step, edge.from) else {
            continue;
        };
        let (ignore, _) = Ignore::parse(text);
        for path in &edge.paths {
            let parts: Vec<&str> = glob::parts(path).collect();
            // Every worker names what it did not find in this way.
            let missing = parts.join("/");
            if !failure.message.contains(&format!("{:?}", format!("/{missing}"))) {
                continue;
            }
            // What a wildcard stands for is not known here, but the folder that it is looked for in is.
            let plain = parts.iter().take_while(|part| !glob::has_wildcards(part));
            let plain = plain.copied().collect::<Vec<_>>().join("/");
            let rule = |path: &str| {
                let decision = ignore.decide(path);
                let rule = decision.rule.filter(|_| decision.ignored)?;
                ignore.rules().get(rule)
            };
            // The same pattern in both stands for the same files, whatever they are; so does one for all files.
            let same =
                || rule(&missing).filter(|rule| [missing.as_str(), "*", "**"].contains(&&*rule.pattern));
            let found = rule(&plain).map(|rule| (plain.as_str(), rule));
            if let Some((path, rule)) = found.or_else(|| Some((missing.as_str(), same()?))) {
                let written = text.get(rule.span.start..rule.span.end).unwrap_or(&rule.pattern);
                _ = write!(
                    message,
                    "\n/{path} is kept out of the build context by line {} of {name}: {written}",
                    rule.line
                );
            }
        }
    }
}

/// The text of the ignore file of what a step copies from, and what to call it.
fn ignore_file<'a>(
    dockerfile: &'a Dockerfile,
    analysis: &'a Analysis,
    step: &Step,
    from: EdgeSource,
) -> Option<(&'a str, String)> {
    let options = &dockerfile.input.options;
    match from {
        // Nothing at all, which scratch is, is told as the build context too.
        EdgeSource::Context if step.text.contains(" --from=") => None,
        EdgeSource::Context => {
            let name = dockerfile.ignore_name.as_deref().unwrap_or(".dockerignore");
            Some((options.ignore.as_deref()?, name.to_owned()))
        }
        EdgeSource::Image(image) => {
            let context = analysis.images.get(image)?.context.as_ref()?;
            match options.contexts.get(context)? {
                NamedContext::Local(local) => Some((
                    local.ignore.as_deref()?,
                    format!("the .dockerignore of {context}"),
                )),
                _ => None,
            }
        }
        EdgeSource::Stage(_) => None,
    }
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
    use stagewright_core::analysis::LocalContext;

    use super::*;

    #[test]
    fn what_an_ignore_file_keeps_out_is_named_with_the_line_that_does_it() {
        let told_of = |source: &str, missing: &str| {
            let mut dockerfile = Dockerfile {
                name: "Dockerfile".into(),
                input: Input {
                    source: source.into(),
                    ..Input::default()
                },
                ignore_name: Some("sub/Dockerfile.dockerignore".into()),
            };
            let options = &mut dockerfile.input.options;
            options.ignore = Some("# of the build\n*.log\ntarget/\n*\n!src\nsrc/*.o\n".into());
            let local = LocalContext {
                name: "extra".into(),
                ignore: Some("own\n".into()),
                ..LocalContext::default()
            };
            options
                .contexts
                .insert("extra".into(), NamedContext::Local(local));
            let analysis = stagewright_core::analyze(&dockerfile.input);
            let stage = analysis.stages.last().unwrap();
            let failure = BuildFailure {
                message: format!("in the build context, {missing:?} is not there"),
                vertex: stage.steps.last().unwrap().vertex.clone(),
                exit_code: None,
            };
            assert!(failure.vertex.is_some(), "{source}");
            let told = told(Some((&dockerfile, &analysis)), &failure);
            told.lines().nth(1).unwrap().to_owned()
        };
        for (copy, missing, said) in [
            (
                "COPY z.log /",
                "/z.log",
                "/z.log is kept out of the build context by line 2 of sub/Dockerfile.dockerignore: *.log",
            ),
            (
                "ADD ./a//b/ /",
                "/a/b",
                "/a/b is kept out of the build context by line 4 of sub/Dockerfile.dockerignore: *",
            ),
            (
                "COPY target/*.jar /",
                "/target/*.jar",
                "/target is kept out of the build context by line 3 of sub/Dockerfile.dockerignore: target/",
            ),
            (
                "COPY src/a src/b.o /x/",
                "/src/b.o",
                "/src/b.o is kept out of the build context by line 6 of sub/Dockerfile.dockerignore: src/*.o",
            ),
            (
                "COPY --from=extra own /",
                "/own",
                "/own is kept out of the build context by line 1 of the .dockerignore of extra: own",
            ),
            // What is let in again, what something else is at fault with, and what comes from elsewhere.
            ("COPY src/a z.log /x/", "/src/a", " --> Dockerfile:2"),
            (
                "COPY src/*.o *.lo[gk] /x/",
                "/src/*.o",
                "/src/*.o is kept out of the build context by line 6 of sub/Dockerfile.dockerignore: src/*.o",
            ),
            (
                "COPY *.txt /",
                "/*.txt",
                "/*.txt is kept out of the build context by line 4 of sub/Dockerfile.dockerignore: *",
            ),
            ("COPY src/[ab].o /", "/src/[ab].o", " --> Dockerfile:2"),
            ("COPY --from=scratch z.log /", "/z.log", " --> Dockerfile:2"),
        ] {
            assert_eq!(told_of(&format!("FROM scratch\n{copy}\n"), missing), said);
        }
    }

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
