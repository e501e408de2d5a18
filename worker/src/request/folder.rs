//! A folder as a build context: what is in it, and its content in the store.

pub(crate) mod seen;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, fstat, openat, readlinkat, statat};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};
use stagewright_core::digest::Digest;
use stagewright_core::glob;
use stagewright_core::ignore::{Ignore, Looked};
use stagewright_core::protocol::{ContextEntry, ContextEntryKind, OfferContext};

use self::seen::Seen;
use super::obstacle::Obstacle;
use crate::content::{ContentError, ContentStore};
use crate::snapshot::Confined;

/// Lists what is in `folder` and `ignore` lets in, and takes every file into `content`, where there is one; of the names at the top
/// only those that are `wanted`. What is no file, directory or link (a socket, a device) cannot be in a context and is
/// left out. The content of a file that is known from `seen` is not looked for: it was taken when it was seen.
pub(crate) fn scan(
    folder: &Path,
    ignore: &Ignore,
    wanted: &Wanted,
    seen: &mut Seen,
    content: Option<&ContentStore>,
) -> Result<OfferContext, Obstacle> {
    let root = Confined::open(folder).map_err(|error| cannot(folder, &error))?;
    let mut scan = Scan {
        folder,
        root: &root,
        ignore,
        wanted,
        seen,
        content,
        entries: Vec::new(),
    };
    scan.walk()?;
    Ok(OfferContext {
        name: "context".into(),
        entries: scan.entries,
    })
}

fn cannot(path: &Path, error: &dyn std::fmt::Display) -> Obstacle {
    Obstacle::usage(format!(
        "cannot read {} of the build context: {error}",
        path.display()
    ))
}

/// The names at the top of a context that a build reads. What it does not read is not kept: it may be large, and it
/// may be secret.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Wanted {
    #[default]
    All,
    Names(BTreeSet<OsString>),
}

impl Wanted {
    /// Those that `paths` of steps lie in. All, where a path leads through a link, which may lead anywhere, and where
    /// there is nothing at one, so that its error can say what there is.
    pub(crate) fn of(folder: &Path, paths: &[String]) -> Self {
        let mut names = BTreeSet::new();
        for path in paths {
            let parts: Vec<&str> = glob::parts(path).collect();
            // Both mean any number of folders, up or down.
            let wanders = parts.iter().any(|part| *part == ".." || part.contains("**"));
            if parts.is_empty() || wanders || Self::find(folder, &parts, &mut names, true) != Some(true) {
                return Self::All;
            }
        }
        Self::Names(names)
    }

    /// Whether there is anything at the path of these parts; `None` where a link is in the way.
    fn find(folder: &Path, parts: &[&str], names: &mut BTreeSet<OsString>, top: bool) -> Option<bool> {
        let Some((part, rest)) = parts.split_first() else {
            return Some(true);
        };
        let mut found = false;
        for entry in fs::read_dir(folder).ok()? {
            let entry = entry.ok()?;
            let name = entry.file_name();
            // A pattern with a backslash is compared as one too; whatever it means otherwise is not found here.
            if !(*part == name || glob::matches(part, &name.to_string_lossy())) {
                continue;
            }
            let kind = entry.file_type().ok()?;
            if kind.is_symlink() {
                return None;
            }
            let there = if rest.is_empty() || !kind.is_dir() {
                rest.is_empty()
            } else {
                Self::find(&entry.path(), rest, names, false)?
            };
            if there && top {
                names.insert(name);
            }
            found |= there;
        }
        Some(found)
    }

    fn takes(&self, name: &OsStr) -> bool {
        match self {
            Self::All => true,
            Self::Names(names) => names.contains(name),
        }
    }
}

struct Scan<'s> {
    folder: &'s Path,
    /// The same, from where everything is read: whoever else may write to the context may put a link in the place of a
    /// file or folder at any moment, and it must not lead anywhere.
    root: &'s Confined,
    ignore: &'s Ignore,
    wanted: &'s Wanted,
    seen: &'s mut Seen,
    content: Option<&'s ContentStore>,
    entries: Vec<ContextEntry>,
}

/// A folder that is being walked.
struct Level {
    /// Its path in the context.
    under: PathBuf,
    /// Names in it that were not looked at yet.
    names: std::vec::IntoIter<OsString>,
    /// What the patterns say of it; `None` for the context itself.
    looked: Option<Looked>,
    /// How many entries there were with its own.
    before: usize,
    /// Open while its names are looked at, and not while what is below it is walked: a context may be deeper than files
    /// may be open.
    directory: Option<OwnedFd>,
}

impl Scan<'_> {
    /// Lists everything. Not recursive: how deep a context is decides whoever made it.
    fn walk(&mut self) -> Result<(), Obstacle> {
        let mut levels = vec![self.enter(PathBuf::new(), None)?];
        while let Some(level) = levels.last_mut() {
            if let Some(name) = level.names.next() {
                if let Some((under, looked)) = self.look(level, &name)? {
                    level.directory = None;
                    let below = self.enter(under, Some(looked))?;
                    levels.push(below);
                }
                continue;
            }
            let enters = level.looked.as_ref().is_none_or(|looked| looked.verdict.enters);
            // A folder that is kept out comes along for the sake of what is in it, or not at all.
            if !enters && self.entries.len() == level.before {
                self.entries.pop();
            }
            levels.pop();
        }
        Ok(())
    }

    fn open(&self, under: &Path) -> Result<OwnedFd, Obstacle> {
        let top = under.as_os_str().is_empty();
        let path = if top { Path::new(".") } else { under };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let opened = self.root.open_at(path, flags, Mode::empty());
        opened.map_err(|error| cannot(&self.folder.join(under), &error))
    }

    /// Begins with a folder.
    fn enter(&self, under: PathBuf, looked: Option<Looked>) -> Result<Level, Obstacle> {
        let failed = |error: Errno| cannot(&self.folder.join(&under), &io::Error::from(error));
        let directory = self.open(&under)?;
        let mut names = Vec::new();
        // Nothing in it is looked at where all of it is left out.
        if looked.as_ref().is_none_or(|looked| !looked.is_closed()) {
            for entry in Dir::read_from(&directory).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let name = entry.file_name().to_bytes();
                if name != b"." && name != b".." {
                    names.push(OsStr::from_bytes(name).to_owned());
                }
            }
        }
        if under.as_os_str().is_empty() {
            names.retain(|name| self.wanted.takes(name));
        }
        names.sort();
        Ok(Level {
            under,
            names: names.into_iter(),
            looked,
            before: self.entries.len(),
            directory: Some(directory),
        })
    }

    /// Looks at one name in a folder. Gives its path in the context, where it is a folder.
    fn look(&mut self, level: &mut Level, name: &OsStr) -> Result<Option<(PathBuf, Looked)>, Obstacle> {
        let under = level.under.join(name);
        let place = self.folder.join(&under);
        let failed = |error: Errno| cannot(&place, &io::Error::from(error));
        // Patterns are text. Where a path is none, what they say of the most of it counts, so that it can be kept out.
        let path = under.to_string_lossy();
        let directory = match level.directory.take() {
            Some(directory) => directory,
            None => self.open(&level.under)?,
        };
        let directory = level.directory.insert(directory);
        let found = statat(&*directory, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        let file_type = FileType::from_raw_mode(found.st_mode);
        let looked = self.ignore.look(&path, file_type.is_dir(), level.looked.as_ref());
        if looked.verdict.enters && under.to_str().is_none() {
            return Err(
                cannot(&place, &"its name is not UTF-8").hint("rename it, or keep it out with .dockerignore")
            );
        }
        let kind = match file_type {
            FileType::Directory => ContextEntryKind::Directory,
            _ if !looked.verdict.enters => return Ok(None),
            FileType::Symlink => {
                let target = readlinkat(&*directory, name, Vec::new()).map_err(failed)?;
                let Ok(target) = target.into_string() else {
                    return Err(cannot(&place, &"it points to a name that is not UTF-8"));
                };
                ContextEntryKind::Symlink { target }
            }
            FileType::RegularFile => {
                let (digest, size) = match self.seen.content(&path, &found) {
                    Some(digest) => (digest, u64::try_from(found.st_size).unwrap_or_default()),
                    None => self.take(directory, name, &path, &place)?,
                };
                ContextEntryKind::File { digest, size }
            }
            _ => {
                tracing::warn!(
                    "{} is left out of the build context: it is neither a file, a folder nor a link",
                    place.display()
                );
                return Ok(None);
            }
        };
        self.entries.push(ContextEntry {
            path: path.into_owned(),
            mode: found.st_mode & 0o7777,
            kind,
        });
        Ok(file_type.is_dir().then_some((under, looked)))
    }

    /// Takes the content of a file.
    fn take(
        &mut self,
        directory: &OwnedFd,
        name: &OsStr,
        path: &str,
        place: &Path,
    ) -> Result<(Digest, u64), Obstacle> {
        let failed = |error: Errno| cannot(place, &io::Error::from(error));
        // Not blocking: a pipe may have taken its place.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(directory, name, flags, Mode::empty()).map_err(failed)?;
        // Of the file that is read, whatever took the place of the one that was looked at.
        let stat = fstat(&file).map_err(failed)?;
        let taken = take(File::from(file), place, self.content).map_err(|error| match error {
            ContentError::Io { path, source, .. } if path == place => cannot(place, &source),
            // It is not the file that is at fault.
            error => Obstacle::place(format!(
                "cannot keep {} of the build context: {error}",
                place.display()
            )),
        });
        let (digest, size) = taken?;
        self.seen.note(path, &stat, &digest);
        Ok((digest, size))
    }
}

/// Hashes first and copies only what is not there yet: most files of a context do not change between builds.
fn take(mut file: File, path: &Path, content: Option<&ContentStore>) -> Result<(Digest, u64), ContentError> {
    let read = |source| ContentError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    };
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 17];
    let mut size = 0;
    loop {
        let count = file.read(&mut buffer).map_err(read)?;
        if count == 0 {
            break;
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
        size += count as u64;
    }
    let digest = Digest::from_raw(hasher.finalize().as_slice());
    let Some(content) = content.filter(|content| !content.contains_whole(&digest, size)) else {
        return Ok((digest, size));
    };
    // What is copied is hashed again: should the file have changed in between, it is the copy that counts.
    file.rewind().map_err(read)?;
    let mut writer = content.writer()?;
    loop {
        let count = file.read(&mut buffer).map_err(read)?;
        if count == 0 {
            return writer.commit();
        }
        writer.append(buffer.get(..count).unwrap_or_default())?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// All of a folder, as of one that was never looked at.
    fn scanned(folder: &Path, content: &ContentStore) -> Result<OfferContext, Obstacle> {
        scan(
            folder,
            &Ignore::default(),
            &Wanted::All,
            &mut Seen::nothing(),
            Some(content),
        )
    }

    /// Puts one in the place of the other, and that in the place of the first, again and again.
    fn swap(one: &Path, other: &Path, end: &AtomicBool) {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        while !end.load(Ordering::Relaxed) {
            renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
        }
    }

    #[test]
    fn links_that_take_the_place_of_files_and_folders_while_they_are_read_lead_nowhere() {
        let (state, all) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let content = ContentStore::open(state.path()).unwrap();
        let path = |name: &str| all.path().join(name);
        for folder in ["context/folder", "secret"] {
            fs::create_dir_all(path(folder)).unwrap();
        }
        fs::write(path("secret/x"), "outside").unwrap();
        fs::write(path("context/folder/x"), "inside").unwrap();
        fs::write(path("context/file"), "inside").unwrap();
        std::os::unix::fs::symlink(path("secret"), path("link-to-folder")).unwrap();
        std::os::unix::fs::symlink(path("secret/x"), path("link-to-file")).unwrap();
        let end = AtomicBool::new(false);
        let mut went_well = 0;
        std::thread::scope(|scope| {
            scope.spawn(|| swap(&path("context/folder"), &path("link-to-folder"), &end));
            scope.spawn(|| swap(&path("context/file"), &path("link-to-file"), &end));
            for _ in 0..2000 {
                let scanned = scanned(&path("context"), &content);
                went_well += u32::from(scanned.is_ok());
            }
            end.store(true, Ordering::Relaxed);
        });
        assert!(went_well > 0);
        assert!(content.contains(&Digest::of(b"inside")));
        assert!(!content.contains(&Digest::of(b"outside")));
    }

    #[test]
    fn a_context_deeper_than_files_may_be_open_is_read_and_one_deeper_than_paths_refused() {
        let (state, all) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let content = ContentStore::open(state.path()).unwrap();
        let deep = vec!["d"; 1500].join("/");
        fs::create_dir_all(all.path().join(&deep)).unwrap();
        let offer = scanned(all.path(), &content).unwrap();
        assert_eq!(offer.entries.len(), 1500);
        // Made by moving one into the other: no path names the last.
        fs::create_dir(all.path().join("e")).unwrap();
        fs::rename(all.path().join("d"), all.path().join("e/d")).unwrap();
        let below = vec!["f"; 1000].join("/");
        fs::create_dir_all(all.path().join(&below)).unwrap();
        let last = Confined::open(&all.path().join(&below)).unwrap();
        rustix::fs::renameat(rustix::fs::CWD, all.path().join("e"), last.root(), "e").unwrap();
        let refused = scanned(all.path(), &content).unwrap_err();
        assert!(refused.message.contains("too long"), "{}", refused.message);
    }

    #[test]
    fn what_is_no_file_is_left_out_and_not_waited_for() {
        let (state, all) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let content = ContentStore::open(state.path()).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, all.path().join("pipe"), Mode::RWXU).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(all.path().join("socket")).unwrap();
        fs::write(all.path().join("file"), "x").unwrap();
        let offer = scanned(all.path(), &content).unwrap();
        let names: Vec<&str> = offer.entries.iter().map(|entry| entry.path.as_str()).collect();
        assert_eq!(names, ["file"]);
    }

    #[test]
    fn folder_becomes_entries_in_order_and_its_content_is_stored() {
        let folder = tempfile::tempdir().unwrap();
        let state = tempfile::tempdir().unwrap();
        let content = ContentStore::open(state.path()).unwrap();
        fs::create_dir(folder.path().join("b")).unwrap();
        fs::write(folder.path().join("b/c"), "text").unwrap();
        fs::set_permissions(folder.path().join("b/c"), fs::Permissions::from_mode(0o750)).unwrap();
        std::os::unix::fs::symlink("b/c", folder.path().join("a")).unwrap();
        std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
        let offer = scanned(folder.path(), &content).unwrap();
        let paths: Vec<_> = offer.entries.iter().map(|entry| entry.path.as_str()).collect();
        assert_eq!(paths, ["a", "b", "b/c"]);
        assert_eq!(
            offer.entries[0].kind,
            ContextEntryKind::Symlink { target: "b/c".into() }
        );
        assert_eq!(offer.entries[2].mode, 0o750);
        assert!(content.contains(&Digest::of(b"text")));
    }

    #[test]
    fn what_no_step_reads_is_neither_listed_nor_kept() {
        let folder = tempfile::tempdir().unwrap();
        let state = tempfile::tempdir().unwrap();
        let content = ContentStore::open(state.path()).unwrap();
        for path in ["src/a.go", "src/deep/b", "token", "c.txt", "linked/x"] {
            let place = folder.path().join(path);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(place, path).unwrap();
        }
        std::os::unix::fs::symlink("../linked", folder.path().join("src/link")).unwrap();
        let wanted = |paths: &[&str]| {
            let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
            match Wanted::of(folder.path(), &paths) {
                Wanted::All => "all".to_owned(),
                Wanted::Names(names) => names
                    .into_iter()
                    .map(|name| name.into_string().unwrap())
                    .collect::<Vec<_>>()
                    .join(" "),
            }
        };
        assert_eq!(wanted(&["/src", "/*.txt"]), "c.txt src");
        assert_eq!(wanted(&["src/*.go"]), "src");
        assert_eq!(wanted(&["src/deep/b", "linked"]), "linked src");
        for all in [
            "/",
            ".",
            "src/link/x",
            "src/l*",
            "missing",
            "src/missing",
            "../x",
            "src/a.go/x",
            "**/b",
        ] {
            assert_eq!(wanted(&["c.txt", all]), "all", "{all}");
        }
        let names = Wanted::of(folder.path(), &["/src".into()]);
        let offer = scan(
            folder.path(),
            &Ignore::default(),
            &names,
            &mut Seen::nothing(),
            Some(&content),
        )
        .unwrap();
        assert!(offer.entries.iter().all(|entry| entry.path.starts_with("src")));
        assert!(content.contains(&Digest::of(b"src/a.go")));
        assert!(!content.contains(&Digest::of(b"token")));
    }

    #[test]
    fn what_is_ignored_is_neither_listed_nor_read() {
        let folder = tempfile::tempdir().unwrap();
        let state = tempfile::tempdir().unwrap();
        let content = ContentStore::open(state.path()).unwrap();
        for (path, text) in [
            ("a/b/c", "in"),
            ("a/b/d", "out"),
            ("e", "out too"),
            ("f/g", "none"),
        ] {
            let place = folder.path().join(path);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(place, text).unwrap();
        }
        let (ignore, _) = Ignore::parse("*\n!a/b/c\n");
        let offer = scan(
            folder.path(),
            &ignore,
            &Wanted::All,
            &mut Seen::nothing(),
            Some(&content),
        )
        .unwrap();
        let paths: Vec<_> = offer.entries.iter().map(|entry| entry.path.as_str()).collect();
        assert_eq!(paths, ["a", "a/b", "a/b/c"]);
        assert!(!content.contains(&Digest::of(b"out")));
    }
    #[test]
    fn a_name_that_is_no_text_matters_only_where_it_is_let_in() {
        let folder = tempfile::tempdir().unwrap();
        let state = tempfile::tempdir().unwrap();
        let content = ContentStore::open(state.path()).unwrap();
        let odd = |bytes: &[u8]| folder.path().join(OsStr::from_bytes(bytes));
        fs::create_dir(odd(b"dir\xff")).unwrap();
        fs::write(odd(b"dir\xff/inner"), "x").unwrap();
        fs::write(odd(b"bad\xffname"), "x").unwrap();
        fs::write(odd(b"good"), "x").unwrap();
        let listed = |ignore: &str| {
            let (ignore, _) = Ignore::parse(ignore);
            let offer = scan(
                folder.path(),
                &ignore,
                &Wanted::All,
                &mut Seen::nothing(),
                Some(&content),
            );
            offer.map(|offer| {
                let paths = offer.entries.into_iter().map(|entry| entry.path);
                paths.collect::<Vec<_>>().join(" ")
            })
        };
        assert_eq!(listed("*").unwrap(), "");
        assert_eq!(listed("bad*\ndir*").unwrap(), "good");
        assert_eq!(listed("*\n!good").unwrap(), "good");
        for let_in in ["bad*", "dir*", "*\n!*/inner"] {
            let refused = listed(let_in).unwrap_err();
            assert!(
                refused.message.ends_with("its name is not UTF-8"),
                "{let_in}: {refused}"
            );
        }
    }
}
