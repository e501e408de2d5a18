//! A file op: its actions, one after the other, on layers in the making.

use std::path::Path;
use std::sync::Arc;

use stagewright_core::llb::{FileAction, FileOp};
use tokio_util::sync::CancellationToken;

use super::super::super::layer::{Made, finish};
use super::super::super::rootfs::{Output, Rootfs};
use super::super::super::target::Target;
use super::super::super::tree::{DirectoryTree, Tree};
use super::super::StepFailure;
use super::{FileError, apply, owner};
use crate::snapshot::{Active, Mounted, SnapshotStore};

/// Runs `op` on inputs that are all unpacked, and gives the layer it made. Blocks.
pub(crate) fn run(
    op: &FileOp,
    inputs: &[Output],
    snapshots: &SnapshotStore,
    cancel: &CancellationToken,
) -> Result<Made, StepFailure> {
    let mut ground = Ground {
        inputs,
        snapshots,
        made: Vec::new(),
    };
    for action in &op.actions {
        let place = ground.act(action, cancel)?;
        ground.made.push(Some(place));
    }
    let last = op.actions.iter().position(|action| action.output == 0);
    let place = last
        .and_then(|index| ground.made.get_mut(index))
        .and_then(Option::take);
    let place = place.ok_or_else(|| StepFailure::new("the file op has no result that could be used"))?;
    let Place {
        active,
        mounted,
        base,
        ..
    } = place;
    drop(mounted);
    finish(snapshots, active, &base)
}

/// A layer in the making. The view goes before the layer it is of.
struct Place {
    mounted: Mounted,
    active: Active,
    base: Rootfs,
}

impl Place {
    fn begin(snapshots: &SnapshotStore, base: Rootfs) -> Result<Self, StepFailure> {
        let active = snapshots.begin(&base.snapshots())?;
        let mounted = active.mount()?;
        Ok(Self {
            mounted,
            active,
            base,
        })
    }
}

struct Ground<'a> {
    inputs: &'a [Output],
    snapshots: &'a SnapshotStore,
    /// The result of each action so far; taken by the action that goes on from it.
    made: Vec<Option<Place>>,
}

/// Files to read from, with the view that shows them.
struct Readable {
    tree: Box<dyn Tree>,
    // After the tree, which has a handle on it.
    _mounted: Option<Mounted>,
}

impl Ground<'_> {
    fn act(&mut self, action: &FileAction, cancel: &CancellationToken) -> Result<Place, StepFailure> {
        let kind = action
            .action
            .as_ref()
            .ok_or_else(|| StepFailure::new("a file action without an action"))?;
        let owner = owner(kind, &|index| {
            self.readable(index)
                .map(|readable| Box::new(readable) as Box<dyn Tree>)
                .map_err(refused)
        })?;
        let source = match action.secondary_input {
            -1 => None,
            index => Some(self.readable(index)?),
        };
        let place = self.place(action.input)?;
        let target = open(place.mounted.path(), Target::open)?;
        apply(
            kind,
            source.as_ref().map(|source| source.tree.as_ref()),
            &target,
            owner,
            cancel,
        )?;
        Ok(place)
    }

    /// What an action changes.
    fn place(&mut self, index: i64) -> Result<Place, StepFailure> {
        let Ok(index) = usize::try_from(index) else {
            return Place::begin(self.snapshots, Rootfs::default());
        };
        match (self.inputs.get(index), index.checked_sub(self.inputs.len())) {
            (Some(input), _) => Place::begin(self.snapshots, input.files()?.clone()),
            (None, Some(earlier)) => self.made.get_mut(earlier).and_then(Option::take).ok_or_else(|| {
                StepFailure::new("the file op changes one result twice, which this worker does not do")
            }),
            (None, None) => Err(StepFailure::new(
                "the file op uses an input that it does not have",
            )),
        }
    }

    /// What an action reads.
    fn readable(&self, index: i64) -> Result<Readable, StepFailure> {
        let missing = || StepFailure::new("the file op reads an input that it does not have");
        let index = usize::try_from(index).map_err(|_| missing())?;
        match (self.inputs.get(index), index.checked_sub(self.inputs.len())) {
            (Some(Output::Context(context)), _) => Ok(Readable {
                tree: Box::new(Shared(Arc::clone(context) as Arc<dyn Tree>)),
                _mounted: None,
            }),
            (Some(Output::Files(files)), _) => {
                let mounted = self.snapshots.view(&files.snapshots())?;
                let tree = open(mounted.path(), DirectoryTree::open_root)?;
                Ok(Readable {
                    tree: Box::new(tree),
                    _mounted: Some(mounted),
                })
            }
            (None, Some(earlier)) => {
                let place = self
                    .made
                    .get(earlier)
                    .and_then(Option::as_ref)
                    .ok_or_else(missing)?;
                let tree = open(place.mounted.path(), DirectoryTree::open_root)?;
                Ok(Readable {
                    tree: Box::new(tree),
                    _mounted: None,
                })
            }
            (None, None) => Err(missing()),
        }
    }
}

fn open<T>(path: &Path, open: impl FnOnce(&Path) -> std::io::Result<T>) -> Result<T, StepFailure> {
    open(path).map_err(|error| StepFailure::internal(format!("cannot open {}: {error}", path.display())))
}

fn refused(failure: StepFailure) -> FileError {
    FileError::Refused(failure.message)
}

/// A tree that others use too.
struct Shared(Arc<dyn Tree>);

macro_rules! as_tree {
    ($type:ty, $self:ident => $inner:expr) => {
        impl Tree for $type {
            fn look(&$self, path: &Path) -> std::io::Result<Option<super::super::super::tree::Node>> {
                $inner.look(path)
            }
            fn names(&$self, path: &Path) -> std::io::Result<Vec<std::ffi::OsString>> {
                $inner.names(path)
            }
            fn open(&$self, path: &Path) -> std::io::Result<super::super::super::tree::Opened> {
                $inner.open(path)
            }
            fn digest(&$self, path: &Path) -> std::io::Result<stagewright_core::digest::Digest> {
                $inner.digest(path)
            }
            fn attributes(&$self, path: &Path) -> std::io::Result<super::super::super::tree::Attributes> {
                $inner.attributes(path)
            }
        }
    };
}

as_tree!(Shared, self => self.0);
as_tree!(Readable, self => self.tree);
