//! Whether everything in a state folder is what its name says.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use stagewright::backend::embedded::step_records;
use stagewright::content::ContentStore;
use stagewright::snapshot::{DiffOptions, diff};
use stagewright::storage::image;
use stagewright::storage::names::ImageNames;
use stagewright_core::digest::Digest;

/// Looks at every blob, every layer and every name. The worker must not be running. Gives the layers that a record
/// speaks of.
pub(crate) fn whole(state: &Path) -> Vec<String> {
    blobs(state);
    names(state);
    layers(state)
}

/// Every blob has the digest that it is named by.
fn blobs(state: &Path) {
    for path in entries(&state.join("content/blobs/sha256")) {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_eq!(Digest::of(&fs::read(&path).unwrap()).hex(), name, "a torn blob");
    }
}

/// Every image with a name is whole.
fn names(state: &Path) {
    let content = state.join("content");
    if !content.is_dir() {
        return;
    }
    let content = ContentStore::open(content).unwrap();
    for named in ImageNames::of(state).list().unwrap() {
        image::read(&content, &named.digest).unwrap();
    }
}

/// Every layer holds the files that its name is a digest of: the tar of its changes over the layers below it.
fn layers(state: &Path) -> Vec<String> {
    let records = step_records(state).unwrap();
    let there: BTreeMap<String, PathBuf> = entries(&state.join("snapshots/layers"))
        .into_iter()
        .map(|path| {
            (
                path.file_name().unwrap().to_str().unwrap().to_owned(),
                path.join("fs"),
            )
        })
        .collect();
    // From the bottom up: what lies on a layer is known by its own digest and the layer's.
    let mut stacks: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    let mut left = there.clone();
    loop {
        let mut found = Vec::new();
        for (id, files) in &left {
            let below = std::iter::once(None).chain(stacks.keys().map(Some));
            for below in below {
                let mut stack = below.map(|below| stacks[below].clone()).unwrap_or_default();
                let record = records.iter().find(|record| record.layer == *id);
                // Its record tells without looking whether this can be what it lies on.
                if let Some(record) = record
                    && chain(below, &record.diff_id) != *id
                {
                    continue;
                }
                let found_now = diff(files, &stack, &DiffOptions::default(), &mut io::sink()).unwrap();
                if chain(below, &found_now.diff_id) == *id {
                    stack.push(files.clone());
                    found.push((id.clone(), stack));
                    break;
                }
                assert!(record.is_none(), "the layer {id} of {record:?} is torn");
            }
        }
        if found.is_empty() {
            break;
        }
        for (id, stack) in found {
            left.remove(&id);
            stacks.insert(id, stack);
        }
    }
    // One whose base was pruned cannot be looked at; nothing serves it either, before its base is there again.
    records
        .into_iter()
        .map(|record| record.layer)
        .filter(|layer| there.contains_key(layer))
        .collect()
}

fn chain(below: Option<&String>, diff_id: &Digest) -> String {
    match below {
        None => diff_id.hex().to_owned(),
        Some(below) => Digest::of(format!("sha256:{below} {diff_id}").as_bytes())
            .hex()
            .to_owned(),
    }
}

pub(crate) fn entries(folder: &Path) -> Vec<PathBuf> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
        Err(_) => Vec::new(),
    }
}
