//! Which files of a context a source needs, where it names paths: what they name, what lies under it, and what links on the
//! way lead to.

use std::collections::{BTreeMap, BTreeSet};

use stagewright_core::glob;
use stagewright_core::protocol::ContextEntryKind;

use crate::source::local::ManifestEntry;

/// Links that one path may lead over.
const MOST_LINKS: usize = 255;

/// Steps that all paths together may take. Patterns over links that lead to patterns have more ways than anybody can go; all
/// of the context is right for any of them.
const MOST_STEPS: u32 = 100_000;

/// What of a context's entries is needed; `None` where that is all.
pub(super) fn needed<'e>(
    entries: &'e BTreeMap<String, ManifestEntry>,
    paths: &[String],
) -> Option<Needed<'e>> {
    let mut needed = Needed {
        entries,
        roots: BTreeSet::new(),
        links: BTreeSet::new(),
        all: false,
        steps: MOST_STEPS,
    };
    for path in paths {
        needed.follow(String::new(), &parts_of(path), MOST_LINKS);
    }
    (!paths.is_empty() && !needed.all).then_some(needed)
}

/// What is needed of a context.
pub(super) struct Needed<'e> {
    entries: &'e BTreeMap<String, ManifestEntry>,
    /// What the paths lead to.
    roots: BTreeSet<String>,
    /// Links on the way there.
    links: BTreeSet<String>,
    all: bool,
    /// That are left.
    steps: u32,
}

impl Needed<'_> {
    /// Whether the entry at `path` is one of them, or a directory above one.
    pub(super) fn has(&self, path: &str) -> bool {
        let under = |above: &str| self.roots.contains(above);
        if under(path) || self.links.contains(path) {
            return true;
        }
        if path
            .match_indices('/')
            .any(|(at, _)| path.get(..at).is_some_and(under))
        {
            return true;
        }
        let inside = format!("{path}/");
        let above = |set: &BTreeSet<String>| {
            let first = set.range(inside.clone()..).next();
            first.is_some_and(|first| first.starts_with(&inside))
        };
        above(&self.roots) || above(&self.links)
    }

    fn follow(&mut self, from: String, parts: &[String], links: usize) {
        if self.all {
            return;
        }
        let Some(left) = self.steps.checked_sub(1) else {
            self.all = true;
            return;
        };
        self.steps = left;
        let Some((part, rest)) = parts.split_first() else {
            if from.is_empty() {
                self.all = true;
            }
            self.roots.insert(from);
            return;
        };
        if part == ".." {
            let above = from.rsplit_once('/').map_or("", |(above, _)| above).to_owned();
            return self.follow(above, rest, links);
        }
        if part.contains("**") {
            // What it names may lie at any depth.
            return self.follow(from, &[], links);
        }
        if glob::has_wildcards(part) {
            for name in self.children(&from) {
                if glob::matches(part, &name) {
                    self.step(joined(&from, &name), rest, links);
                }
            }
            return;
        }
        self.step(joined(&from, part), rest, links);
    }

    fn step(&mut self, at: String, rest: &[String], links: usize) {
        match self.entries.get(&at).map(|entry| &entry.kind) {
            Some(ContextEntryKind::Symlink { target }) if links > 0 => {
                let above = at.rsplit_once('/').map_or("", |(above, _)| above);
                let above = if target.starts_with('/') { "" } else { above }.to_owned();
                let onward = [parts_of(target), rest.to_vec()].concat();
                self.links.insert(at);
                self.follow(above, &onward, links - 1);
            }
            Some(_) => self.follow(at, rest, links),
            None => {}
        }
    }

    fn children(&self, of: &str) -> Vec<String> {
        let start = if of.is_empty() {
            String::new()
        } else {
            format!("{of}/")
        };
        let under = self
            .entries
            .range(start.clone()..)
            .take_while(|(path, _)| path.starts_with(&start));
        let names = under.filter_map(|(path, _)| path.get(start.len()..).filter(|name| !name.contains('/')));
        names.map(str::to_owned).collect()
    }
}

fn parts_of(path: &str) -> Vec<String> {
    let parts = path.split('/').filter(|part| !part.is_empty() && *part != ".");
    parts.map(str::to_owned).collect()
}

fn joined(above: &str, name: &str) -> String {
    if above.is_empty() {
        name.to_owned()
    } else {
        format!("{above}/{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stagewright_core::digest::Digest;

    fn context(entries: &[(&str, Option<&str>)]) -> BTreeMap<String, ManifestEntry> {
        let entry = |(path, target): &(&str, Option<&str>)| {
            let kind = match target {
                Some("/") => ContextEntryKind::Directory,
                Some(target) => ContextEntryKind::Symlink {
                    target: (*target).into(),
                },
                None => ContextEntryKind::File {
                    digest: Digest::of(b""),
                    size: 0,
                },
            };
            ((*path).to_owned(), ManifestEntry { mode: 0o644, kind })
        };
        entries.iter().map(entry).collect()
    }

    #[test]
    fn paths_take_what_is_under_them_above_them_and_behind_links() {
        let entries = context(&[
            ("a", Some("/")),
            ("a-b", None),
            ("a/deep", Some("/")),
            ("a/deep/file", None),
            ("a/other", None),
            ("link", Some("a/deep")),
            ("round", Some("round")),
            ("src", Some("/")),
            ("src/one.c", None),
            ("src/two.h", None),
            ("up", Some("/")),
            ("up/to", Some("../src/two.h")),
        ]);
        for (paths, wanted) in [
            (vec!["a"], vec!["a", "a/deep", "a/deep/file", "a/other"]),
            (vec!["a/deep/file"], vec!["a", "a/deep", "a/deep/file"]),
            (vec!["/link"], vec!["a", "a/deep", "a/deep/file", "link"]),
            (vec!["link/file"], vec!["a", "a/deep", "a/deep/file", "link"]),
            (vec!["src/*.c"], vec!["src", "src/one.c"]),
            (vec!["a/**/file"], vec!["a", "a/deep", "a/deep/file", "a/other"]),
            (vec!["up"], vec!["up", "up/to"]),
            (vec!["up/*"], vec!["src", "src/two.h", "up", "up/to"]),
            (vec!["round", "nowhere"], vec!["round"]),
        ] {
            let paths: Vec<String> = paths.into_iter().map(str::to_owned).collect();
            let needed = needed(&entries, &paths).unwrap();
            let found: Vec<&str> = entries
                .keys()
                .map(String::as_str)
                .filter(|path| needed.has(path))
                .collect();
            assert_eq!(found, wanted, "{paths:?}");
        }
        for all in [
            vec![],
            vec!["/".to_owned()],
            vec!["**/file".to_owned()],
            vec!["a".to_owned(), "a/..".to_owned()],
        ] {
            assert!(needed(&entries, &all).is_none(), "{all:?}");
        }
    }

    #[test]
    fn patterns_over_links_that_lead_to_patterns_end_in_all_of_the_context() {
        let entries = context(&[
            ("a", Some("*")),
            ("b", Some("*")),
            ("one", Some(".")),
            ("two", Some(".")),
        ]);
        for path in ["a", "*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*"] {
            assert!(needed(&entries, &[path.to_owned()]).is_none(), "{path}");
        }
    }
}
