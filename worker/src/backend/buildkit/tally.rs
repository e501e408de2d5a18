//! How many files a layer brought, changed and took away: the daemon does not say, so the tars are looked at. Once for a
//! layer on these others; then it is remembered.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stagewright_core::digest::Digest;

use crate::content::ContentStore;
use crate::snapshot::tar::TarReader;
use crate::source::image::{LayerDescriptor, layer_reader};

/// Marks the name behind it as removed.
const REMOVED: &[u8] = b".wh.";
/// Marks everything that a directory had as removed.
const EMPTIED: &[u8] = b".wh..wh..opq";

/// What a layer does to those below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tally {
    /// Entries that are new.
    pub(super) added: u64,
    /// Entries that were there before.
    pub(super) changed: u64,
    /// Entries that were removed.
    pub(super) removed: u64,
    /// Length of the tar.
    pub(super) unpacked: u64,
}

/// Where tallies are remembered.
#[derive(Debug, Clone)]
pub(super) struct Tallies {
    folder: PathBuf,
}

impl Tallies {
    pub(super) fn of(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The tally of each layer, lowest first. Blocks.
    pub(super) fn of_layers(
        &self,
        store: &ContentStore,
        layers: &[LayerDescriptor],
        limit: u64,
    ) -> io::Result<Vec<Tally>> {
        let chains = chains(layers);
        let known: Option<Vec<Tally>> = chains.iter().map(|chain| self.recall(chain)).collect();
        if let Some(known) = known {
            return Ok(known);
        }
        let mut there = BTreeSet::new();
        let mut tallies = Vec::new();
        for (layer, chain) in layers.iter().zip(&chains) {
            let tally = count(store, layer, limit, &mut there)?;
            self.remember(chain, &tally);
            tallies.push(tally);
        }
        Ok(tallies)
    }

    fn recall(&self, chain: &Digest) -> Option<Tally> {
        serde_json::from_slice(&fs::read(self.folder.join(chain.hex())).ok()?).ok()
    }

    /// What cannot be remembered is counted again the next time.
    fn remember(&self, chain: &Digest, tally: &Tally) {
        let path = self.folder.join(chain.hex());
        let temporary = path.with_extension(format!("{:?}", std::thread::current().id()));
        let written = fs::create_dir_all(&self.folder)
            .and_then(|()| serde_json::to_vec(tally).map_err(io::Error::other))
            .and_then(|bytes| fs::write(&temporary, bytes))
            .and_then(|()| fs::rename(&temporary, &path));
        if let Err(error) = written {
            tracing::debug!(%error, "a layer's tally is not remembered");
        }
    }
}

/// A name for each layer with all that lies below it.
fn chains(layers: &[LayerDescriptor]) -> Vec<Digest> {
    let mut chain = String::new();
    let next = |layer: &LayerDescriptor| {
        let digest = Digest::of(format!("{chain} {}", layer.diff_id).as_bytes());
        chain = digest.to_string();
        digest
    };
    layers.iter().map(next).collect()
}

/// Counts what a layer does to what is `there`, and brings that up to date.
fn count(
    store: &ContentStore,
    layer: &LayerDescriptor,
    limit: u64,
    there: &mut BTreeSet<Vec<u8>>,
) -> io::Result<Tally> {
    let mut tally = Tally::default();
    let mut tar = TarReader::new(layer_reader(store, layer, limit).map_err(io::Error::other)?);
    let mut new = Vec::new();
    while let Some(entry) = tar.next_entry().map_err(io::Error::other)? {
        let path = plain(&entry.name);
        if path.is_empty() {
            continue;
        }
        let (above, name) = match path.iter().rposition(|byte| *byte == b'/') {
            Some(at) => (
                path.get(..at).unwrap_or_default(),
                path.get(at + 1..).unwrap_or_default(),
            ),
            None => (&[][..], path.as_slice()),
        };
        if name == EMPTIED {
            tally.removed += remove_under(there, above);
        } else if let Some(name) = name.strip_prefix(REMOVED) {
            let gone = if above.is_empty() {
                name.to_vec()
            } else {
                [above, b"/", name].concat()
            };
            remove_under(there, &gone);
            there.remove(&gone);
            tally.removed += 1;
        } else if there.contains(&path) {
            tally.changed += 1;
        } else {
            tally.added += 1;
            new.push(path);
        }
    }
    // Marks say what is gone from below, wherever they stand in the layer.
    there.extend(new);
    tally.unpacked = tar.drain()?.finish()?;
    Ok(tally)
}

fn plain(name: &[u8]) -> Vec<u8> {
    let parts = name
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".");
    parts.collect::<Vec<_>>().join(&b'/')
}

/// Removes what lies under a directory; says how many entries stood right in it.
fn remove_under(there: &mut BTreeSet<Vec<u8>>, above: &[u8]) -> u64 {
    let start = if above.is_empty() {
        Vec::new()
    } else {
        [above, b"/"].concat()
    };
    let under: Vec<Vec<u8>> = there
        .range(start.clone()..)
        .take_while(|path| path.starts_with(&start))
        .cloned()
        .collect();
    let mut direct = 0;
    for path in under {
        direct += u64::from(!path.get(start.len()..).unwrap_or_default().contains(&b'/'));
        there.remove(&path);
    }
    direct
}

/// The folder of tallies in a state folder.
pub(super) fn folder(state: &Path) -> PathBuf {
    state.join("layers").join("tallies")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(store: &ContentStore, names: &[&str]) -> LayerDescriptor {
        let mut archive = tar::Builder::new(Vec::new());
        for name in names {
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(if name.ends_with('/') {
                tar::EntryType::Directory
            } else {
                tar::EntryType::Regular
            });
            header.set_size(0);
            header.set_mode(0o644);
            archive.append_data(&mut header, name, &[][..]).unwrap();
        }
        let bytes = archive.into_inner().unwrap();
        let digest = store.put(&bytes).unwrap();
        LayerDescriptor {
            diff_id: digest.clone(),
            digest,
            media_type: String::new(),
            size: bytes.len() as u64,
        }
    }

    #[test]
    fn layers_are_counted_against_those_below_and_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let store = ContentStore::open(folder.path().join("content")).unwrap();
        let layers = [
            layer(
                &store,
                &[
                    "etc/",
                    "etc/a",
                    "etc/b",
                    "var/",
                    "var/x",
                    "var/deep/",
                    "var/deep/y",
                ],
            ),
            layer(
                &store,
                &[
                    "etc/",
                    "etc/.wh.a",
                    "etc/c",
                    "var/",
                    "var/.wh..wh..opq",
                    "var/new",
                ],
            ),
            layer(&store, &["etc/a", "etc/c"]),
        ];
        let tallies = Tallies::of(folder.path().join("tallies"));
        let told: Vec<(u64, u64, u64)> = tallies
            .of_layers(&store, &layers, u64::MAX)
            .unwrap()
            .iter()
            .map(|tally| (tally.added, tally.changed, tally.removed))
            .collect();
        assert_eq!(told, [(7, 0, 0), (2, 2, 3), (1, 1, 0)]);
        // Known by now, though the first is gone.
        store.remove(&layers[0].digest).unwrap();
        let again = tallies.of_layers(&store, &layers, u64::MAX).unwrap();
        assert_eq!(again[2].added, 1);
    }
}
