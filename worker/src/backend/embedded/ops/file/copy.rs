//! Copying.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stagewright_core::llb::FileActionCopy;
use tokio_util::sync::CancellationToken;

use super::super::super::select::{Entry, Selected, Selection};
use super::super::super::target::{Making, Metadata, Target};
use super::super::super::tree::{Attributes, Node, NodeKind, Tree, resolve};
use super::mode::ModeChange;
use super::{FileError, Owner, archive, permissions, time};

/// Carries a copy out.
pub(super) fn run(
    action: &FileActionCopy,
    source: &dyn Tree,
    target: &Target,
    owner: Option<Owner>,
    cancel: &CancellationToken,
) -> Result<(), FileError> {
    let mode = if !action.mode_str.is_empty() {
        Some(ModeChange::parse(&action.mode_str)?)
    } else if action.mode == -1 {
        None
    } else {
        Some(ModeChange::Absolute(permissions(action.mode)))
    };
    let selection = Selection::from(action);
    let copy = Copy {
        action,
        selection: &selection,
        source,
        target,
        owner,
        mode,
        cancel,
    };
    for selected in selection.sources(source)? {
        if action.attempt_unpack_docker_compatibility
            && archive::unpack(
                source,
                &selected,
                target,
                &action.dest,
                owner,
                time(action.timestamp),
                cancel,
            )?
        {
            continue;
        }
        copy.selected(&selected)?;
    }
    Ok(())
}

struct Copy<'a> {
    action: &'a FileActionCopy,
    selection: &'a Selection,
    source: &'a dyn Tree,
    target: &'a Target,
    owner: Option<Owner>,
    mode: Option<ModeChange>,
    cancel: &'a CancellationToken,
}

impl Copy<'_> {
    fn selected(&self, selected: &Selected) -> Result<(), FileError> {
        let place = self.destination(selected)?;
        let mut links = BTreeMap::new();
        let mut directories = Vec::new();
        self.selection.walk(self.source, selected, &mut |entry| {
            let path = self.entry(&place, &entry, &mut links)?;
            // One that is taken has the time of its source, also where it was there before.
            if entry.node.is_directory() && !entry.on_the_way {
                let modified = time(self.action.timestamp).unwrap_or(entry.node.modified);
                directories.push((path, modified));
            }
            Ok::<_, FileError>(())
        })?;
        // What was put into a directory changed its time, so times come last.
        for (path, modified) in directories.into_iter().rev() {
            self.target
                .set_modified(&path, modified)
                .map_err(FileError::io("set the time of", &path))?;
        }
        Ok(())
    }

    /// Where something selected goes, and the directories above that place.
    fn destination(&self, selected: &Selected) -> Result<PathBuf, FileError> {
        let written = Path::new(&self.action.dest);
        // With a slash or a dot at its end the destination is a directory, whether it is there or not.
        let is_directory = self.action.dest.ends_with('/') || self.action.dest.ends_with("/.");
        let above = if is_directory {
            written
        } else {
            written.parent().unwrap_or(Path::new(""))
        };
        if self.action.create_dest_path {
            self.make_directories(above)?;
        } else {
            let above = if is_directory {
                written.parent().unwrap_or(Path::new(""))
            } else {
                above
            };
            let found = resolve(self.target.tree(), above, true)
                .map_err(FileError::io("find", above))?
                .1;
            if found.is_none() {
                return Err(FileError::Refused(format!(
                    "/{} is not there to be copied into",
                    above.display().to_string().trim_start_matches('/')
                )));
            }
        }
        let (mut place, found) =
            resolve(self.target.tree(), written, true).map_err(FileError::io("find", written))?;
        let into = if selected.node.is_directory() {
            !self.action.dir_copy_contents && found.is_some()
        } else {
            found.as_ref().is_some_and(Node::is_directory)
        };
        if into && !selected.name.is_empty() {
            place.push(&selected.name);
        }
        let contents = selected.node.is_directory() && self.action.dir_copy_contents;
        if contents && found.is_none() {
            self.make_directories(&place)?;
        } else if let Some(above) = place.parent() {
            self.make_directories(above)?;
        }
        Ok(place)
    }

    /// Makes what is missing of a directory. What a copy makes on its way belongs to the copy's owner, and has the mode
    /// that was asked for in digits; a mode in letters changes one that is there already.
    fn make_directories(&self, path: &Path) -> Result<(), FileError> {
        let making = Making {
            owner: self.owner.map(Owner::numbers),
            mode: match &self.mode {
                Some(ModeChange::Absolute(bits)) if self.action.mode_str.is_empty() => bits & 0o777,
                _ => 0o755,
            },
            modified: time(self.action.timestamp),
        };
        let made = self.target.make_directories(path, &making);
        made.map(drop).map_err(FileError::io("make the directory", path))
    }

    /// Copies one entry, and says where it is now.
    fn entry(
        &self,
        place: &Path,
        entry: &Entry<'_>,
        links: &mut BTreeMap<(u64, u64), PathBuf>,
    ) -> Result<PathBuf, FileError> {
        if self.cancel.is_cancelled() {
            return Err(FileError::Cancelled);
        }
        let top = entry.relative.as_os_str().is_empty();
        let path = if top {
            place.to_owned()
        } else {
            place.join(entry.relative)
        };
        let there = self
            .target
            .tree()
            .look(&path)
            .map_err(FileError::io("look at", &path))?;
        if entry.node.is_directory() {
            self.directory(&path, entry, there.as_ref(), top)?;
            return Ok(path);
        }
        match there {
            Some(there) if there.is_directory() && !self.action.always_replace_existing_dest_paths => {
                return Err(FileError::Refused(format!(
                    "/{} is a directory in the stage and cannot be replaced by a file",
                    path.display()
                )));
            }
            Some(_) => self
                .target
                .remove(&path)
                .map_err(FileError::io("replace", &path))?,
            None => {}
        }
        if let Some(identity) = entry.node.identity {
            if let Some(existing) = links.get(&identity) {
                self.target
                    .hard_link(existing, &path)
                    .map_err(FileError::io("link", &path))?;
                return Ok(path);
            }
            links.insert(identity, path.clone());
        }
        self.target
            .make_leaf(&path, self.source, entry.path, entry.node)
            .map_err(FileError::io("copy to", &path))?;
        self.finish(&path, entry)?;
        Ok(path)
    }

    fn directory(
        &self,
        path: &Path,
        entry: &Entry<'_>,
        there: Option<&Node>,
        top: bool,
    ) -> Result<(), FileError> {
        match there {
            // What a directory is copied onto keeps its own metadata; a directory in it takes that of its source.
            Some(there) if there.is_directory() && top => return Ok(()),
            // One that something is only put into has its source's mode, and stays whose it is.
            Some(there) if there.is_directory() && entry.on_the_way => {
                let metadata = Metadata {
                    owner: (there.uid, there.gid),
                    mode: Some(entry.node.mode),
                    ..Metadata::default()
                };
                return self
                    .target
                    .set(path, &metadata)
                    .map_err(FileError::io("set the mode of", path));
            }
            Some(there) if there.is_directory() => return self.finish(path, entry),
            Some(_) if !self.action.always_replace_existing_dest_paths => {
                return Err(FileError::Refused(format!(
                    "/{} is not a directory in the stage, so a directory cannot be copied onto it",
                    path.display()
                )));
            }
            Some(_) => self.target.remove(path).map_err(FileError::io("replace", path))?,
            None => {}
        }
        self.target
            .make_directory(path)
            .map_err(FileError::io("make the directory", path))?;
        self.finish(path, entry)
    }

    fn finish(&self, path: &Path, entry: &Entry<'_>) -> Result<(), FileError> {
        let node = entry.node;
        if matches!(node.kind, NodeKind::Socket) {
            return Ok(());
        }
        let mode = self
            .mode
            .as_ref()
            .map_or(node.mode, |change| change.apply(node.mode, node.is_directory()));
        let is_link = matches!(node.kind, NodeKind::Symlink(_));
        let plain = matches!(node.kind, NodeKind::File(_) | NodeKind::Directory);
        let attributes = if plain {
            self.source
                .attributes(entry.path)
                .map_err(FileError::io("read the attributes of", entry.path))?
        } else {
            Attributes::new()
        };
        let metadata = Metadata {
            owner: self.owner.map_or((node.uid, node.gid), Owner::numbers),
            mode: (!is_link).then_some(mode),
            modified: time(self.action.timestamp).or(Some(node.modified)),
            attributes,
        };
        self.target
            .set(path, &metadata)
            .map_err(FileError::io("set owner and mode of", path))
    }
}
