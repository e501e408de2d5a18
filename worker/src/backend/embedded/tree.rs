//! Files to read from: a build context or the files of a step, seen the same way.
//!
//! Paths in here are relative to the tree's root; the empty path is the root itself. A *plain* path has no `.` or
//! `..` parts and leads through no symbolic link; [`resolve`] makes one of any path a client writes. No path leads
//! out of its tree: `..` at the root stays there, and the kernel is told to refuse links and to stay beneath.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};
use stagewright_core::digest::Digest;
use stagewright_core::protocol::ContextEntryKind;

use crate::content::{CheckedBlob, ContentStore};
use crate::snapshot::{descriptor_path, is_opaque, is_overlay_attribute, is_whiteout};
use crate::source::local::{Manifest, ManifestEntry};
use stagewright_core::ignore;
use stagewright_core::ignore::Ignore;

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// What it is.
    pub(crate) kind: NodeKind,
    /// Permission bits, set-id and sticky bits included.
    pub(crate) mode: u32,
    /// Its owner.
    pub(crate) uid: u32,
    /// Its group.
    pub(crate) gid: u32,
    /// When its content changed: seconds and nanoseconds since 1970.
    pub(crate) modified: (i64, u32),
    /// Device and inode, where several names may lead to one file.
    pub(crate) identity: Option<(u64, u64)>,
}

/// What a [`Node`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NodeKind {
    /// A directory.
    Directory,
    /// A regular file of that many bytes.
    File(u64),
    /// A symbolic link and what it points to.
    Symlink(OsString),
    /// A named pipe.
    Fifo,
    /// A character (`false`) or block (`true`) device by its number.
    Device(bool, u64),
    /// A socket, which is nothing outside of the process that made it.
    Socket,
}

impl Node {
    /// Whether it is a directory.
    pub(crate) fn is_directory(&self) -> bool {
        matches!(self.kind, NodeKind::Directory)
    }
}

/// Extended attributes by name.
pub(crate) type Attributes = BTreeMap<OsString, Vec<u8>>;

/// Files to read from. All paths given to it are plain, or become so by [`resolve`].
pub(crate) trait Tree: Send + Sync {
    /// What stands at `path`, a final link not followed; `None` where there is nothing.
    fn look(&self, path: &Path) -> io::Result<Option<Node>>;
    /// The names in the directory at `path`, in bytewise order.
    fn names(&self, path: &Path) -> io::Result<Vec<OsString>>;
    /// Opens the regular file at `path` for reading.
    fn open(&self, path: &Path) -> io::Result<Opened>;
    /// The digest of the regular file at `path`.
    fn digest(&self, path: &Path) -> io::Result<Digest>;
    /// The extended attributes of what stands at `path`, apart from those of the kernel's overlay.
    fn attributes(&self, path: &Path) -> io::Result<Attributes>;
}

/// A file of a [`Tree`], to be read from its beginning to its end.
pub(crate) enum Opened {
    /// It lies there as it is.
    File(File),
    /// It is a blob, of which it is seen on the way whether it is still what it was when it came.
    Blob(CheckedBlob),
}

impl Opened {
    /// Copies all of it. The kernel does that by itself where it may.
    pub(crate) fn copy_to(&mut self, target: &mut File) -> io::Result<u64> {
        match self {
            Self::File(file) => io::copy(file, target),
            Self::Blob(blob) => io::copy(blob, target),
        }
    }
}

impl Read for Opened {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(buffer),
            Self::Blob(blob) => blob.read(buffer),
        }
    }
}

/// Links followed on the way to one file before it counts as a loop; the kernel's own limit.
const MAX_LINKS: usize = 40;

/// The plain path that `path` means in `tree`, and what stands there. `..` and absolute links stay in the tree.
/// Parts that are not there are kept as they are. A link at the end is followed where `follow` says so.
pub(crate) fn resolve(tree: &dyn Tree, path: &Path, follow: bool) -> io::Result<(PathBuf, Option<Node>)> {
    let mut pending: Vec<OsString> = parts(path.as_os_str());
    let mut plain = PathBuf::new();
    let mut node = tree.look(&plain)?;
    let mut links = 0;
    while let Some(part) = pending.pop() {
        if part == ".." {
            plain.pop();
            node = tree.look(&plain)?;
            continue;
        }
        match &node {
            Some(above) if !above.is_directory() => {
                return Err(io::Error::from_raw_os_error(Errno::NOTDIR.raw_os_error()));
            }
            _ => {}
        }
        plain.push(&part);
        node = if node.is_some() { tree.look(&plain)? } else { None };
        let Some(Node {
            kind: NodeKind::Symlink(target),
            ..
        }) = &node
        else {
            continue;
        };
        if pending.is_empty() && !follow {
            continue;
        }
        links += 1;
        if links > MAX_LINKS {
            return Err(io::Error::from_raw_os_error(Errno::LOOP.raw_os_error()));
        }
        if target.as_bytes().starts_with(b"/") {
            plain = PathBuf::new();
        } else {
            plain.pop();
        }
        pending.extend(parts(target));
        node = tree.look(&plain)?;
    }
    Ok((plain, node))
}

/// The parts of a path but `.` and empty ones, the last first.
fn parts(path: &OsStr) -> Vec<OsString> {
    let parts = path
        .as_bytes()
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".");
    parts
        .rev()
        .map(|part| OsString::from_vec(part.to_vec()))
        .collect()
}

/// A build context. Its files are blobs; owners are root, and all times are the same, since a context is known by
/// its content only.
pub(crate) struct ContextTree {
    manifest: Arc<Manifest>,
    filter: ContextFilter,
    /// What of the manifest is left where there is a filter.
    part: Option<BTreeMap<String, ManifestEntry>>,
    content: ContentStore,
    names: BTreeMap<PathBuf, Vec<OsString>>,
}

/// What of a context a source takes: what is included, or everything, and of that what is not excluded.
#[derive(Debug, Clone, Default)]
pub(crate) struct ContextFilter {
    /// What to take; everything where empty.
    pub(crate) include: Ignore,
    /// What not to take.
    pub(crate) exclude: Ignore,
}

impl ContextFilter {
    /// What is left of `entries`; a directory that was left out is there again for what is kept in it. `None` where
    /// that is all.
    fn apply(&self, entries: &BTreeMap<String, ManifestEntry>) -> Option<BTreeMap<String, ManifestEntry>> {
        let something = !(self.include.is_empty() && self.exclude.is_empty());
        something.then(|| self.left_of(entries, |_| true))
    }

    /// The same of what is `needed` alone.
    pub(crate) fn left_of(
        &self,
        entries: &BTreeMap<String, ManifestEntry>,
        needed: impl Fn(&str) -> bool,
    ) -> BTreeMap<String, ManifestEntry> {
        let walked: Vec<ignore::Entry<'_>> = entries
            .iter()
            .map(|(path, entry)| ignore::Entry {
                path,
                folder: matches!(entry.kind, ContextEntryKind::Directory),
            })
            .collect();
        let all = self.include.is_empty();
        let (included, excluded) = (self.include.walk(&walked), self.exclude.walk(&walked));
        let mut kept = BTreeMap::new();
        for (((path, entry), included), excluded) in entries.iter().zip(included).zip(excluded) {
            if !(all || included.ignored) || excluded.ignored || !needed(path) {
                continue;
            }
            for above in path.match_indices('/').filter_map(|(at, _)| path.get(..at)) {
                if let Some(entry) = entries.get(above) {
                    kept.insert(above.to_owned(), entry.clone());
                }
            }
            kept.insert(path.clone(), entry.clone());
        }
        kept
    }
}

/// The time that files from a context have: 2000-01-01. It is the same for all, so that a layer made of them has the
/// same bytes whenever it is made, and not 0, which some archive formats cannot write.
const CONTEXT_TIME: (i64, u32) = (946_684_800, 0);

impl ContextTree {
    /// What `filter` leaves of the context that `manifest` lists.
    pub(crate) fn new(manifest: Arc<Manifest>, filter: ContextFilter, content: ContentStore) -> Self {
        let part = filter.apply(&manifest.entries);
        let mut names: BTreeMap<PathBuf, Vec<OsString>> = BTreeMap::new();
        for path in part.as_ref().unwrap_or(&manifest.entries).keys() {
            let path = Path::new(path);
            if let (Some(parent), Some(name)) = (path.parent(), path.file_name()) {
                names.entry(parent.to_owned()).or_default().push(name.to_owned());
            }
        }
        for list in names.values_mut() {
            list.sort();
        }
        Self {
            manifest,
            filter,
            part,
            content,
            names,
        }
    }

    /// The same view of another state of the context.
    pub(crate) fn of(&self, manifest: Arc<Manifest>) -> Self {
        Self::new(manifest, self.filter.clone(), self.content.clone())
    }

    /// The whole context's name.
    pub(crate) fn id(&self) -> &Digest {
        &self.manifest.id
    }

    /// How many files there are, and their bytes together.
    pub(crate) fn size(&self) -> (u64, u64) {
        let files = self.entries().values().filter_map(|entry| entry.content());
        files.fold((0, 0), |(count, bytes), (_, size)| (count + 1, bytes + size))
    }

    fn entries(&self) -> &BTreeMap<String, ManifestEntry> {
        self.part.as_ref().unwrap_or(&self.manifest.entries)
    }

    fn entry(&self, path: &Path) -> Option<&ManifestEntry> {
        self.entries().get(path.to_str()?)
    }

    fn blob(&self, path: &Path) -> io::Result<&Digest> {
        let content = self.entry(path).and_then(|entry| entry.content());
        content
            .map(|(digest, _)| digest)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Tree for ContextTree {
    fn look(&self, path: &Path) -> io::Result<Option<Node>> {
        let node = |kind, mode| Node {
            kind,
            mode,
            uid: 0,
            gid: 0,
            modified: CONTEXT_TIME,
            identity: None,
        };
        if path.as_os_str().is_empty() {
            return Ok(Some(node(NodeKind::Directory, 0o755)));
        }
        Ok(self.entry(path).map(|entry| {
            let kind = match &entry.kind {
                ContextEntryKind::Directory => NodeKind::Directory,
                ContextEntryKind::File { size, .. } => NodeKind::File(*size),
                ContextEntryKind::Symlink { target } => NodeKind::Symlink(target.into()),
            };
            node(kind, entry.mode)
        }))
    }

    fn names(&self, path: &Path) -> io::Result<Vec<OsString>> {
        Ok(self.names.get(path).cloned().unwrap_or_default())
    }

    fn open(&self, path: &Path) -> io::Result<Opened> {
        let blob = self.content.open_checked(self.blob(path)?);
        blob.map(Opened::Blob).map_err(io::Error::other)
    }

    fn digest(&self, path: &Path) -> io::Result<Digest> {
        self.blob(path).cloned()
    }

    fn attributes(&self, _: &Path) -> io::Result<Attributes> {
        Ok(Attributes::new())
    }
}

/// The files under a directory of this machine, such as a mounted view of layers.
pub(crate) struct DirectoryTree {
    root: OwnedFd,
}

impl DirectoryTree {
    /// The files under `root`.
    pub(crate) fn open_root(root: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            root: rustix::fs::open(root, flags, Mode::empty())?,
        })
    }

    /// Whether a layer, seen as it lies, says anything of a plain path: that it is there, or that it is gone.
    pub(crate) fn holds(&self, path: &Path) -> io::Result<bool> {
        let found = self
            .parent_of(path)
            .and_then(|(parent, name)| rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW));
        match found {
            // Or it says that something above is no directory.
            Ok(_) | Err(Errno::LOOP | Errno::NOTDIR) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a layer, seen as it lies, hides all that layers below have in the directory at a plain path.
    pub(crate) fn hides(&self, path: &Path) -> bool {
        let Ok(directory) = self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY) else {
            return false;
        };
        is_opaque(&descriptor_path(directory.as_fd()).join(".")).unwrap_or(false)
    }

    /// The files under the directory at a plain path.
    pub(crate) fn below(&self, path: &Path) -> io::Result<Self> {
        Ok(Self {
            root: self.open_at(path, OFlags::PATH | OFlags::DIRECTORY)?,
        })
    }

    /// Opens what stands at a plain path. Links on the way, which a plain path has none of, are refused.
    pub(crate) fn open_at(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        loop {
            match rustix::fs::openat2(&self.root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                // The kernel could not rule out a race with a rename; it asks to try again.
                Err(Errno::AGAIN) => {}
                result => return result,
            }
        }
    }

    /// The directory that `path` stands in, opened, and its name there.
    pub(crate) fn parent_of<'a>(&self, path: &'a Path) -> Result<(OwnedFd, &'a OsStr), Errno> {
        let Some(Component::Normal(name)) = path.components().next_back() else {
            return Err(Errno::INVAL);
        };
        let parent = path.parent().unwrap_or(Path::new(""));
        Ok((self.open_at(parent, OFlags::PATH | OFlags::DIRECTORY)?, name))
    }
}

impl Tree for DirectoryTree {
    fn look(&self, path: &Path) -> io::Result<Option<Node>> {
        let at = if path.as_os_str().is_empty() {
            rustix::fs::statat(&self.root, "", AtFlags::EMPTY_PATH).map(|stat| (stat, None))
        } else {
            self.parent_of(path).and_then(|(parent, name)| {
                let stat = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
                let link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
                let target = link
                    .then(|| rustix::fs::readlinkat(&parent, name, Vec::new()))
                    .transpose()?;
                Ok((stat, target.map(|target| OsString::from_vec(target.into_bytes()))))
            })
        };
        match at {
            Ok((stat, target)) => Ok(node(&stat, target)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn names(&self, path: &Path) -> io::Result<Vec<OsString>> {
        let directory = self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&directory)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name));
            }
        }
        names.sort();
        Ok(names)
    }

    fn open(&self, path: &Path) -> io::Result<Opened> {
        // Not blocking: what was a file when it was looked at is one still, but it costs nothing to be sure.
        let file = self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK)?;
        Ok(Opened::File(File::from(file)))
    }

    fn digest(&self, path: &Path) -> io::Result<Digest> {
        let mut hasher = Sha256::new();
        io::copy(&mut self.open(path)?, &mut Hashing(&mut hasher))?;
        Ok(Digest::from_raw(hasher.finalize().as_slice()))
    }

    fn attributes(&self, path: &Path) -> io::Result<Attributes> {
        // Attributes of a link or of special files cannot be asked for by descriptor; they carry none that matter.
        let file = match self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW) {
            Ok(file) => file,
            Err(Errno::LOOP | Errno::NXIO | Errno::ACCESS | Errno::NODEV) => return Ok(Attributes::new()),
            Err(error) => return Err(error.into()),
        };
        attributes(&file)
    }
}

/// The extended attributes of an open file, apart from those of the kernel's overlay.
fn attributes(file: &OwnedFd) -> io::Result<Attributes> {
    let mut list = vec![0_u8; 1 << 16];
    let length = match rustix::fs::flistxattr(file.as_fd(), list.as_mut_slice()) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => 0,
        Err(error) => return Err(error.into()),
    };
    list.truncate(length);
    let mut found = Attributes::new();
    for name in list.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        if is_overlay_attribute(name) {
            continue;
        }
        let name = OsStr::from_bytes(name);
        let mut value = vec![0_u8; 1 << 16];
        match rustix::fs::fgetxattr(file.as_fd(), name, value.as_mut_slice()) {
            Ok(length) => {
                value.truncate(length);
                found.insert(name.to_owned(), value);
            }
            // Gone since, or none of the worker's business.
            Err(Errno::NODATA | Errno::PERM | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

/// What a `stat` says. The mark of a removed name is nothing.
fn node(stat: &Stat, target: Option<OsString>) -> Option<Node> {
    if is_whiteout(stat.st_mode, stat.st_rdev) {
        return None;
    }
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => NodeKind::Directory,
        FileType::RegularFile => NodeKind::File(u64::try_from(stat.st_size).unwrap_or(0)),
        FileType::Symlink => NodeKind::Symlink(target.unwrap_or_default()),
        FileType::Fifo => NodeKind::Fifo,
        FileType::CharacterDevice => NodeKind::Device(false, stat.st_rdev),
        FileType::BlockDevice => NodeKind::Device(true, stat.st_rdev),
        FileType::Socket | FileType::Unknown => NodeKind::Socket,
    };
    Some(Node {
        identity: (stat.st_nlink > 1 && matches!(kind, NodeKind::File(_)))
            .then_some((stat.st_dev, stat.st_ino)),
        kind,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        modified: (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(0)),
    })
}

/// A writer that hashes.
pub(crate) struct Hashing<'a>(pub(crate) &'a mut Sha256);

impl io::Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn tree(make: impl FnOnce(&Path)) -> (tempfile::TempDir, DirectoryTree) {
        let directory = tempfile::tempdir().unwrap();
        make(directory.path());
        let tree = DirectoryTree::open_root(directory.path()).unwrap();
        (directory, tree)
    }

    fn resolved(tree: &DirectoryTree, path: &str) -> String {
        let (path, node) = resolve(tree, Path::new(path), true).unwrap();
        format!(
            "{}{}",
            path.display(),
            if node.is_some() { "" } else { " (none)" }
        )
    }

    #[test]
    fn no_path_leads_out_of_the_tree() {
        let (_directory, tree) = tree(|root| {
            std::fs::create_dir_all(root.join("etc")).unwrap();
            std::fs::write(root.join("etc/passwd"), "ours").unwrap();
            symlink("/etc/passwd", root.join("absolute")).unwrap();
            symlink("../../../etc/passwd", root.join("etc/relative")).unwrap();
            symlink("..", root.join("up")).unwrap();
        });
        for path in [
            "absolute",
            "etc/relative",
            "../../etc/passwd",
            "up/up/etc/passwd",
            "/etc/./passwd",
        ] {
            assert_eq!(resolved(&tree, path), "etc/passwd", "{path}");
        }
        assert_eq!(resolved(&tree, "../../nowhere"), "nowhere (none)");
    }

    #[test]
    fn links_that_go_in_circles_are_an_error() {
        let (_directory, tree) = tree(|root| {
            symlink("b", root.join("a")).unwrap();
            symlink("a", root.join("b")).unwrap();
        });
        assert!(resolve(&tree, Path::new("a"), true).is_err());
        assert!(resolve(&tree, Path::new("a"), false).unwrap().1.is_some());
    }

    #[test]
    fn a_link_that_appears_on_a_plain_path_is_refused_by_the_kernel() {
        let (directory, tree) = tree(|root| symlink("/etc", root.join("swapped")).unwrap());
        assert!(directory.path().join("swapped/passwd").exists());
        assert!(tree.open(Path::new("swapped/passwd")).is_err());
        assert!(tree.open(Path::new("../etc/passwd")).is_err());
    }
}
