//! File operations: `COPY`, `ADD`, `WORKDIR`, and what else is made of them.
//!
//! What they do to files follows the reference, so that the same definition gives the same files: a directory stands
//! for what is in it, a trailing slash makes a directory, links on the way to a destination are followed inside the
//! root, copied files keep mode, owner and time unless told otherwise.

mod archive;
mod copy;
mod mode;
mod owner;
mod run;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use stagewright_core::llb::{
    Action, FileActionCopy, FileActionMkDir, FileActionMkFile, FileActionRm, FileActionSymlink,
};
use tokio_util::sync::CancellationToken;

use super::super::select::{SelectError, Selection};
use super::super::target::{Making, Metadata, Target};
use super::super::tree::{Tree, resolve};
pub(crate) use archive::unpack_all;
pub(crate) use owner::{Owner, owner, owner_inputs};
pub(crate) use run::run;
use stagewright_core::glob;

/// Why a file operation failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// What is to be copied could not be found or read.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// A file could not be changed.
    #[error("cannot {what} {}: {source}", Path::new("/").join(.path).display())]
    Io {
        /// What was tried, as a verb phrase.
        what: &'static str,
        /// On what, as seen in the root.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The operation makes no sense on these files.
    #[error("{0}")]
    Refused(String),
    /// The build was cancelled meanwhile.
    #[error("cancelled")]
    Cancelled,
}

impl FileError {
    fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}

/// Carries one action out on `target`. `source` is what a copy reads; `owner` is the action's owner, looked up.
pub(crate) fn apply(
    action: &Action,
    source: Option<&dyn Tree>,
    target: &Target,
    owner: Option<Owner>,
    cancel: &CancellationToken,
) -> Result<(), FileError> {
    match action {
        Action::Copy(copy) => {
            let source =
                source.ok_or_else(|| FileError::Refused("a copy needs something to copy from".into()))?;
            copy::run(copy, source, target, owner, cancel)
        }
        Action::MkDir(directory) => make_directory(directory, target, owner),
        Action::MkFile(file) => make_file(file, target, owner),
        Action::Rm(removal) => remove(removal, target),
        Action::Symlink(link) => make_link(link, target, owner),
    }
}

/// Copies what is at `path` of `source` to `dest`, of a directory what is in it, as it is there.
pub(crate) fn copy_under(
    source: &dyn Tree,
    path: &str,
    dest: &str,
    target: &Target,
    cancel: &CancellationToken,
) -> Result<(), FileError> {
    let action = Action::Copy(FileActionCopy {
        src: path.to_owned(),
        dest: dest.to_owned(),
        mode: -1,
        follow_symlink: true,
        dir_copy_contents: true,
        create_dest_path: true,
        timestamp: -1,
        ..FileActionCopy::default()
    });
    apply(&action, Some(source), target, None, cancel)
}

/// A time as ops carry it: nanoseconds since 1970, -1 for now.
fn time(timestamp: i64) -> Option<(i64, u32)> {
    let nanoseconds = u32::try_from(timestamp.rem_euclid(1_000_000_000)).unwrap_or(0);
    (timestamp != -1).then(|| (timestamp.div_euclid(1_000_000_000), nanoseconds))
}

/// Permission bits as ops carry them. Ops of the reference's client are never outside of them.
fn permissions(mode: i32) -> u32 {
    u32::try_from(mode).unwrap_or(0) & 0o7777
}

fn make_directory(action: &FileActionMkDir, target: &Target, owner: Option<Owner>) -> Result<(), FileError> {
    let path = Path::new(&action.path);
    let making = Making {
        owner: owner.map(Owner::numbers),
        mode: permissions(action.mode) & 0o777,
        modified: time(action.timestamp),
    };
    if action.make_parents {
        target
            .make_directories(path, &making)
            .map_err(FileError::io("make the directory", path))?;
        return Ok(());
    }
    let (plain, node) = resolve(target.tree(), path, true).map_err(FileError::io("find", path))?;
    if node.is_some() {
        return Ok(());
    }
    target
        .make(&plain, &making)
        .map_err(FileError::io("make the directory", path))
}

fn make_file(action: &FileActionMkFile, target: &Target, owner: Option<Owner>) -> Result<(), FileError> {
    let path = Path::new(&action.path);
    let metadata = Metadata {
        owner: owner.unwrap_or_default().numbers(),
        mode: Some(permissions(action.mode) & 0o777),
        modified: time(action.timestamp),
        ..Metadata::default()
    };
    let (plain, node) = resolve(target.tree(), path, true).map_err(FileError::io("find", path))?;
    if node.is_some_and(|node| node.is_directory()) {
        return Err(FileError::Refused(format!(
            "{:?} is a directory and cannot become a file",
            action.path
        )));
    }
    let make = || {
        target.remove(&plain)?;
        io::Write::write_all(&mut target.create(&plain)?, &action.data)?;
        target.set(&plain, &metadata)
    };
    make().map_err(FileError::io("write", path))
}

fn make_link(action: &FileActionSymlink, target: &Target, owner: Option<Owner>) -> Result<(), FileError> {
    let path = Path::new(&action.newpath);
    let metadata = Metadata {
        owner: owner.unwrap_or_default().numbers(),
        modified: time(action.timestamp),
        ..Metadata::default()
    };
    let (plain, _) = resolve(target.tree(), path, false).map_err(FileError::io("find", path))?;
    let make = target
        .symlink(action.oldpath.as_ref(), &plain)
        .and_then(|()| target.set(&plain, &metadata));
    make.map_err(FileError::io("make the link", path))
}

fn remove(action: &FileActionRm, target: &Target) -> Result<(), FileError> {
    let paths = if action.allow_wildcard && glob::has_wildcards(&action.path) {
        let selection = Selection {
            source: action.path.clone(),
            wildcards: true,
            may_be_empty: true,
            ..Selection::default()
        };
        selection
            .sources(target.tree())?
            .into_iter()
            .map(|selected| selected.path)
            .collect()
    } else {
        let path = Path::new(&action.path);
        let (plain, node) = resolve(target.tree(), path, false).map_err(FileError::io("find", path))?;
        match node {
            Some(_) => vec![plain],
            None if action.allow_not_found => Vec::new(),
            None => {
                return Err(FileError::Refused(format!(
                    "{:?} is not there to be removed",
                    action.path
                )));
            }
        }
    };
    for path in paths {
        if path.as_os_str().is_empty() {
            return Err(FileError::Refused("the root itself cannot be removed".into()));
        }
        target.remove(&path).map_err(FileError::io("remove", &path))?;
    }
    Ok(())
}
