//! Which files a copy takes, and a checksum over them.
//!
//! The same selection is hashed to find a result in the cache and walked to make one, so that what is copied is
//! what the cache key stands for.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use stagewright_core::digest::Digest;
use stagewright_core::llb::FileActionCopy;

use super::tree::{Node, NodeKind, Tree, resolve};
use stagewright_core::glob;
use stagewright_core::ignore::{Ignore, Looked};

/// Which files of a tree something reads.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    /// The path as written, absolute.
    pub(crate) source: String,
    /// Whether a link at the end of the path is followed.
    pub(crate) follow: bool,
    /// Whether `source` may hold wildcards.
    pub(crate) wildcards: bool,
    /// Whether wildcards that match nothing are no error.
    pub(crate) may_be_empty: bool,
    /// What to take of a directory; all where empty.
    pub(crate) include: Vec<String>,
    /// What not to take.
    pub(crate) exclude: Vec<String>,
    /// What has to be there.
    pub(crate) required: Vec<String>,
}

/// One of the things that a selection's path stands for.
#[derive(Debug, Clone)]
pub(crate) struct Selected {
    /// Its plain path in the tree.
    pub(crate) path: PathBuf,
    /// The last part of the path as written or matched, by which a copy is called; empty for the root.
    pub(crate) name: OsString,
    /// What it is.
    pub(crate) node: Node,
}

/// An entry under something selected.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    /// Its path under what was selected; empty for that itself.
    pub(crate) relative: &'a Path,
    /// Its plain path in the tree.
    pub(crate) path: &'a Path,
    /// What it is.
    pub(crate) node: &'a Node,
    /// Whether it is a directory that comes along only for something in it.
    pub(crate) on_the_way: bool,
}

/// Why files could not be selected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SelectError {
    /// There is nothing at that path.
    #[error("{path:?} {hint}")]
    Missing {
        /// As written.
        path: String,
        /// That it is not there, and what is there instead.
        hint: String,
    },
    /// A pattern says nothing that could be compared.
    #[error("the pattern of an --exclude or --parents cannot be read: {0}")]
    Pattern(String),
    /// The files could not be read.
    #[error("{path:?} cannot be read: {source}")]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl SelectError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = Path::new("/").join(path);
        move |source| Self::Io { path, source }
    }
}

impl From<&FileActionCopy> for Selection {
    fn from(copy: &FileActionCopy) -> Self {
        Self {
            source: copy.src.clone(),
            follow: copy.follow_symlink,
            wildcards: copy.allow_wildcard,
            may_be_empty: copy.allow_empty_wildcard,
            include: copy.include_patterns.clone(),
            exclude: copy.exclude_patterns.clone(),
            required: copy.required_paths.clone(),
        }
    }
}

impl Selection {
    /// All of the tree under `path`.
    pub(crate) fn all_under(path: &str) -> Self {
        Self {
            source: path.to_owned(),
            follow: true,
            ..Self::default()
        }
    }

    /// A text that is the same for the same selection, for cache keys.
    pub(crate) fn text(&self) -> String {
        format!("{self:?}")
    }

    /// What the path stands for in `tree`, in bytewise order.
    pub(crate) fn sources(&self, tree: &dyn Tree) -> Result<Vec<Selected>, SelectError> {
        for path in &self.required {
            if resolve(tree, Path::new(path), true)
                .map_err(SelectError::io(Path::new(path)))?
                .1
                .is_none()
            {
                return Err(missing(tree, path));
            }
        }
        if self.wildcards && glob::has_wildcards(&self.source) {
            let matched = self.matched(tree)?;
            if matched.is_empty() && !self.may_be_empty {
                return Err(missing(tree, &self.source));
            }
            return Ok(matched);
        }
        // Where wildcards are allowed, a backslash escapes; where they are not, it is a character like any other.
        let source = if self.wildcards {
            unescaped(&self.source)
        } else {
            self.source.clone()
        };
        let written = Path::new(&source);
        let (path, node) = resolve(tree, written, self.follow).map_err(SelectError::io(written))?;
        match node {
            Some(node) => {
                let name = written.file_name().unwrap_or_default().to_owned();
                Ok(vec![Selected { path, name, node }])
            }
            None => Err(missing(tree, &self.source)),
        }
    }

    /// The paths that match the wildcards. What is under a match is not looked at again.
    fn matched(&self, tree: &dyn Tree) -> Result<Vec<Selected>, SelectError> {
        let parts: Vec<&str> = self
            .source
            .split('/')
            .filter(|part| !part.is_empty() && *part != ".")
            .collect();
        let fixed = parts.iter().take_while(|part| !glob::has_wildcards(part)).count();
        let (above, rest) = parts.split_at(fixed);
        let base = PathBuf::from(unescaped(&above.join("/")));
        let (base, node) = resolve(tree, &base, true).map_err(SelectError::io(&base))?;
        let mut found = Vec::new();
        if node.is_some_and(|node| node.is_directory()) {
            matches_under(tree, &base, rest, &mut found)?;
        }
        if !self.follow {
            return Ok(found);
        }
        // A link that matched stands for what it leads to, under its own name.
        found
            .into_iter()
            .map(|selected| match selected.node.kind {
                NodeKind::Symlink(_) => {
                    let (path, node) =
                        resolve(tree, &selected.path, true).map_err(SelectError::io(&selected.path))?;
                    match node {
                        Some(node) => Ok(Selected {
                            path,
                            name: selected.name,
                            node,
                        }),
                        None => Err(missing(
                            tree,
                            &Path::new("/").join(&selected.path).to_string_lossy(),
                        )),
                    }
                }
                _ => Ok(selected),
            })
            .collect()
    }

    /// Visits what is selected under `selected`, a directory before what is in it.
    pub(crate) fn walk<E: From<SelectError>>(
        &self,
        tree: &dyn Tree,
        selected: &Selected,
        visit: &mut dyn FnMut(Entry<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let filter = Filter {
            include: patterns(&self.include)?,
            exclude: patterns(&self.exclude)?,
        };
        if selected.node.is_directory() {
            return Walk {
                tree,
                filter,
                visit,
                above: Vec::new(),
            }
            .directory(Path::new(""), &selected.path, &selected.node, &Above::default());
        }
        // What the path itself stands for is taken, also where a pattern excludes a file of that name below.
        visit(Entry {
            relative: Path::new(""),
            path: &selected.path,
            node: &selected.node,
            on_the_way: false,
        })
    }

    /// What is selected, each path with a digest over what it is, its mode, owner and content, but no times.
    pub(crate) fn listing(&self, tree: &dyn Tree) -> Result<BTreeMap<String, Digest>, SelectError> {
        let mut listing = BTreeMap::new();
        for selected in self.sources(tree)? {
            self.walk::<SelectError>(tree, &selected, &mut |entry| {
                let top = entry.relative.as_os_str().is_empty();
                let name = Path::new(&selected.name);
                let path = if top {
                    name.to_owned()
                } else {
                    name.join(entry.relative)
                };
                listing.insert(path.to_string_lossy().into_owned(), describe(tree, &entry)?);
                Ok(())
            })?;
        }
        Ok(listing)
    }

    /// A digest over all that is selected: names, kinds, modes, owners, contents and link targets, but no times.
    pub(crate) fn checksum(&self, tree: &dyn Tree) -> Result<Digest, SelectError> {
        let mut hasher = Sha256::new();
        for selected in self.sources(tree)? {
            field(&mut hasher, selected.name.as_bytes());
            self.walk::<SelectError>(tree, &selected, &mut |entry| {
                field(&mut hasher, entry.relative.as_os_str().as_bytes());
                field(&mut hasher, describe(tree, &entry)?.as_str().as_bytes());
                Ok(())
            })?;
        }
        Ok(Digest::from_raw(hasher.finalize().as_slice()))
    }
}

fn missing(tree: &dyn Tree, path: &str) -> SelectError {
    SelectError::Missing {
        path: path.to_owned(),
        hint: dangling(tree, path)
            .unwrap_or_else(|| format!("is not there{}", hint(tree, path).unwrap_or_default())),
    }
}

/// Says so where the path leads through a link that leads to nothing. Links are followed inside the tree only, so that may be
/// a place where there is something on this machine.
fn dangling(tree: &dyn Tree, path: &str) -> Option<String> {
    let wanted = Path::new(path);
    let mut above: Vec<&Path> = wanted.ancestors().collect();
    above.reverse();
    for part in above {
        let (plain, node) = resolve(tree, part, false).ok()?;
        let NodeKind::Symlink(target) = node?.kind else {
            continue;
        };
        if resolve(tree, part, true).ok()?.1.is_some() {
            continue;
        }
        let (last, target) = last_link(tree, plain.clone(), target)?;
        let link = format!("a link to {:?}, which is not in there", target.to_string_lossy());
        let named = |path: &Path| format!("{:?}", Path::new("/").join(path).to_string_lossy());
        return Some(if last != plain {
            format!("leads to {}, {link}", named(&last))
        } else if part == wanted {
            format!("is {link}")
        } else {
            format!("is not there: {} is {link}", named(&plain))
        });
    }
    None
}

/// The last of the links that lead from one to the next, and what it says.
fn last_link(tree: &dyn Tree, mut plain: PathBuf, mut target: OsString) -> Option<(PathBuf, OsString)> {
    // That they end is known: all of them were followed before.
    loop {
        let next = plain.parent().unwrap_or(Path::new("")).join(&target);
        match resolve(tree, &next, false).ok()? {
            (
                next,
                Some(Node {
                    kind: NodeKind::Symlink(further),
                    ..
                }),
            ) => (plain, target) = (next, further),
            _ => return Some((plain, target)),
        }
    }
}

/// Hashes a length and then the bytes, so that no two lists of fields are one text.
pub(crate) fn field(hasher: &mut Sha256, bytes: &[u8]) {
    hasher.update((bytes.len() as u64).to_be_bytes());
    hasher.update(bytes);
}

/// A digest over what an entry is.
fn describe(tree: &dyn Tree, entry: &Entry<'_>) -> Result<Digest, SelectError> {
    let mut hasher = Sha256::new();
    let Node {
        kind, mode, uid, gid, ..
    } = entry.node;
    let head = match kind {
        NodeKind::Directory => "directory".to_owned(),
        NodeKind::File(_) => {
            format!(
                "file {}",
                tree.digest(entry.path).map_err(SelectError::io(entry.path))?
            )
        }
        NodeKind::Symlink(target) => {
            field(&mut hasher, target.as_bytes());
            "link".to_owned()
        }
        NodeKind::Fifo => "fifo".to_owned(),
        NodeKind::Device(block, number) => format!("device {block} {number}"),
        NodeKind::Socket => "socket".to_owned(),
    };
    field(&mut hasher, format!("{head} {mode:o} {uid} {gid}").as_bytes());
    if !matches!(kind, NodeKind::Symlink(_)) {
        for (name, value) in tree.attributes(entry.path).map_err(SelectError::io(entry.path))? {
            field(&mut hasher, name.as_bytes());
            field(&mut hasher, &value);
        }
    }
    Ok(Digest::from_raw(hasher.finalize().as_slice()))
}

fn patterns(patterns: &[String]) -> Result<Ignore, SelectError> {
    Ignore::of(patterns).map_err(SelectError::Pattern)
}

/// What is taken of a directory. Patterns are compared with paths below it, from the top down, as the reference does.
struct Filter {
    /// All where there is none.
    include: Ignore,
    exclude: Ignore,
}

/// What the patterns said of a directory, for what is in it.
#[derive(Default)]
struct Above {
    included: Option<Looked>,
    excluded: Option<Looked>,
    /// Whether the directory itself is left out, unless something in it is taken.
    left_out: bool,
}

impl Filter {
    fn look(&self, path: &str, is_directory: bool, above: &Above) -> Above {
        let included = (!self.include.is_empty())
            .then(|| self.include.look(path, is_directory, above.included.as_ref()));
        let excluded = (!self.exclude.is_empty())
            .then(|| self.exclude.look(path, is_directory, above.excluded.as_ref()));
        let is_named = |looked: &Looked| looked.verdict.ignored;
        let left_out = !included.as_ref().is_none_or(is_named) || excluded.as_ref().is_some_and(is_named);
        Above {
            included,
            excluded,
            left_out,
        }
    }

    /// Whether nothing in a directory that is left out can be taken, so that nobody need look into it.
    fn closes(&self, path: &str, looked: &Above) -> bool {
        let excluded = looked.excluded.as_ref().is_some_and(Looked::is_closed);
        let included = looked
            .included
            .as_ref()
            .is_none_or(|looked| looked.verdict.ignored);
        excluded || (!included && !self.may_include_under(path))
    }

    /// Whether a pattern could name something under a directory; `true` where in doubt.
    fn may_include_under(&self, path: &str) -> bool {
        let named = self.include.rules().iter().filter(|rule| !rule.negated);
        let mut patterns = named.map(|rule| rule.pattern.split('/'));
        patterns.any(|mut parts| {
            for name in path.split('/') {
                match parts.next() {
                    Some(part) if part == name => {}
                    // Only letters that stand for themselves rule a name out.
                    Some(part) => {
                        return !part
                            .bytes()
                            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
                    }
                    None => return true,
                }
            }
            true
        })
    }
}

struct Walk<'a, E> {
    tree: &'a dyn Tree,
    filter: Filter,
    visit: &'a mut dyn FnMut(Entry<'_>) -> Result<(), E>,
    /// Directories that are visited only once something in them is: relative path, path, node.
    above: Vec<(PathBuf, PathBuf, Node)>,
}

impl<E: From<SelectError>> Walk<'_, E> {
    /// A directory and what is in it. `looked` is what the patterns said of it.
    fn directory(&mut self, relative: &Path, path: &Path, node: &Node, looked: &Above) -> Result<(), E> {
        let depth = self.above.len();
        if looked.left_out {
            self.above
                .push((relative.to_owned(), path.to_owned(), node.clone()));
        } else {
            self.flush()?;
            (self.visit)(Entry {
                relative,
                path,
                node,
                on_the_way: false,
            })?;
        }
        for name in self.tree.names(path).map_err(SelectError::io(path))? {
            let (relative, path) = (relative.join(&name), path.join(&name));
            let Some(node) = self.tree.look(&path).map_err(SelectError::io(&path))? else {
                continue;
            };
            let text = relative.to_string_lossy();
            let below = self.filter.look(&text, node.is_directory(), looked);
            if node.is_directory() {
                if !below.left_out || !self.filter.closes(&text, &below) {
                    self.directory(&relative, &path, &node, &below)?;
                }
            } else if !below.left_out {
                self.flush()?;
                (self.visit)(Entry {
                    relative: &relative,
                    path: &path,
                    node: &node,
                    on_the_way: false,
                })?;
            }
        }
        self.above.truncate(depth);
        Ok(())
    }

    /// Visits the directories above what is about to be visited.
    fn flush(&mut self) -> Result<(), E> {
        for (relative, path, node) in std::mem::take(&mut self.above) {
            (self.visit)(Entry {
                relative: &relative,
                path: &path,
                node: &node,
                on_the_way: true,
            })?;
        }
        Ok(())
    }
}

/// Collects what matches `parts` under the directory `base`, one part a level, as no wildcard crosses a `/`.
fn matches_under(
    tree: &dyn Tree,
    base: &Path,
    parts: &[&str],
    found: &mut Vec<Selected>,
) -> Result<(), SelectError> {
    let Some((part, rest)) = parts.split_first() else {
        return Ok(());
    };
    for name in tree.names(base).map_err(SelectError::io(base))? {
        if !glob::matches(part, &name.to_string_lossy()) {
            continue;
        }
        let path = base.join(&name);
        let Some(node) = tree.look(&path).map_err(SelectError::io(&path))? else {
            continue;
        };
        if rest.is_empty() {
            found.push(Selected { path, name, node });
        } else if node.is_directory() {
            matches_under(tree, &path, rest, found)?;
        }
    }
    Ok(())
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

/// What there is in the place of something that is not: names like it, or else what is beside it.
fn hint(tree: &dyn Tree, path: &str) -> Option<String> {
    let wanted = Path::new(path);
    let name = wanted.file_name()?.to_string_lossy().into_owned();
    let above = wanted.parent().unwrap_or(Path::new(""));
    let (plain, node) = resolve(tree, above, true).ok()?;
    if !node.is_some_and(|node| node.is_directory()) {
        let above = above.display();
        return Some(format!(": there is no directory {above}"));
    }
    let names: Vec<String> = tree
        .names(&plain)
        .ok()?
        .iter()
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    let place = if plain.as_os_str().is_empty() {
        String::new()
    } else {
        format!(" in /{}", plain.display())
    };
    if names.is_empty() {
        let place = if place.is_empty() {
            " at the top".to_owned()
        } else {
            place
        };
        return Some(format!(": there is nothing{place}"));
    }
    let mut similar: Vec<(usize, &String)> = names
        .iter()
        .map(|other| (distance(&name, other), other))
        .collect();
    similar.retain(|(distance, other)| *distance <= 2.max(name.len() * 2 / 5) || other.starts_with(&name));
    similar.sort();
    let mut text = String::new();
    if similar.is_empty() {
        let _ = write!(text, ": there is {}{place}", quoted(names.iter().take(5)));
        if names.len() > 5 {
            let _ = write!(text, " and {} more", names.len() - 5);
        }
    } else {
        let alike = quoted(similar.iter().map(|(_, name)| *name).take(3));
        let _ = write!(text, ": there is {alike}{place}; is that what is meant?");
    }
    Some(text)
}

fn quoted<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names
        .map(|name| format!("{name:?}"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// How many characters have to be added, removed or replaced to get from one text to the other, case apart.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.to_lowercase().chars().take(256).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, character) in one.to_lowercase().chars().take(256).enumerate() {
        let mut corner = index;
        let mut left = index + 1;
        let mut next = vec![left];
        for (above, candidate) in row.iter().skip(1).zip(&other) {
            left = (corner + usize::from(character != *candidate))
                .min(left + 1)
                .min(above + 1);
            corner = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::tree::DirectoryTree;
    use super::*;
    use std::fs;

    fn tree() -> (tempfile::TempDir, DirectoryTree) {
        let directory = tempfile::tempdir().unwrap();
        for path in [
            "app.go",
            "go.mod",
            "cmd/main.go",
            "cmd/deep/more.go",
            "docs/a.md",
            "docs/b.txt",
        ] {
            let path = directory.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        let tree = DirectoryTree::open_root(directory.path()).unwrap();
        (directory, tree)
    }

    fn copy(source: &str) -> Selection {
        Selection {
            source: source.into(),
            follow: true,
            wildcards: true,
            ..Selection::default()
        }
    }

    fn names(selection: &Selection, tree: &DirectoryTree) -> Vec<String> {
        selection.listing(tree).unwrap().into_keys().collect()
    }

    #[test]
    fn wildcards_match_level_by_level() {
        let (_directory, tree) = tree();
        assert_eq!(names(&copy("/*.go"), &tree), ["app.go"]);
        assert_eq!(names(&copy("/*/*.go"), &tree), ["main.go"]);
        assert_eq!(
            names(&copy("/cmd"), &tree),
            ["cmd", "cmd/deep", "cmd/deep/more.go", "cmd/main.go"]
        );
    }

    #[test]
    fn included_files_bring_the_directories_above_them_only() {
        let (_directory, tree) = tree();
        let selection = Selection {
            include: vec!["cmd/*.go".into()],
            ..copy("/")
        };
        assert_eq!(names(&selection, &tree), ["", "cmd", "cmd/main.go"]);
    }

    #[test]
    fn what_a_pattern_said_of_a_directory_holds_below_it_and_exceptions_bring_it_back() {
        let (_directory, tree) = tree();
        let listed = |include: &[&str], exclude: &[&str]| {
            let texts = |patterns: &[&str]| patterns.iter().map(ToString::to_string).collect();
            let selection = Selection {
                include: texts(include),
                exclude: texts(exclude),
                ..copy("/")
            };
            names(&selection, &tree).join(" ")
        };
        // A directory that is left out is there again for what is kept in it, and only then.
        assert_eq!(
            listed(&[], &["cmd", "!cmd/deep/more.go", "docs"]),
            " app.go cmd cmd/deep cmd/deep/more.go go.mod"
        );
        assert_eq!(listed(&[], &["cmd", "!cmd/none", "docs"]), " app.go go.mod");
        // Nothing had left docs out when it was to be let in, so it lets nothing in.
        assert_eq!(listed(&[], &["docs/*", "!docs", "cmd"]), " app.go docs go.mod");
        assert_eq!(listed(&["**/*.go"], &["cmd/deep"]), " app.go cmd cmd/main.go");
        assert_eq!(listed(&["nothing/*"], &[]), "");
        // A slash in front is part of a pattern here, and no path has one.
        assert_eq!(
            listed(&[], &["/docs", "cmd"]),
            " app.go docs docs/a.md docs/b.txt go.mod"
        );
        let broken = Selection {
            exclude: vec!["[".into()],
            ..copy("/")
        };
        assert!(matches!(broken.checksum(&tree), Err(SelectError::Pattern(_))));
    }

    #[test]
    fn excluded_files_are_left_out_but_for_those_that_the_path_itself_names() {
        let (_directory, tree) = tree();
        let selection = Selection {
            exclude: vec!["*.md".into()],
            ..copy("/docs")
        };
        assert_eq!(names(&selection, &tree), ["docs", "docs/b.txt"]);
        let selection = Selection {
            exclude: vec!["*.mod".into()],
            ..copy("/*o*")
        };
        assert!(names(&selection, &tree).contains(&"go.mod".to_owned()));
    }

    #[test]
    fn a_missing_source_names_what_is_like_it() {
        let (_directory, tree) = tree();
        for (path, expected) in [
            (
                "/app",
                "\"/app\" is not there: there is \"app.go\"; is that what is meant?",
            ),
            (
                "/cmd/mian.go",
                "\"/cmd/mian.go\" is not there: there is \"main.go\" in /cmd; is that what is meant?",
            ),
            (
                "/nowhere/x",
                "\"/nowhere/x\" is not there: there is no directory /nowhere",
            ),
            (
                "/cmd/zzzzzzzz",
                "\"/cmd/zzzzzzzz\" is not there: there is \"deep\", \"main.go\" in /cmd",
            ),
        ] {
            assert_eq!(copy(path).sources(&tree).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn a_link_that_leads_to_nothing_is_named_with_what_it_says() {
        use std::os::unix::fs::symlink;
        let (directory, tree) = tree();
        for (target, link) in [
            ("/etc/passwd", "abs"),
            ("gone.txt", "docs/rel"),
            ("/docs/rel", "chain"),
            ("../nowhere", "cmd/up"),
            ("app.go", "good"),
        ] {
            symlink(target, directory.path().join(link)).unwrap();
        }
        for (path, expected) in [
            (
                "/abs",
                "\"/abs\" is a link to \"/etc/passwd\", which is not in there",
            ),
            (
                "/a*s",
                "\"/abs\" is a link to \"/etc/passwd\", which is not in there",
            ),
            (
                "/docs/rel",
                "\"/docs/rel\" is a link to \"gone.txt\", which is not in there",
            ),
            (
                "/chain",
                "\"/chain\" leads to \"/docs/rel\", a link to \"gone.txt\", which is not in there",
            ),
            (
                "/cmd/up/x",
                "\"/cmd/up/x\" is not there: \"/cmd/up\" is a link to \"../nowhere\", which is not in there",
            ),
            (
                "/goof",
                "\"/goof\" is not there: there is \"good\"; is that what is meant?",
            ),
        ] {
            assert_eq!(copy(path).sources(&tree).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn checksum_follows_content_mode_and_name_but_not_time() {
        use std::os::unix::fs::PermissionsExt as _;
        let (directory, tree) = tree();
        let path = directory.path().join("app.go");
        let before = copy("/app.go").checksum(&tree).unwrap();
        let past = std::time::SystemTime::UNIX_EPOCH;
        fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(past)
            .unwrap();
        fs::write(directory.path().join("unrelated"), "y").unwrap();
        assert_eq!(copy("/app.go").checksum(&tree).unwrap(), before);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let executable = copy("/app.go").checksum(&tree).unwrap();
        assert_ne!(executable, before);
        fs::write(&path, "changed").unwrap();
        assert_ne!(copy("/app.go").checksum(&tree).unwrap(), executable);
        fs::copy(&path, directory.path().join("b.go")).unwrap();
        assert_ne!(
            copy("/app.go").checksum(&tree).unwrap(),
            copy("/b.go").checksum(&tree).unwrap()
        );
    }
}
