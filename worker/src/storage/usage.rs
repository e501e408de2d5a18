//! Everything that takes room in a state folder.
//!
//! The folder is read as it lies, so it can also be read beside a worker that is at work in it: whatever gets a name
//! there is whole. What the worker remembers of steps, and what its builds hold at the moment, only the worker knows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use stagewright_core::digest::Digest;
use stagewright_core::protocol::{BuildState, BuildSummary, ContextEntryKind, ImageSummary};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::image::Document;
use super::names::{ImageNames, NamedImage};
use crate::backend::embedded::{StepRecord, step_records_size};
use crate::content::LONGEST_DOCUMENT;
use crate::lease::Leases;
use crate::snapshot::{directory_size, layer_size};

/// What a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The files that a step changed, or those of a base image's layer, ready to be mounted
    Layer,
    /// That a step was run, on what, and which layer came of it
    Record,
    /// A file by its digest: layers as they travel, manifests, files of build contexts
    Blob,
    /// The list of what is in a build context
    Context,
    /// What was fetched of a git repository
    Repository,
    /// A directory of RUN --mount=type=cache
    CacheMount,
    /// The record of a past build, its log included
    Build,
    /// The beginning of a blob that has not arrived whole
    Partial,
}

impl Kind {
    /// All there are, the one that is removed first coming first.
    pub const ALL: [Self; 8] = [
        Self::Record,
        Self::Layer,
        Self::Context,
        Self::Blob,
        Self::Partial,
        Self::Repository,
        Self::CacheMount,
        Self::Build,
    ];

    /// Its name, as it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Layer => "layer",
            Self::Record => "record",
            Self::Blob => "blob",
            Self::Context => "context",
            Self::Repository => "repository",
            Self::CacheMount => "cache-mount",
            Self::Build => "build",
            Self::Partial => "partial",
        }
    }
}

/// A thing that takes room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// What it is.
    pub kind: Kind,
    /// Names it among those of its kind.
    pub id: String,
    /// The bytes it takes on the disk.
    pub size: u64,
    /// When it came.
    #[serde(with = "moment")]
    pub created: SystemTime,
    /// When it was last used.
    #[serde(with = "moment")]
    pub last_used: SystemTime,
    /// Who needs it, in words; nothing that is needed is ever removed.
    pub in_use: Option<String>,
    /// What it is for, where that is known.
    pub description: String,
    /// Where it is; a record is in the database, and stands for the layer of that place.
    #[serde(skip)]
    pub(super) path: PathBuf,
}

/// All there is in a state folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// What can be removed, unless it is in use.
    pub items: Vec<Item>,
    /// The bytes of the database that records are in, which does not get smaller by itself.
    pub database: u64,
}

/// What cannot be read from the folder.
#[derive(Debug, Clone, Default)]
pub struct Knowledge {
    /// What the worker remembers of steps.
    pub records: Vec<StepRecord>,
    /// What running builds hold.
    pub leases: Leases,
}

impl Usage {
    /// Reads the state folder `state`.
    pub fn survey(state: &Path, knowledge: &Knowledge) -> io::Result<Self> {
        let mut survey = Survey {
            state,
            leases: &knowledge.leases,
            items: Vec::new(),
            roles: BTreeMap::new(),
        };
        survey.builds()?;
        survey.contexts()?;
        for image in ImageNames::of(state).list().map_err(io::Error::other)? {
            survey.named(&image);
        }
        survey.made_here();
        survey.blobs()?;
        survey.partial()?;
        survey.layers(&knowledge.records)?;
        survey.repositories()?;
        survey.cache_mounts()?;
        let database = step_records_size(state);
        Ok(Self {
            items: survey.items,
            database,
        })
    }

    /// The bytes of everything.
    pub fn total(&self) -> u64 {
        self.items
            .iter()
            .filter(|item| item.takes_room())
            .map(|item| item.size)
            .sum()
    }

    /// The bytes of what nobody needs.
    pub fn reclaimable(&self) -> u64 {
        let free = self.items.iter().filter(|item| item.in_use.is_none());
        free.filter(|item| item.takes_room()).map(|item| item.size).sum()
    }
}

impl Item {
    /// Whether removing it gives room back: a record leaves its place in the database to the next one.
    pub fn takes_room(&self) -> bool {
        self.kind != Kind::Record
    }
}

/// The bytes of everything under `state` that a survey counts, found out quickly.
pub fn total(state: &Path) -> io::Result<u64> {
    let mut total = 0;
    for part in ["contexts", "content/blobs/sha256", "content/ingest"] {
        for (_, path) in folder(&state.join(part))? {
            total += fs::metadata(path).map_or(0, |metadata| metadata.len());
        }
    }
    for (_, layer) in folder(&state.join("snapshots/layers"))? {
        total += layer_size(&layer);
    }
    for part in ["builds", "cache-mounts", "git"] {
        total += directory_size(&state.join(part));
    }
    Ok(total)
}

/// What a blob is for.
struct Role {
    description: String,
    in_use: Option<String>,
    last_used: Option<SystemTime>,
}

struct Survey<'a> {
    state: &'a Path,
    leases: &'a Leases,
    items: Vec<Item>,
    /// Blobs, by digest.
    roles: BTreeMap<Digest, Role>,
}

#[derive(Deserialize)]
struct BuildFile {
    summary: BuildSummary,
    #[serde(default)]
    image: Option<ImageSummary>,
}

#[derive(Deserialize)]
struct ContextEntry {
    kind: ContextEntryKind,
}

impl Survey<'_> {
    fn item(&mut self, kind: Kind, id: String, path: PathBuf, size: u64, metadata: &Metadata) -> &mut Item {
        let last_used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        // Not every file system knows when a file was made.
        let created = metadata.created().unwrap_or(last_used).min(last_used);
        let in_use = self.leases.is_held(&path).then(|| "a running build".to_owned());
        let at = self.items.len();
        self.items.push(Item {
            kind,
            id,
            size,
            created,
            last_used,
            in_use,
            description: String::new(),
            path,
        });
        &mut self.items[at]
    }

    /// Says what a blob is for. Who needs it counts most, then who said so first.
    fn role(&mut self, digest: &Digest, description: String, in_use: Option<String>) {
        let known = self.roles.get(digest);
        if known.is_none_or(|known| known.in_use.is_none() && in_use.is_some()) {
            let last_used = known.and_then(|known| known.last_used);
            let role = Role {
                description,
                in_use,
                last_used,
            };
            self.roles.insert(digest.clone(), role);
        }
    }

    fn builds(&mut self) -> io::Result<()> {
        for (name, path) in folder(&self.state.join("builds"))? {
            let Ok(metadata) = fs::metadata(path.join("build.json")) else {
                continue;
            };
            let size = directory_size(&path);
            let known: Option<BuildFile> = fs::read(path.join("build.json"))
                .ok()
                .and_then(|text| serde_json::from_slice(&text).ok());
            let item = self.item(Kind::Build, name, path, size, &metadata);
            let Some(known) = known else { continue };
            let (id, title) = (&known.summary.id, &known.summary.title);
            let described = format!("build {id} {title}");
            described.trim_end().clone_into(&mut item.description);
            if matches!(known.summary.state, BuildState::Queued | BuildState::Running) {
                item.in_use = Some("it is at work".to_owned());
            }
            if let Ok(created) = OffsetDateTime::parse(&known.summary.created, &Rfc3339) {
                item.created = created.into();
            }
            if let Some(image) = known.image {
                self.role(&image.digest, format!("manifest of build {id}"), None);
                self.role(&image.config, format!("configuration of build {id}"), None);
                for layer in image.layers {
                    self.role(&layer.digest, format!("layer of build {id}"), None);
                }
            }
        }
        Ok(())
    }

    fn contexts(&mut self) -> io::Result<()> {
        for (name, path) in folder(&self.state.join("contexts"))? {
            let Some(id) = name.strip_suffix(".json").map(str::to_owned) else {
                continue;
            };
            let Ok(metadata) = fs::metadata(&path) else {
                continue;
            };
            let entries: BTreeMap<String, ContextEntry> = fs::read(&path)
                .ok()
                .and_then(|text| serde_json::from_slice(&text).ok())
                .unwrap_or_default();
            let item = self.item(Kind::Context, id.clone(), path, metadata.len(), &metadata);
            let last_used = item.last_used;
            let mut files = 0;
            let short = id.get(..12).unwrap_or(&id).to_owned();
            let mut roles = Vec::new();
            for (path, entry) in entries {
                if let ContextEntryKind::File { digest, .. } = entry.kind {
                    files += 1;
                    roles.push((digest, format!("{path} of context {short}")));
                }
            }
            item.description = format!("{files} {}", if files == 1 { "file" } else { "files" });
            for (digest, description) in roles {
                self.role(&digest, description, None);
                if let Some(role) = self.roles.get_mut(&digest) {
                    role.last_used = role.last_used.max(Some(last_used));
                }
            }
        }
        Ok(())
    }

    fn named(&mut self, image: &NamedImage) {
        let user = || Some(format!("image {}", image.name));
        self.role(&image.digest, format!("manifest of {}", image.name), user());
        // A name may stand for a list of images, one for each platform.
        let mut open = vec![image.digest.clone()];
        // Lists may name each other and themselves again and again; each is looked at once.
        let mut seen = BTreeSet::new();
        while let Some(digest) = open.pop() {
            if !seen.insert(digest.clone()) {
                continue;
            }
            let Some(document) = document(&self.blob_path(digest.hex())) else {
                continue;
            };
            if let Some(config) = document.config {
                let description = format!("configuration of {}", image.name);
                self.role(&config.digest, description, user());
            }
            for layer in document.layers {
                self.role(&layer.digest, format!("layer of {}", image.name), user());
            }
            for manifest in document.manifests {
                self.role(&manifest.digest, format!("manifest of {}", image.name), user());
                open.push(manifest.digest);
            }
        }
    }

    /// Blobs that steps' layers were compressed to.
    fn made_here(&mut self) {
        #[derive(Deserialize)]
        struct Entry {
            digest: Digest,
        }
        // One folder for each way of compressing; what knows sizes has no digests.
        let ways = folder(&self.state.join("layers")).unwrap_or_default();
        for (name, path) in ways
            .into_iter()
            .flat_map(|(_, way)| folder(&way).unwrap_or_default())
        {
            let entry: Option<Entry> = fs::read(path)
                .ok()
                .and_then(|text| serde_json::from_slice(&text).ok());
            if let Some(entry) = entry {
                let short = name.get(..12).unwrap_or(&name);
                self.role(&entry.digest, format!("layer {short}, compressed"), None);
            }
        }
    }

    fn blob_path(&self, hex: &str) -> PathBuf {
        self.state.join("content/blobs/sha256").join(hex)
    }

    fn blobs(&mut self) -> io::Result<()> {
        for (name, path) in folder(&self.state.join("content/blobs/sha256"))? {
            let Ok(digest) = format!("sha256:{name}").parse::<Digest>() else {
                continue;
            };
            let Ok(metadata) = fs::metadata(&path) else {
                continue;
            };
            let role = self.roles.remove(&digest);
            let item = self.item(Kind::Blob, name, path, metadata.len(), &metadata);
            let Some(role) = role else {
                "of a base image".clone_into(&mut item.description);
                continue;
            };
            item.description = role.description;
            item.in_use = role.in_use.or(item.in_use.take());
            item.last_used = role
                .last_used
                .map_or(item.last_used, |used| used.max(item.last_used));
        }
        Ok(())
    }

    fn partial(&mut self) -> io::Result<()> {
        for (name, path) in folder(&self.state.join("content/ingest"))? {
            let Ok(metadata) = fs::metadata(&path) else {
                continue;
            };
            let at_work = fs::File::open(&path).is_ok_and(|file| file.try_lock().is_err());
            let item = self.item(Kind::Partial, name, path, metadata.len(), &metadata);
            "of a blob that did not arrive whole".clone_into(&mut item.description);
            if at_work {
                item.in_use = Some("it is arriving".to_owned());
            }
        }
        Ok(())
    }

    fn layers(&mut self, records: &[StepRecord]) -> io::Result<()> {
        let mut steps: BTreeMap<&str, &str> = BTreeMap::new();
        for record in records {
            let step = steps.entry(&record.layer).or_default();
            if step.is_empty() {
                *step = &record.step;
            }
        }
        let mut uses = BTreeMap::new();
        for (name, path) in folder(&self.state.join("snapshots/layers"))? {
            let Ok(metadata) = fs::metadata(&path) else {
                continue;
            };
            let size = layer_size(&path);
            let description = match steps.get(name.as_str()) {
                Some(&"") => "a step",
                Some(step) => step,
                None => "of a base image",
            };
            let item = self.item(Kind::Layer, name.clone(), path, size, &metadata);
            description.clone_into(&mut item.description);
            uses.insert(name, (item.last_used, item.in_use.clone()));
        }
        for record in records {
            let created = OffsetDateTime::parse(&record.created, &Rfc3339);
            let created = created.map_or(SystemTime::UNIX_EPOCH, SystemTime::from);
            let (last_used, in_use) = uses.get(&record.layer).cloned().unwrap_or((created, None));
            self.items.push(Item {
                kind: Kind::Record,
                id: record.key.hex().to_owned(),
                size: record.size,
                created,
                last_used,
                in_use,
                description: record.step.clone(),
                path: self.state.join("snapshots/layers").join(&record.layer),
            });
        }
        Ok(())
    }

    fn repositories(&mut self) -> io::Result<()> {
        for (id, path) in folder(&self.state.join("git"))? {
            let Ok(metadata) = fs::metadata(&path) else {
                continue;
            };
            // Beside them lies what all share.
            if metadata.is_dir() && format!("sha256:{id}").parse::<Digest>().is_ok() {
                let size = directory_size(&path);
                self.item(Kind::Repository, id, path, size, &metadata);
            }
        }
        Ok(())
    }

    fn cache_mounts(&mut self) -> io::Result<()> {
        for (id, directory) in folder(&self.state.join("cache-mounts"))? {
            for (number, path) in folder(&directory)? {
                let Ok(metadata) = fs::metadata(&path) else {
                    continue;
                };
                if !metadata.is_dir() {
                    continue;
                }
                let size = directory_size(&path);
                self.item(Kind::CacheMount, format!("{id}/{number}"), path, size, &metadata);
            }
        }
        Ok(())
    }
}

/// The manifest or index at `path`; `None` where it is something else, as large as that may be.
fn document(path: &Path) -> Option<Document> {
    let mut text = Vec::new();
    let file = fs::File::open(path).ok()?;
    file.take(LONGEST_DOCUMENT + 1).read_to_end(&mut text).ok()?;
    let readable = text.len() as u64 <= LONGEST_DOCUMENT;
    readable.then(|| serde_json::from_slice(&text).ok()).flatten()
}

/// The names and paths in a directory, in order; none where it is not there.
fn folder(path: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let mut names = BTreeSet::new();
    for entry in entries {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string() {
            names.insert((name, entry.path()));
        }
    }
    Ok(names.into_iter().collect())
}

/// Times as RFC 3339.
mod moment {
    use serde::de::Error as _;

    use super::{Deserialize, Deserializer, OffsetDateTime, Rfc3339, Serializer, SystemTime};

    pub(super) fn serialize<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
        let text = OffsetDateTime::from(*time).format(&Rfc3339);
        serializer.serialize_str(&text.unwrap_or_default())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = OffsetDateTime::parse(&text, &Rfc3339).map_err(D::Error::custom)?;
        Ok(time.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::ContentStore;
    use crate::snapshot::SnapshotStore;
    use crate::source::local::{ContextLimits, Contexts};
    use stagewright_core::protocol::{ContextEntry, OfferContext};

    fn of(usage: &Usage, kind: Kind) -> Vec<&Item> {
        usage.items.iter().filter(|item| item.kind == kind).collect()
    }

    #[test]
    fn a_folder_that_is_not_there_holds_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let usage = Usage::survey(&folder.path().join("none"), &Knowledge::default()).unwrap();
        assert_eq!((usage.items.len(), usage.total(), usage.database), (0, 0, 0));
    }

    #[test]
    fn a_named_image_holds_its_parts_and_a_context_tells_what_its_files_are_for() {
        let state = tempfile::tempdir().unwrap();
        let content = ContentStore::open(state.path().join("content")).unwrap();
        let (config, layer) = (content.put(b"{}").unwrap(), content.put(b"layer").unwrap());
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "config": { "digest": config, "size": 2 },
            "layers": [{ "digest": layer, "size": 5 }],
        });
        let manifest = content.put(manifest.to_string().as_bytes()).unwrap();
        ImageNames::of(state.path())
            .give(&"app".parse().unwrap(), &manifest)
            .unwrap();
        let file = content.put(b"file").unwrap();
        content.put(b"from elsewhere").unwrap();
        let contexts = Contexts::open(state.path(), content.clone(), ContextLimits::default()).unwrap();
        let offer = OfferContext {
            name: "context".into(),
            entries: vec![ContextEntry {
                path: "a.txt".into(),
                mode: 0o644,
                kind: ContextEntryKind::File {
                    digest: file.clone(),
                    size: 4,
                },
            }],
        };
        let id = contexts.offer(offer).unwrap().id;
        let knowledge = Knowledge {
            leases: content.leases().clone(),
            ..Knowledge::default()
        };
        let usage = Usage::survey(state.path(), &knowledge).unwrap();
        let by_id = |digest: &Digest| {
            let found = usage.items.iter().find(|item| item.id == digest.hex());
            found
                .map(|item| (item.description.clone(), item.in_use.clone()))
                .unwrap()
        };
        let image = Some("image docker.io/library/app:latest".to_owned());
        assert_eq!(
            by_id(&layer),
            ("layer of docker.io/library/app:latest".into(), image.clone())
        );
        assert_eq!(by_id(&config).1, image);
        assert_eq!(by_id(&manifest).1, image);
        let (description, in_use) = by_id(&file);
        assert!(description.starts_with("a.txt of context "), "{description}");
        // It was offered a moment ago, and its build has not begun.
        assert_eq!(in_use.as_deref(), Some("a running build"));
        contexts.begun(&id);
        let usage = Usage::survey(state.path(), &knowledge).unwrap();
        assert_eq!(of(&usage, Kind::Context)[0].in_use, None);
        let free: Vec<_> = of(&usage, Kind::Blob)
            .into_iter()
            .filter(|item| item.in_use.is_none())
            .collect();
        assert_eq!(free.len(), 2);
        assert_eq!(usage.reclaimable(), of(&usage, Kind::Context)[0].size + 4 + 14);
    }

    /// Gives a name to a list of images that stands for the same list again and again, and that for another.
    fn name_a_maze(state: &Path, content: &ContentStore) -> Digest {
        let config = content.put(b"{}").unwrap();
        let manifest = serde_json::json!({ "config": { "digest": config, "size": 2 }, "layers": [] });
        let mut below = content.put(manifest.to_string().as_bytes()).unwrap();
        for _ in 0..4 {
            let entry = serde_json::json!({ "digest": below });
            let list = serde_json::json!({ "manifests": vec![entry; 200] });
            below = content.put(list.to_string().as_bytes()).unwrap();
        }
        ImageNames::of(state)
            .give(&"maze".parse().unwrap(), &below)
            .unwrap();
        config
    }

    #[test]
    fn a_list_of_images_that_names_another_again_and_again_is_looked_at_once() {
        let state = tempfile::tempdir().unwrap();
        let content = ContentStore::open(state.path().join("content")).unwrap();
        let config = name_a_maze(state.path(), &content);
        let started = std::time::Instant::now();
        let usage = Usage::survey(state.path(), &Knowledge::default()).unwrap();
        // One by one it would be more than a thousand million lists.
        assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
        let config = usage.items.iter().find(|item| item.id == config.hex()).unwrap();
        assert!(config.in_use.is_some());
    }

    #[test]
    fn what_is_too_long_for_a_list_of_images_is_not_read_as_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blob");
        let padded = |length: u64| {
            let mut text = br#"{"layers":[]}"#.to_vec();
            text.resize(usize::try_from(length).unwrap(), b' ');
            text
        };
        fs::write(&path, padded(LONGEST_DOCUMENT)).unwrap();
        assert!(document(&path).is_some());
        fs::write(&path, padded(LONGEST_DOCUMENT + 1)).unwrap();
        assert!(document(&path).is_none());
    }

    #[test]
    fn a_layer_knows_its_size_and_the_step_that_made_it() {
        let state = tempfile::tempdir().unwrap();
        let snapshots = SnapshotStore::open(&state.path().join("snapshots")).unwrap();
        let active = snapshots.begin(&[]).unwrap();
        fs::write(active.upper().join("file"), vec![1; 100_000]).unwrap();
        active.commit(&"made".parse().unwrap()).unwrap();
        let record = StepRecord {
            key: Digest::of(b"key"),
            layer: "made".into(),
            diff_id: Digest::of(b"tar"),
            step: "RUN make".into(),
            build: "1".into(),
            created: "2026-01-01T00:00:00Z".into(),
            size: 300,
        };
        let knowledge = Knowledge {
            records: vec![record],
            ..Knowledge::default()
        };
        let usage = Usage::survey(&state.path().canonicalize().unwrap(), &knowledge).unwrap();
        let [layer] = of(&usage, Kind::Layer)[..] else {
            panic!("{usage:?}")
        };
        assert_eq!(layer.description, "RUN make");
        assert!((100_000..200_000).contains(&layer.size), "{layer:?}");
        let [record] = of(&usage, Kind::Record)[..] else {
            panic!("{usage:?}")
        };
        assert_eq!((record.last_used, record.size), (layer.last_used, 300));
        assert_eq!(usage.total(), layer.size, "a record takes no room of its own");
    }
}
