//! What a build asks the worker for: the plan, and the folders that it reads.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use stagewright_core::analysis::Definition;
use stagewright_core::digest::Digest;
use stagewright_core::ignore::Ignore;
use stagewright_core::llb::{OpKind, decode};
use stagewright_core::protocol::WireOp;

use super::tell;
use crate::build::Builds;
use crate::cli::context::seen::Seen;
use crate::cli::context::{self, Wanted};
use crate::cli::named::{Folder, OWN};
use crate::cli::style::Style;
use crate::cli::{Failure, dockerfile, report};

/// The ops as they are handed over.
pub(super) fn ops(definition: &Definition) -> Vec<WireOp> {
    let wire = |op: &stagewright_core::analysis::PlannedOp| WireOp {
        bytes: op.bytes.clone(),
        name: op.name.clone(),
    };
    definition.ops.iter().map(wire).collect()
}

/// The steps that `--no-cache-filter` is about.
pub(super) fn afresh(definition: &Definition) -> BTreeSet<Digest> {
    let asked = definition.ops.iter().filter(|op| op.ignore_cache);
    asked.map(|op| op.digest.clone()).collect()
}

/// The planned configuration with the labels of `--label`, which count more than those of the Dockerfile.
pub(super) fn labelled(mut config: serde_json::Value, labels: &[String]) -> serde_json::Value {
    for label in labels {
        let (name, value) = label.split_once('=').unwrap_or((label, ""));
        config["config"]["Labels"][name] = value.into();
    }
    config
}

/// Where the folders are that a build may read.
pub(super) struct Sources<'a> {
    pub(super) arguments: &'a dockerfile::Arguments,
    /// The text of the ignore file that counts for the build's own context, and its name.
    pub(super) ignore: (&'a str, &'a str),
    pub(super) named: &'a BTreeMap<String, Folder>,
    /// Whether the build's own context was brought here for it, to a folder that no other build is going to look at.
    pub(super) fetched: bool,
    /// Where it is remembered how folders looked.
    pub(super) scans: &'a Path,
}

impl Sources<'_> {
    /// Offers what the definition reads, and nothing else: a build that takes nothing from a folder reads none of it.
    /// What is in `contexts` was offered before.
    pub(super) fn offer(
        &self,
        builds: &Builds,
        definition: &Definition,
        contexts: &mut BTreeMap<String, Digest>,
    ) -> Result<(), Failure> {
        for (name, read) in local_sources(definition) {
            if contexts.contains_key(&name) {
                continue;
            }
            let id = if let Some(folder) = self.named.get(&name) {
                let ignore_name = folder.path.join(".dockerignore").display().to_string();
                let ignore = ignore(&folder.ignore, &ignore_name)?;
                let seen = Seen::of(self.scans, &folder.path);
                look(builds, &name, &folder.path, &ignore, read.as_deref(), seen)?
            } else {
                let ignore = ignore(self.ignore.0, self.ignore.1)?;
                let folder = self.arguments.context()?;
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
) -> Result<Digest, Failure> {
    let wanted = read.map_or(Wanted::All, |paths| Wanted::of(folder, paths));
    loop {
        let mut offer = context::scan(folder, ignore, &wanted, &mut seen, builds.contexts().content())?;
        name.clone_into(&mut offer.name);
        let answer = builds.contexts().offer(offer);
        let answer = answer.map_err(|error| Failure::new(Failure::WORK, error.to_string()))?;
        if answer.lacks.is_empty() || !seen.knew() {
            seen.keep();
            return Ok(answer.id);
        }
        // What was seen is gone from the store since.
        seen.forget();
    }
}

/// What an ignore file keeps out. One with mistakes is refused, for it might let in what it was meant to keep out.
fn ignore(text: &str, name: &str) -> Result<Ignore, Failure> {
    let (ignore, diagnostics) = Ignore::parse(text);
    if diagnostics.is_empty() {
        return Ok(ignore);
    }
    tell(&report::findings(Style::err(), name, text, &diagnostics));
    Err(Failure::new(
        Failure::WORK,
        format!("what {name} keeps out of the build context cannot be told"),
    ))
}

/// The local sources of a definition, and the paths that its steps read of each; `None` where that is all.
fn local_sources(definition: &Definition) -> BTreeMap<String, Option<Vec<String>>> {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_are_set_over_those_of_the_dockerfile() {
        let config = json!({ "config": { "Labels": { "a": "1", "b": "2" } } });
        let labels = ["b=3=4".to_owned(), "c".to_owned()];
        let labelled_config = labelled(config, &labels);
        assert_eq!(
            labelled_config["config"]["Labels"],
            json!({ "a": "1", "b": "3=4", "c": "" })
        );
        let none = labelled(json!({ "os": "linux" }), &labels[..1]);
        assert_eq!(
            none,
            json!({ "os": "linux", "config": { "Labels": { "b": "3=4" } } })
        );
    }
}
