//! Layers put on top of each other by copying, where the kernel does not mount them.
//!
//! A copy has all that the layers show: kinds, modes, owners, times and attributes. What it was like when it was finished is
//! remembered, so that what a step did to it can be told afterwards ([`seal`](super::seal)).

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, SeekFrom, Timespec, Timestamps, Uid, chmod, chownat, mknodat, seek,
    utimensat,
};
use rustix::io::Errno;

use super::stack::{MAX_DEPTH, lookup, sorted_names};
use super::{SnapshotError, attribute};

/// A copy as it was when it was finished.
pub(super) struct Copied {
    /// What is in its root.
    pub(super) names: Names,
}

/// What becomes of a file that has several names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Links {
    /// It has them in the copy, too.
    Kept,
    /// Each name has a file of its own. That is for copies that are written to: overlay changes a file under the name
    /// alone by which it was written to.
    Parted,
}

/// What a directory of a copy holds.
pub(super) type Names = BTreeMap<OsString, Known>;

/// What is known of a name.
pub(super) enum Known {
    /// A directory.
    Folder {
        identity: Identity,
        changed: Changed,
        names: Names,
    },
    /// Anything else.
    Leaf(Identity, Changed),
}

/// Tells something from another that came to its place: inodes are used again, with another time of birth.
#[derive(PartialEq, Eq)]
pub(super) struct Identity(u64, Option<SystemTime>);

impl Identity {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self(metadata.ino(), metadata.created().ok())
    }
}

/// When something about a file was last changed. No program can put this time back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Changed(i64, i64);

impl Changed {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self(metadata.ctime(), metadata.ctime_nsec())
    }
}

impl Copied {
    /// Copies what `lowers` (the bottom one first) show to the directory `to`, which is not there yet.
    pub(super) fn make(lowers: &[PathBuf], links: Links, to: &Path) -> Result<Self, SnapshotError> {
        fs::create_dir(to).map_err(SnapshotError::io("make the directory", to))?;
        let below: Vec<PathBuf> = lowers.iter().rev().cloned().collect();
        let mut copying = Copying {
            seen: (links == Links::Kept).then(BTreeMap::new),
            depth: 0,
        };
        let names = copying.folder(&below, to)?;
        if let Some(top) = below.first() {
            let metadata = fs::metadata(top).map_err(SnapshotError::io("look at", top))?;
            take_after(to, top, &metadata)?;
        }
        wait_for_the_next_tick(to)?;
        Ok(Self { names })
    }
}

struct Copying {
    /// Where the files with several names are that have been copied, by device and inode in their layer.
    seen: Option<BTreeMap<(u64, u64), PathBuf>>,
    depth: usize,
}

impl Copying {
    /// Copies what the directories `below` (the topmost first) show together to the directory `to`.
    fn folder(&mut self, below: &[PathBuf], to: &Path) -> Result<Names, SnapshotError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(SnapshotError::TooDeep(MAX_DEPTH));
        }
        let mut names = BTreeSet::new();
        for directory in below {
            names.extend(sorted_names(directory)?);
        }
        let mut known = Names::new();
        for name in names {
            let Some(found) = lookup(below, &name)? else {
                continue;
            };
            let to = to.join(&name);
            let one = if found.metadata.is_dir() {
                fs::create_dir(&to).map_err(SnapshotError::io("make the directory", &to))?;
                let names = self.folder(&found.merged, &to)?;
                take_after(&to, &found.path, &found.metadata)?;
                let now = look(&to)?;
                Known::Folder {
                    identity: Identity::of(&now),
                    changed: Changed::of(&now),
                    names,
                }
            } else {
                self.leaf(&found.path, &found.metadata, &to)?;
                let now = look(&to)?;
                Known::Leaf(Identity::of(&now), Changed::of(&now))
            };
            known.insert(name, one);
        }
        self.depth -= 1;
        Ok(known)
    }

    fn leaf(&mut self, from: &Path, metadata: &Metadata, to: &Path) -> Result<(), SnapshotError> {
        if let Some(seen) = &mut self.seen
            && metadata.nlink() > 1
        {
            let origin = (metadata.dev(), metadata.ino());
            if let Some(first) = seen.get(&origin) {
                return fs::hard_link(first, to).map_err(SnapshotError::io("link", to));
            }
            seen.insert(origin, to.to_owned());
        }
        copy_leaf(from, metadata, to)
    }
}

pub(super) fn look(path: &Path) -> Result<Metadata, SnapshotError> {
    fs::symlink_metadata(path).map_err(SnapshotError::io("look at", path))
}

/// Copies one thing that is no directory, with all that belongs to it.
fn copy_leaf(from: &Path, metadata: &Metadata, to: &Path) -> Result<(), SnapshotError> {
    let kind = metadata.file_type();
    let made = if kind.is_symlink() {
        fs::read_link(from).and_then(|target| symlink(target, to))
    } else if kind.is_file() {
        copy_content(from, metadata, to)
    } else {
        let kind = if kind.is_char_device() {
            FileType::CharacterDevice
        } else if kind.is_block_device() {
            FileType::BlockDevice
        } else if kind.is_fifo() {
            FileType::Fifo
        } else {
            FileType::Socket
        };
        mknodat(CWD, to, kind, Mode::RUSR, metadata.rdev()).map_err(io::Error::from)
    };
    made.map_err(SnapshotError::io("copy", from))?;
    take_after(to, from, metadata)
}

/// The kernel shares the blocks of both files where the file system can, and copies by itself where it cannot.
fn copy_content(from: &Path, metadata: &Metadata, to: &Path) -> io::Result<()> {
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits();
    let source = File::options()
        .read(true)
        .custom_flags(flags.cast_signed())
        .open(from)?;
    let mut target = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)?;
    if metadata.blocks() * 512 >= metadata.len() {
        io::copy(&mut &source, &mut target)?;
        return Ok(());
    }
    // It has holes, which may be larger than the disk.
    target.set_len(metadata.len())?;
    let mut at = 0;
    loop {
        let start = match seek(&source, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let end = seek(&source, SeekFrom::Hole(start))?;
        seek(&source, SeekFrom::Start(start))?;
        seek(&target, SeekFrom::Start(start))?;
        io::copy(&mut (&source).take(end - start), &mut target)?;
        at = end;
    }
}

/// Gives `to` the owner, mode, attributes and times of `from`, in that order: changing the owner clears set-id bits and
/// capabilities, and everything else changes times.
pub(super) fn take_after(to: &Path, from: &Path, metadata: &Metadata) -> Result<(), SnapshotError> {
    let take = || -> io::Result<()> {
        if rustix::process::geteuid().is_root() {
            let owner = (Uid::from_raw(metadata.uid()), Gid::from_raw(metadata.gid()));
            chownat(CWD, to, Some(owner.0), Some(owner.1), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        if !metadata.is_symlink() {
            chmod(to, Mode::from_raw_mode(metadata.mode() & 0o7777))?;
        }
        for (name, value) in attribute::read_all(from)? {
            attribute::set(to, &name, &value)?;
        }
        let times = Timestamps {
            last_access: time(metadata.atime(), metadata.atime_nsec()),
            last_modification: time(metadata.mtime(), metadata.mtime_nsec()),
        };
        Ok(utimensat(CWD, to, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    };
    take().map_err(SnapshotError::io("set the attributes of", to))
}

fn time(seconds: i64, nanoseconds: i64) -> Timespec {
    Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    }
}

/// How long the clock of a file system is waited for. Some count whole seconds.
const LONGEST_TICK: Duration = Duration::from_secs(2);

/// Waits until what is changed from now on gets another time than what was changed before.
fn wait_for_the_next_tick(copy: &Path) -> Result<(), SnapshotError> {
    let path = copy.with_extension("tick");
    let failed = SnapshotError::io("write", &path);
    let wait = || -> io::Result<()> {
        let stamp = || -> io::Result<Changed> {
            fs::write(&path, "")?;
            chmod(&path, Mode::RUSR | Mode::WUSR)?;
            Ok(Changed::of(&fs::metadata(&path)?))
        };
        let (first, begun) = (stamp()?, std::time::Instant::now());
        while stamp()? == first && begun.elapsed() < LONGEST_TICK {
            std::thread::sleep(Duration::from_millis(1));
        }
        fs::remove_file(&path)
    };
    wait().map_err(failed)
}
