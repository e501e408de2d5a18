//! Files beside the script, as far as the script makes them: what came out of containers, folders, files of its own.

use std::collections::{BTreeMap, BTreeSet};

use super::words::HERE;

/// A path as the script means it, from the folder that the script stands in; `""` is that folder. What lies outside
/// begins with `/` or `..`.
pub(super) fn path(folder: &str, written: &str) -> String {
    let (base, rest) = match written.strip_prefix(HERE) {
        Some(rest) => ("", rest.trim_start_matches('/')),
        None if written.starts_with(['/', '~']) => return clean(written),
        None => (folder, written),
    };
    clean(&format!("{base}/{rest}"))
        .trim_start_matches('/')
        .to_owned()
}

/// The shortest path that means the same. Unlike in a file system, `..` leads out of the first folder.
fn clean(written: &str) -> String {
    let rooted = written.starts_with('/') && !written.starts_with("//") && written.len() > 1;
    let mut parts: Vec<&str> = Vec::new();
    for part in written.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    if rooted { format!("/{joined}") } else { joined }
}

/// `path` seen from `folder`; `None` where it lies outside.
pub(super) fn inside<'p>(folder: &str, path: &'p str) -> Option<&'p str> {
    if folder.is_empty() {
        return (!path.starts_with("..") && !path.starts_with('/')).then_some(path);
    }
    match path.strip_prefix(folder)? {
        "" => Some(""),
        rest => rest.strip_prefix('/'),
    }
}

/// Both parts as one path.
pub(super) fn join(folder: &str, rest: &str) -> String {
    match (folder, rest) {
        ("", rest) => rest.to_owned(),
        (folder, "") => folder.to_owned(),
        (folder, rest) => format!("{}/{rest}", folder.trim_end_matches('/')),
    }
}

/// The last part of a path.
pub(super) fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// What the script has put at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// A folder that it made. `new` where nothing else can be in it.
    Folder { new: bool },
    /// What came out of a container, by index into the handovers.
    Taken(usize),
    /// The same as an archive.
    Archive(usize),
    /// A file that the script writes itself.
    Written,
}

/// What the script has made so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Host {
    entries: BTreeMap<String, Entry>,
    /// What was there before, where that is known; folders end with `/`.
    pub(super) known: Option<BTreeSet<String>>,
    /// Paths that a build took from its context before, so that they are no container's.
    pub(super) context: BTreeSet<String>,
}

impl Host {
    /// Nothing but what lay there before, where that is known.
    pub(super) fn new(known: Option<BTreeSet<String>>) -> Self {
        Self {
            known,
            ..Self::default()
        }
    }

    pub(super) fn get(&self, path: &str) -> Option<&Entry> {
        self.entries.get(path)
    }

    pub(super) fn put(&mut self, path: String, entry: Entry) {
        self.remove(&path);
        self.entries.insert(path, entry);
    }

    /// Puts something over what is at a path, which stays below it.
    pub(super) fn overlay(&mut self, path: String, entry: Entry) {
        self.entries.insert(path, entry);
    }

    /// Makes a folder; what is in one that is there stays.
    pub(super) fn make(&mut self, path: &str, parents: bool) {
        if self.is_folder(path) {
            return;
        }
        let new = !parents || self.known.is_some();
        self.entries.insert(path.to_owned(), Entry::Folder { new });
    }

    /// Takes away what is at a path and below it.
    pub(super) fn remove(&mut self, path: &str) -> Vec<(String, Entry)> {
        let mut gone: Vec<String> = self.below(path).map(|(path, _)| path.to_owned()).collect();
        gone.extend(self.entries.contains_key(path).then(|| path.to_owned()));
        gone.into_iter()
            .filter_map(|path| self.entries.remove_entry(&path))
            .collect()
    }

    /// What is below a path.
    pub(super) fn below<'h>(&'h self, path: &str) -> impl Iterator<Item = (&'h str, &'h Entry)> + use<'h> {
        let folder = if path.is_empty() {
            String::new()
        } else {
            format!("{path}/")
        };
        let top = path.is_empty();
        self.entries
            .range(folder.clone()..)
            .take_while(move |(path, _)| path.starts_with(&folder))
            .filter(move |(path, _)| !top || (!path.is_empty() && inside("", path).is_some()))
            .map(|(path, entry)| (path.as_str(), entry))
    }

    /// The nearest of the folders above a path, or the path itself, that came out of a container, and the way on.
    pub(super) fn taken_above<'p>(&self, path: &'p str) -> Option<(usize, &'p str, String)> {
        let mut end = path.len();
        loop {
            let folder = path.get(..end)?;
            match self.entries.get(folder) {
                Some(Entry::Taken(handover)) => {
                    let rest = path.get(end..).unwrap_or_default().trim_start_matches('/');
                    return Some((*handover, rest, folder.to_owned()));
                }
                Some(Entry::Folder { .. } | Entry::Archive(_) | Entry::Written) | None => {}
            }
            if end == 0 {
                return None;
            }
            end = folder.rfind('/').unwrap_or(0);
        }
    }

    /// Whether there is a folder at a path; where nothing is known of it, there is none.
    pub(super) fn is_folder(&self, path: &str) -> bool {
        let parents_only = path.is_empty() || path.split('/').all(|part| part == "..");
        if parents_only || matches!(path, "/" | "/tmp") {
            return true;
        }
        let listed = |known: &BTreeSet<String>| {
            let folder = format!("{path}/");
            let first = known.range(folder.clone()..).next();
            first.is_some_and(|first| first.starts_with(&folder))
        };
        matches!(self.entries.get(path), Some(Entry::Folder { .. }))
            || self.below(path).next().is_some()
            || self.known.as_ref().is_some_and(listed)
    }

    /// Whether the folder at `path` holds nothing but what the script put there.
    pub(super) fn is_new(&self, path: &str) -> bool {
        let mut end = path.len();
        while end > 0 {
            let Some(folder) = path.get(..end) else {
                return false;
            };
            if matches!(self.entries.get(folder), Some(Entry::Folder { new: true })) {
                return true;
            }
            end = folder.rfind('/').unwrap_or(0);
        }
        false
    }
}

/// Whether a path fits a pattern, part by part: `*`, `?` and `[…]` as in Dockerfiles.
pub(super) fn fits(pattern: &str, path: &str) -> bool {
    let (patterns, parts) = (pattern.split('/'), path.split('/'));
    patterns.clone().count() == parts.clone().count()
        && patterns.zip(parts).all(|(pattern, part)| {
            let pattern: Vec<char> = pattern.chars().collect();
            let part: Vec<char> = part.chars().collect();
            part_fits(&pattern, &part)
        })
}

fn part_fits(pattern: &[char], part: &[char]) -> bool {
    let (mut at, mut from) = (0, 0);
    // Where the last star stands, and how much it has taken.
    let mut star: Option<(usize, usize)> = None;
    while from < part.len() {
        let letter = part.get(from).copied().unwrap_or_default();
        let step = match pattern.get(at) {
            Some('*') => {
                star = Some((at, from));
                at += 1;
                continue;
            }
            Some('?') => Some(1),
            Some('[') => class(pattern.get(at..).unwrap_or_default(), letter),
            Some('\\') => (pattern.get(at + 1) == Some(&letter)).then_some(2),
            Some(plain) => (*plain == letter).then_some(1),
            None => None,
        };
        match (step, star) {
            (Some(step), _) => {
                at += step;
                from += 1;
            }
            (None, Some((place, taken))) => {
                star = Some((place, taken + 1));
                (at, from) = (place + 1, taken + 1);
            }
            (None, None) => return false,
        }
    }
    pattern
        .get(at..)
        .unwrap_or_default()
        .iter()
        .all(|letter| *letter == '*')
}

/// How long a class is that holds `letter`.
fn class(pattern: &[char], letter: char) -> Option<usize> {
    let close = pattern.iter().skip(2).position(|letter| *letter == ']')? + 2;
    let inner = pattern.get(1..close)?;
    let (not, inner) = match inner.split_first() {
        Some(('^', rest)) => (true, rest),
        _ => (false, inner),
    };
    let mut held = false;
    let mut at = 0;
    while let Some(first) = inner.get(at) {
        if let (Some('-'), Some(last)) = (inner.get(at + 1), inner.get(at + 2)) {
            held |= (*first..=*last).contains(&letter);
            at += 3;
        } else {
            held |= *first == letter;
            at += 1;
        }
    }
    (held != not).then_some(close + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_seen_from_the_scripts_folder() {
        assert_eq!(path("", "./a/../b/"), "b");
        assert_eq!(path("sub", "../x"), "x");
        assert_eq!(path("", "../x"), "../x");
        assert_eq!(path("sub", &format!("{HERE}/x")), "x");
        assert_eq!(path("sub", "/tmp/x"), "/tmp/x");
        assert_eq!(inside("a", "a/b"), Some("b"));
        assert_eq!(inside("a", "ab"), None);
        assert_eq!(inside("", "../x"), None);
    }

    #[test]
    fn patterns_fit_part_by_part() {
        for (pattern, path, fitting) in [
            ("*.jar", "a.jar", true),
            ("*.jar", "x/a.jar", false),
            ("a?c/[b-d]*", "abc/dx", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("[^a]", "a", false),
            ("\\*", "*", true),
            ("[", "[", false),
        ] {
            assert_eq!(fits(pattern, path), fitting, "{pattern} {path}");
        }
    }

    #[test]
    fn folders_are_known_by_what_is_in_them() {
        let mut host = Host::default();
        assert!(host.is_folder("") && !host.is_folder("dist"));
        host.put("dist/app".into(), Entry::Taken(0));
        assert!(host.is_folder("dist"));
        assert_eq!(host.taken_above("dist/app/x"), Some((0, "x", "dist/app".into())));
        assert_eq!(host.remove("dist").len(), 1);
        assert!(!host.is_folder("dist"));
    }
}
