//! Slash-separated paths as Go cleans them, whatever machine this runs on.

use std::borrow::Cow;

/// The shortest path that means the same (Go's `path.Clean`). Most paths are clean as they are written.
pub(crate) fn clean(path: &str) -> Cow<'_, str> {
    // Only a slash too much at the end is the most usual of what there is to clean.
    let trimmed = path.strip_suffix('/').filter(|path| !path.is_empty());
    let trimmed = trimmed.unwrap_or(path);
    if is_clean(trimmed) {
        return Cow::Borrowed(trimmed);
    }
    let rooted = path.starts_with('/');
    let mut cleaned = String::with_capacity(path.len());
    if rooted {
        cleaned.push('/');
    }
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                let last = cleaned.rsplit('/').next().unwrap_or_default();
                if !last.is_empty() && last != ".." {
                    let kept = cleaned.len() - last.len();
                    cleaned.truncate(kept.saturating_sub(1).max(usize::from(rooted)));
                } else if !rooted {
                    push_part(&mut cleaned, part);
                }
            }
            part => push_part(&mut cleaned, part),
        }
    }
    if cleaned.is_empty() {
        cleaned.push('.');
    }
    Cow::Owned(cleaned)
}

fn push_part(path: &mut String, part: &str) {
    if !path.is_empty() && !path.ends_with('/') {
        path.push('/');
    }
    path.push_str(part);
}

/// Whether cleaning would change nothing. Paths that begin with `..` are looked at more closely.
pub(crate) fn is_clean(path: &str) -> bool {
    // Byte by byte: every path of a plan comes by here, some of them several times.
    let mut dots = 0;
    let mut length = 0;
    for &byte in path.strip_prefix('/').unwrap_or(path).as_bytes() {
        if byte == b'/' {
            if dots == length && length <= 2 {
                return false;
            }
            (dots, length) = (0, 0);
        } else {
            dots += usize::from(byte == b'.');
            length += 1;
        }
    }
    path == "/" || !(dots == length && length <= 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_clean_is_known_without_cleaning() {
        for clean in ["/", "a", "/a/b", "a.b/..c/.../d.", "/.a"] {
            assert!(is_clean(clean), "{clean}");
        }
        for other in [
            "", ".", "..", "/.", "a/", "//", "a//b", "/a/./b", "a/../b", "../a",
        ] {
            assert!(!is_clean(other), "{other}");
        }
    }

    #[test]
    fn cleaning_follows_go() {
        for (path, cleaned) in [
            ("", "."),
            ("/", "/"),
            ("a//b/./c/..", "a/b"),
            ("/../a", "/a"),
            ("../a", "../a"),
            ("a/../..", ".."),
            ("a/../../b", "../b"),
            ("../..", "../.."),
            ("/a/..", "/"),
            ("a/..", "."),
            ("a/b/../../c/", "c"),
            ("/a/../..", "/"),
        ] {
            assert_eq!(clean(path), cleaned, "{path}");
        }
    }
}
