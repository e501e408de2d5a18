//! The files of an image: its layers, laid over each other.

use std::collections::BTreeMap;
use std::io::Read as _;

use crate::notation::{Entry, Kind};

/// Entries by path, without a slash at either end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree {
    names: BTreeMap<String, Node>,
    /// Several names may be of one file.
    files: Vec<Entry>,
}

/// A place in [`Tree::files`].
type Node = usize;

impl Tree {
    /// Lays a layer, a plain archive, over what is there.
    pub(crate) fn lay(&mut self, layer: &[u8]) {
        // What a layer takes away is of the layers below it, wherever in its archive it says so.
        let mut own: BTreeMap<String, Node> = BTreeMap::new();
        for entry in tar::Archive::new(layer).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = plain(&String::from_utf8_lossy(&entry.path_bytes()));
            if path.is_empty() || path == "." {
                continue;
            }
            let (inside, name) = match path.rsplit_once('/') {
                Some((folder, name)) => (format!("{folder}/"), name),
                None => (String::new(), path.as_str()),
            };
            if name == ".wh..wh..opq" {
                self.names.retain(|path, _| !path.starts_with(&inside));
            } else if let Some(gone) = name.strip_prefix(".wh.") {
                self.remove(&format!("{inside}{gone}"));
            } else {
                let entry = read(&mut entry);
                let node = if let Kind::HardLink(target) = &entry.kind {
                    let target = plain(target);
                    let known = own.get(&target).or_else(|| self.names.get(&target)).copied();
                    let known = known
                        .unwrap_or_else(|| panic!("{path} is a hard link to {target}, which is not there"));
                    // Whoever unpacks it sets these again, by what the last entry of the file says.
                    let file = &mut self.files[known];
                    (file.mode, file.owner) = (entry.mode, entry.owner);
                    file.attributes = entry.attributes;
                    known
                } else {
                    self.files.push(entry);
                    self.files.len() - 1
                };
                own.insert(path, node);
            }
        }
        for (path, node) in own {
            if self.files[node].kind != Kind::Directory {
                self.remove(&path);
            }
            self.names.insert(path, node);
        }
    }

    fn remove(&mut self, path: &str) {
        let inside = format!("{path}/");
        self.names
            .retain(|other, _| other != path && !other.starts_with(&inside));
    }

    /// Every entry in the order of paths. A name of a file that has been listed already is a hard link.
    pub(crate) fn list(&self) -> BTreeMap<&str, Entry> {
        let mut first: BTreeMap<Node, &String> = BTreeMap::new();
        let mut list = BTreeMap::new();
        for (path, node) in &self.names {
            let mut entry = self.files[*node].clone();
            if let Some(known) = first.get(node) {
                entry.kind = Kind::HardLink((*known).clone());
            } else {
                first.insert(*node, path);
            }
            list.insert(path.as_str(), entry);
        }
        list
    }
}

fn plain(path: &str) -> String {
    path.trim_start_matches("./").trim_matches('/').to_owned()
}

fn read<R: std::io::Read>(entry: &mut tar::Entry<'_, R>) -> Entry {
    let mut attributes = BTreeMap::new();
    if let Some(records) = entry.pax_extensions().unwrap() {
        for record in records.map(Result::unwrap) {
            if let Some(name) = record.key().unwrap().strip_prefix("SCHILY.xattr.") {
                attributes.insert(name.to_owned(), record.value_bytes().to_vec());
            }
        }
    }
    let link = entry.link_name_bytes();
    let target = || String::from_utf8_lossy(link.as_deref().unwrap_or_default()).into_owned();
    let header = entry.header();
    let device = || {
        let (major, minor) = (header.device_major().unwrap(), header.device_minor().unwrap());
        (major.unwrap(), minor.unwrap())
    };
    let kind = match header.entry_type() {
        tar::EntryType::Directory => Kind::Directory,
        tar::EntryType::Symlink => Kind::Symlink(target()),
        tar::EntryType::Link => Kind::HardLink(target()),
        tar::EntryType::Fifo => Kind::Fifo,
        tar::EntryType::Char => Kind::Character(device().0, device().1),
        tar::EntryType::Block => Kind::Block(device().0, device().1),
        _ => Kind::File(Vec::new()),
    };
    let mut read = Entry {
        kind,
        mode: header.mode().unwrap() & 0o7777,
        owner: (header.uid().unwrap(), header.gid().unwrap()),
        attributes,
        modified: header.mtime().unwrap(),
    };
    if let Kind::File(content) = &mut read.kind {
        entry.read_to_end(content).unwrap();
    }
    read
}
