//! What came for hooks, and what became of it.
//!
//! ```text
//! <state>/hooks/<name>.json    the newest deliveries of a hook, oldest first
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stagewright_core::digest::Digest;
use stagewright_core::protocol::BuildId;

use crate::whole_file;

/// How many are remembered of each hook.
const REMEMBERED: usize = 1000;

/// A message that came for a hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// What its sender calls it.
    pub id: String,
    /// When it came, RFC 3339.
    pub received: String,
    /// What it tells of: `push`, `ping`.
    pub event: String,
    /// The branch or tag, in full.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none", default)]
    pub reference: Option<String>,
    /// The commit.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub commit: Option<String>,
    /// What became of it.
    pub outcome: Outcome,
    /// The build.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub build: Option<BuildId>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub why: Option<String>,
    /// sha256 of its text, by which it is known again under another name where the name is not signed.
    pub body: Digest,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is a build.
    Built,
    /// There was nothing to do.
    Ignored,
    /// It came before.
    Known,
}

/// The deliveries of all hooks.
pub(super) struct Deliveries {
    directory: PathBuf,
    by_hook: BTreeMap<String, VecDeque<Delivery>>,
}

impl Deliveries {
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let mut by_hook = BTreeMap::new();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let name = path
                .file_name()
                .and_then(|name| name.to_str()?.strip_suffix(".json"));
            let Some(name) = name else { continue };
            // Without it, messages that came before could come again: that is for the owner to decide.
            let known = serde_json::from_slice(&fs::read(&path)?).map_err(|error| {
                let path = path.display();
                io::Error::other(format!(
                    "{path}: {error}; remove the file to forget what came for that hook"
                ))
            })?;
            by_hook.insert(name.to_owned(), known);
        }
        Ok(Self {
            directory: directory.to_owned(),
            by_hook,
        })
    }

    /// Those of that name, or of that text where it is given, newest first.
    pub(super) fn same(
        &self,
        hook: &str,
        id: &str,
        body: Option<&Digest>,
    ) -> impl Iterator<Item = &Delivery> {
        let known = self.list(hook).rev();
        known.filter(move |known| known.id == id || Some(&known.body) == body)
    }

    /// Those of a hook, oldest first.
    pub(super) fn list(&self, hook: &str) -> impl DoubleEndedIterator<Item = &Delivery> {
        self.by_hook.get(hook).into_iter().flatten()
    }

    /// Notes one more, and forgets the oldest where there are too many.
    pub(super) fn add(&mut self, hook: &str, delivery: Delivery) -> io::Result<()> {
        let known = self.by_hook.entry(hook.to_owned()).or_default();
        known.push_back(delivery);
        while known.len() > REMEMBERED {
            known.pop_front();
        }
        let place = self.directory.join(format!("{hook}.json"));
        whole_file::replace(&place, &serde_json::to_vec(known)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(number: usize) -> Delivery {
        Delivery {
            id: number.to_string(),
            received: "2026-01-01T00:00:00Z".into(),
            event: "push".into(),
            reference: None,
            commit: None,
            outcome: Outcome::Ignored,
            build: None,
            why: None,
            body: Digest::of(&number.to_le_bytes()),
        }
    }

    #[test]
    fn deliveries_are_known_by_name_and_by_text_also_later_and_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let mut deliveries = Deliveries::open(folder.path()).unwrap();
        for number in 0..REMEMBERED + 2 {
            deliveries.add("app", delivery(number)).unwrap();
        }
        let later = Deliveries::open(folder.path()).unwrap();
        assert_eq!(later.list("app").count(), REMEMBERED);
        let same = |hook, id, body: Option<&Digest>| later.same(hook, id, body).count();
        let other = Digest::of(b"other");
        assert_eq!(same("app", "1", Some(&other)), 0);
        assert_eq!(same("app", "2", Some(&other)), 1);
        assert_eq!(same("app", "2", Some(&delivery(7).body)), 2);
        assert_eq!(same("app", "new", Some(&delivery(7).body)), 1);
        assert_eq!(same("app", "new", None), 0);
        assert_eq!(same("other", "2", Some(&other)), 0);
        fs::write(folder.path().join("app.json"), "[").unwrap();
        let error = Deliveries::open(folder.path()).err().unwrap();
        assert!(error.to_string().contains("remove the file"), "{error}");
    }
}
