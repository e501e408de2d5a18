//! What to remove, and removing it.
//!
//! Nothing goes that is in use: what that is was found out beforehand, and is looked at once more at the moment of
//! removal, when nobody can begin to use anything. Records go before what they speak of. Each thing goes by one rename
//! or unlink, in an order in which every beginning of it leaves a state folder that is whole: a worker that is killed
//! in the middle has merely pruned less.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use stagewright_core::digest::Digest;

use super::usage::{Item, Kind, Usage};
use super::{Storage, StorageError};
use crate::build::BuildsError;
use crate::snapshot::{SnapshotId, remove_all};

/// How many things are removed before builds may go on.
const AT_ONCE: usize = 64;

/// What may go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// Only things of these kinds.
    pub kinds: BTreeSet<Kind>,
    /// Only what was not used since then.
    pub unused_since: Option<SystemTime>,
    /// No more than it takes for everything together to have no more bytes than that; the longest unused goes first.
    pub keep: Option<u64>,
}

/// What was removed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pruned {
    /// Everything that is gone.
    pub removed: Vec<Item>,
    /// The bytes that were freed.
    pub freed: u64,
    /// What could not be removed, and why.
    pub failed: Vec<String>,
}

impl Policy {
    /// Everything that a build makes or fetches again by itself.
    pub fn cache() -> Self {
        Self {
            kinds: BTreeSet::from([
                Kind::Record,
                Kind::Layer,
                Kind::Context,
                Kind::Blob,
                Kind::Partial,
                Kind::Repository,
            ]),
            unused_since: None,
            keep: None,
        }
    }

    /// Also what cannot be had again as it was: cache mounts, and the records of past builds.
    pub fn all() -> Self {
        Self {
            kinds: Kind::ALL.into(),
            ..Self::cache()
        }
    }

    /// What goes by this policy, in the order in which it goes.
    pub fn choose(&self, usage: &Usage) -> Vec<Item> {
        let mut candidates: Vec<&Item> = usage
            .items
            .iter()
            .filter(|item| item.in_use.is_none() && self.kinds.contains(&item.kind))
            .filter(|item| self.unused_since.is_none_or(|since| item.last_used < since))
            .collect();
        // What was used at once was made one on the other, so that the last one goes first. A record goes with its layer.
        candidates.sort_by(|one, other| {
            let key = |item: &Item| (item.last_used, std::cmp::Reverse(item.created));
            key(one).cmp(&key(other)).then_with(|| one.id.cmp(&other.id))
        });
        let mut left = usage.total();
        let mut chosen: Vec<Item> = Vec::new();
        for item in candidates {
            if self.keep.is_some_and(|keep| left <= keep) {
                break;
            }
            // Records alone make no room.
            if self.keep.is_some() && !item.takes_room() {
                continue;
            }
            if item.takes_room() {
                left = left.saturating_sub(item.size);
            }
            chosen.push(item.clone());
        }
        // A record without its layer is of no use.
        let layers: BTreeSet<PathBuf> = chosen
            .iter()
            .filter(|item| item.kind == Kind::Layer)
            .map(|item| item.path.clone())
            .collect();
        let known: BTreeSet<String> = chosen
            .iter()
            .filter(|item| item.kind == Kind::Record)
            .map(|item| item.id.clone())
            .collect();
        let records = usage.items.iter().filter(|item| {
            item.kind == Kind::Record && layers.contains(&item.path) && !known.contains(&item.id)
        });
        chosen.extend(records.cloned());
        chosen
    }
}

impl Storage {
    /// Removes what goes by `policy`. Blocks for as long as it takes.
    pub fn prune(&self, policy: &Policy) -> Result<Pruned, StorageError> {
        let usage = self.usage()?;
        Ok(self.remove(policy.choose(&usage)))
    }

    /// Removes `items`, those apart that somebody has begun to use in the meantime.
    fn remove(&self, items: Vec<Item>) -> Pruned {
        let mut by_kind: BTreeMap<Kind, Vec<Item>> = BTreeMap::new();
        for item in items {
            by_kind.entry(item.kind).or_default().push(item);
        }
        let mut of = |kind| by_kind.remove(&kind).unwrap_or_default();
        let mut pruned = Pruned::default();
        // Where the disk is full, what can go without a byte being written makes room for the rest.
        let (blobs, partial) = (of(Kind::Blob), of(Kind::Partial));
        let content = self.content();
        self.each(blobs, &mut pruned, |item| {
            content
                .remove(&digest(item)?)
                .map_err(|error| error.to_string())?;
            Ok(true)
        });
        self.each(partial, &mut pruned, |item| {
            content
                .remove_beginning(&digest(item)?)
                .map_err(|error| error.to_string())
        });
        self.layers(of(Kind::Record), of(Kind::Layer), &mut pruned);
        self.each(of(Kind::Context), &mut pruned, |item| {
            let forgotten = self.builds.contexts().forget(&digest(item)?);
            forgotten.map_err(|error| error.to_string())?;
            Ok(true)
        });
        let snapshots = self.backend.snapshots();
        let mut remains = Vec::new();
        let mut directories = of(Kind::CacheMount);
        directories.extend(of(Kind::Repository));
        self.each(directories, &mut pruned, |item| {
            remains.push(snapshots.discard(&item.path).map_err(|error| error.to_string())?);
            Ok(true)
        });
        clear(remains, &mut pruned);
        self.each(of(Kind::Build), &mut pruned, |item| {
            went(self.builds.forget(&item.id))
        });
        self.backend.forget_missing_blobs();
        pruned.freed = pruned
            .removed
            .iter()
            .filter(|item| item.takes_room())
            .map(|item| item.size)
            .sum();
        pruned
    }

    /// Removes things one by one with `remove`, which says whether it did. A few at a time nobody can begin to use
    /// anything, so whatever is not held then is held by nobody when it goes.
    fn each(
        &self,
        items: Vec<Item>,
        pruned: &mut Pruned,
        mut remove: impl FnMut(&Item) -> Result<bool, String>,
    ) {
        let mut items = items.into_iter().peekable();
        while items.peek().is_some() {
            let removal = self.leases().removal();
            for item in items.by_ref().take(AT_ONCE) {
                if removal.is_held(&item.path) {
                    continue;
                }
                match remove(&item) {
                    Ok(true) => pruned.removed.push(item),
                    Ok(false) => {}
                    Err(reason) => pruned.failed.push(reason),
                }
            }
        }
    }

    /// Removes layers and records, those of a layer before the layer itself.
    fn layers(&self, records: Vec<Item>, layers: Vec<Item>, pruned: &mut Pruned) {
        let going: BTreeSet<PathBuf> = layers.iter().map(|layer| layer.path.clone()).collect();
        let mut of_layers: BTreeMap<PathBuf, Vec<Item>> = BTreeMap::new();
        let mut alone = Vec::new();
        for record in records {
            if going.contains(&record.path) {
                of_layers.entry(record.path.clone()).or_default().push(record);
            } else {
                alone.push(record);
            }
        }
        let mut layers = layers.into_iter().peekable();
        let mut remains = Vec::new();
        while layers.peek().is_some() || !alone.is_empty() {
            let removal = self.leases().removal();
            let layers: Vec<Item> = layers
                .by_ref()
                .take(AT_ONCE)
                .filter(|layer| !removal.is_held(&layer.path))
                .collect();
            let mut records = std::mem::take(&mut alone);
            records.retain(|record| !removal.is_held(&record.path));
            for layer in &layers {
                records.extend(of_layers.remove(&layer.path).unwrap_or_default());
            }
            let keys: Vec<Digest> = records.iter().filter_map(|record| digest(record).ok()).collect();
            match self.backend.forget_steps(&keys) {
                Ok(()) => pruned.removed.append(&mut records),
                // A record whose layer is gone counts as none, so that a database which cannot be written, as on a
                // full disk, is no reason to keep the layers.
                Err(error) => pruned.failed.push(error.to_string()),
            }
            for layer in layers {
                let aside = layer.id.parse::<SnapshotId>().map_err(|error| error.to_string());
                let aside = aside.and_then(|id| {
                    let aside = self.backend.snapshots().set_aside(&id);
                    aside.map_err(|error| error.to_string())
                });
                match aside {
                    Ok(path) => {
                        remains.push(path);
                        pruned.removed.push(layer);
                    }
                    Err(reason) => pruned.failed.push(reason),
                }
            }
            drop(removal);
            clear(std::mem::take(&mut remains), pruned);
        }
    }
}

/// Removes what was put aside; what cannot be removed now is at the next start.
fn clear(remains: Vec<PathBuf>, pruned: &mut Pruned) {
    for path in remains {
        if let Err(error) = remove_all(&path) {
            pruned
                .failed
                .push(format!("cannot remove {}: {error}", path.display()));
        }
    }
}

/// Whether a build was forgotten; one that is gone already, or is still at work, is none that could not be.
fn went(forgotten: Result<(), BuildsError>) -> Result<bool, String> {
    match forgotten {
        Ok(()) => Ok(true),
        Err(BuildsError::Unknown(_) | BuildsError::AtWork(_)) => Ok(false),
        Err(error) => Err(error.to_string()),
    }
}

fn digest(item: &Item) -> Result<Digest, String> {
    format!("sha256:{}", item.id)
        .parse()
        .map_err(|_| format!("{:?} is no digest", item.id))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    fn item(kind: Kind, id: &str, size: u64, hour: u64, in_use: bool) -> Item {
        let time = SystemTime::UNIX_EPOCH + Duration::from_hours(hour);
        Item {
            kind,
            id: id.to_owned(),
            size,
            created: time,
            last_used: time,
            in_use: in_use.then(|| "someone".to_owned()),
            description: String::new(),
            path: PathBuf::from(format!("/{id}")),
        }
    }

    fn usage() -> Usage {
        let mut record = item(Kind::Record, "key", 7, 3, false);
        record.path = PathBuf::from("/layer");
        Usage {
            items: vec![
                item(Kind::Blob, "young", 100, 9, false),
                item(Kind::Blob, "old", 100, 1, false),
                item(Kind::Blob, "named", 100, 0, true),
                item(Kind::Layer, "layer", 100, 3, false),
                record,
                item(Kind::CacheMount, "mount", 100, 2, false),
                item(Kind::Build, "1", 100, 4, false),
            ],
            database: 1000,
        }
    }

    fn chosen(policy: &Policy) -> Vec<String> {
        policy.choose(&usage()).into_iter().map(|item| item.id).collect()
    }

    #[test]
    fn what_a_build_makes_again_goes_and_what_is_in_use_stays() {
        assert_eq!(chosen(&Policy::cache()), ["old", "key", "layer", "young"]);
        assert_eq!(
            chosen(&Policy::all()),
            ["old", "mount", "key", "layer", "1", "young"]
        );
    }

    #[test]
    fn no_more_goes_than_it_takes_the_longest_unused_first() {
        let keep = |keep| Policy {
            keep: Some(keep),
            ..Policy::cache()
        };
        assert_eq!(chosen(&keep(600)), [""; 0]);
        assert_eq!(chosen(&keep(599)), ["old"]);
        assert_eq!(chosen(&keep(450)), ["old", "layer", "key"]);
        assert_eq!(chosen(&keep(0)), ["old", "layer", "young", "key"]);
    }

    #[test]
    fn what_was_used_lately_stays_where_that_is_asked() {
        let policy = Policy {
            unused_since: Some(SystemTime::UNIX_EPOCH + Duration::from_hours(3)),
            ..Policy::all()
        };
        assert_eq!(chosen(&policy), ["old", "mount"]);
        let policy = Policy {
            kinds: BTreeSet::from([Kind::Build]),
            ..Policy::cache()
        };
        assert_eq!(chosen(&policy), ["1"]);
    }

    #[test]
    fn of_layers_used_at_once_the_one_made_last_goes_first() {
        let mut usage = usage();
        usage.items.clear();
        for (id, hour) in [("base", 1), ("top", 3), ("middle", 2)] {
            let mut layer = item(Kind::Layer, id, 10, hour, false);
            layer.last_used = SystemTime::UNIX_EPOCH + Duration::from_hours(5);
            usage.items.push(layer);
        }
        let policy = Policy {
            keep: Some(10),
            ..Policy::cache()
        };
        let ids: Vec<_> = policy.choose(&usage).into_iter().map(|item| item.id).collect();
        assert_eq!(ids, ["top", "middle"]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn it_is_told_where_a_record_cannot_be_removed_and_what_is_at_work_is_left_out() {
        let state = tempfile::tempdir().unwrap();
        let worker = crate::request::tests::configured(state.path(), &crate::config::Config::default());
        let request =
            serde_json::from_value(serde_json::json!({ "dockerfile": "FROM scratch\nLABEL a=b\n" })).unwrap();
        let asked = crate::request::Asked::default();
        let id = worker.requests.start(&request, asked).unwrap();
        assert_eq!(went(worker.builds().forget(&id)), Ok(false), "it is at work");
        worker.let_go(1);
        worker.end(&id).await;
        let obstacle = state.path().join("builds/next");
        fs::create_dir(&obstacle).unwrap();
        let reason = went(worker.builds().forget(&id)).unwrap_err();
        assert!(reason.contains("builds/next"), "{reason}");
        fs::remove_dir(&obstacle).unwrap();
        assert_eq!(went(worker.builds().forget(&id)), Ok(true));
        assert_eq!(went(worker.builds().forget(&id)), Ok(false), "it is gone");
    }
}
