//! From a copy of layers that was written to, to the layer that the changes make.
//!
//! What is in the copy as it was when that was finished stays there; what is new or different moves into the layer, and what
//! is gone is marked in it. The layer is the one that overlay would have left.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::CWD;

use super::copy::{Changed, Copied, Identity, Known, Names, look, take_after};
use super::stack::{MAX_DEPTH, sorted_names};
use super::{SnapshotError, marks};

/// Moves what was changed in `copy` since it was `copied` to the directory `layer`, which is there and empty.
pub(super) fn seal(copied: &Copied, copy: &Path, layer: &Path) -> Result<(), SnapshotError> {
    let root = look(copy)?;
    let mut sealing = Sealing {
        copy,
        layer,
        pending: Vec::new(),
    };
    sealing.folder(&copied.names, &mut PathBuf::new())?;
    take_after(layer, copy, &root)
}

struct Sealing<'a> {
    copy: &'a Path,
    layer: &'a Path,
    /// The directories on the way, and whether the layer has them already.
    pending: Vec<(PathBuf, bool)>,
}

impl Sealing<'_> {
    fn folder(&mut self, known: &Names, place: &mut PathBuf) -> Result<(), SnapshotError> {
        if self.pending.len() > MAX_DEPTH {
            return Err(SnapshotError::TooDeep(MAX_DEPTH));
        }
        let names = sorted_names(&self.copy.join(&place))?;
        for name in &names {
            place.push(name);
            self.name(known.get(name), place)?;
            place.pop();
        }
        for name in known.keys().filter(|name| names.binary_search(name).is_err()) {
            self.make_pending()?;
            let gone = self.layer.join(&place).join(name);
            marks::whiteout(CWD, &gone).map_err(SnapshotError::io("mark a removed name at", &gone))?;
        }
        Ok(())
    }

    /// Looks at one name of a directory that was there before.
    fn name(&mut self, known: Option<&Known>, place: &mut PathBuf) -> Result<(), SnapshotError> {
        let copied = self.copy.join(&place);
        let metadata = look(&copied)?;
        let (now, changed) = (Identity::of(&metadata), Changed::of(&metadata));
        match known {
            Some(Known::Folder {
                identity,
                changed: then,
                names,
            }) if metadata.is_dir() && *identity == now => {
                self.pending.push((place.clone(), false));
                if *then != changed {
                    self.make_pending()?;
                }
                self.folder(names, place)?;
                // Moving things out of the one and into the other has changed both their times.
                if let Some((_, true)) = self.pending.pop() {
                    take_after(&self.layer.join(&place), &copied, &metadata)?;
                }
                return Ok(());
            }
            Some(Known::Leaf(identity, then)) if *identity == now && *then == changed => return Ok(()),
            Some(_) | None => {}
        }
        self.make_pending()?;
        let made = self.layer.join(&place);
        fs::rename(&copied, &made).map_err(SnapshotError::io("move", &copied))?;
        if metadata.is_dir() {
            // As the kernel does with each directory that is made in one that has something below.
            marks::set_opaque(&made).map_err(SnapshotError::io("mark", &made))?;
        }
        Ok(())
    }

    /// Makes the directories on the way that the layer does not have yet.
    fn make_pending(&mut self) -> Result<(), SnapshotError> {
        for (place, made) in self.pending.iter_mut().filter(|(_, made)| !made) {
            let path = self.layer.join(&*place);
            fs::create_dir(&path).map_err(SnapshotError::io("make the directory", &path))?;
            *made = true;
        }
        Ok(())
    }
}
