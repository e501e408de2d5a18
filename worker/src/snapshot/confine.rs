//! Paths that cannot leave a directory.
//!
//! Everything inside a layer was written by strangers: a link may point at `/etc`, a name may be `..`. So no path of a layer is
//! ever given to the system as text. It is resolved below a directory handle, with that directory as the root that links and
//! `..` see, exactly as a process in the container would see them.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, fstat, futimens, mkdirat,
    openat, openat2, readlinkat, statat, unlinkat,
};
use rustix::io::Errno;

use crate::rootless::Ids;

/// As many links as the kernel follows in one path.
const MAX_LINKS: usize = 40;

/// A directory that paths are resolved below and cannot leave.
pub struct Confined {
    root: OwnedFd,
}

/// Something that [`Confined`] made on the way, and what undoing it must put back.
#[derive(Debug, Clone)]
pub struct Created {
    /// Where it is, links resolved.
    place: PathBuf,
    is_dir: bool,
    /// The times of the directory around it before and after.
    before: Timestamps,
    after: Timestamps,
}

impl Created {
    /// Takes it away again if it is still empty. The directory around it gets the times it had before, or keeps those that
    /// something else has given it since.
    pub fn undo(&self, confined: &Confined) -> io::Result<()> {
        let Some(name) = self.place.file_name() else {
            return Ok(());
        };
        let above = self
            .place
            .parent()
            .filter(|above| !above.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let parent = confined.open_at(above, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
        let now = times(&parent)?;
        let flags = if self.is_dir {
            AtFlags::REMOVEDIR
        } else {
            AtFlags::empty()
        };
        match unlinkat(&parent, name, flags) {
            Ok(()) => {}
            // It has been filled or removed since: it is no longer ours.
            Err(Errno::NOTEMPTY | Errno::NOENT) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let untouched = same_time(now.last_modification, self.after.last_modification);
        Ok(futimens(&parent, if untouched { &self.before } else { &now })?)
    }
}

fn same_time(one: Timespec, other: Timespec) -> bool {
    (one.tv_sec, one.tv_nsec) == (other.tv_sec, other.tv_nsec)
}

/// The mode and owner of directories made on the way.
#[derive(Debug, Clone, Copy)]
pub struct DirAttributes {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl DirAttributes {
    /// Root's, readable by everyone.
    pub const ROOT: Self = Self {
        mode: 0o755,
        uid: 0,
        gid: 0,
    };
}

impl Confined {
    /// Confines paths to the directory at `path`.
    pub fn open(path: &Path) -> io::Result<Self> {
        let root = openat(
            rustix::fs::CWD,
            path,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        Ok(Self { root })
    }

    /// Confines paths to an already opened directory, a mount that is not attached anywhere among them.
    pub fn from_fd(root: OwnedFd) -> Self {
        Self { root }
    }

    /// The directory itself.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Resolves `path`, links and all, with this directory as `/`.
    pub fn open_at(&self, path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        loop {
            match openat2(&self.root, path, flags | OFlags::CLOEXEC, mode, resolve) {
                Ok(fd) => return Ok(fd),
                // The kernel asks for another try when a name changed under it.
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Opens a file for reading. It never blocks on a pipe and never opens a device.
    pub fn read(&self, path: &Path) -> io::Result<File> {
        let found = self.open_at(path, OFlags::PATH, Mode::empty())?;
        if FileType::from_raw_mode(fstat(&found)?.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(File::from(self.open_at(
            path,
            OFlags::RDONLY | OFlags::NONBLOCK,
            Mode::empty(),
        )?))
    }

    /// Makes the directory `path` and what is missing above it. Links are followed, also ones whose target is missing.
    pub fn make_dirs(&self, path: &Path, attributes: DirAttributes) -> io::Result<(OwnedFd, Vec<Created>)> {
        let mut created = Vec::new();
        let (dir, _) = self.walk(path, &mut |parent, name, place| {
            created.push(make_dir(parent, name, place, attributes)?);
            Ok(())
        })?;
        Ok((dir, created))
    }

    /// Makes an empty file at `path` and the directories above it, unless it is there.
    pub fn make_file(&self, path: &Path) -> io::Result<Vec<Created>> {
        let mut links = MAX_LINKS;
        let mut path = path.to_owned();
        loop {
            let Some(name) = path.file_name().map(OsStr::to_owned) else {
                return Err(Errno::ISDIR.into());
            };
            let above = path.parent().unwrap_or(Path::new("")).to_owned();
            let mut created = Vec::new();
            let (parent, parent_place) = self.walk(&above, &mut |parent, name, place| {
                created.push(make_dir(parent, name, place, DirAttributes::ROOT)?);
                Ok(())
            })?;
            match statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => {
                    let before = times(&parent)?;
                    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
                    openat(&parent, &name, flags, Mode::from_raw_mode(0o644))?;
                    let after = times(&parent)?;
                    created.push(Created {
                        place: parent_place.join(name),
                        is_dir: false,
                        before,
                        after,
                    });
                    return Ok(created);
                }
                Err(error) => return Err(error.into()),
                Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::Symlink => {
                    links = links.checked_sub(1).ok_or(Errno::LOOP)?;
                    let target = readlinkat(&parent, &name, Vec::new())?.into_bytes();
                    path = above.join(OsString::from_vec(target));
                }
                Ok(_) => return Ok(created),
            }
        }
    }

    /// Walks to the directory `path` one name at a time; `missing` is told of each name that is not there and must make it.
    /// Gives the directory and where it is, links resolved.
    pub(super) fn walk(
        &self,
        path: &Path,
        missing: &mut dyn FnMut(BorrowedFd<'_>, &OsStr, &Path) -> io::Result<()>,
    ) -> io::Result<(OwnedFd, PathBuf)> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut links = MAX_LINKS;
        let mut remaining: VecDeque<OsString> = names(path);
        // The directories above the current one; the last is the current one. Empty: the root.
        let mut above: Vec<OwnedFd> = Vec::new();
        let mut place = PathBuf::new();
        while let Some(name) = remaining.pop_front() {
            if name == ".." {
                above.pop();
                place.pop();
                continue;
            }
            let current = above.last().map_or(self.root.as_fd(), AsFd::as_fd);
            let found = match statat(current, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(found) => FileType::from_raw_mode(found.st_mode),
                Err(Errno::NOENT) => {
                    missing(current, &name, &place.join(&name))?;
                    FileType::Directory
                }
                Err(error) => return Err(error.into()),
            };
            if found == FileType::Symlink {
                links = links.checked_sub(1).ok_or(Errno::LOOP)?;
                let target = OsString::from_vec(readlinkat(current, &name, Vec::new())?.into_bytes());
                let target = PathBuf::from(target);
                if target.is_absolute() {
                    above.clear();
                    place.clear();
                }
                for name in names(&target).into_iter().rev() {
                    remaining.push_front(name);
                }
                continue;
            }
            let next = openat(current, &name, flags, Mode::empty())?;
            above.push(next);
            place.push(name);
        }
        match above.pop() {
            Some(dir) => Ok((dir, place)),
            None => Ok((self.root.try_clone()?, place)),
        }
    }
}

/// The path by which the system reaches an open file or directory, for calls that have no form with a handle.
pub(crate) fn descriptor_path(fd: BorrowedFd<'_>) -> PathBuf {
    use std::os::fd::AsRawFd;
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// The access and modification times of an open file.
pub(super) fn times(fd: impl AsFd) -> io::Result<Timestamps> {
    let stat = fstat(fd)?;
    // The fields' types differ between architectures.
    #[allow(clippy::unnecessary_cast, clippy::cast_possible_wrap)]
    Ok(Timestamps {
        last_access: Timespec {
            tv_sec: stat.st_atime as i64,
            tv_nsec: stat.st_atime_nsec as _,
        },
        last_modification: Timespec {
            tv_sec: stat.st_mtime as i64,
            tv_nsec: stat.st_mtime_nsec as _,
        },
    })
}

fn make_dir(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    place: &Path,
    attributes: DirAttributes,
) -> io::Result<Created> {
    let before = times(parent)?;
    mkdirat(parent, name, Mode::from_raw_mode(0o700))?;
    if rustix::process::geteuid().is_root() {
        let owner = (attributes.uid, attributes.gid);
        let ids = (Some(Uid::from_raw(owner.0)), Some(Gid::from_raw(owner.1)));
        rustix::fs::chownat(parent, name, ids.0, ids.1, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| Ids::here().explain(error, owner))?;
    }
    rustix::fs::chmodat(
        parent,
        name,
        Mode::from_raw_mode(attributes.mode),
        AtFlags::empty(),
    )?;
    Ok(Created {
        place: place.to_owned(),
        is_dir: true,
        before,
        after: times(parent)?,
    })
}

/// The names in a path, without the root, empty ones and `.`; `..` is kept.
fn names(path: &Path) -> VecDeque<OsString> {
    path.as_os_str()
        .as_bytes()
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
        .map(|name| OsStr::from_bytes(name).to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_and_dots_stay_inside() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("inside");
        fs::create_dir_all(&inside).unwrap();
        fs::write(dir.path().join("secret"), "outside").unwrap();
        symlink("../secret", inside.join("up")).unwrap();
        symlink("/secret", inside.join("absolute")).unwrap();
        let confined = Confined::open(&inside).unwrap();
        for path in ["up", "absolute", "../secret", "/../secret", "a/../../secret"] {
            assert!(confined.read(Path::new(path)).is_err(), "{path}");
        }
        fs::write(inside.join("secret"), "inside").unwrap();
        for path in ["up", "absolute", "../secret"] {
            assert_eq!(
                io::read_to_string(confined.read(Path::new(path)).unwrap()).unwrap(),
                "inside",
                "{path}"
            );
        }
    }

    #[test]
    fn directories_are_made_where_a_dangling_link_points() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("inside");
        fs::create_dir_all(inside.join("var")).unwrap();
        symlink("../../../run/deep", inside.join("var/run")).unwrap();
        let confined = Confined::open(&inside).unwrap();
        let owner = DirAttributes {
            mode: 0o750,
            uid: own_uid(),
            gid: own_gid(),
        };
        let (_, created) = confined.make_dirs(Path::new("/var/run/app"), owner).unwrap();
        assert!(inside.join("run/deep/app").is_dir());
        assert!(!dir.path().join("run").exists());
        for made in created.iter().rev() {
            made.undo(&confined).unwrap();
        }
        assert!(!inside.join("run").exists());
        assert!(inside.join("var/run").is_symlink());
    }

    #[test]
    fn link_loops_end() {
        let dir = tempfile::tempdir().unwrap();
        symlink("b", dir.path().join("a")).unwrap();
        symlink("a", dir.path().join("b")).unwrap();
        let confined = Confined::open(dir.path()).unwrap();
        assert!(confined.make_dirs(Path::new("a/x"), DirAttributes::ROOT).is_err());
        assert!(confined.make_file(Path::new("a")).is_err());
    }

    #[test]
    fn undoing_puts_the_times_of_the_parent_back() {
        let dir = tempfile::tempdir().unwrap();
        let etc = dir.path().join("etc");
        fs::create_dir(&etc).unwrap();
        let past = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        File::open(&etc).unwrap().set_modified(past).unwrap();
        let confined = Confined::open(dir.path()).unwrap();
        let created = confined.make_file(Path::new("etc/resolv.conf")).unwrap();
        assert!(etc.join("resolv.conf").is_file());
        created
            .iter()
            .rev()
            .for_each(|made| made.undo(&confined).unwrap());
        assert!(!etc.join("resolv.conf").exists());
        assert_eq!(fs::metadata(&etc).unwrap().modified().unwrap(), past);
    }

    fn own_uid() -> u32 {
        rustix::process::getuid().as_raw()
    }

    fn own_gid() -> u32 {
        rustix::process::getgid().as_raw()
    }
}
