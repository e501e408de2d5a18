//! A file with everything that is known of it: what it says, instruction by instruction, and what would be done.
//!
//! [`crate::analyze`] turns a study into plain data. Lint and outline look at the study itself,
//! because they ask for what a plan no longer shows: how a word was written, which variable it used.

use crate::analysis::{Input, Options};
use crate::diagnostic::{Diagnostic, Problem, Severity};
use crate::plan::Plan;
use crate::span::{LineRange, Span};
use crate::stage::Program;
use crate::syntax::{Check, Tree, check_directive};
use crate::{plan, stage, syntax};

/// A file, read and planned.
pub(crate) struct Study<'s> {
    /// The file.
    pub(crate) source: &'s str,
    /// What it was planned with.
    pub(crate) options: &'s Options,
    /// Line by line, as written. The arguments of its nodes have gone into the instructions of `program`.
    pub(crate) tree: Tree<'s>,
    /// Stage by stage.
    pub(crate) program: Program,
    /// What would be done.
    pub(crate) plan: Plan,
    /// All that is wrong, in the order in which it was found.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Whether the text itself could not be read.
    pub(crate) broken: bool,
}

/// Reads and plans a file. Never fails: what is wrong is in [`Study::diagnostics`].
pub(crate) fn study(input: &Input) -> Study<'_> {
    let mut tree = syntax::parse(&input.source);
    let mut diagnostics = Vec::new();
    let mut program = stage::collect(&mut tree, &mut diagnostics);
    if tree.nodes.is_empty() || program.stages.is_empty() {
        diagnostics.extend(no_stages(&input.source, &program));
    }
    if let Err(problem) = asked(input).map_or(Ok(()), |text| Check::read(text).map(drop)) {
        let mut directives = tree.directives.iter();
        let place = directives.find(|directive| directive.name == "check");
        let (span, lines) = place.map(|found| (found.span, found.lines)).unwrap_or_default();
        diagnostics.push(problem.into_diagnostic(Severity::Error, span, lines));
        program.broken = true;
    }
    let plan = plan::plan(&mut program, &input.options, &mut diagnostics);
    let broken = tree
        .diagnostics
        .iter()
        .any(|finding| finding.severity == Severity::Error);
    diagnostics.append(&mut tree.diagnostics);
    Study {
        source: &input.source,
        options: &input.options,
        tree,
        program,
        plan,
        diagnostics,
        broken,
    }
}

/// What lint is asked for: by the build, or by the top of the file.
pub(crate) fn asked(input: &Input) -> Option<&str> {
    let given = input.options.build_args.get("BUILDKIT_DOCKERFILE_CHECK");
    given
        .map(String::as_str)
        .or_else(|| check_directive(&input.source))
}

/// A file without stages builds nothing. Nothing is said where something else was said of its instructions already.
pub(crate) fn no_stages(source: &str, program: &Program) -> Option<Diagnostic> {
    if program.broken {
        return None;
    }
    let last = u32::try_from(source.lines().count()).unwrap_or(u32::MAX);
    let problem = Problem::new("no-stages", "There is nothing to build in this file.")
        .hint("Begin with FROM and the name of an image, or with FROM scratch.");
    Some(problem.into_diagnostic(
        Severity::Error,
        Span::default(),
        LineRange {
            start: last.max(1),
            end: last.max(1),
        },
    ))
}
