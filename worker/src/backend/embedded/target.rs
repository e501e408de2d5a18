//! Files to write to: the root of a layer in the making.
//!
//! As in [`super::tree`], paths are relative to the root and plain, unless a method says that it resolves them.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use crate::rootless::Ids;
use crate::snapshot::remove_in;

use super::tree::{Attributes, DirectoryTree, Node, NodeKind, Tree, resolve};

/// The root of a layer in the making.
pub(crate) struct Target {
    tree: DirectoryTree,
}

/// What a file or directory gets beside its content.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metadata {
    /// Owner and group.
    pub(crate) owner: (u32, u32),
    /// Permission bits; `None` for a symbolic link, which has none.
    pub(crate) mode: Option<u32>,
    /// Seconds and nanoseconds since 1970; `None` leaves it at now.
    pub(crate) modified: Option<(i64, u32)>,
    /// Extended attributes.
    pub(crate) attributes: Attributes,
}

/// How directories come to be that are wanted only for what goes into them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Making {
    /// Owner and group; `None` leaves them to be the worker's, or what the directory above makes them.
    pub(crate) owner: Option<(u32, u32)>,
    /// Permission bits.
    pub(crate) mode: u32,
    /// As [`Metadata::modified`].
    pub(crate) modified: Option<(i64, u32)>,
}

const SETGID: u32 = 0o2000;

impl Target {
    /// The files under `root`.
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        Ok(Self {
            tree: DirectoryTree::open_root(root)?,
        })
    }

    /// What is there already.
    pub(crate) fn tree(&self) -> &DirectoryTree {
        &self.tree
    }

    /// The directory at a plain path as a root of its own: nothing leads out of it, and absolute links start at it.
    pub(crate) fn below(&self, path: &Path) -> io::Result<Self> {
        Ok(Self {
            tree: self.tree.below(path)?,
        })
    }

    /// Makes the directory that `path` resolves to and what is missing above it. Returns its plain path.
    pub(crate) fn make_directories(&self, path: &Path, made: &Making) -> io::Result<PathBuf> {
        let (plain, found) = resolve(&self.tree, path, true)?;
        if found.is_some_and(|node| node.is_directory()) {
            return Ok(plain);
        }
        let mut above = PathBuf::new();
        for part in &plain {
            above.push(part);
            match self.tree.look(&above)? {
                Some(node) if node.is_directory() => {}
                Some(_) => return Err(Errno::NOTDIR.into()),
                None => self.make(&above, made)?,
            }
        }
        Ok(plain)
    }

    /// Makes one directory that is wanted for what goes into it. Under a directory with the setgid bit it takes the
    /// group and the bit over, as what any program makes there does.
    pub(crate) fn make(&self, path: &Path, made: &Making) -> io::Result<()> {
        self.make_directory(path)?;
        let Some(node) = self.tree.look(path)? else {
            return Err(Errno::NOENT.into());
        };
        let metadata = Metadata {
            owner: made.owner.unwrap_or((node.uid, node.gid)),
            mode: Some(made.mode | node.mode & SETGID),
            modified: made.modified,
            attributes: Attributes::new(),
        };
        self.set(path, &metadata)
    }

    /// Makes one directory, private until [`Target::set`] says otherwise.
    pub(crate) fn make_directory(&self, path: &Path) -> io::Result<()> {
        self.beside(path, |parent, name| rustix::fs::mkdirat(parent, name, Mode::RWXU))
    }

    /// Makes a file that is not there yet.
    pub(crate) fn create(&self, path: &Path) -> io::Result<File> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        self.beside(path, |parent, name| rustix::fs::openat(parent, name, flags, mode))
            .map(File::from)
    }

    /// Makes a symbolic link.
    pub(crate) fn symlink(&self, target: &OsStr, path: &Path) -> io::Result<()> {
        self.beside(path, |parent, name| rustix::fs::symlinkat(target, parent, name))
    }

    /// Gives the file at `existing` another name.
    pub(crate) fn hard_link(&self, existing: &Path, path: &Path) -> io::Result<()> {
        let (from, from_name) = self.tree.parent_of(existing)?;
        self.beside(path, |parent, name| {
            rustix::fs::linkat(&from, from_name, parent, name, AtFlags::empty())
        })
    }

    /// Makes a named pipe, or a device by its number.
    pub(crate) fn special(&self, path: &Path, kind: FileType, device: u64) -> io::Result<()> {
        let mode = Mode::RUSR | Mode::WUSR;
        let (parent, name) = self.tree.parent_of(path)?;
        rustix::fs::mknodat(parent.as_fd(), name, kind, mode, device).map_err(|error| match error {
            Errno::PERM if kind != FileType::Fifo && !Ids::here().are_the_machines() => io::Error::new(
                io::ErrorKind::PermissionDenied,
                "it is a device, and the worker of an ordinary user can make none",
            ),
            error => error.into(),
        })
    }

    /// Marks `path`, where nothing is, as removed from what lies below.
    pub(crate) fn whiteout(&self, path: &Path) -> io::Result<()> {
        let (parent, name) = self.tree.parent_of(path)?;
        crate::snapshot::whiteout(parent, name)
    }

    /// Makes at `path` what stands at `from` in `source`, where that is `node` and no directory. Owner and mode are for
    /// [`Target::set`]. Whether something was made: a socket is nothing without the process behind it.
    pub(crate) fn make_leaf(
        &self,
        path: &Path,
        source: &dyn Tree,
        from: &Path,
        node: &Node,
    ) -> io::Result<bool> {
        match &node.kind {
            NodeKind::File(_) => {
                source.open(from)?.copy_to(&mut self.create(path)?)?;
            }
            NodeKind::Symlink(link) => self.symlink(link, path)?,
            NodeKind::Fifo => self.special(path, FileType::Fifo, 0)?,
            NodeKind::Device(true, number) => self.special(path, FileType::BlockDevice, *number)?,
            NodeKind::Device(false, number) => self.special(path, FileType::CharacterDevice, *number)?,
            NodeKind::Socket | NodeKind::Directory => return Ok(false),
        }
        Ok(true)
    }

    /// Removes what stands at `path`, with everything under it. Nothing there is no error.
    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        if self.tree.look(path)?.is_none() {
            return Ok(());
        }
        let (parent, name) = self.tree.parent_of(path)?;
        remove_in(parent.as_fd(), name)
    }

    /// Sets owner, mode, attributes and times, in the order in which one does not undo the other.
    pub(crate) fn set(&self, path: &Path, metadata: &Metadata) -> io::Result<()> {
        if path.as_os_str().is_empty() {
            return self.set_root(metadata);
        }
        let (parent, name) = self.tree.parent_of(path)?;
        let (uid, gid) = metadata.owner;
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let (owner, group) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        rustix::fs::chownat(&parent, name, owner, group, flags)
            .map_err(|error| Ids::here().explain(error, metadata.owner))?;
        if let Some(mode) = metadata.mode {
            // The kernel would give the mode to what a link leads to, which may be anywhere; and what was a directory
            // or a file when an archive named it may be a link by now.
            let there = rustix::fs::statat(&parent, name, flags)?;
            if FileType::from_raw_mode(there.st_mode) != FileType::Symlink {
                rustix::fs::chmodat(&parent, name, Mode::from_raw_mode(mode), AtFlags::empty())?;
            }
        }
        if !metadata.attributes.is_empty() {
            let file = self.tree.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK)?;
            set_attributes(&file, &metadata.attributes)?;
        }
        if let Some(modified) = metadata.modified {
            rustix::fs::utimensat(&parent, name, &times(modified), flags)?;
        }
        Ok(())
    }

    /// Sets when something was last changed.
    pub(crate) fn set_modified(&self, path: &Path, modified: (i64, u32)) -> io::Result<()> {
        if path.as_os_str().is_empty() {
            let root = self.tree.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
            return Ok(rustix::fs::futimens(&root, &times(modified))?);
        }
        self.beside(path, |parent, name| {
            rustix::fs::utimensat(parent, name, &times(modified), AtFlags::SYMLINK_NOFOLLOW)
        })
    }

    fn set_root(&self, metadata: &Metadata) -> io::Result<()> {
        let root = self
            .tree
            .open_at(Path::new(""), OFlags::RDONLY | OFlags::DIRECTORY)?;
        let (uid, gid) = metadata.owner;
        rustix::fs::fchown(&root, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
            .map_err(|error| Ids::here().explain(error, metadata.owner))?;
        if let Some(mode) = metadata.mode {
            rustix::fs::fchmod(&root, Mode::from_raw_mode(mode))?;
        }
        set_attributes(&root, &metadata.attributes)?;
        if let Some(modified) = metadata.modified {
            rustix::fs::futimens(&root, &times(modified))?;
        }
        Ok(())
    }

    fn beside<T>(
        &self,
        path: &Path,
        act: impl FnOnce(rustix::fd::BorrowedFd<'_>, &OsStr) -> Result<T, Errno>,
    ) -> io::Result<T> {
        let (parent, name) = self.tree.parent_of(path)?;
        Ok(act(parent.as_fd(), name)?)
    }
}

fn set_attributes(file: &impl AsFd, attributes: &Attributes) -> io::Result<()> {
    for (name, value) in attributes {
        match rustix::fs::fsetxattr(file, name.as_os_str(), value, XattrFlags::empty()) {
            // What this file system or the worker's rights do not allow is left out, as the reference does.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn times((seconds, nanoseconds): (i64, u32)) -> Timestamps {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds.into(),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}
