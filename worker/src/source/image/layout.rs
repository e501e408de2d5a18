//! Images in a directory of the OCI image layout.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use stagewright_core::digest::Digest;

use super::error::ImageError;
use super::manifest::{Descriptor, Document, LONGEST_MANIFEST};
use super::reference::Reference;
use crate::config::LayoutImage;
use crate::content::Ingest;

/// The annotation that names an image in a layout's index.
pub(crate) const NAME: &str = "org.opencontainers.image.ref.name";

/// A directory in the OCI image layout, and which of its images is meant.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// The image it stands in for, for messages.
    pub(super) reference: Reference,
    pub(super) path: PathBuf,
    pub(super) image: LayoutImage,
}

impl Layout {
    /// One that stands in for no image.
    pub(crate) fn new(path: &Path, image: LayoutImage) -> Self {
        Self {
            reference: Reference::unnamed(),
            path: path.to_owned(),
            image,
        }
    }

    /// The digest of the manifest or index that is meant.
    pub(crate) fn root(&self) -> Result<Digest, ImageError> {
        let path = self.path.join("index.json");
        let bytes = self.read_file(&path, LONGEST_MANIFEST)?;
        let Ok(Document::Index(entries)) = Document::parse(&bytes) else {
            return Err(self.error(format!("its {} is no index", path.display())));
        };
        let named = |entry: &&Descriptor, name: &str| {
            // containerd writes the whole reference in the place of the tag.
            entry.annotations.get(NAME).is_some_and(|found| {
                found == name || found.rsplit_once(':').is_some_and(|(_, tag)| tag == name)
            })
        };
        let mut found = entries.iter().filter(|entry| match &self.image {
            LayoutImage::Only => true,
            LayoutImage::Name(name) => named(entry, name),
            LayoutImage::Digest(_) => false,
        });
        match (&self.image, found.next(), found.next()) {
            // A digest names what it names, also where the index does not list it.
            (LayoutImage::Digest(digest), _, _) => Ok(digest.clone()),
            (_, Some(entry), None) => Ok(entry.digest.clone()),
            (_, Some(_), Some(_)) => Err(self.error(format!(
                "more than one of its images would do; name one of {}",
                names(&entries)
            ))),
            (_, None, _) => Err(self.error(format!(
                "it has no image of that name; it has {}",
                names(&entries)
            ))),
        }
    }

    /// A manifest, index or configuration of at most `limit` bytes.
    pub(crate) fn document(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, ImageError> {
        let bytes = self.read_file(&self.blob_path(digest), limit)?;
        let actual = Digest::of(&bytes);
        if actual == *digest {
            return Ok(bytes);
        }
        let (reference, origin) = (Box::new(self.reference.clone()), self.path.display().to_string());
        Err(ImageError::WrongDigest {
            reference,
            origin,
            expected: digest.clone(),
            actual,
        })
    }

    /// Copies the rest of a blob; stops early where `wanted` says so. The caller commits.
    pub(super) fn blob(
        &self,
        descriptor: &Descriptor,
        ingest: &mut Ingest,
        advanced: &(dyn Fn(u64) + Send + Sync),
        wanted: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<(), ImageError> {
        let path = self.blob_path(&descriptor.digest);
        let io_error = |error: io::Error| self.error(format!("{} cannot be read: {error}", path.display()));
        let mut file = open(&path).map_err(io_error)?;
        io::Seek::seek(&mut file, io::SeekFrom::Start(ingest.offset())).map_err(io_error)?;
        let mut buffer = vec![0; 1 << 20];
        while wanted() {
            let count = file.read(&mut buffer).map_err(io_error)?;
            if count == 0 {
                if !ingest.is_complete() {
                    // What is too short is something else, which a link in the layout may have led to: not even its
                    // beginning is kept.
                    let restarted = ingest.restart();
                    let origin = self.path.display().to_string();
                    restarted.map_err(|error| ImageError::content(&self.reference, &origin, error))?;
                    return Err(self.error(format!("{} is shorter than its manifest says", path.display())));
                }
                break;
            }
            let written = ingest.write_at(ingest.offset(), buffer.get(..count).unwrap_or_default());
            let origin = self.path.display().to_string();
            written.map_err(|error| ImageError::content(&self.reference, &origin, error))?;
            advanced(ingest.offset());
        }
        Ok(())
    }

    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.path.join("blobs").join("sha256").join(digest.hex())
    }

    fn read_file(&self, path: &Path, limit: u64) -> Result<Vec<u8>, ImageError> {
        let io_error = |error: io::Error| self.error(format!("{} cannot be read: {error}", path.display()));
        let mut bytes = Vec::new();
        let mut file = open(path).map_err(io_error)?.take(limit + 1);
        file.read_to_end(&mut bytes).map_err(io_error)?;
        if bytes.len() as u64 > limit {
            return Err(self.error(format!("{} has more than {limit} bytes", path.display())));
        }
        Ok(bytes)
    }

    fn error(&self, reason: String) -> ImageError {
        let (reference, path) = (Box::new(self.reference.clone()), self.path.clone());
        ImageError::Layout {
            reference,
            path,
            reason,
        }
    }
}

/// Opens a file of a layout. What is none, such as a pipe, is not waited for.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"))
    }
}

fn names(entries: &[Descriptor]) -> String {
    let names: Vec<&str> = entries
        .iter()
        .map(|entry| {
            entry
                .annotations
                .get(NAME)
                .map_or(entry.digest.as_str(), String::as_str)
        })
        .collect();
    if names.is_empty() {
        "none at all".to_owned()
    } else {
        names.join(", ")
    }
}
