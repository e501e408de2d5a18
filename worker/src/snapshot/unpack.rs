//! From an image layer (a tar) to a layer directory.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, chmodat, chownat, futimens, linkat,
    makedev, mkdirat, mknodat, openat, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};
use stagewright_core::digest::Digest;

use super::confine::{Confined, descriptor_path};
use super::remove::remove_in;
use super::tar::{Entry, EntryKind, Most, TarReader};
use super::{SnapshotError, SnapshotId, SnapshotStore, attribute, marks};
use crate::rootless::Ids;

/// What may be said about a layer to be unpacked.
#[derive(Debug, Clone, Default)]
pub struct UnpackOptions<'a> {
    /// The layers it will lie on, the bottom one first. They matter where the archive leaves a directory out that it puts
    /// files into: its mode and owner are then taken from them. Leave it empty for a layer that is shared between images.
    pub parents: &'a [SnapshotId],
    /// The digest that the image config promises; another content is not committed.
    pub expected: Option<Digest>,
    /// The largest archive to accept, in bytes.
    pub max_bytes: Option<u64>,
    /// How many entries and names to accept.
    pub most: Most,
}

/// What was unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// The digest of the uncompressed archive.
    pub diff_id: Digest,
    /// The length of the uncompressed archive.
    pub size: u64,
    /// How many entries it had.
    pub entries: u64,
}

const WHITEOUT: &[u8] = b".wh.";
const WHITEOUT_META: &[u8] = b".wh..wh.";
const WHITEOUT_OPAQUE: &[u8] = b".wh..wh..opq";

impl SnapshotStore {
    /// Unpacks an uncompressed layer archive and commits it under `id`. Nothing in the archive can reach outside of the layer.
    pub fn unpack(
        &self,
        id: &SnapshotId,
        archive: impl Read,
        options: &UnpackOptions<'_>,
    ) -> Result<Unpacked, SnapshotError> {
        let active = self.begin(options.parents)?;
        let upper = active.upper();
        let limit = options.max_bytes.unwrap_or(u64::MAX);
        let mut tar = TarReader::new(Hashing {
            source: archive,
            hasher: Sha256::new(),
            size: 0,
            limit,
        });
        let mut unpacker = Unpacker {
            layer: Confined::open(&upper).map_err(SnapshotError::io("open", &upper))?,
            path: &upper,
            lowers: self.layer_paths(options.parents)?,
            times: BTreeMap::new(),
            left: options.most,
            parent: None,
        };
        let mut entries = 0;
        while let Some(entry) = tar.next_entry().map_err(|error| over(limit, error.into()))? {
            entries += 1;
            unpacker
                .entry(&entry, &mut tar)
                .map_err(|error| over(limit, error))?;
        }
        unpacker.finish()?;
        let hashed = tar
            .drain()
            .map_err(SnapshotError::io("read the archive for", &upper))?;
        let diff_id = Digest::from_raw(hashed.hasher.finalize().as_slice());
        if hashed.size > limit {
            return Err(SnapshotError::TooLarge(limit));
        }
        if let Some(expected) = options.expected.as_ref().filter(|expected| **expected != diff_id) {
            return Err(SnapshotError::DiffIdMismatch {
                expected: expected.clone(),
                found: diff_id,
            });
        }
        active.commit(id)?;
        Ok(Unpacked {
            diff_id,
            size: hashed.size,
            entries,
        })
    }
}

/// The mark of [`Hashing`] for an archive beyond its limit, found again in whatever error it was wrapped in.
#[derive(Debug, thiserror::Error)]
#[error("the archive is too large")]
struct LimitReached;

fn over(limit: u64, error: SnapshotError) -> SnapshotError {
    let source = match &error {
        SnapshotError::Tar(super::tar::TarError::Io(source)) | SnapshotError::Io { source, .. } => {
            source.get_ref()
        }
        _ => None,
    };
    if source.is_some_and(<dyn std::error::Error + Send + Sync + 'static>::is::<LimitReached>) {
        SnapshotError::TooLarge(limit)
    } else {
        error
    }
}

struct Hashing<R> {
    source: R,
    hasher: Sha256,
    size: u64,
    limit: u64,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.source.read(buffer)?;
        self.hasher.update(buffer.get(..length).unwrap_or_default());
        self.size += length as u64;
        if self.size > self.limit {
            return Err(io::Error::other(LimitReached));
        }
        Ok(length)
    }
}

struct Unpacker<'a> {
    layer: Confined,
    path: &'a Path,
    lowers: Vec<PathBuf>,
    /// The times of directories, set last because filling a directory changes them. By the path in the archive.
    times: BTreeMap<PathBuf, Timestamps>,
    /// What may still come.
    left: Most,
    /// The directory that the last entry went into: the next one is mostly in the same. Forgotten when a directory or link is
    /// removed, which may change what the path means.
    parent: Option<(PathBuf, Rc<OwnedFd>)>,
}

impl Unpacker<'_> {
    fn entry(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<(), SnapshotError> {
        self.left.entry()?;
        let path = clean(&entry.name)?;
        let (Some(name), Some(above)) = (path.file_name(), path.parent()) else {
            return self.root(entry);
        };
        let parent = self.parent_of(above, entry)?;
        if name.as_bytes().starts_with(WHITEOUT) {
            Self::whiteout(parent.as_fd(), name, above, entry)
        } else {
            self.place(parent.as_fd(), name, &path, entry, content)
        }
    }

    /// An entry for the layer's own root directory.
    fn root(&mut self, entry: &Entry) -> Result<(), SnapshotError> {
        if entry.kind != EntryKind::Directory {
            return Err(refuse(entry, "it would replace the root directory"));
        }
        let layer = self.path;
        let failed = |error: io::Error| SnapshotError::io("set the attributes of", layer)(error);
        let root = openat(
            self.layer.root(),
            ".",
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(|error| failed(error.into()))?;
        chown(root.as_fd(), "", entry, AtFlags::EMPTY_PATH).map_err(&failed)?;
        rustix::fs::fchmod(&root, Mode::from_raw_mode(entry.mode)).map_err(|error| failed(error.into()))?;
        for (name, value) in &entry.attributes {
            if !attribute::is_overlay(name) {
                attribute::set(&descriptor_path(root.as_fd()).join("."), name, value).map_err(&failed)?;
            }
        }
        Ok(())
    }

    /// The directory `above`, made if need be.
    fn parent_of(&mut self, above: &Path, entry: &Entry) -> Result<Rc<OwnedFd>, SnapshotError> {
        if let Some((path, parent)) = &self.parent
            && path == above
        {
            return Ok(parent.clone());
        }
        let found =
            match self
                .layer
                .open_at(&non_empty(above), OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
            {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let (lowers, times, left) = (&self.lowers, &mut self.times, &mut self.left);
                    self.layer
                        .walk(above, &mut |parent, name, place| {
                            left.path(place.as_os_str().len()).map_err(io::Error::other)?;
                            make_missing(parent, name, place, lowers, times)
                        })
                        .map(|(dir, _)| dir)
                }
                other => other,
            };
        let parent =
            found.map_err(|error| refuse(entry, &format!("its directory cannot be entered ({error})")))?;
        let parent = Rc::new(parent);
        self.parent = Some((above.to_owned(), parent.clone()));
        Ok(parent)
    }

    fn whiteout(
        parent: BorrowedFd<'_>,
        name: &OsStr,
        above: &Path,
        entry: &Entry,
    ) -> Result<(), SnapshotError> {
        let failed = |error: io::Error| SnapshotError::io("mark a removed name in", above)(error);
        let bytes = name.as_bytes();
        if bytes == WHITEOUT_OPAQUE {
            if above.as_os_str().is_empty() {
                return Err(refuse(
                    entry,
                    "a layer that hides everything below it is not supported",
                ));
            }
            return set_opaque(parent, OsStr::new(".")).map_err(&failed);
        }
        if bytes.starts_with(WHITEOUT_META) {
            // Bookkeeping of an older storage driver; it says nothing about the content.
            return Ok(());
        }
        let removed = bytes.strip_prefix(WHITEOUT).unwrap_or_default();
        if matches!(removed, b"" | b"." | b"..") {
            return Err(refuse(entry, "it removes no name"));
        }
        let removed = OsStr::from_bytes(removed);
        match statat(parent, removed, AtFlags::SYMLINK_NOFOLLOW) {
            // This layer has the name itself, so what is removed is only what lies below.
            Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::Directory => {
                set_opaque(parent, removed).map_err(&failed)
            }
            Ok(_) => Ok(()),
            Err(Errno::NOENT) => marks::whiteout(parent, removed).map_err(failed),
            Err(error) => Err(failed(error.into())),
        }
    }

    fn place(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        path: &Path,
        entry: &Entry,
        content: &mut dyn Read,
    ) -> Result<(), SnapshotError> {
        let layer = self.path;
        let failed = |error: io::Error| SnapshotError::io("unpack", layer.join(path))(error);
        let is_dir = entry.kind == EntryKind::Directory;
        // A link onto itself must not remove its target first.
        let target = match &entry.kind {
            EntryKind::HardLink(target) => Some(self.link_target(target, entry)?),
            _ => None,
        };
        let mut hides_lower = false;
        let mut exists = false;
        match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {}
            Err(error) => return Err(failed(error.into())),
            Ok(found) => match FileType::from_raw_mode(found.st_mode) {
                FileType::Directory if is_dir => exists = true,
                FileType::Directory => {
                    self.parent = None;
                    remove_in(parent, name).map_err(&failed)?;
                }
                kind => {
                    hides_lower = marks::is_whiteout(found.st_mode, found.st_rdev);
                    if kind == FileType::Symlink {
                        self.parent = None;
                    }
                    if let Some((dir, base)) = &target
                        && same_file(dir.as_fd(), base, &found)
                    {
                        return Ok(());
                    }
                    unlinkat(parent, name, AtFlags::empty()).map_err(|error| failed(error.into()))?;
                }
            },
        }
        let node = |kind, major, minor| {
            mknodat(
                parent,
                name,
                kind,
                Mode::from_raw_mode(0o600),
                makedev(major, minor),
            )
        };
        match &entry.kind {
            EntryKind::File { .. } => {
                return write_file(parent, name, entry, content).map_err(&failed);
            }
            EntryKind::HardLink(_) => {
                let Some((dir, base)) = target else { return Ok(()) };
                linkat(dir, &base, parent, name, AtFlags::empty())
                    .map_err(|error| refuse(entry, &format!("its target cannot be linked ({error})")))?;
                if is_so_already(parent, name, entry).map_err(&failed)? {
                    return Ok(());
                }
            }
            EntryKind::Directory if exists => {}
            EntryKind::Directory => {
                mkdirat(parent, name, Mode::from_raw_mode(0o700)).map_err(|error| failed(error.into()))?;
                if hides_lower {
                    set_opaque(parent, name).map_err(&failed)?;
                }
            }
            EntryKind::Symlink(target) => {
                symlinkat(OsStr::from_bytes(target), parent, name).map_err(|error| failed(error.into()))?;
            }
            EntryKind::Fifo => node(FileType::Fifo, 0, 0).map_err(|error| failed(error.into()))?,
            EntryKind::CharDevice { major, minor } | EntryKind::BlockDevice { major, minor } => {
                let kind = match entry.kind {
                    EntryKind::BlockDevice { .. } => FileType::BlockDevice,
                    _ => FileType::CharacterDevice,
                };
                match node(kind, *major, *minor) {
                    Ok(()) => {}
                    // Steps could not open it anyway, and the image's own layer still has it.
                    Err(Errno::PERM) if !Ids::here().are_the_machines() => {
                        tracing::debug!(path = %path.display(), "a device is left out: ordinary users make none");
                        return Ok(());
                    }
                    Err(error) => return Err(failed(error.into())),
                }
            }
        }
        set_attributes(parent, name, entry).map_err(&failed)?;
        if is_dir {
            self.left.path(path.as_os_str().len())?;
            self.times.insert(path.to_owned(), times(entry));
        } else {
            utimensat(parent, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|error| failed(error.into()))?;
        }
        Ok(())
    }

    /// The directory and name of what a hard link points at; in the layer, whatever its path says.
    fn link_target(&self, target: &[u8], entry: &Entry) -> Result<(OwnedFd, OsString), SnapshotError> {
        let path = clean(target)?;
        let (Some(name), Some(above)) = (path.file_name(), path.parent()) else {
            return Err(refuse(entry, "it links to the root directory"));
        };
        let parent = self
            .layer
            .open_at(&non_empty(above), OFlags::PATH | OFlags::DIRECTORY, Mode::empty());
        let parent =
            parent.map_err(|error| refuse(entry, &format!("its target is not in this layer ({error})")))?;
        Ok((parent, name.to_owned()))
    }

    fn finish(self) -> Result<(), SnapshotError> {
        for (path, times) in self.times.iter().rev() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            match self.layer.open_at(path, flags, Mode::empty()) {
                Ok(dir) => futimens(&dir, times).map_err(SnapshotError::io("set the times of", path))?,
                // A later entry replaced it.
                Err(error)
                    if matches!(
                        Errno::from_io_error(&error),
                        Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP)
                    ) => {}
                Err(error) => return Err(SnapshotError::io("open", path)(error)),
            }
        }
        Ok(())
    }
}

/// The entry's path below the root: `/` at the front, `.` and empty names are nothing, `..` is refused.
fn clean(name: &[u8]) -> Result<PathBuf, SnapshotError> {
    let mut path = Vec::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                let why = "its name goes up out of its directory".to_owned();
                return Err(SnapshotError::UnsafeEntry {
                    name: String::from_utf8_lossy(name).into_owned(),
                    why,
                });
            }
            part => {
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(part);
            }
        }
    }
    Ok(PathBuf::from(OsString::from_vec(path)))
}

fn refuse(entry: &Entry, why: &str) -> SnapshotError {
    SnapshotError::UnsafeEntry {
        name: String::from_utf8_lossy(&entry.name).into_owned(),
        why: why.to_owned(),
    }
}

fn non_empty(path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() {
        PathBuf::from(".")
    } else {
        path.to_owned()
    }
}

fn times(entry: &Entry) -> Timestamps {
    let time = Timespec {
        tv_sec: entry.mtime,
        tv_nsec: entry.mtime_nanos.into(),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

/// Makes a directory that the archive takes for granted, looking like the one in the layers below.
fn make_missing(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    place: &Path,
    lowers: &[PathBuf],
    times: &mut BTreeMap<PathBuf, Timestamps>,
) -> io::Result<()> {
    mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
    let mut time = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    for lower in lowers.iter().rev() {
        let lower = Confined::open(lower)?;
        let Ok(found) = lower.open_at(
            place,
            OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY,
            Mode::empty(),
        ) else {
            continue;
        };
        let metadata = File::from(found).metadata()?;
        let owner = (
            Some(Uid::from_raw(metadata.uid())),
            Some(Gid::from_raw(metadata.gid())),
        );
        if rustix::process::geteuid().is_root() {
            chownat(parent, name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW)?;
        }
        chmodat(
            parent,
            name,
            Mode::from_raw_mode(metadata.mode() & 0o7777),
            AtFlags::empty(),
        )?;
        time = Timespec {
            tv_sec: metadata.mtime(),
            tv_nsec: metadata.mtime_nsec(),
        };
        break;
    }
    times.insert(
        place.to_owned(),
        Timestamps {
            last_access: time,
            last_modification: time,
        },
    );
    Ok(())
}

fn write_file(parent: BorrowedFd<'_>, name: &OsStr, entry: &Entry, content: &mut dyn Read) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(parent, name, flags, Mode::from_raw_mode(0o600))?);
    io::copy(content, &mut file)?;
    set_attributes(parent, name, entry)?;
    futimens(&file, &times(entry))?;
    Ok(())
}

/// Whether a file that got another name is as the entry of that name says: owner and mode are the file's under all its names,
/// and the last entry's count. To set them anew would take its capabilities away. A link is left as it is: its mode is that
/// of what it leads to, which may be anywhere.
fn is_so_already(parent: BorrowedFd<'_>, name: &OsStr, entry: &Entry) -> io::Result<bool> {
    let there = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let owned =
        !rustix::process::geteuid().is_root() || (there.st_uid, there.st_gid) == (entry.uid, entry.gid);
    let same = owned && there.st_mode & 0o7777 == entry.mode && entry.attributes.is_empty();
    Ok(same || FileType::from_raw_mode(there.st_mode) == FileType::Symlink)
}

/// Owner, mode, attributes, in that order: changing the owner clears set-id bits and capabilities.
fn set_attributes(parent: BorrowedFd<'_>, name: &OsStr, entry: &Entry) -> io::Result<()> {
    chown(parent, name, entry, AtFlags::SYMLINK_NOFOLLOW)?;
    if !matches!(entry.kind, EntryKind::Symlink(_)) {
        chmodat(parent, name, Mode::from_raw_mode(entry.mode), AtFlags::empty())?;
    }
    if !entry.attributes.is_empty() {
        let path = descriptor_path(parent).join(name);
        for (name, value) in &entry.attributes {
            if !attribute::is_overlay(name) {
                attribute::set(&path, name, value)?;
            }
        }
    }
    Ok(())
}

fn chown(parent: BorrowedFd<'_>, name: impl AsRef<OsStr>, entry: &Entry, flags: AtFlags) -> io::Result<()> {
    // Without root, everything belongs to the worker's user.
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let owner = (entry.uid, entry.gid);
    let given = chownat(
        parent,
        name.as_ref(),
        Some(Uid::from_raw(owner.0)),
        Some(Gid::from_raw(owner.1)),
        flags,
    );
    match given {
        // Where there is one user, everything of an image is that user's: images with one owner only are rare.
        Err(Errno::INVAL) if Ids::here().is_one() => Ok(()),
        given => given.map_err(|error| Ids::here().explain(error, owner)),
    }
}

fn same_file(parent: BorrowedFd<'_>, name: &OsStr, other: &rustix::fs::Stat) -> bool {
    statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|found| (found.st_dev, found.st_ino) == (other.st_dev, other.st_ino))
}

fn set_opaque(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    marks::set_opaque(&descriptor_path(parent).join(name))
}
