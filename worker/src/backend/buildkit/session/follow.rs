//! Which files of a context a source needs, where it names paths: what they name, what lies under it, and what links on the
//! way lead to.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::rc::Rc;

use stagewright_core::glob;
use stagewright_core::protocol::ContextEntryKind;

use crate::source::local::ManifestEntry;

/// Links that one path may lead over.
const MOST_LINKS: usize = 255;

/// Parts that a path may have, with those of the links on its way: more than there is room for in what the system follows.
const MOST_PARTS: usize = 2048;

/// Steps that all paths together may take, and names they may be compared with. Patterns over links that lead to patterns have
/// more ways than anybody can go; all of the context is right for any of them.
const MOST_STEPS: u32 = 1_000_000;

/// What of a context's entries is needed; `None` where that is all.
pub(super) fn needed<'e>(
    entries: &'e BTreeMap<String, ManifestEntry>,
    paths: &[String],
) -> Option<Needed<'e>> {
    let mut needed = Needed {
        entries,
        roots: BTreeSet::new(),
        links: BTreeSet::new(),
    };
    let mut steps = MOST_STEPS;
    let followed = paths.iter().try_for_each(|path| needed.follow(path, &mut steps));
    (!paths.is_empty() && followed.is_some()).then_some(needed)
}

/// What is needed of a context.
pub(super) struct Needed<'e> {
    entries: &'e BTreeMap<String, ManifestEntry>,
    /// What the paths lead to.
    roots: BTreeSet<String>,
    /// Links on the way there.
    links: BTreeSet<String>,
}

/// Where a path has led so far.
struct Way<'p> {
    at: String,
    left: Parts<'p>,
    /// Links that it may lead over yet.
    links: usize,
}

/// The parts of a path that are left, the next one first. Ways that part share what is left.
#[derive(Clone, Default)]
struct Parts<'p>(Option<Rc<Part<'p>>>);

struct Part<'p> {
    name: &'p str,
    rest: Parts<'p>,
    /// How many there are, with this one.
    count: usize,
}

impl<'p> Parts<'p> {
    /// These parts behind those of `path`; `None` where that is more than any path has.
    fn behind(self, path: &'p str) -> Option<Self> {
        let parts = path.split('/').filter(|part| !part.is_empty() && *part != ".");
        let mut rest = self;
        for name in parts.rev() {
            let count = rest.0.as_ref().map_or(0, |part| part.count) + 1;
            if count > MOST_PARTS {
                return None;
            }
            rest = Self(Some(Rc::new(Part { name, rest, count })));
        }
        Some(rest)
    }
}

impl<'e> Needed<'e> {
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

    /// Goes all ways that a path leads; `None` where it needs all of the context, or may.
    fn follow(&mut self, path: &str, steps: &mut u32) -> Option<()> {
        let mut ways = vec![Way {
            at: String::new(),
            left: Parts::default().behind(path)?,
            links: MOST_LINKS,
        }];
        while let Some(Way { at, left, links }) = ways.pop() {
            *steps = steps.checked_sub(1)?;
            let Some(part) = left.0 else {
                if at.is_empty() {
                    return None;
                }
                self.roots.insert(at);
                continue;
            };
            let (name, left) = (part.name, part.rest.clone());
            if name == ".." {
                let at = at.rsplit_once('/').map_or("", |(above, _)| above).to_owned();
                ways.push(Way { at, left, links });
            } else if name.contains("**") {
                // What it names may lie at any depth.
                let left = Parts::default();
                ways.push(Way { at, left, links });
            } else if glob::has_wildcards(name) {
                for child in children(self.entries, &at) {
                    *steps = steps.checked_sub(1)?;
                    if glob::matches(name, child) {
                        self.step(&mut ways, joined(&at, child), left.clone(), links)?;
                    }
                }
            } else {
                self.step(&mut ways, joined(&at, name), left, links)?;
            }
        }
        Some(())
    }

    /// Adds where the way leads on from an entry, if anywhere; `None` as above.
    fn step<'p>(&mut self, ways: &mut Vec<Way<'p>>, at: String, left: Parts<'p>, links: usize) -> Option<()>
    where
        'e: 'p,
    {
        let entries = self.entries;
        match entries.get(&at).map(|entry| &entry.kind) {
            Some(ContextEntryKind::Symlink { target }) if links > 0 => {
                let above = at.rsplit_once('/').map_or("", |(above, _)| above);
                let above = if target.starts_with('/') { "" } else { above }.to_owned();
                self.links.insert(at);
                ways.push(Way {
                    at: above,
                    left: left.behind(target)?,
                    links: links - 1,
                });
            }
            Some(_) => ways.push(Way { at, left, links }),
            None => {}
        }
        Some(())
    }
}

/// The names in a directory, whatever lies below them.
fn children<'e>(
    entries: &'e BTreeMap<String, ManifestEntry>,
    directory: &str,
) -> impl Iterator<Item = &'e str> {
    let start = if directory.is_empty() {
        String::new()
    } else {
        format!("{directory}/")
    };
    let mut next = Bound::Included(start.clone());
    std::iter::from_fn(move || {
        loop {
            let (path, _) = entries.range((next.clone(), Bound::Unbounded)).next()?;
            let name = path.strip_prefix(&start)?;
            let Some((name, _)) = name.split_once('/') else {
                next = Bound::Excluded(path.clone());
                return Some(name);
            };
            // A directory comes before what is in it, which is passed over as a whole: 0 follows on the slash.
            next = Bound::Included(format!("{start}{name}0"));
        }
    })
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

    #[test]
    fn a_link_of_more_parts_than_any_path_has_ends_in_all_of_the_context() {
        let long = "d/../".repeat(50_000);
        let entries = context(&[("d", Some("/")), ("l", Some(&long))]);
        assert!(needed(&entries, &["l".to_owned()]).is_none());
        let long = "d/../".repeat(1000);
        let entries = context(&[("d", Some("/")), ("d/one", None), ("l", Some(&long))]);
        let path = "l/d/*".to_owned();
        assert!(needed(&entries, &[path]).unwrap().has("d/one"));
    }

    #[test]
    fn names_in_a_directory_are_told_whatever_lies_below_and_beside_them() {
        let entries = context(&[
            ("a", Some("/")),
            ("a!", None),
            ("a-b", None),
            ("a/b", Some("/")),
            ("a/b/c", None),
            ("a/b/c0", None),
            ("a/b-c", None),
            ("a/c", None),
            ("a0", None),
            ("z", None),
        ]);
        let told = |directory| children(&entries, directory).collect::<Vec<_>>();
        assert_eq!(told(""), ["a", "a!", "a-b", "a0", "z"]);
        assert_eq!(told("a"), ["b", "b-c", "c"]);
        assert_eq!(told("a/b"), ["c", "c0"]);
        assert_eq!(told("z"), [""; 0]);
    }
}
