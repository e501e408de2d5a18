//! `COPY`: files from the context, another stage or an image.

use std::borrow::Cow;

use crate::analysis::{EdgeKind, EdgeSource};
use crate::diagnostic::Problem;
use crate::instruction::copy::Copy;
use crate::plan::build::Step;
use crate::plan::path;

use super::files::{Transfer, transfer};

pub(super) fn lower(step: &mut Step<'_, '_>, copy: &Copy) -> Result<(), Problem> {
    let (from, source, local, span) = match (&copy.from, step.command.sources.first()) {
        (Some(word), Some(Some(node))) => {
            let Some(Some(finished)) = step.shared.finished.get(*node) else {
                return Err(too_early(step, *node, "copied from").at(word.span));
            };
            let source = step
                .shared
                .sources
                .get(*node)
                .copied()
                .unwrap_or(EdgeSource::Context);
            (finished.output, source, finished.local, word.span)
        }
        // What it copies from could not be made out, which was said already.
        (Some(_), _) => return Ok(()),
        (None, _) => (
            Some(step.shared.graph.context()),
            EdgeSource::Context,
            None,
            step.command.statement.span,
        ),
    };
    let paths = transfer(
        step,
        &Transfer {
            keyword: "COPY",
            sources: &copy.sources,
            from,
            chown: copy.chown.as_ref(),
            chmod: copy.chmod.as_ref(),
            checksum: None,
            exclude: &copy.exclude,
            link: copy.link,
            parents: copy.parents,
            unpack: None,
            keep_git_dir: None,
            fetches: false,
        },
    )?;
    for path in &paths {
        step.takes(local, path);
    }
    if copy.from.is_none() {
        step.build
            .context_paths
            .extend(paths.iter().map(|path| path::join(&["/", path])));
    }
    if !paths.is_empty() {
        let paths = paths.into_iter().map(Cow::into_owned).collect();
        step.edge(EdgeKind::Copy, source, paths, span);
    }
    Ok(())
}

/// A stage is used before it is there.
pub(super) fn too_early(step: &Step<'_, '_>, node: usize, used: &str) -> Problem {
    let label = step.shared.labels.get(node).map_or("", |label| &**label);
    Problem::new(
        "stage-order",
        format!("The stage {label} is {used} before it is defined."),
    )
    .hint(format!("Move the stage {label} above this one."))
}
