//! What a build has to share, gathered and written.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use serde_json::{Value, json};
use stagewright_core::digest::Digest;

use super::document::CONFIG_TYPE;
use super::{CacheDocument, Place, SharedBlob, SharingError};
use crate::config::LayoutImage;
use crate::content::ContentStore;
use crate::export::{EMPTY_TYPE, Encoding, MANIFEST_TYPE, NewFile};
use crate::source::image::{LONGEST_MANIFEST, Layout, NAME, Push};

/// A cache that is to be written once all builds that it is of are through, such as those of several platforms.
#[derive(Debug)]
pub struct CacheExport {
    /// Where to.
    pub place: Place,
    /// Whether the layers of all steps are in it, rather than those of the result only.
    pub all: bool,
    /// How layers are encoded; as in the image where nothing is said.
    pub encoding: Option<Encoding>,
    /// Whether those who build write it themselves.
    left: AtomicBool,
    /// What the builds gave, or why one could not.
    gathered: Mutex<Vec<Result<CacheDocument, SharingError>>>,
}

/// A cache that was put together in the content store.
#[derive(Debug)]
pub struct Written {
    /// Digest of its manifest.
    pub manifest: Digest,
    /// All that a registry is to hold of it.
    pub push: Push,
    /// How many steps it knows, and how many of their layers it has.
    pub counts: (usize, usize),
}

impl CacheExport {
    /// One that nothing was gathered for.
    pub fn new(place: Place, all: bool, encoding: Option<Encoding>) -> Self {
        Self {
            place,
            all,
            encoding,
            left: AtomicBool::new(false),
            gathered: Mutex::default(),
        }
    }

    /// Whoever builds writes it, so nothing is gathered.
    pub fn leave(&self) {
        self.left.store(true, Ordering::Relaxed);
    }

    /// Whether whoever builds writes it.
    pub fn is_left(&self) -> bool {
        self.left.load(Ordering::Relaxed)
    }

    /// Takes what a build has to share.
    pub fn gather(&self, document: Result<CacheDocument, SharingError>) {
        self.gathered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(document);
    }

    /// Puts what was gathered together as one cache.
    pub fn put_together(&self, content: &ContentStore) -> Result<Written, SharingError> {
        let gathered = std::mem::take(&mut *self.gathered.lock().unwrap_or_else(PoisonError::into_inner));
        let mut document = CacheDocument::default();
        for part in gathered {
            document.join(part?);
        }
        let bytes = document.to_bytes().map_err(SharingError::of)?;
        let config = content.put(&bytes).map_err(SharingError::of)?;
        let mut push = Push::default();
        push.blobs.insert(config.clone(), bytes.len() as u64);
        let mut seen = BTreeSet::new();
        let mut layers: Vec<SharedBlob> = document
            .layers
            .values()
            .filter(|blob| seen.insert(blob.digest.clone()))
            .cloned()
            .collect();
        if layers.is_empty() {
            // A manifest has to have a layer (OCI image specification, "Guidance for an Empty Descriptor").
            layers.push(SharedBlob {
                media_type: EMPTY_TYPE.to_owned(),
                digest: content.put(b"{}").map_err(SharingError::of)?,
                size: 2,
            });
        }
        push.blobs
            .extend(layers.iter().map(|blob| (blob.digest.clone(), blob.size)));
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": { "mediaType": CONFIG_TYPE, "digest": config, "size": bytes.len() },
            "layers": layers,
        });
        let manifest = manifest.to_string().into_bytes();
        let digest = content.put(&manifest).map_err(SharingError::of)?;
        push.manifests
            .push((digest.clone(), MANIFEST_TYPE.to_owned(), manifest));
        Ok(Written {
            manifest: digest,
            push,
            counts: (document.records.len(), document.layers.len()),
        })
    }
}

impl Written {
    /// Writes the cache to a folder in the OCI image layout, under a name. What is there under other names stays, also what
    /// somebody else is writing at the same time.
    pub fn to_folder(&self, content: &ContentStore, folder: &Path, tag: &str) -> Result<(), SharingError> {
        self.written_to(content, folder, tag).map_err(|error| {
            SharingError(format!(
                "the cache cannot be written to {}: {error}",
                folder.display()
            ))
        })
    }

    fn written_to(&self, content: &ContentStore, folder: &Path, tag: &str) -> io::Result<()> {
        let layout = Layout::new(folder, LayoutImage::Only);
        fs::create_dir_all(folder.join("blobs/sha256"))?;
        let _held = hold(folder)?;
        // Before anything is written: what cannot be read is nothing that could be written anew.
        let mut entries = entries(&folder.join("index.json"))?;
        let documents = self.push.manifests.iter().map(|(digest, ..)| digest);
        for digest in self.push.blobs.keys().chain(documents) {
            let place = layout.blob_path(digest);
            let size = self.push.blobs.get(digest).copied();
            if size.is_some() && fs::metadata(&place).ok().map(|there| there.len()) == size {
                continue;
            }
            let mut blob = content.open_checked(digest).map_err(io::Error::other)?;
            write(&place, &mut blob)?;
        }
        write(
            &folder.join("oci-layout"),
            &mut br#"{"imageLayoutVersion":"1.0.0"}"#.as_slice(),
        )?;
        entries.retain(|entry| entry["annotations"][NAME] != tag);
        let size = self.push.manifests.first().map_or(0, |(_, _, bytes)| bytes.len());
        entries.push(json!({
            "mediaType": MANIFEST_TYPE, "digest": self.manifest, "size": size, "annotations": { NAME: tag },
        }));
        let index = json!({ "schemaVersion": 2, "manifests": entries }).to_string();
        // Last, so that it never names what is not there.
        write(&folder.join("index.json"), &mut index.as_bytes())
    }
}

/// Keeps others from writing to a folder until what is returned is dropped.
fn hold(folder: &Path) -> io::Result<File> {
    let held = File::open(folder)?;
    loop {
        match rustix::fs::flock(&held, FlockOperation::LockExclusive) {
            Err(Errno::INTR) => {}
            // File systems of other machines may have no such locks, and then nobody holds one.
            Ok(()) | Err(Errno::BADF | Errno::NOTSUP | Errno::NOLCK | Errno::NOSYS) => return Ok(held),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// The entries that a layout's index has; none where there is no index yet.
fn entries(path: &Path) -> io::Result<Vec<Value>> {
    let malformed = |reason: &dyn std::fmt::Display| {
        let path = path.display();
        io::Error::other(format!(
            "{path} is no index of a layout ({reason}), and nothing in it is overwritten: name another folder, or remove it"
        ))
    };
    let length = match fs::metadata(path) {
        Ok(there) if there.is_file() => there.len(),
        Ok(_) => return Err(malformed(&"it is no file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    if length > LONGEST_MANIFEST {
        return Err(malformed(&"it is too long"));
    }
    let mut index: Value = serde_json::from_slice(&fs::read(path)?).map_err(|error| malformed(&error))?;
    match index.get_mut("manifests").map(Value::take) {
        Some(Value::Array(entries)) => Ok(entries),
        _ => Err(malformed(&"it has no manifests")),
    }
}

fn write(place: &Path, content: &mut dyn io::Read) -> io::Result<()> {
    let mut file = NewFile::create(place)?;
    io::copy(content, file.file())?;
    file.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(content: &ContentStore) -> Written {
        let place = Place::Folder {
            path: "cache".into(),
            tag: "latest".into(),
            digest: None,
        };
        let export = CacheExport::new(place, true, None);
        export.gather(Ok(CacheDocument::default()));
        export.put_together(content).unwrap()
    }

    #[test]
    fn index_that_cannot_be_read_is_not_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let content = ContentStore::open(directory.path().join("content")).unwrap();
        let written = written(&content);
        for (index, said) in [
            ("{", "is no index"),
            ("", "is no index"),
            ("{}", "no manifests"),
            ("[]", "no manifests"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("index.json");
            fs::write(&path, index).unwrap();
            let error = written.to_folder(&content, folder.path(), "latest").unwrap_err();
            assert!(error.0.contains(said), "{index:?}: {error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), index);
        }
    }

    #[test]
    fn caches_written_to_one_folder_at_the_same_time_are_all_there() {
        let directory = tempfile::tempdir().unwrap();
        let content = ContentStore::open(directory.path().join("content")).unwrap();
        let written = written(&content);
        let folder = directory.path().join("cache");
        let tags: Vec<String> = (0..16).map(|number| format!("tag{number}")).collect();
        std::thread::scope(|scope| {
            for tag in &tags {
                scope.spawn(|| written.to_folder(&content, &folder, tag).unwrap());
            }
        });
        for tag in tags {
            let layout = Layout::new(&folder, LayoutImage::Name(tag));
            assert_eq!(layout.root().unwrap(), written.manifest);
        }
        let names: BTreeSet<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names.len(), 3, "{names:?}");
    }
}
