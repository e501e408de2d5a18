//! `ADD`: files from the context, and from elsewhere.

use std::borrow::Cow;

use crate::analysis::{EdgeKind, EdgeSource};
use crate::diagnostic::Problem;
use crate::instruction::add::Add;
use crate::plan::build::Step;
use crate::plan::path;

use super::files::{Transfer, transfer};

pub(super) fn lower(step: &mut Step<'_, '_>, add: &Add) -> Result<(), Problem> {
    let from = Some(step.shared.graph.context());
    let paths = transfer(
        step,
        &Transfer {
            keyword: "ADD",
            sources: &add.sources,
            from,
            chown: add.chown.as_ref(),
            chmod: add.chmod.as_ref(),
            checksum: add.checksum.as_ref(),
            exclude: &add.exclude,
            link: add.link,
            parents: false,
            unpack: add.unpack,
            keep_git_dir: add.keep_git_dir,
            fetches: true,
        },
    )?;
    // A git address that is not http counts as a path here, as it does in the reference.
    let local: Vec<_> = paths
        .into_iter()
        .filter(|path| !path.starts_with("http://") && !path.starts_with("https://"))
        .collect();
    step.build
        .context_paths
        .extend(local.iter().map(|path| path::join(&["/", path])));
    let shown: Vec<String> = local
        .into_iter()
        .filter(|path| matches!(crate::plan::remote::git(path), Ok(None)))
        .map(Cow::into_owned)
        .collect();
    if !shown.is_empty() {
        step.edge(
            EdgeKind::Copy,
            EdgeSource::Context,
            shown,
            step.command.statement.span,
        );
    }
    Ok(())
}
