//! Images out of archives: an OCI image layout (a tar or a folder), or what `docker save` writes.
//!
//! An archive comes from strangers. Names in it are only compared, never used as paths; a blob is kept under the
//! digest that its bytes have; and no more is read, and no more remembered, than an image may be large.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::Path;

use serde::Deserialize;
use stagewright_core::digest::Digest;

use super::Storage;
use super::image::{self, BrokenImage, Document};
use super::names::NamesError;
use crate::config::Limits;
use crate::content::{ContentError, ContentStore, LONGEST_DOCUMENT};
use crate::export::{CONFIG_TYPE, ImageManifest, MANIFEST_TYPE, Pointer};
use crate::snapshot::tar::{EntryKind, TarError, TarReader};
use crate::source::image::reference::Reference;
use crate::source::image::{LayerDescriptor, layer_reader};

/// Most files and links in one archive.
const MOST_FILES: usize = 100_000;
/// Most entries of whatever kind. What is no file costs the archive little, and us the time to pass over it.
const MOST_ENTRIES: u64 = 1_000_000;
/// Longest name, as long as any path may be.
const LONGEST_NAME: usize = 4096;
/// Most links that lead from one name to another.
const MOST_LINKS: usize = 8;

/// An image that was in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The manifest's digest, or that of an index of manifests.
    pub digest: Digest,
    /// The names that it was given.
    pub names: Vec<Reference>,
}

/// An archive could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error("the archive cannot be read: {0}")]
    Read(#[from] io::Error),
    /// It is no archive, or a damaged one.
    #[error("the archive cannot be read: {0}")]
    Tar(#[from] TarError),
    /// It holds no image, or not a whole one.
    #[error("the archive cannot be loaded: {0}")]
    Archive(String),
    /// An image in it is broken.
    #[error("the archive cannot be loaded: {0}")]
    Image(#[from] BrokenImage),
    /// What is in it cannot be stored, or is not what its name says.
    #[error("the archive cannot be loaded: {0}")]
    Content(#[from] ContentError),
    /// The name cannot be written.
    #[error(transparent)]
    Names(#[from] NamesError),
}

impl Storage {
    /// Loads the images of an archive, which may be compressed. `names` take the place of those in it.
    pub fn load(&self, archive: impl Read, names: &[Reference]) -> Result<Vec<Loaded>, LoadError> {
        let _held = self.leases().begin();
        let mut files = Files::new(self.content(), &self.image_limits);
        files.archive(archive)?;
        self.name(&files, names)
    }

    /// The same of a folder in the OCI image layout.
    pub fn load_folder(&self, folder: &Path, names: &[Reference]) -> Result<Vec<Loaded>, LoadError> {
        let _held = self.leases().begin();
        let mut files = Files::new(self.content(), &self.image_limits);
        for name in ["oci-layout", "index.json"] {
            files.take(name, &mut File::open(folder.join(name))?)?;
        }
        for entry in fs::read_dir(folder.join("blobs/sha256"))? {
            let entry = entry?;
            if entry.file_type()?.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                files.take(&format!("blobs/sha256/{name}"), &mut File::open(entry.path())?)?;
            }
        }
        self.name(&files, names)
    }

    /// Loads the images of an archive without giving any of them a name.
    pub fn load_unnamed(&self, archive: impl Read) -> Result<Vec<Loaded>, LoadError> {
        let _held = self.leases().begin();
        load_into(self.content(), &self.image_limits, archive)
    }

    fn name(&self, files: &Files<'_>, names: &[Reference]) -> Result<Vec<Loaded>, LoadError> {
        let mut loaded = files.images()?;
        if let ([only], [_, ..]) = (loaded.as_mut_slice(), names) {
            only.names = names.to_vec();
        } else if !names.is_empty() {
            return Err(LoadError::Archive(format!(
                "it has {} images, and a name can be given to one only",
                loaded.len()
            )));
        }
        for image in &loaded {
            image::read(self.content(), &image.digest)?;
        }
        for image in &loaded {
            for name in &image.names {
                self.names().give(name, &image.digest)?;
            }
        }
        Ok(loaded)
    }
}

/// Loads the images of an archive into `content` without giving any of them a name. The caller holds a lease.
pub(crate) fn load_into(
    content: &ContentStore,
    limits: &Limits,
    archive: impl Read,
) -> Result<Vec<Loaded>, LoadError> {
    let mut files = Files::new(content, limits);
    files.archive(archive)?;
    let loaded = files.images()?;
    for image in &loaded {
        image::read(content, &image.digest)?;
    }
    Ok(loaded)
}

/// What was in an archive, by the names it has there.
struct Files<'a> {
    content: &'a ContentStore,
    /// Bytes that may still come.
    left: u64,
    /// Entries that may still come.
    entries: u64,
    unpacked_limit: u64,
    stored: BTreeMap<String, (Digest, u64)>,
    links: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl<'a> Files<'a> {
    fn new(content: &'a ContentStore, limits: &Limits) -> Self {
        Self {
            content,
            left: limits.image_size,
            entries: MOST_ENTRIES,
            unpacked_limit: limits.image_unpacked_size,
            stored: BTreeMap::new(),
            links: BTreeMap::new(),
        }
    }

    fn archive(&mut self, archive: impl Read) -> Result<(), LoadError> {
        let mut archive = BufReader::with_capacity(1 << 18, archive);
        let start = archive.fill_buf()?;
        let archive: Box<dyn Read + '_> = if start.starts_with(&[0x1f, 0x8b]) {
            Box::new(flate2::bufread::MultiGzDecoder::new(archive))
        } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            Box::new(zstd::Decoder::with_buffer(archive)?)
        } else {
            Box::new(archive)
        };
        // All that comes out of it counts, also what is passed over.
        let mut archive = TarReader::of_any(Bounded {
            source: archive,
            left: self.left,
        });
        while let Some(entry) = archive.next_entry()? {
            self.entries = self
                .entries
                .checked_sub(1)
                .ok_or_else(|| LoadError::Archive(format!("it has more than {MOST_ENTRIES} entries")))?;
            let name = text(&entry.name)?;
            match &entry.kind {
                EntryKind::File { .. } => self.take(&name, &mut archive)?,
                EntryKind::Symlink(target) => {
                    let base = plain(&name).rsplit_once('/').map_or("", |(folder, _)| folder);
                    self.link(&name, resolved(base, &text(target)?))?;
                }
                EntryKind::HardLink(target) => self.link(&name, resolved("", &text(target)?))?,
                EntryKind::Directory
                | EntryKind::Fifo
                | EntryKind::CharDevice { .. }
                | EntryKind::BlockDevice { .. } => {}
            }
        }
        Ok(())
    }

    /// Notes that a name stands for another.
    fn link(&mut self, name: &str, target: String) -> Result<(), LoadError> {
        self.room()?;
        self.links.insert(plain(name).to_owned(), target);
        Ok(())
    }

    /// Whether one more name may be remembered.
    fn room(&self) -> Result<(), LoadError> {
        if self.stored.len() + self.links.len() < MOST_FILES {
            return Ok(());
        }
        Err(LoadError::Archive(format!("it has more than {MOST_FILES} files")))
    }

    /// Keeps one file of the archive.
    fn take(&mut self, name: &str, file: &mut dyn Read) -> Result<(), LoadError> {
        let name = plain(name).to_owned();
        self.room()?;
        let expected: Option<Digest> = name
            .strip_prefix("blobs/sha256/")
            .and_then(|hex| format!("sha256:{hex}").parse().ok());
        if let Some(known) = expected.as_ref().and_then(|digest| self.content.size(digest)) {
            // It is here already, checked when it came.
            if let Some(digest) = expected {
                self.stored.insert(name, (digest, known));
            }
            return Ok(());
        }
        let mut writer = self.content.writer()?;
        let mut buffer = vec![0; 1 << 18];
        loop {
            let count = match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            self.left = self.left.checked_sub(count as u64).ok_or_else(too_large)?;
            writer.append(buffer.get(..count).unwrap_or_default())?;
        }
        let (digest, size) = match expected {
            Some(expected) => writer.commit_as(&expected)?,
            None => writer.commit()?,
        };
        self.stored.insert(name, (digest, size));
        Ok(())
    }

    fn images(&self) -> Result<Vec<Loaded>, LoadError> {
        let docker: Vec<DockerImage> = self.document("manifest.json")?.unwrap_or_default();
        if let Some(index) = self.document::<Document>("index.json")? {
            let mut loaded: Vec<Loaded> = Vec::new();
            for entry in index.manifests {
                let names = entry.annotations.get("io.containerd.image.name");
                // Other tools write the whole name there, or the tag alone, which names nothing.
                let names = names.or_else(|| entry.annotations.get("org.opencontainers.image.ref.name"));
                let name = names
                    .filter(|name| name.contains(['/', ':', '.']))
                    .and_then(|name| name.parse::<Reference>().ok())
                    .filter(|name| name.digest().is_none());
                match loaded.iter_mut().find(|image| image.digest == entry.digest) {
                    Some(known) => known.names.extend(name),
                    None => loaded.push(Loaded {
                        digest: entry.digest,
                        names: name.into_iter().collect(),
                    }),
                }
            }
            if let ([only], [docker]) = (loaded.as_mut_slice(), docker.as_slice())
                && only.names.is_empty()
            {
                only.names = tags(docker);
            }
            if loaded.is_empty() {
                return Err(LoadError::Archive("its index.json names no image".to_owned()));
            }
            return Ok(loaded);
        }
        if docker.is_empty() {
            return Err(LoadError::Archive(
                "it is neither an OCI image layout (there is no index.json) nor what docker save writes (there is no \
                 manifest.json)"
                    .to_owned(),
            ));
        }
        docker.iter().map(|image| self.docker_image(image)).collect()
    }

    /// Makes a manifest for an image that has none.
    fn docker_image(&self, image: &DockerImage) -> Result<Loaded, LoadError> {
        #[derive(Deserialize)]
        struct Config {
            rootfs: RootFs,
        }
        #[derive(Deserialize)]
        struct RootFs {
            diff_ids: Vec<Digest>,
        }
        let (config, config_size) = self.file(&image.config)?;
        let text = self.content.read(&config, LONGEST_DOCUMENT)?;
        let known: Config = serde_json::from_slice(&text)
            .map_err(|error| LoadError::Archive(format!("{} is no configuration: {error}", image.config)))?;
        let diff_ids = known.rootfs.diff_ids;
        if diff_ids.len() != image.layers.len() {
            return Err(LoadError::Archive(format!(
                "an image in it has {} layers, but its configuration speaks of {}",
                image.layers.len(),
                diff_ids.len()
            )));
        }
        let mut layers = Vec::new();
        for (name, diff_id) in image.layers.iter().zip(diff_ids) {
            let (digest, size) = self.file(name)?;
            let media_type = layer_type(self.content, &digest)?;
            // An uncompressed layer is named by its own digest. What is in a compressed one has to be looked at.
            let layer = LayerDescriptor {
                digest: digest.clone(),
                diff_id: diff_id.clone(),
                media_type: media_type.to_owned(),
                size,
            };
            let checked = if digest == diff_id {
                Ok(size)
            } else {
                layer_reader(self.content, &layer, self.unpacked_limit)?.finish()
            };
            checked.map_err(|error| LoadError::Archive(format!("{name}: {error}")))?;
            layers.push(Pointer {
                media_type: media_type.to_owned(),
                digest,
                size,
            });
        }
        let manifest = ImageManifest {
            schema_version: 2,
            media_type: MANIFEST_TYPE.to_owned(),
            config: Pointer {
                media_type: CONFIG_TYPE.to_owned(),
                digest: config,
                size: config_size,
            },
            layers,
            annotations: BTreeMap::new(),
        };
        let bytes = serde_json::to_vec(&manifest).map_err(|error| LoadError::Archive(error.to_string()))?;
        Ok(Loaded {
            digest: self.content.put(&bytes)?,
            names: tags(image),
        })
    }

    fn document<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Result<Option<T>, LoadError> {
        let Some((digest, _)) = self.stored.get(name) else {
            return Ok(None);
        };
        let text = self.content.read(digest, LONGEST_DOCUMENT)?;
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| LoadError::Archive(format!("its {name} is malformed: {error}")))
    }

    /// A file of the archive, through the links that older archives have between layers.
    fn file(&self, name: &str) -> Result<(Digest, u64), LoadError> {
        let mut at = plain(name);
        for _ in 0..MOST_LINKS {
            if let Some((digest, size)) = self.stored.get(at) {
                return Ok((digest.clone(), *size));
            }
            match self.links.get(at) {
                Some(target) => at = target,
                None => break,
            }
        }
        Err(LoadError::Archive(format!(
            "it names {name:?}, which is not in it"
        )))
    }
}

/// A reader of no more than so many bytes.
struct Bounded<R> {
    source: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(too_large)?;
        Ok(count)
    }
}

fn too_large() -> io::Error {
    let reason = "it is larger than an image may be (image-size in the worker's configuration)";
    io::Error::new(io::ErrorKind::FileTooLarge, reason)
}

fn tags(image: &DockerImage) -> Vec<Reference> {
    let tags = image.repo_tags.iter().flatten();
    let names = tags.filter_map(|tag| tag.parse().ok());
    // A name with a digest in it could not be taken away again.
    names.filter(|name: &Reference| name.digest().is_none()).collect()
}

fn layer_type(content: &ContentStore, digest: &Digest) -> Result<&'static str, LoadError> {
    let mut start = [0; 4];
    let count = content.open_blob(digest)?.read(&mut start)?;
    Ok(match start.get(..count).unwrap_or_default() {
        [0x1f, 0x8b, ..] => "application/vnd.oci.image.layer.v1.tar+gzip",
        [0x28, 0xb5, 0x2f, 0xfd] => "application/vnd.oci.image.layer.v1.tar+zstd",
        _ => "application/vnd.oci.image.layer.v1.tar",
    })
}

/// A name in the archive as text.
fn text(name: &[u8]) -> Result<String, LoadError> {
    if name.len() > LONGEST_NAME {
        return Err(LoadError::Archive(format!(
            "a name in it has {} bytes, more than any path may have",
            name.len()
        )));
    }
    Ok(String::from_utf8_lossy(name).into_owned())
}

/// A name without what stands before it in some archives.
fn plain(name: &str) -> &str {
    let mut name = name;
    while let Some(rest) = name.strip_prefix("./").or_else(|| name.strip_prefix('/')) {
        name = rest;
    }
    name.trim_end_matches('/')
}

/// Where a link in the folder `base` leads to, within the archive.
fn resolved(base: &str, target: &str) -> String {
    let mut parts: Vec<&str> = if target.starts_with('/') {
        Vec::new()
    } else {
        base.split('/').filter(|part| !part.is_empty()).collect()
    };
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::tar::{Entry, TarWriter};

    /// What an archive of these entries is refused with.
    fn refused(entries: impl Iterator<Item = Entry>, set: impl FnOnce(&mut Files<'_>)) -> String {
        let folder = tempfile::tempdir().unwrap();
        let content = ContentStore::open(folder.path()).unwrap();
        let mut writer = TarWriter::new(zstd::Encoder::new(Vec::new(), 1).unwrap());
        for entry in entries {
            writer.append(&entry, &mut io::repeat(0)).unwrap();
        }
        let bytes = writer.finish().unwrap().finish().unwrap();
        let mut files = Files {
            content: &content,
            left: u64::MAX,
            entries: MOST_ENTRIES,
            unpacked_limit: 0,
            stored: BTreeMap::new(),
            links: BTreeMap::new(),
        };
        set(&mut files);
        let error = files.archive(bytes.as_slice()).unwrap_err();
        assert_eq!(content.blobs().unwrap(), [], "nothing of it is kept: {error}");
        error.to_string()
    }

    fn entry(name: String, kind: EntryKind) -> Entry {
        Entry {
            kind,
            ..Entry::new(name.into_bytes())
        }
    }

    #[test]
    fn an_archive_of_nothing_but_links_is_bounded() {
        let links = (0..=MOST_FILES)
            .map(|number| entry(format!("l{number}"), EntryKind::Symlink(b"elsewhere".to_vec())));
        assert!(refused(links, |_| {}).contains("more than 100000 files"));
    }

    #[test]
    fn an_archive_of_nothing_that_counts_is_bounded() {
        let directories = (0..=10).map(|_| entry("d".to_owned(), EntryKind::Directory));
        assert!(refused(directories, |files| files.entries = 10).contains("more than 1000000 entries"));
    }

    #[test]
    fn names_and_targets_longer_than_any_path_are_refused() {
        let long = "n".repeat(LONGEST_NAME + 1);
        let target = EntryKind::HardLink(long.clone().into_bytes());
        for entry in [
            entry(long, EntryKind::Directory),
            entry("link".to_owned(), target),
        ] {
            let said = refused(std::iter::once(entry), |_| {});
            assert!(said.contains("more than any path may have"), "{said}");
        }
    }

    #[test]
    fn a_bomb_is_stopped_also_in_what_is_passed_over() {
        let bomb = entry("bomb".to_owned(), EntryKind::File { size: 8 << 20 });
        assert!(
            refused(std::iter::once(bomb), |files| files.left = 1 << 20)
                .contains("larger than an image may be")
        );
        let passed_over = (0..10_000).map(|_| entry("f".to_owned(), EntryKind::Fifo));
        assert!(refused(passed_over, |files| files.left = 1 << 20).contains("larger than an image may be"));
    }

    #[test]
    fn links_stay_in_the_archive() {
        assert_eq!(resolved("b", "../a/layer.tar"), "a/layer.tar");
        assert_eq!(resolved("b", "../../../etc/passwd"), "etc/passwd");
        assert_eq!(resolved("b", "/etc/passwd"), "etc/passwd");
        assert_eq!(plain("././/a/"), "a");
    }
}
