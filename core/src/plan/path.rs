//! Paths inside an image. They are those of the image's operating system, whatever this runs on.

use std::borrow::Cow;

use crate::diagnostic::Problem;
use crate::path::is_clean;

pub(super) use crate::path::clean;

/// Joins and cleans; empty parts do not count (Go's `path.Join`).
pub(super) fn join(parts: &[&str]) -> String {
    let mut joined = String::with_capacity(parts.iter().map(|part| part.len() + 1).sum());
    for part in parts.iter().filter(|part| !part.is_empty()) {
        let mut part = *part;
        if joined.ends_with('/') {
            part = part.strip_prefix('/').unwrap_or(part);
        } else if !joined.is_empty() {
            joined.push('/');
        }
        joined.push_str(part);
    }
    if joined.is_empty() {
        joined
    } else {
        cleaned(joined)
    }
}

/// The last part (Go's `path.Base`).
pub(super) fn base(path: &str) -> &str {
    if path.is_empty() {
        return ".";
    }
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() {
        "/"
    } else {
        trimmed.rsplit('/').next().unwrap_or(trimmed)
    }
}

/// Forward slashes, where the operating system knows the other ones too.
pub(super) fn to_slash<'p>(path: &'p str, os: &str) -> Cow<'p, str> {
    if os == "windows" {
        Cow::Owned(path.replace('\\', "/"))
    } else {
        Cow::Borrowed(path)
    }
}

/// Whether `path` begins at the root. On Windows a drive letter is not looked at.
pub(crate) fn is_absolute(path: &str, os: &str) -> bool {
    without_drive(path, os, false).is_ok_and(|path| to_slash(&path, os).starts_with('/'))
}

/// `path` as seen from `parent`, absolute and with forward slashes. With `keep_slash` a slash at the end stays.
///
/// An absolute path is not cleaned, except on Windows: `/a/../b` stays as it is.
pub(super) fn normalize(parent: &str, path: &str, os: &str, keep_slash: bool) -> Result<String, Problem> {
    let written = to_slash(path, os);
    let parent = to_slash(parent, os);
    let parent = without_drive(if parent.is_empty() { "/" } else { &parent }, os, keep_slash)?;
    let parent = if is_absolute(&parent, os) {
        parent
    } else {
        Cow::Owned(join(&["/", &parent]))
    };
    let path = if written.is_empty() { &parent } else { &written };
    let path = without_drive(path, os, keep_slash)?;
    let mut path = if is_absolute(&path, os) {
        path.into_owned()
    } else {
        join(&[&parent, &path])
    };
    if keep_slash {
        keep_end(&written, &mut path);
    }
    Ok(match to_slash(&path, os) {
        Cow::Borrowed(_) => path,
        Cow::Owned(slashed) => slashed,
    })
}

/// Gives `path` the `/` or `/.` that `written` has at its end.
fn keep_end(written: &str, path: &mut String) {
    if written.ends_with('/') {
        if !path.ends_with('/') {
            path.push('/');
        }
    } else if written.ends_with("/.") {
        if path != "/" {
            path.push('/');
        }
        path.push('.');
    }
}

/// A path of a file action: absolute and clean. With `keep_slash` a slash at the end stays.
pub(super) fn in_action(parent: &str, written: String, keep_slash: bool) -> String {
    if written.starts_with('/') && is_clean(&written) {
        return written;
    }
    let path = clean(&written);
    // Nothing but the slash at its end was cleaned away.
    if keep_slash && written.strip_suffix('/') == Some(&*path) && path.starts_with('/') && path != "/" {
        return written;
    }
    let mut path = if path.starts_with('/') {
        path.into_owned()
    } else {
        join(&["/", parent, &path])
    };
    if keep_slash {
        keep_end(&written, &mut path);
    }
    path
}

/// [`clean`], of a path that nobody else wants.
pub(super) fn cleaned(mut path: String) -> String {
    match clean(&path) {
        Cow::Owned(cleaned) => cleaned,
        Cow::Borrowed(start) => {
            path.truncate(start.len());
            path
        }
    }
}

/// Windows only: takes `C:` away, which is the only drive that an image has.
pub(super) fn without_drive<'p>(path: &'p str, os: &str, keep_slash: bool) -> Result<Cow<'p, str>, Problem> {
    if os != "windows" {
        return Ok(Cow::Borrowed(path));
    }
    let bad = |message: &str| Problem::new("bad-path", format!("\"{path}\": {message}."));
    if path.len() == 2 && path.ends_with(':') {
        return Err(bad("there is no path behind the drive"));
    }
    let slashed = to_slash(path, os);
    if slashed.starts_with("//") {
        return Err(bad("network shares cannot be used"));
    }
    let rest = match slashed.split_once(':') {
        None => &*slashed,
        Some((drive, rest)) if drive.eq_ignore_ascii_case("c") => rest,
        Some(_) => return Err(bad("an image has the drive C: only")),
    };
    let mut cleaned = clean(rest).into_owned();
    if keep_slash && cleaned.len() > 1 && rest.ends_with('/') {
        cleaned.push('/');
    }
    Ok(Cow::Owned(cleaned))
}

/// Whether a path is a pattern.
pub(super) fn has_wildcards(path: &str) -> bool {
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'*' | b'?' | b'[' => return true,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joining_passes_over_what_is_empty() {
        assert_eq!(join(&["", "a", "../b/"]), "b");
        assert_eq!((base("/a/b/"), base("/"), base("")), ("b", "/", "."));
    }

    #[test]
    fn ends_of_destinations_are_kept() {
        assert_eq!(normalize("/w", "./", "linux", true).unwrap(), "/w/");
        assert_eq!(normalize("/w", "a/.", "linux", true).unwrap(), "/w/a/.");
        assert_eq!(normalize("/w", "/a/../b", "linux", true).unwrap(), "/a/../b");
        assert_eq!(in_action("/", "/a/../b/".into(), true), "/b/");
        assert_eq!(in_action("/", "/.".into(), true), "/.");
        assert_eq!(in_action("/", "/a/".into(), true), "/a/");
        assert_eq!(in_action("/", "//".into(), true), "/");
        assert_eq!(in_action("/", "//a".into(), true), "/a");
        assert_eq!(in_action("/", "/a//b".into(), true), "/a/b");
        assert_eq!(in_action("/", "/a//b/".into(), true), "/a/b/");
    }

    #[test]
    fn windows_knows_one_drive() {
        assert_eq!(normalize("C:\\a", "b\\c", "windows", false).unwrap(), "/a/b/c");
        assert_eq!(normalize("", "c:/x/../y/", "windows", true).unwrap(), "/y/");
        assert!(normalize("", "d:\\x", "windows", false).is_err());
        assert!(normalize("", "\\\\share\\x", "windows", false).is_err());
    }
}
