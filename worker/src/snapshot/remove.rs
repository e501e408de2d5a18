//! Removing what strangers made.
//!
//! A step may leave directories as deep as it likes, deeper than any path can name, than a stack can hold frames of, and
//! than files may be open. So nothing here recurses or keeps a directory open for each level: what is inside of a
//! directory is moved up, beside it, and removed there.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, fchmod, fstat, openat, renameat_with, statat,
    unlinkat,
};
use rustix::io::Errno;

/// Removes the directory at `path` and everything in it; a link there is removed itself.
pub(crate) fn remove_all(path: &Path) -> io::Result<()> {
    let name = path.file_name().ok_or(Errno::INVAL)?;
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = openat(CWD, above.unwrap_or(Path::new(".")), flags, Mode::empty())?;
    remove_in(parent.as_fd(), name)
}

/// The same, where it is fine that nothing is there.
pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match remove_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Removes what `name` is in the directory `parent`, never following a link.
pub(crate) fn remove_in(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    let found = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(found.st_mode) != FileType::Directory {
        return Ok(unlinkat(parent, name, AtFlags::empty())?);
    }
    let root = open(parent, name)?;
    let mut moved = 0_u64;
    // Each round takes away the directories right below, and brings those below them up for the next.
    loop {
        let inner = files_away(&root)?;
        if inner.is_empty() {
            break;
        }
        for name in inner {
            match unlinkat(&root, &name, AtFlags::REMOVEDIR) {
                Ok(()) => continue,
                Err(Errno::NOTEMPTY | Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            let directory = open(root.as_fd(), &name)?;
            for below in files_away(&directory)? {
                if unlinkat(&directory, &below, AtFlags::REMOVEDIR).is_err() {
                    move_up(&directory, &below, &root, &mut moved)?;
                }
            }
            unlinkat(&root, &name, AtFlags::REMOVEDIR)?;
        }
    }
    Ok(unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}

fn open(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(parent, name, flags, Mode::empty()) {
        // One that even its owner may not look into.
        Err(Errno::ACCESS) => {
            let directory = openat(parent, name, flags | OFlags::PATH, Mode::empty())?;
            let place = super::confine::descriptor_path(directory.as_fd());
            rustix::fs::chmod(&place, Mode::RWXU)?;
            Ok(openat(parent, name, flags, Mode::empty())?)
        }
        result => Ok(result?),
    }
}

/// Removes what is no directory from one, and gives the names of those that are.
fn files_away(directory: &OwnedFd) -> io::Result<Vec<OsString>> {
    let mut inner = Vec::new();
    // Without the right to write, nothing can be taken out of it; its owner may give it back.
    let mode = Mode::from_raw_mode(fstat(directory)?.st_mode & 0o7777);
    if !mode.contains(Mode::RWXU) {
        fchmod(directory, Mode::RWXU)?;
    }
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        if entry.file_type() == FileType::Directory {
            inner.push(name.to_owned());
            continue;
        }
        match unlinkat(directory, name, AtFlags::empty()) {
            Ok(()) => {}
            // Not every file system says what it lists.
            Err(Errno::ISDIR) => inner.push(name.to_owned()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(inner)
}

/// Moves a directory out of the one it is in.
fn move_up(from: &OwnedFd, name: &OsStr, to: &OwnedFd, moved: &mut u64) -> io::Result<()> {
    loop {
        *moved += 1;
        let new = format!("moved-{moved}");
        match renameat_with(from, name, to, &new, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(()),
            // Whoever made the directory may use such names, too.
            Err(Errno::EXIST) => {}
            // To be moved, a directory has to be writable itself.
            Err(Errno::ACCESS) => {
                files_away(&open(from.as_fd(), name)?)?;
                return Ok(renameat_with(from, name, to, &new, RenameFlags::NOREPLACE)?);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// Makes directories in each other, deeper than a path can name.
    fn deep(root: &Path, levels: usize) {
        let mut at = openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        for level in 0..levels {
            rustix::fs::mkdirat(&at, "d", Mode::RWXU).unwrap();
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            at = openat(&at, "d", flags, Mode::empty()).unwrap();
            if level % 100 == 0 {
                openat(&at, "file", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).unwrap();
            }
        }
    }

    #[test]
    fn what_is_deeper_than_any_stack_or_path_is_removed() {
        let all = tempfile::tempdir().unwrap();
        fs::create_dir(all.path().join("tree")).unwrap();
        deep(&all.path().join("tree"), 30_000);
        // As little stack as a thread may have.
        let path = all.path().join("tree");
        let small = std::thread::Builder::new().stack_size(64 << 10);
        small
            .spawn(move || remove_all(&path).unwrap())
            .unwrap()
            .join()
            .unwrap();
        assert_eq!(fs::read_dir(all.path()).unwrap().count(), 0);
    }

    #[test]
    fn links_are_removed_and_not_followed_and_names_may_be_any() {
        let all = tempfile::tempdir().unwrap();
        let (victim, tree) = (all.path().join("victim"), all.path().join("tree"));
        fs::create_dir_all(&victim).unwrap();
        fs::write(victim.join("file"), "x").unwrap();
        for folder in [
            "a/b/c",
            "moved-1/moved-2/moved-3",
            "moved-3/x/moved-1",
            "a/moved-1/y/z",
        ] {
            fs::create_dir_all(tree.join(folder)).unwrap();
        }
        for link in ["a/link", "a/b/link", "moved-1/moved-2/link"] {
            symlink(&victim, tree.join(link)).unwrap();
        }
        remove_all(&tree).unwrap();
        symlink(&victim, &tree).unwrap();
        remove_all(&tree).unwrap();
        assert!(!tree.exists() && victim.join("file").exists());
        let gone = remove_all(&tree).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
        remove_if_there(&tree).unwrap();
    }

    #[test]
    fn what_may_not_be_written_to_is_removed_by_its_owner() {
        let all = tempfile::tempdir().unwrap();
        let tree = all.path().join("tree");
        fs::create_dir_all(tree.join("a/b/c")).unwrap();
        for path in ["a/b/c", "a/b", "a", ""] {
            fs::set_permissions(
                tree.join(path),
                std::os::unix::fs::PermissionsExt::from_mode(0o000),
            )
            .unwrap();
        }
        remove_all(&tree).unwrap();
        assert!(!tree.exists());
    }
}
