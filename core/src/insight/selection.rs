//! Which files of a directory a step reads.

use crate::glob::{Glob, has_wildcards, parts};
use crate::ignore::Ignore;
use crate::llb::FileActionCopy;

/// Files that something reads, by their paths.
#[derive(Debug, Clone)]
pub(super) struct Selection {
    /// The parts of the path, one a level; `None` where one of them cannot be read, so that nothing is.
    levels: Option<Vec<Level>>,
    /// What to take of a folder; all where there are none.
    include: Ignore,
    exclude: Ignore,
}

#[derive(Debug, Clone)]
enum Level {
    Name(String),
    Wildcard(Glob),
}

impl Level {
    fn takes(&self, name: &str) -> bool {
        match self {
            Self::Name(own) => own == name,
            Self::Wildcard(glob) => glob.matches(name),
        }
    }
}

/// Whether a path is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reads {
    No,
    /// The path stands for a folder, and something in it may be read.
    Perhaps,
    Yes,
}

impl Selection {
    /// What a copy takes.
    pub(super) fn of(copy: &FileActionCopy) -> Self {
        let level = |part: &str| {
            if copy.allow_wildcard && has_wildcards(part) {
                Glob::new(part).map(Level::Wildcard)
            } else if copy.allow_wildcard {
                Some(Level::Name(unescaped(part)))
            } else {
                Some(Level::Name(part.to_owned()))
            }
        };
        Self {
            levels: parts(&copy.src).map(level).collect(),
            // The step with a pattern that cannot be read fails, whatever it reads.
            include: Ignore::of(&copy.include_patterns).unwrap_or_default(),
            exclude: Ignore::of(&copy.exclude_patterns).unwrap_or_default(),
        }
    }

    /// All that is under a path.
    pub(super) fn under(path: &str) -> Self {
        let levels = parts(path).map(|part| Level::Name(part.to_owned()));
        Self {
            levels: Some(levels.collect()),
            include: Ignore::default(),
            exclude: Ignore::default(),
        }
    }

    /// The path under which everything is read, where it is as simple as that; empty for all files.
    pub(super) fn plain(&self) -> Option<String> {
        let levels = self.levels.as_ref()?;
        if !self.include.is_empty() || !self.exclude.is_empty() {
            return None;
        }
        let names: Option<Vec<&str>> = levels
            .iter()
            .map(|level| match level {
                Level::Name(name) => Some(name.as_str()),
                Level::Wildcard(_) => None,
            })
            .collect();
        Some(names?.join("/"))
    }

    /// Whether `path`, seen from the root, is read. A path that ends in `/`, or that the source lies below, is a folder.
    pub(super) fn reads(&self, path: &str) -> Reads {
        let Some(levels) = &self.levels else {
            return Reads::No;
        };
        let names: Vec<&str> = parts(path).collect();
        let on_the_way = names.iter().zip(levels).all(|(name, level)| level.takes(name));
        if !on_the_way {
            return Reads::No;
        }
        if names.len() < levels.len() {
            return Reads::Perhaps;
        }
        let below = names.get(levels.len()..).unwrap_or_default().join("/");
        // What was named itself is taken, whatever the patterns say; they are about what lies below.
        if !below.is_empty() && self.exclude.names(&below) {
            return Reads::No;
        }
        let included = self.include.is_empty() || below.is_empty() || self.include.names(&below);
        let folder = path.ends_with('/') || names.is_empty();
        match (included, folder) {
            (true, false) => Reads::Yes,
            (_, true) => Reads::Perhaps,
            // A folder may have been meant; only what lies in it can be included.
            (false, false) => Reads::No,
        }
    }
}

fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.extend(characters.next()),
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(src: &str) -> FileActionCopy {
        FileActionCopy {
            src: src.into(),
            allow_wildcard: true,
            ..FileActionCopy::default()
        }
    }

    #[test]
    fn paths_names_and_wildcards_are_compared_level_by_level() {
        for (source, path, expected) in [
            ("/", "a/b", Reads::Yes),
            ("/", "./a", Reads::Yes),
            ("/src", "src/a.go", Reads::Yes),
            ("/src", "src", Reads::Yes),
            ("/src", "srcs/a.go", Reads::No),
            ("/src/a.go", "src", Reads::Perhaps),
            ("/src/a.go", "src/", Reads::Perhaps),
            ("/src", "src/", Reads::Perhaps),
            ("/*.go", "app.go", Reads::Yes),
            ("/*.go", "cmd/app.go", Reads::No),
            ("/*/x", "cmd/x/y", Reads::Yes),
            ("/a\\*", "a*", Reads::Yes),
            ("/[", "[", Reads::No),
        ] {
            assert_eq!(
                Selection::of(&copy(source)).reads(path),
                expected,
                "{source} reads {path}"
            );
        }
        assert_eq!(Selection::under("/a*").reads("ab"), Reads::No);
        assert_eq!(Selection::under("").reads("ab"), Reads::Yes);
    }

    #[test]
    fn what_is_excluded_or_not_included_is_not_read() {
        let mut some = copy("/src");
        some.exclude_patterns = vec!["*.md".into(), "deep".into()];
        for (path, expected) in [
            ("src/a.md", Reads::No),
            ("src/sub/a.md", Reads::Yes),
            ("src/deep/x", Reads::No),
            ("src/x", Reads::Yes),
        ] {
            assert_eq!(Selection::of(&some).reads(path), expected, "{path}");
        }
        let mut named = copy("/a.md");
        named.exclude_patterns = vec!["*.md".into()];
        assert_eq!(Selection::of(&named).reads("a.md"), Reads::Yes);
        let mut parents = copy("/");
        parents.include_patterns = vec!["src/*.go".into()];
        assert_eq!(Selection::of(&parents).reads("src/a.go"), Reads::Yes);
        assert_eq!(Selection::of(&parents).reads("src/a.c"), Reads::No);
        assert_eq!(Selection::of(&parents).reads("src/"), Reads::Perhaps);
    }
}
