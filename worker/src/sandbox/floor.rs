//! Mount points for images that lack them.
//!
//! `/proc` must be mounted somewhere, but making it in the step's layer would leave it in the image, and taking it away
//! afterwards would still leave its parent's changed time. So the places are in a directory of the worker's that lies below
//! all layers: where the image has the place, the image's shows; where it has none, this one does.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use stagewright_core::digest::Digest;

use crate::snapshot::{Confined, Created, DirAttributes};

/// The directory with the places in `targets` (path, and whether it is a directory), made below `parent` unless it is there.
pub(super) fn floor(parent: &Path, targets: &[(&Path, bool)]) -> io::Result<PathBuf> {
    let mut places = BTreeMap::new();
    for (target, is_dir) in targets {
        if let Some(place) = plain(target) {
            places.insert(place, *is_dir);
        }
    }
    let mut named = Vec::new();
    for (place, is_dir) in &places {
        named.push(if *is_dir { b'd' } else { b'f' });
        named.extend_from_slice(place.as_os_str().as_bytes());
        named.push(0);
    }
    let digest = Digest::of(&named);
    let floor = parent.join(digest.hex().get(..32).unwrap_or_default());
    if floor.is_dir() {
        return Ok(floor);
    }
    publish(parent, &floor, |fresh| {
        fs::create_dir(fresh)?;
        fs::set_permissions(fresh, fs::Permissions::from_mode(0o755))?;
        for (place, is_dir) in &places {
            let (dir, file) = if *is_dir {
                (Some(place.as_path()), None)
            } else {
                (place.parent(), Some(place))
            };
            make_dirs(fresh, dir.unwrap_or(Path::new("")))?;
            if let Some(file) = file {
                let path = fresh.join(file);
                fs::write(&path, "")?;
                fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
            }
        }
        Ok(())
    })?;
    Ok(floor)
}

/// The places in `targets`, made in a copy of the layers itself: nothing lies below that. What was made is to be undone once
/// the step has ended. A place that cannot be made is missed when something is mounted on it.
pub(super) fn in_copy(copy: &Confined, targets: &[(&Path, bool)]) -> Vec<Created> {
    let mut made = Vec::new();
    for (target, is_dir) in targets {
        let Some(place) = plain(target) else { continue };
        let result = if *is_dir {
            copy.make_dirs(&place, DirAttributes::ROOT).map(|(_, made)| made)
        } else {
            copy.make_file(&place)
        };
        match result {
            Ok(more) => made.extend(more),
            Err(error) => tracing::debug!(%error, place = %place.display(), "a mount point cannot be made"),
        }
    }
    made
}

/// A file with this content below `parent`, shared by all steps that need the same.
pub(super) fn file(parent: &Path, content: &str) -> io::Result<PathBuf> {
    let digest = Digest::of(content.as_bytes());
    let file = parent.join(digest.hex().get(..32).unwrap_or_default());
    if !file.is_file() {
        publish(parent, &file, |fresh| {
            fs::write(fresh, content)?;
            fs::set_permissions(fresh, fs::Permissions::from_mode(0o644))
        })?;
    }
    Ok(file)
}

/// Makes something under a name of its own and then gives it its real one, so that nobody sees it half made.
fn publish(parent: &Path, path: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let fresh = parent.join(format!(
        "new-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    ));
    // Never over one that is there: a step may have opened it for mounting, and a file that has lost its name cannot
    // be mounted.
    let keep = rustix::fs::RenameFlags::NOREPLACE;
    let result = make(&fresh).and_then(|()| {
        Ok(rustix::fs::renameat_with(
            rustix::fs::CWD,
            &fresh,
            rustix::fs::CWD,
            path,
            keep,
        )?)
    });
    if result.is_err() {
        let _ = fs::remove_dir_all(&fresh).or_else(|_| fs::remove_file(&fresh));
        // Another step made the same at the same time.
        if path.exists() {
            return Ok(());
        }
    }
    result
}

/// Directories whose mode does not depend on the worker's umask.
fn make_dirs(root: &Path, dir: &Path) -> io::Result<()> {
    let mut path = root.to_owned();
    for part in dir.components() {
        path.push(part);
        match fs::create_dir(&path) {
            Ok(()) => fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The path below the root, without `.`; `None` for the root itself and for one with `..`, whose meaning depends on links.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut place = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => place.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    (!place.as_os_str().is_empty()).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_has_the_places_and_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let targets = [
            (Path::new("/etc/hosts"), false),
            (Path::new("proc"), true),
            (Path::new("/../x"), true),
            (Path::new("/"), true),
        ];
        let made = floor(dir.path(), &targets).unwrap();
        assert!(made.join("etc/hosts").is_file());
        assert!(made.join("proc").is_dir());
        assert_eq!(fs::read_dir(&made).unwrap().count(), 2);
        assert_eq!(floor(dir.path(), &targets).unwrap(), made);
        assert_ne!(floor(dir.path(), &targets[1..]).unwrap(), made);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_place_inside_of_another_is_made_too() {
        let dir = tempfile::tempdir().unwrap();
        let made = floor(
            dir.path(),
            &[(Path::new("/a/b/c"), true), (Path::new("/a"), true)],
        )
        .unwrap();
        assert!(made.join("a/b/c").is_dir());
    }
}
