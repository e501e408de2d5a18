//! Build contexts, known by their content.
//!
//! A client offers a list of what is in its context; the worker answers with the blobs it lacks; only those travel,
//! and one that was cut off goes on where it stopped. The list is kept by its own digest, the blobs in the content
//! store, so the same context offered again costs nothing.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use stagewright_core::digest::Digest;
use stagewright_core::protocol::{
    ContentFrame, ContentReceived, ContextAnswer, ContextEntryKind, LackingContent, OfferContext,
};

use crate::content::{ContentError, ContentStore, Ingest};
use crate::lease::Lease;

/// How large a context may be.
#[derive(Debug, Clone)]
pub struct ContextLimits {
    /// Entries in one context.
    pub entries: usize,
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Bytes of all files of one context.
    pub total_bytes: u64,
}

impl Default for ContextLimits {
    fn default() -> Self {
        Self {
            entries: 200_000,
            file_bytes: 2 << 30,
            total_bytes: 8 << 30,
        }
    }
}

/// Why a context or a piece of it was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// An entry's path cannot be in a context.
    #[error("the context cannot be taken: {path:?} {reason}")]
    Path {
        /// As offered.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The context is larger than this worker takes.
    #[error("the context cannot be taken: {0}")]
    Limit(String),
    /// Nobody offered a context with this content.
    #[error("content {0} belongs to no context that was offered and lacks it")]
    Unexpected(Digest),
    /// The content could not be stored.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The list could not be stored.
    #[error("the context's list cannot be stored in {path}: {source}", path = path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What is in one context: path -> entry, so in bytewise order and parents before children. Parents that the offer
/// left out are there, with mode 755.
#[derive(Debug)]
pub struct Manifest {
    /// Names exactly this content.
    pub id: Digest,
    /// The entries by their path, relative and without `.` or `..`.
    pub entries: BTreeMap<String, ManifestEntry>,
    /// One more than [`ContentStore::removals`] when all content was seen to be here; 0 where it never was.
    complete: AtomicU64,
}

/// One entry of a [`Manifest`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ManifestEntry {
    /// Permission bits, set-id and sticky bits included.
    pub mode: u32,
    /// What it is.
    pub kind: ContextEntryKind,
}

/// The build contexts that a worker knows. Cheap to clone.
#[derive(Clone)]
pub struct Contexts {
    shared: Arc<Shared>,
}

struct Shared {
    directory: PathBuf,
    content: ContentStore,
    limits: ContextLimits,
    manifests: RwLock<BTreeMap<Digest, Arc<Manifest>>>,
    /// Content that was asked for and has not arrived whole, by digest.
    expected: Mutex<BTreeMap<Digest, Expected>>,
    /// Contexts that were offered and not built yet, held for a while.
    offered: Mutex<BTreeMap<Digest, (Instant, Lease)>>,
}

/// How long what was offered waits for its build.
const PATIENCE: Duration = Duration::from_hours(1);

struct Expected {
    size: u64,
    ingest: Option<Ingest>,
}

impl Contexts {
    /// Opens the contexts in `state`, a folder of the worker's own; their files are in `content`.
    pub fn open(state: &Path, content: ContentStore, limits: ContextLimits) -> Result<Self, ContextError> {
        let directory = state.join("contexts");
        fs::create_dir_all(&directory).map_err(|source| ContextError::Io {
            path: directory.clone(),
            source,
        })?;
        Ok(Self {
            shared: Arc::new(Shared {
                directory,
                content,
                limits,
                manifests: RwLock::default(),
                expected: Mutex::default(),
                offered: Mutex::default(),
            }),
        })
    }

    /// Takes the list of a context and says which content is lacking. Reads and writes files.
    pub fn offer(&self, offer: OfferContext) -> Result<ContextAnswer, ContextError> {
        let entries = checked(offer, &self.shared.limits)?;
        let text = serde_json::to_vec(&entries).map_err(|error| ContextError::Io {
            path: self.shared.directory.clone(),
            source: error.into(),
        })?;
        let id = Digest::of(&text);
        let manifest = Arc::new(Manifest {
            id: id.clone(),
            entries,
            complete: AtomicU64::new(0),
        });
        // From here on its content stays until it is built.
        let lease = self.shared.content.leases().begin();
        self.shared.store(&id, &text)?;
        let lacks = self.expect(&manifest);
        let mut manifests = self
            .shared
            .manifests
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        manifests.entry(id.clone()).or_insert(manifest);
        drop(manifests);
        self.hold(&id, lease);
        Ok(ContextAnswer { id, lacks })
    }

    /// Takes the announcement of one blob that holds a whole context, as a tar, and says whether it is lacking. It is named
    /// by its own digest.
    pub fn offer_archive(&self, digest: &Digest, size: u64) -> Result<ContextAnswer, ContextError> {
        if size > self.shared.limits.total_bytes {
            let limit = self.shared.limits.total_bytes;
            return Err(ContextError::Limit(format!(
                "it has {size} bytes, and this worker takes {limit}"
            )));
        }
        let lease = self.shared.content.leases().begin();
        let lacks = if self.shared.content.holds(digest, size) {
            Vec::new()
        } else {
            self.expect_all([(digest.clone(), size)])
        };
        self.hold(digest, lease);
        Ok(ContextAnswer {
            id: digest.clone(),
            lacks,
        })
    }

    /// How many bytes of a blob are here, and whether that is all of it; `None` where there are none and none are expected.
    pub fn standing(&self, digest: &Digest) -> Option<(u64, bool)> {
        let content = &self.shared.content;
        if let Some(size) = content.size(digest) {
            return Some((size, true));
        }
        let expected = self
            .shared
            .expected
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let here = expected
            .get(digest)
            .and_then(|expected| expected.ingest.as_ref().map(Ingest::offset));
        let have = here.unwrap_or_else(|| content.partial_size(digest));
        (have > 0 || expected.contains_key(digest)).then_some((have, false))
    }

    /// Keeps what was offered for a while, until its build begins.
    fn hold(&self, id: &Digest, lease: Lease) {
        let mut offered = self.shared.offered.lock().unwrap_or_else(PoisonError::into_inner);
        offered.retain(|_, (when, _)| when.elapsed() < PATIENCE);
        offered.insert(id.clone(), (Instant::now(), lease));
    }

    /// Notes what is to come, and says how much of it is here.
    fn expect(&self, manifest: &Manifest) -> Vec<LackingContent> {
        self.expect_all(self.lacking(manifest))
    }

    fn expect_all(&self, lacking: impl IntoIterator<Item = (Digest, u64)>) -> Vec<LackingContent> {
        let mut expected = self
            .shared
            .expected
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let answer = lacking.into_iter().map(|(digest, size)| {
            let have = match expected.entry(digest.clone()) {
                Entry::Occupied(entry) => entry.get().ingest.as_ref().map(Ingest::offset),
                Entry::Vacant(entry) => {
                    entry.insert(Expected { size, ingest: None });
                    None
                }
            };
            // What cannot be longer than the whole is a beginning of something else, and will be thrown away.
            let have = have.unwrap_or_else(|| self.shared.content.partial_size(&digest));
            LackingContent {
                digest,
                have: if have > size { 0 } else { have },
            }
        });
        answer.collect()
    }

    /// Takes a piece of a file's content; says so when it was the last piece and the digest was right. Writes to
    /// disk, so call it where blocking is allowed.
    pub fn receive(&self, frame: &ContentFrame<'_>) -> Result<Option<ContentReceived>, ContextError> {
        let digest = frame.digest.clone();
        let mut expected = self
            .shared
            .expected
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = expected.get_mut(&digest) else {
            // It may have arrived by another way since it was asked for.
            return if self.shared.content.contains(&digest) {
                Ok(Some(ContentReceived { digest }))
            } else {
                Err(ContextError::Unexpected(digest))
            };
        };
        let mut ingest = match entry.ingest.take() {
            Some(ingest) => ingest,
            None => match self.shared.content.ingest(&digest, Some(entry.size)) {
                Ok(ingest) => ingest,
                Err(ContentError::Present(_)) => {
                    expected.remove(&digest);
                    return Ok(Some(ContentReceived { digest }));
                }
                Err(error) => return Err(error.into()),
            },
        };
        if let Err(error) = ingest.write_at(frame.offset, frame.data) {
            entry.ingest = Some(ingest);
            return Err(error.into());
        }
        if !ingest.is_complete() {
            entry.ingest = Some(ingest);
            return Ok(None);
        }
        ingest.commit()?;
        expected.remove(&digest);
        Ok(Some(ContentReceived { digest }))
    }

    /// The context named `id`, where it was ever offered here.
    pub fn get(&self, id: &Digest) -> Option<Arc<Manifest>> {
        let known = self
            .shared
            .manifests
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(id)
            .cloned();
        if known.is_some() {
            return known;
        }
        let text = fs::read(self.shared.path(id)).ok()?;
        // The file is named by the digest of its text, so a torn or changed one does not count.
        if Digest::of(&text) != *id {
            return None;
        }
        let entries = serde_json::from_slice(&text).ok()?;
        let manifest = Arc::new(Manifest {
            id: id.clone(),
            entries,
            complete: AtomicU64::new(0),
        });
        let mut manifests = self
            .shared
            .manifests
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(manifests.entry(id.clone()).or_insert(manifest)))
    }

    /// A build of the context has begun, and holds it from now on.
    pub fn begun(&self, id: &Digest) {
        let mut offered = self.shared.offered.lock().unwrap_or_else(PoisonError::into_inner);
        offered.remove(id);
    }

    /// Forgets the context named `id`; its files are the content store's. Whether a build holds it is the caller's to
    /// know.
    pub fn forget(&self, id: &Digest) -> io::Result<()> {
        let mut manifests = self
            .shared
            .manifests
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        manifests.remove(id);
        match fs::remove_file(self.shared.path(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The content of `manifest` that is not here, with its size, each once. What is here is held.
    pub fn lacking(&self, manifest: &Manifest) -> Vec<(Digest, u64)> {
        let content = &self.shared.content;
        content.leases().using(&self.shared.path(&manifest.id));
        let removals = content.removals();
        if manifest.complete.load(Ordering::Acquire) == removals + 1 {
            for (digest, _) in manifest.entries.values().filter_map(ManifestEntry::content) {
                content.leases().holding(&content.path(digest));
            }
            // What was removed in the meantime was so before it was held.
            if content.removals() == removals {
                return Vec::new();
            }
        }
        let files: BTreeSet<_> = manifest
            .entries
            .values()
            .filter_map(ManifestEntry::content)
            .collect();
        let lacking: Vec<_> = files
            .into_iter()
            .filter(|(digest, size)| !content.holds(digest, *size))
            .collect();
        let lacking: Vec<_> = lacking
            .into_iter()
            .map(|(digest, size)| (digest.clone(), size))
            .collect();
        let complete = if lacking.is_empty() { removals + 1 } else { 0 };
        manifest.complete.store(complete, Ordering::Release);
        lacking
    }

    /// Where the files' content is.
    pub fn content(&self) -> &ContentStore {
        &self.shared.content
    }
}

impl ManifestEntry {
    /// Digest and size of a regular file.
    pub fn content(&self) -> Option<(&Digest, u64)> {
        match &self.kind {
            ContextEntryKind::File { digest, size } => Some((digest, *size)),
            ContextEntryKind::Directory | ContextEntryKind::Symlink { .. } => None,
        }
    }
}

impl Shared {
    fn path(&self, id: &Digest) -> PathBuf {
        self.directory.join(format!("{}.json", id.hex()))
    }

    /// Keeps a list's text under its digest, written beside its place and renamed.
    fn store(&self, id: &Digest, text: &[u8]) -> Result<(), ContextError> {
        let path = self.path(id);
        if path.is_file() {
            return Ok(());
        }
        let write = || {
            let temporary = tempfile_beside(&path);
            let mut file = fs::File::create(&temporary)?;
            file.write_all(text)?;
            fs::rename(&temporary, &path)
        };
        write().map_err(|source| ContextError::Io {
            path: path.clone(),
            source,
        })
    }
}

/// A name next to `path` that no other thread of this process uses.
fn tempfile_beside(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    path.with_extension(format!("new{}", COUNT.fetch_add(1, Ordering::Relaxed)))
}

/// Checks an offer: every path is relative and plain, named once, and stands under directories only.
fn checked(
    offer: OfferContext,
    limits: &ContextLimits,
) -> Result<BTreeMap<String, ManifestEntry>, ContextError> {
    if offer.entries.len() > limits.entries {
        let (count, limit) = (offer.entries.len(), limits.entries);
        return Err(ContextError::Limit(format!(
            "it has {count} entries, and this worker takes {limit}"
        )));
    }
    let mut entries = BTreeMap::new();
    let mut total = 0_u64;
    for entry in offer.entries {
        if let Some(reason) = fault(&entry.path) {
            return Err(ContextError::Path {
                path: entry.path,
                reason,
            });
        }
        match &entry.kind {
            ContextEntryKind::File { size, .. } if *size > limits.file_bytes => {
                let limit = limits.file_bytes;
                return Err(ContextError::Limit(format!(
                    "{:?} has {size} bytes, and this worker takes {limit} in one file",
                    entry.path
                )));
            }
            ContextEntryKind::File { size, .. } => total = total.saturating_add(*size),
            ContextEntryKind::Symlink { target } if target.is_empty() || target.contains('\0') => {
                return Err(ContextError::Path {
                    path: entry.path,
                    reason: "is a link to nowhere",
                });
            }
            ContextEntryKind::Symlink { .. } | ContextEntryKind::Directory => {}
        }
        let kept = ManifestEntry {
            mode: entry.mode & 0o7777,
            kind: entry.kind,
        };
        if entries.insert(entry.path.clone(), kept).is_some() {
            return Err(ContextError::Path {
                path: entry.path,
                reason: "is in it twice",
            });
        }
    }
    if total > limits.total_bytes {
        let limit = limits.total_bytes;
        return Err(ContextError::Limit(format!(
            "its files have {total} bytes, and this worker takes {limit}"
        )));
    }
    with_parents(entries)
}

/// Adds the parents that were left out, and refuses entries under something that is no directory.
fn with_parents(
    mut entries: BTreeMap<String, ManifestEntry>,
) -> Result<BTreeMap<String, ManifestEntry>, ContextError> {
    let mut missing = BTreeSet::new();
    for path in entries.keys() {
        for (at, _) in path.match_indices('/') {
            let parent = path.get(..at).unwrap_or_default();
            match entries.get(parent).map(|entry| &entry.kind) {
                Some(ContextEntryKind::Directory) => {}
                Some(ContextEntryKind::File { .. }) => {
                    return Err(ContextError::Path {
                        path: path.clone(),
                        reason: "stands under a file",
                    });
                }
                Some(ContextEntryKind::Symlink { .. }) => {
                    return Err(ContextError::Path {
                        path: path.clone(),
                        reason: "stands under a symbolic link",
                    });
                }
                None => {
                    missing.insert(parent.to_owned());
                }
            }
        }
    }
    let directory = ManifestEntry {
        mode: 0o755,
        kind: ContextEntryKind::Directory,
    };
    entries.extend(missing.into_iter().map(|parent| (parent, directory.clone())));
    Ok(entries)
}

/// What keeps `path` from being a path in a context.
fn fault(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        return Some("is an empty path");
    }
    if path.starts_with('/') {
        return Some("is an absolute path");
    }
    if path.len() > 4095 {
        return Some("is longer than a path may be");
    }
    if path.contains('\0') {
        return Some("holds a zero byte");
    }
    path.split('/').find_map(|part| match part {
        "" => Some("has an empty part"),
        "." | ".." => Some("has a part that is . or .."),
        part if part.len() > 255 => Some("has a part that is longer than a file name may be"),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use stagewright_core::protocol::ContextEntry;

    fn contexts(directory: &Path) -> Contexts {
        let content = ContentStore::open(directory.join("content")).unwrap();
        Contexts::open(directory, content, ContextLimits::default()).unwrap()
    }

    fn file(path: &str, content: &[u8]) -> ContextEntry {
        let kind = ContextEntryKind::File {
            digest: Digest::of(content),
            size: content.len() as u64,
        };
        ContextEntry {
            path: path.into(),
            mode: 0o644,
            kind,
        }
    }

    fn link(path: &str, target: &str) -> ContextEntry {
        ContextEntry {
            path: path.into(),
            mode: 0o777,
            kind: ContextEntryKind::Symlink {
                target: target.into(),
            },
        }
    }

    fn offer(entries: Vec<ContextEntry>) -> OfferContext {
        OfferContext {
            name: "context".into(),
            entries,
        }
    }

    fn piece(content: &[u8], from: usize, to: usize) -> ContentFrame<'_> {
        ContentFrame {
            digest: Digest::of(content),
            offset: from as u64,
            data: &content[from..to],
        }
    }

    #[test]
    fn only_lacking_content_is_asked_for_and_the_same_offer_has_the_same_name() {
        let directory = tempfile::tempdir().unwrap();
        let contexts = contexts(directory.path());
        let entries = vec![file("a", b"one"), file("b/c", b"two"), file("d", b"one")];
        let answer = contexts.offer(offer(entries.clone())).unwrap();
        assert_eq!(answer.lacks.len(), 2);
        assert!(contexts.receive(&piece(b"one", 0, 3)).unwrap().is_some());
        let again = contexts.offer(offer(entries)).unwrap();
        assert_eq!(again.id, answer.id);
        assert_eq!(
            again.lacks,
            [LackingContent {
                digest: Digest::of(b"two"),
                have: 0
            }]
        );
    }

    #[test]
    fn an_interrupted_upload_resumes_even_in_a_new_worker() {
        let directory = tempfile::tempdir().unwrap();
        let entries = vec![file("a", b"hello world")];
        let first = contexts(directory.path());
        first.offer(offer(entries.clone())).unwrap();
        assert_eq!(first.receive(&piece(b"hello world", 0, 5)).unwrap(), None);
        assert_eq!(first.offer(offer(entries.clone())).unwrap().lacks[0].have, 5);
        drop(first);
        let second = contexts(directory.path());
        let answer = second.offer(offer(entries)).unwrap();
        assert_eq!(answer.lacks[0].have, 5);
        let manifest = second.get(&answer.id).unwrap();
        assert_eq!(second.lacking(&manifest).len(), 1);
        assert!(second.receive(&piece(b"hello world", 5, 11)).unwrap().is_some());
        assert!(second.lacking(&manifest).is_empty());
    }

    #[test]
    fn content_that_nobody_offered_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let contexts = contexts(directory.path());
        let refused = contexts.receive(&piece(b"stray", 0, 5));
        assert!(matches!(refused, Err(ContextError::Unexpected(_))));
    }

    #[test]
    fn wrong_content_is_refused_and_may_be_sent_again() {
        let directory = tempfile::tempdir().unwrap();
        let contexts = contexts(directory.path());
        contexts.offer(offer(vec![file("a", b"right")])).unwrap();
        let wrong = ContentFrame {
            digest: Digest::of(b"right"),
            offset: 0,
            data: b"wrong",
        };
        assert!(contexts.receive(&wrong).is_err());
        assert!(contexts.receive(&piece(b"right", 0, 5)).unwrap().is_some());
    }

    #[test]
    fn paths_that_could_lead_elsewhere_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let contexts = contexts(directory.path());
        let long = "x".repeat(256);
        for path in [
            "",
            "/etc/passwd",
            "../up",
            "a/../b",
            "./a",
            "a//b",
            "a/",
            "nul\0",
            "a/.",
            long.as_str(),
        ] {
            let refused = contexts.offer(offer(vec![file(path, b"x")]));
            assert!(matches!(refused, Err(ContextError::Path { .. })), "{path:?}");
        }
        for entries in [
            vec![link("a", "/etc"), file("a/passwd", b"x")],
            vec![file("a", b"x"), file("a/b", b"x")],
            vec![file("a", b"x"), file("a", b"y")],
        ] {
            assert!(matches!(
                contexts.offer(offer(entries)),
                Err(ContextError::Path { .. })
            ));
        }
    }

    #[test]
    fn a_context_past_its_limits_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let content = ContentStore::open(directory.path().join("content")).unwrap();
        let limits = ContextLimits {
            entries: 2,
            file_bytes: 4,
            total_bytes: 6,
        };
        let contexts = Contexts::open(directory.path(), content, limits).unwrap();
        for entries in [
            vec![file("a", b"12345")],
            vec![file("a", b"1234"), file("b", b"123")],
            vec![file("a", b"1"), file("b", b"1"), file("c", b"1")],
        ] {
            assert!(matches!(
                contexts.offer(offer(entries)),
                Err(ContextError::Limit(_))
            ));
        }
    }

    #[test]
    fn parents_that_were_left_out_are_directories() {
        let directory = tempfile::tempdir().unwrap();
        let contexts = contexts(directory.path());
        let answer = contexts.offer(offer(vec![file("a/b/c", b"x")])).unwrap();
        let manifest = contexts.get(&answer.id).unwrap();
        assert_eq!(manifest.entries.keys().collect::<Vec<_>>(), ["a", "a/b", "a/b/c"]);
    }
}
