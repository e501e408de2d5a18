//! The folders that a build reads, offered as contexts by their content.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};

use stagewright_core::analysis::Definition;
use stagewright_core::digest::Digest;
use stagewright_core::ignore::Ignore;
use stagewright_core::llb::{OpKind, decode};

use super::folder::seen::Seen;
use super::folder::{self, Wanted};
use super::obstacle::Obstacle;
use super::watcher::Watcher;
use crate::build::Builds;

/// What a build's own context is called in its definition.
pub(crate) const OWN: &str = "context";

/// A folder that a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    /// The text of its `.dockerignore`; empty where it has none.
    pub(crate) ignore: String,
}

/// Where the folders are that a build may read.
pub(crate) struct Sources<'a> {
    /// The build's own context, or why there is none.
    pub(crate) own: Result<&'a Path, Obstacle>,
    /// The text of the ignore file that counts for the build's own context, and its name.
    pub(crate) ignore: (&'a str, &'a str),
    pub(crate) named: &'a BTreeMap<String, Folder>,
    /// Whether the build's own context was brought here for it, to a folder that no other build is going to look at.
    pub(crate) fetched: bool,
    /// Where it is remembered how folders looked.
    pub(crate) scans: &'a Path,
}

impl Sources<'_> {
    /// Offers what the definition reads, and nothing else: a build that takes nothing from a folder reads none of it.
    /// What is in `contexts` was offered before.
    pub(crate) fn offer(
        &self,
        builds: &Builds,
        definition: &Definition,
        contexts: &mut BTreeMap<String, Digest>,
        watcher: &mut dyn Watcher,
    ) -> Result<(), Obstacle> {
        for (name, read) in local_sources(definition) {
            if contexts.contains_key(&name) {
                continue;
            }
            let id = if let Some(folder) = self.named.get(&name) {
                let ignore_name = folder.path.join(".dockerignore").display().to_string();
                let ignore = ignore(&folder.ignore, &ignore_name, watcher)?;
                let seen = Seen::of(self.scans, &folder.path);
                look(builds, &name, &folder.path, &ignore, read.as_deref(), seen)?
            } else {
                let ignore = ignore(self.ignore.0, self.ignore.1, watcher)?;
                let folder = self.own.clone()?;
                let seen = if self.fetched {
                    Seen::nothing()
                } else {
                    Seen::of(self.scans, folder)
                };
                look(builds, OWN, folder, &ignore, read.as_deref(), seen)?
            };
            contexts.insert(name, id);
        }
        Ok(())
    }
}

/// Offers a folder, of which `seen` says how it was.
fn look(
    builds: &Builds,
    name: &str,
    folder: &Path,
    ignore: &Ignore,
    read: Option<&[String]>,
    mut seen: Seen,
) -> Result<Digest, Obstacle> {
    let wanted = read.map_or(Wanted::All, |paths| Wanted::of(folder, paths));
    loop {
        let mut offer = folder::scan(
            folder,
            ignore,
            &wanted,
            &mut seen,
            Some(builds.contexts().content()),
        )?;
        name.clone_into(&mut offer.name);
        let answer = builds.contexts().offer(offer);
        let answer = answer.map_err(|error| Obstacle::work(error.to_string()))?;
        if answer.lacks.is_empty() || !seen.knew() {
            seen.keep();
            return Ok(answer.id);
        }
        // What was seen is gone from the store since.
        seen.forget();
    }
}

/// What an ignore file keeps out. One with mistakes is refused, for it might let in what it was meant to keep out.
pub(crate) fn ignore(text: &str, name: &str, watcher: &mut dyn Watcher) -> Result<Ignore, Obstacle> {
    let (ignore, diagnostics) = Ignore::parse(text);
    if diagnostics.is_empty() {
        return Ok(ignore);
    }
    watcher.findings(name, text, &diagnostics, true);
    Err(Obstacle::work(format!(
        "what {name} keeps out of the build context cannot be told"
    )))
}

/// The local sources of a definition, and the paths that its steps read of each; `None` where that is all.
pub(crate) fn local_sources(definition: &Definition) -> BTreeMap<String, Option<Vec<String>>> {
    let mut sources: BTreeMap<String, Option<Vec<String>>> = BTreeMap::new();
    for op in &definition.ops {
        let Some(OpKind::Source(source)) = decode(&op.bytes).ok().and_then(|op| op.kind) else {
            continue;
        };
        let Some(name) = source.identifier.strip_prefix("local://") else {
            continue;
        };
        let paths = source
            .attr("local.followpaths")
            .and_then(|text| serde_json::from_str(text).ok());
        match sources.entry(name.to_owned()) {
            Entry::Vacant(place) => _ = place.insert(paths),
            // Of one that is read twice the paths of both count.
            Entry::Occupied(mut place) => {
                let both = place.get_mut().take().zip(paths);
                *place.get_mut() = both.map(|(one, two): (Vec<String>, Vec<String>)| [one, two].concat());
            }
        }
    }
    sources
}
