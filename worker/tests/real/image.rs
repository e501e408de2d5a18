//! What is in an image: the files of all its layers, laid over each other.

use std::collections::BTreeMap;
use std::io::Read as _;

use stagewright_core::digest::Digest;

/// A file, folder or link of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: tar::EntryType,
    pub(crate) mode: u32,
    pub(crate) owner: (u64, u64),
    pub(crate) content: Vec<u8>,
    /// Where a symbolic link leads.
    pub(crate) target: Option<Vec<u8>>,
    /// Capabilities and the like.
    pub(crate) attributes: Vec<(String, Vec<u8>)>,
}

/// The files of an OCI archive by path, without a slash at either end.
pub(crate) fn tree(archive: &[u8]) -> BTreeMap<String, Entry> {
    let mut tree = BTreeMap::new();
    for layer in layers(archive) {
        // What a layer takes away is of the layers below it, wherever in its archive it says so.
        let mut own = BTreeMap::new();
        for entry in tar::Archive::new(layer.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry
                .path()
                .unwrap()
                .to_string_lossy()
                .trim_matches('/')
                .to_owned();
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
            let inside = if folder.is_empty() {
                String::new()
            } else {
                format!("{folder}/")
            };
            if name == ".wh..wh..opq" {
                tree.retain(|path: &String, _| !path.starts_with(&inside));
                continue;
            }
            if let Some(gone) = name.strip_prefix(".wh.") {
                let gone = format!("{inside}{gone}");
                let below = format!("{gone}/");
                tree.retain(|path, _| *path != gone && !path.starts_with(&below));
                continue;
            }
            let read = read(&mut entry, |path| {
                own.get(path).or_else(|| tree.get(path)).cloned()
            });
            own.insert(path, read);
        }
        for (path, entry) in own {
            if entry.kind != tar::EntryType::Directory {
                let below = format!("{path}/");
                tree.retain(|path, _| !path.starts_with(&below));
            }
            tree.insert(path, entry);
        }
    }
    tree
}

fn read<R: std::io::Read>(entry: &mut tar::Entry<'_, R>, known: impl Fn(&str) -> Option<Entry>) -> Entry {
    let target = entry.link_name_bytes().map(std::borrow::Cow::into_owned);
    if entry.header().entry_type() == tar::EntryType::Link {
        let target = String::from_utf8(target.unwrap()).unwrap();
        return known(target.trim_matches('/')).expect("a hard link leads to a file of the image");
    }
    let attributes = match entry.pax_extensions().unwrap() {
        Some(records) => records
            .map(Result::unwrap)
            .filter(|record| record.key_bytes().starts_with(b"SCHILY.xattr."))
            .map(|record| (record.key().unwrap().to_owned(), record.value_bytes().to_vec()))
            .collect(),
        None => Vec::new(),
    };
    let header = entry.header();
    let (kind, mode) = (header.entry_type(), header.mode().unwrap());
    let owner = (header.uid().unwrap(), header.gid().unwrap());
    let mut content = Vec::new();
    entry.read_to_end(&mut content).unwrap();
    Entry {
        kind,
        mode,
        owner,
        content,
        target,
        attributes,
    }
}

/// The layers of an OCI archive as plain archives, the lowest first.
fn layers(archive: &[u8]) -> Vec<Vec<u8>> {
    let mut blobs = BTreeMap::new();
    let mut index = Vec::new();
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = entry.path().unwrap().to_string_lossy().into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        match name.strip_prefix("blobs/sha256/") {
            Some(hex) => {
                assert_eq!(Digest::of(&content).hex(), hex, "a blob is what its name says");
                blobs.insert(format!("sha256:{hex}"), content);
            }
            None if name == "index.json" => index = content,
            None => {}
        }
    }
    let parse = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
    let index = parse(&index);
    let manifest = parse(&blobs[index["manifests"][0]["digest"].as_str().unwrap()]);
    let plain = |layer: &serde_json::Value| {
        let blob = &blobs[layer["digest"].as_str().unwrap()];
        let mut plain: Box<dyn std::io::Read> = match layer["mediaType"].as_str().unwrap() {
            gzip if gzip.ends_with("gzip") => Box::new(flate2::read::MultiGzDecoder::new(blob.as_slice())),
            zstd if zstd.ends_with("zstd") => Box::new(zstd::Decoder::new(blob.as_slice()).unwrap()),
            _ => Box::new(blob.as_slice()),
        };
        let mut content = Vec::new();
        plain.read_to_end(&mut content).unwrap();
        content
    };
    manifest["layers"].as_array().unwrap().iter().map(plain).collect()
}
