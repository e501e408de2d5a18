//! A folder as a build context: what is in it, and its content in the store.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use stagewright_core::digest::Digest;
use stagewright_core::ignore::{Ignore, Looked};
use stagewright_core::protocol::{ContextEntry, ContextEntryKind, OfferContext};

use super::Failure;
use crate::content::{ContentError, ContentStore};

/// Takes every file of `folder` that `ignore` lets in into `content`, and lists what is there. What is no file,
/// directory or link (a socket, a device) cannot be in a context and is left out.
pub(super) fn scan(folder: &Path, ignore: &Ignore, content: &ContentStore) -> Result<OfferContext, Failure> {
    let mut scan = Scan {
        ignore,
        content,
        entries: Vec::new(),
    };
    scan.walk(folder, "", None)?;
    Ok(OfferContext {
        name: "context".into(),
        entries: scan.entries,
    })
}

struct Scan<'s> {
    ignore: &'s Ignore,
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
        let offer = scan(folder.path(), &Ignore::default(), &content).unwrap();
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
        let offer = scan(folder.path(), &ignore, &content).unwrap();
        let paths: Vec<_> = offer.entries.iter().map(|entry| entry.path.as_str()).collect();
        assert_eq!(paths, ["a", "a/b", "a/b/c"]);
        assert!(!content.contains(&Digest::of(b"out")));
    }
}
