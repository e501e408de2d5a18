//! The difference of two root file systems, as a layer: what has to be laid over the one to get the other.
//!
//! The layer is made anew also where the one stands on the other. A layer as a step left it may hide directories whole,
//! whatever is in them; laid over other files it would hide what neither of the two ever had. In this one each name
//! that is gone is marked by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use stagewright_core::llb::DiffOp;
use tokio_util::sync::CancellationToken;

use super::super::layer::{Made, finish};
use super::super::rootfs::{Output, Rootfs};
use super::super::target::{Metadata, Target};
use super::super::tree::{Attributes, DirectoryTree, Node, NodeKind, Tree};
use super::StepFailure;
use crate::snapshot::SnapshotStore;

/// The two that `op` compares: from what, to what.
pub(crate) fn sides(op: &DiffOp, inputs: &[Output]) -> Result<(Rootfs, Rootfs), StepFailure> {
    let side = |input: i64| {
        let Ok(index) = usize::try_from(input) else {
            return Ok(Rootfs::default());
        };
        match inputs.get(index) {
            Some(input) => Ok(input.files()?.clone()),
            None => Err(StepFailure::new("the op compares an input that it does not have")),
        }
    };
    let lower = side(op.lower.map_or(-1, |lower| lower.input))?;
    let upper = side(op.upper.map_or(-1, |upper| upper.input))?;
    Ok((lower, upper))
}

/// Makes the layer. Both sides are unpacked. Blocks.
pub(crate) fn run(
    lower: &Rootfs,
    upper: &Rootfs,
    snapshots: &SnapshotStore,
    cancel: &CancellationToken,
) -> Result<Made, StepFailure> {
    let (below, above) = (
        snapshots.view(&lower.snapshots())?,
        snapshots.view(&upper.snapshots())?,
    );
    let active = snapshots.begin(&[])?;
    let open = |path: &Path| DirectoryTree::open_root(path).map_err(StepFailure::internal);
    let compared = Comparison {
        lower: open(below.path())?,
        upper: open(above.path())?,
        target: Target::open(&active.upper()).map_err(StepFailure::internal)?,
        touched: touched(lower, upper, snapshots)?,
        pending: Vec::new(),
        links: BTreeMap::new(),
        cancel,
    }
    .root();
    match compared {
        Err(_) if cancel.is_cancelled() => return Err(StepFailure::cancelled()),
        result => result.map_err(|error| {
            StepFailure::new(format!("the difference of two steps cannot be written: {error}"))
        })?,
    }
    drop((below, above));
    finish(snapshots, active, lower)
}

/// The layers that the upper side has beyond the lower one, where it stands on it: only what they name can differ.
fn touched(
    lower: &Rootfs,
    upper: &Rootfs,
    snapshots: &SnapshotStore,
) -> Result<Option<Vec<DirectoryTree>>, StepFailure> {
    let (lower, upper) = (lower.snapshots(), upper.snapshots());
    let Some(beyond) = upper.strip_prefix(lower.as_slice()).filter(|_| !lower.is_empty()) else {
        return Ok(None);
    };
    let paths = snapshots.layer_paths(beyond)?;
    let trees: io::Result<Vec<DirectoryTree>> =
        paths.iter().map(|path| DirectoryTree::open_root(path)).collect();
    Ok(Some(trees.map_err(StepFailure::internal)?))
}

struct Comparison<'a> {
    lower: DirectoryTree,
    upper: DirectoryTree,
    target: Target,
    touched: Option<Vec<DirectoryTree>>,
    /// Directories on the way that are the same on both sides, and so are made only where something in them differs.
    pending: Vec<(PathBuf, Node)>,
    /// Where files with several names were written first.
    links: BTreeMap<(u64, u64), PathBuf>,
    cancel: &'a CancellationToken,
}

impl Comparison<'_> {
    fn root(mut self) -> io::Result<()> {
        let top = Path::new("");
        if let Some(node) = self.upper.look(top)? {
            self.names(top, true)?;
            self.finish(top, &node)?;
        }
        Ok(())
    }

    /// Compares what is in a directory; `both` where the lower side has one there too.
    fn names(&mut self, path: &Path, both: bool) -> io::Result<()> {
        let mut names = BTreeSet::from_iter(self.upper.names(path)?);
        if both && self.lower.look(path)?.is_some_and(|node| node.is_directory()) {
            names.extend(self.lower.names(path)?);
        }
        for name in names {
            if self.cancel.is_cancelled() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let path = path.join(name);
            if both && !self.may_differ(&path)? {
                continue;
            }
            let lower = if both { self.lower.look(&path)? } else { None };
            match (lower, self.upper.look(&path)?) {
                (None, None) => {}
                (Some(_), None) => {
                    self.make_pending()?;
                    self.target.whiteout(&path)?;
                }
                (lower, Some(upper)) if upper.is_directory() => {
                    self.directory(&path, lower.as_ref(), upper)?;
                }
                (lower, Some(upper)) => {
                    if !lower.is_some_and(|lower| self.same(&path, &lower, &upper).unwrap_or(false)) {
                        self.make_pending()?;
                        self.leaf(&path, &upper)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn directory(&mut self, path: &Path, lower: Option<&Node>, upper: Node) -> io::Result<()> {
        let both = lower.is_some_and(Node::is_directory);
        let depth = self.pending.len();
        let same = match lower {
            Some(lower) => self.same(path, lower, &upper)?,
            None => false,
        };
        self.pending.push((path.to_owned(), upper));
        if !same {
            self.make_pending()?;
        }
        self.names(path, both)?;
        // What is still to be made has nothing in it that differs; what was made gets its time once it is filled.
        if let Some((path, node)) = self.pending.get(depth).cloned()
            && self.target.tree().look(&path)?.is_some()
        {
            self.finish(&path, &node)?;
        }
        self.pending.truncate(depth);
        Ok(())
    }

    /// Makes the directories on the way that are not there yet.
    fn make_pending(&self) -> io::Result<()> {
        for (path, _) in &self.pending {
            if self.target.tree().look(path)?.is_none() {
                self.target.make_directory(path)?;
            }
        }
        Ok(())
    }

    fn leaf(&mut self, path: &Path, node: &Node) -> io::Result<()> {
        if let Some(identity) = node.identity {
            if let Some(first) = self.links.get(&identity) {
                return self.target.hard_link(first, path);
            }
            self.links.insert(identity, path.to_owned());
        }
        // No layer has a socket in it.
        if !self.target.make_leaf(path, &self.upper, path, node)? {
            return Ok(());
        }
        self.finish(path, node)
    }

    fn finish(&self, path: &Path, node: &Node) -> io::Result<()> {
        let is_link = matches!(node.kind, NodeKind::Symlink(_));
        let metadata = Metadata {
            owner: (node.uid, node.gid),
            mode: (!is_link).then_some(node.mode),
            modified: Some(node.modified),
            attributes: attributes(&self.upper, path, node)?,
        };
        self.target.set(path, &metadata)
    }

    /// Whether both sides have the same there: kind, mode, owner, time, attributes, and the bytes of a file.
    fn same(&self, path: &Path, lower: &Node, upper: &Node) -> io::Result<bool> {
        let alike = lower.kind == upper.kind
            && (lower.mode, lower.uid, lower.gid) == (upper.mode, upper.uid, upper.gid)
            && lower.modified == upper.modified
            && attributes(&self.lower, path, lower)? == attributes(&self.upper, path, upper)?;
        if !alike || !matches!(upper.kind, NodeKind::File(_)) {
            return Ok(alike);
        }
        Ok(self.lower.digest(path)? == self.upper.digest(path)?)
    }

    /// Whether a layer of those that are on one side only names a path, or hides the directory that it is in.
    fn may_differ(&self, path: &Path) -> io::Result<bool> {
        let Some(layers) = &self.touched else {
            return Ok(true);
        };
        for layer in layers {
            if layer.holds(path)? {
                return Ok(true);
            }
            let mut above = path
                .ancestors()
                .skip(1)
                .filter(|above| !above.as_os_str().is_empty());
            if above.any(|above| layer.hides(above)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn attributes(tree: &DirectoryTree, path: &Path, node: &Node) -> io::Result<Attributes> {
    if matches!(node.kind, NodeKind::File(_) | NodeKind::Directory) {
        tree.attributes(path)
    } else {
        Ok(Attributes::new())
    }
}
