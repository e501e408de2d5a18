//! A folder as a build context: what is in it, and its content in the store.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use stagewright_core::digest::Digest;
use stagewright_core::glob;
use stagewright_core::ignore::{Ignore, Looked};
use stagewright_core::protocol::{ContextEntry, ContextEntryKind, OfferContext};

use super::Failure;
use crate::content::{ContentError, ContentStore};

/// Takes every file of `folder` that `ignore` lets in into `content`, and lists what is there; of the names at the top
/// only those that are `wanted`. What is no file, directory or link (a socket, a device) cannot be in a context and is
/// left out.
pub(super) fn scan(
    folder: &Path,
    ignore: &Ignore,
    wanted: &Wanted,
    content: &ContentStore,
) -> Result<OfferContext, Failure> {
    let mut scan = Scan {
        ignore,
        wanted,
        content,
        entries: Vec::new(),
    };
    scan.walk(folder, "", None)?;
    Ok(OfferContext {
        name: "context".into(),
        entries: scan.entries,
    })
}

/// The names at the top of a context that a build reads. What it does not read is not kept: it may be large, and it
/// may be secret.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Wanted {
    #[default]
    All,
    Names(BTreeSet<OsString>),
}

impl Wanted {
    /// Those that `paths` of steps lie in. All, where a path leads through a link, which may lead anywhere, and where
    /// there is nothing at one, so that its error can say what there is.
    pub(super) fn of(folder: &Path, paths: &[String]) -> Self {
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
    ignore: &'s Ignore,
    wanted: &'s Wanted,
    content: &'s ContentStore,
    entries: Vec<ContextEntry>,
}

impl Scan<'_> {
    /// Lists what is in `folder`, which is known as `under` in the context.
    fn walk(&mut self, folder: &Path, under: &str, looked: Option<&Looked>) -> Result<(), Failure> {
        let cannot = |path: &Path, error: &dyn std::fmt::Display| {
            Failure::new(
                Failure::USAGE,
                format!("cannot read {} of the build context: {error}", path.display()),
            )
        };
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).map_err(|error| cannot(folder, &error))? {
            names.push(entry.map_err(|error| cannot(folder, &error))?.file_name());
        }
        if under.is_empty() {
            names.retain(|name| self.wanted.takes(name));
        }
        names.sort();
        for name in names {
            let place = folder.join(&name);
            let Some(name) = name.to_str() else {
                return Err(cannot(&place, &"its name is not UTF-8"));
            };
            let path = if under.is_empty() {
                name.to_owned()
            } else {
                format!("{under}/{name}")
            };
            let metadata = fs::symlink_metadata(&place).map_err(|error| cannot(&place, &error))?;
            let looked = self.ignore.look(&path, metadata.is_dir(), looked);
            let enters = looked.verdict.enters;
            let mode = metadata.permissions().mode() & 0o7777;
            let kind = if metadata.is_dir() {
                ContextEntryKind::Directory
            } else if !enters {
                continue;
            } else if metadata.is_symlink() {
                let target = fs::read_link(&place).map_err(|error| cannot(&place, &error))?;
                let Some(target) = target.to_str().map(str::to_owned) else {
                    return Err(cannot(&place, &"it points to a name that is not UTF-8"));
                };
                ContextEntryKind::Symlink { target }
            } else if metadata.is_file() {
                let taken = take(&place, self.content).map_err(|error| match error {
                    ContentError::Io { path, source, .. } if path == place => cannot(&place, &source),
                    // It is not the file that is at fault.
                    error => Failure::new(
                        Failure::PLACE,
                        format!("cannot keep {} of the build context: {error}", place.display()),
                    ),
                });
                let (digest, size) = taken?;
                ContextEntryKind::File { digest, size }
            } else {
                tracing::warn!(path = %place.display(), "left out of the build context: it is no file");
                continue;
            };
            let directory = kind == ContextEntryKind::Directory;
            self.entries.push(ContextEntry {
                path: path.clone(),
                mode,
                kind,
            });
            if directory {
                let before = self.entries.len();
                if !looked.is_closed() {
                    self.walk(&place, &path, Some(&looked))?;
                }
                // A folder that is kept out comes along for the sake of what is in it, or not at all.
                if !enters && self.entries.len() == before {
                    self.entries.pop();
                }
            }
        }
        Ok(())
    }
}

/// Hashes first and copies only what is not there yet: most files of a context do not change between builds.
fn take(path: &Path, content: &ContentStore) -> Result<(Digest, u64), ContentError> {
    let read = |source| ContentError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(read)?;
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
    if content.contains_whole(&digest, size) {
        return Ok((digest, size));
    }
    // What is copied is hashed again: should the file have changed in between, it is the copy that counts.
    let mut file = File::open(path).map_err(read)?;
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
        let offer = scan(folder.path(), &Ignore::default(), &Wanted::All, &content).unwrap();
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
        let offer = scan(folder.path(), &Ignore::default(), &names, &content).unwrap();
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
        let offer = scan(folder.path(), &ignore, &Wanted::All, &content).unwrap();
        let paths: Vec<_> = offer.entries.iter().map(|entry| entry.path.as_str()).collect();
        assert_eq!(paths, ["a", "a/b", "a/b/c"]);
        assert!(!content.contains(&Digest::of(b"out")));
    }
}
