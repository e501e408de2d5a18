//! From a layer directory to an image layer (a tar).
//!
//! The same directory over the same layers always gives the same bytes: names in byte order, a directory before what is in it,
//! whole seconds, no user names. A directory or file that overlay copied up without any change to it is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use stagewright_core::digest::Digest;

use super::stack::{Below, MAX_DEPTH, is_whiteout, lookup, sorted_names};
use super::tar::{Entry, EntryKind, TarWriter};
use super::{SnapshotError, attribute, marks};

/// How a layer is written.
#[derive(Debug, Clone, Copy, Default)]
pub struct DiffOptions {
    /// `SOURCE_DATE_EPOCH`: no file may look younger than this many seconds after 1970.
    pub source_date_epoch: Option<i64>,
    /// Whether none may look older either.
    pub exactly: bool,
}

/// What a layer changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiffStats {
    /// Names that were not there before.
    pub added: u64,
    /// Names that were there and are different.
    pub changed: u64,
    /// Names that are gone. What was in a removed directory is not counted.
    pub removed: u64,
    /// Bytes of file content in the layer.
    pub content_bytes: u64,
    /// The archive's length.
    pub size: u64,
    /// The archive's digest, uncompressed: the layer's diff id.
    pub diff_id: Digest,
}

impl DiffStats {
    /// Whether the layer changes nothing.
    pub fn is_empty(&self) -> bool {
        self.added + self.changed + self.removed == 0
    }
}

/// Writes the layer in the directory `layer`, which lies on `lowers` (the bottom one first), to `out`.
pub fn diff(
    layer: &Path,
    lowers: &[PathBuf],
    options: &DiffOptions,
    out: &mut dyn Write,
) -> Result<DiffStats, SnapshotError> {
    let hashing = Hashing {
        sink: out,
        hasher: Sha256::new(),
        size: 0,
    };
    // Headers are small, hashing and writing want larger pieces.
    let mut walk = Walk {
        tar: TarWriter::new(BufWriter::with_capacity(256 * 1024, hashing)),
        options: *options,
        links: BTreeMap::new(),
        counts: Counts::default(),
        depth: 0,
    };
    let below: Vec<PathBuf> = lowers.iter().rev().cloned().collect();
    walk.directory(layer, &mut Vec::new(), &below, &mut Vec::new())?;
    let counts = walk.counts;
    let hashing = walk
        .tar
        .finish()?
        .into_inner()
        .map_err(|error| SnapshotError::io("write the archive of", layer)(error.into_error()))?;
    Ok(DiffStats {
        added: counts.added,
        changed: counts.changed,
        removed: counts.removed,
        content_bytes: counts.content_bytes,
        size: hashing.size,
        diff_id: Digest::from_raw(hashing.hasher.finalize().as_slice()),
    })
}

struct Hashing<'a> {
    sink: &'a mut dyn Write,
    hasher: Sha256,
    size: u64,
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.sink.write(bytes)?;
        self.hasher.update(bytes.get(..length).unwrap_or_default());
        self.size += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

#[derive(Default)]
struct Counts {
    added: u64,
    changed: u64,
    removed: u64,
    content_bytes: u64,
}

struct Walk<'a> {
    tar: TarWriter<BufWriter<Hashing<'a>>>,
    options: DiffOptions,
    /// The first name of every file that has several.
    links: BTreeMap<(u64, u64), Vec<u8>>,
    counts: Counts,
    depth: usize,
}

/// A directory whose entry is written only once something in it is.
struct Pending {
    entry: Entry,
}

impl Walk<'_> {
    /// Writes what is in `dir`. `below` are the directories that it is merged with, the topmost first. `pending` are unchanged
    /// directories above it that have not been written yet.
    fn directory(
        &mut self,
        dir: &Path,
        name: &mut Vec<u8>,
        below: &[PathBuf],
        pending: &mut Vec<Pending>,
    ) -> Result<(), SnapshotError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(SnapshotError::TooDeep(MAX_DEPTH));
        }
        for child in sorted_names(dir)? {
            let path = dir.join(&child);
            let metadata = fs::symlink_metadata(&path).map_err(SnapshotError::io("look at", &path))?;
            let before = lookup(below, &child)?;
            let length = name.len();
            if length > 0 {
                name.push(b'/');
            }
            name.extend_from_slice(child.as_bytes());
            if is_whiteout(&metadata) {
                // One that removes nothing is left behind by a file that came and went.
                if before.is_some() {
                    self.counts.removed += 1;
                    self.write_pending(pending)?;
                    self.tar.append(
                        &Entry {
                            mode: 0,
                            ..Entry::new(marker(name, b".wh."))
                        },
                        &mut io::empty(),
                    )?;
                }
            } else if metadata.is_dir() {
                self.subdirectory(&path, &metadata, before.as_ref(), name, pending)?;
            } else {
                self.file(&path, &metadata, before.as_ref(), name, pending)?;
            }
            name.truncate(length);
        }
        self.depth -= 1;
        Ok(())
    }

    fn subdirectory(
        &mut self,
        path: &Path,
        metadata: &Metadata,
        before: Option<&Below>,
        name: &mut Vec<u8>,
        pending: &mut Vec<Pending>,
    ) -> Result<(), SnapshotError> {
        let entry = self.entry(path, metadata, name.clone(), EntryKind::Directory)?;
        let was_dir = before.filter(|before| before.metadata.is_dir());
        let opaque =
            was_dir.is_some() && marks::is_opaque(path).map_err(SnapshotError::io("look at", path))?;
        let unchanged = match was_dir {
            Some(was) if !opaque => {
                same_attributes(metadata, &was.metadata)
                    && same_times(metadata, &was.metadata)
                    && entry.attributes == attributes(&was.path)?
            }
            _ => false,
        };
        let depth = pending.len();
        if unchanged {
            pending.push(Pending { entry });
        } else {
            self.count(before.is_some());
            self.write_pending(pending)?;
            self.tar.append(&entry, &mut io::empty())?;
        }
        let merged = was_dir.map(|was| was.merged.clone()).unwrap_or_default();
        if opaque {
            self.tar.append(
                &Entry {
                    mode: 0,
                    ..Entry::new([name.as_slice(), b"/.wh..wh..opq"].concat())
                },
                &mut io::empty(),
            )?;
            self.counts.removed += hidden_names(path, &merged)?;
        }
        let below = if opaque { Vec::new() } else { merged };
        self.directory(path, name, &below, pending)?;
        // Nothing in it was written: it is no change either.
        pending.truncate(depth);
        Ok(())
    }

    fn file(
        &mut self,
        path: &Path,
        metadata: &Metadata,
        before: Option<&Below>,
        name: &[u8],
        pending: &mut [Pending],
    ) -> Result<(), SnapshotError> {
        let kind = metadata.file_type();
        if kind.is_socket() {
            return Ok(());
        }
        let device = (
            rustix::fs::major(metadata.rdev()),
            rustix::fs::minor(metadata.rdev()),
        );
        let kind = if kind.is_symlink() {
            let target = fs::read_link(path).map_err(SnapshotError::io("read the link", path))?;
            EntryKind::Symlink(target.into_os_string().into_vec())
        } else if kind.is_char_device() {
            EntryKind::CharDevice {
                major: device.0,
                minor: device.1,
            }
        } else if kind.is_block_device() {
            EntryKind::BlockDevice {
                major: device.0,
                minor: device.1,
            }
        } else if kind.is_fifo() {
            EntryKind::Fifo
        } else {
            EntryKind::File { size: metadata.len() }
        };
        let mut entry = self.entry(path, metadata, name.to_vec(), kind)?;
        if let Some(before) = before
            && metadata.nlink() == 1
            && is_unchanged(path, metadata, &entry, before)?
        {
            return Ok(());
        }
        self.write_pending(pending)?;
        self.count(before.is_some());
        if metadata.nlink() > 1 {
            let identity = (metadata.dev(), metadata.ino());
            if let Some(first) = self.links.get(&identity) {
                // Its attributes go along: who unpacks it sets the owner again, which takes capabilities away.
                entry.kind = EntryKind::HardLink(first.clone());
                self.tar.append(&entry, &mut io::empty())?;
                return Ok(());
            }
            self.links.insert(identity, name.to_vec());
        }
        self.counts.content_bytes += entry.size();
        if entry.size() > 0 {
            let mut file = File::open(path).map_err(SnapshotError::io("open", path))?;
            self.tar.append(&entry, &mut file)?;
        } else {
            self.tar.append(&entry, &mut io::empty())?;
        }
        Ok(())
    }

    fn entry(
        &self,
        path: &Path,
        metadata: &Metadata,
        name: Vec<u8>,
        kind: EntryKind,
    ) -> Result<Entry, SnapshotError> {
        let mtime = match self.options.source_date_epoch {
            Some(epoch) if self.options.exactly => epoch,
            Some(epoch) => metadata.mtime().min(epoch),
            None => metadata.mtime(),
        };
        Ok(Entry {
            name,
            kind,
            mode: metadata.mode() & 0o7777,
            uid: metadata.uid(),
            gid: metadata.gid(),
            mtime,
            mtime_nanos: 0,
            attributes: attributes(path)?,
        })
    }

    fn count(&mut self, existed: bool) {
        if existed {
            self.counts.changed += 1;
        } else {
            self.counts.added += 1;
        }
    }

    /// Something in them is about to be written, so the directories above it must stand before it.
    fn write_pending(&mut self, pending: &mut [Pending]) -> Result<(), SnapshotError> {
        for directory in pending {
            // Written ones stay on the stack, emptied, so that the depth is kept.
            if !directory.entry.name.is_empty() {
                self.tar.append(&directory.entry, &mut io::empty())?;
                directory.entry.name.clear();
            }
        }
        Ok(())
    }
}

/// `dir/name` becomes `dir/<prefix>name`.
fn marker(name: &[u8], prefix: &[u8]) -> Vec<u8> {
    let start = name
        .iter()
        .rposition(|byte| *byte == b'/')
        .map_or(0, |slash| slash + 1);
    let (dir, base) = name.split_at(start);
    [dir, prefix, base].concat()
}

/// How many names of the merged directories are not in `dir`, which hides them.
fn hidden_names(dir: &Path, merged: &[PathBuf]) -> Result<u64, SnapshotError> {
    let kept: BTreeSet<OsString> = sorted_names(dir)?.into_iter().collect();
    let mut names = BTreeSet::new();
    for lower in merged {
        names.extend(sorted_names(lower)?);
    }
    let mut hidden = 0;
    for name in names.difference(&kept) {
        if lookup(merged, name)?.is_some() {
            hidden += 1;
        }
    }
    Ok(hidden)
}

/// The attributes that a layer tells of: a program's capabilities, and nothing else, as in other engines' layers. What
/// more a file has is there for later steps, and stays on this machine.
fn attributes(path: &Path) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, SnapshotError> {
    attribute::read(path, attribute::CAPABILITY).map_err(SnapshotError::io("read the attributes of", path))
}

fn same_attributes(one: &Metadata, other: &Metadata) -> bool {
    (one.mode(), one.uid(), one.gid()) == (other.mode(), other.uid(), other.gid())
}

fn same_times(one: &Metadata, other: &Metadata) -> bool {
    (one.mtime(), one.mtime_nsec()) == (other.mtime(), other.mtime_nsec())
}

/// Whether overlay copied the file up and nothing became of it.
fn is_unchanged(
    path: &Path,
    metadata: &Metadata,
    entry: &Entry,
    before: &Below,
) -> Result<bool, SnapshotError> {
    let was = &before.metadata;
    // A name of a file that has several was one of them before; alone it is another thing.
    if !same_attributes(metadata, was)
        || !same_times(metadata, was)
        || metadata.len() != was.len()
        || metadata.rdev() != was.rdev()
        || was.nlink() > 1
        || entry.attributes != attributes(&before.path)?
    {
        return Ok(false);
    }
    match &entry.kind {
        EntryKind::File { .. } => same_content(path, &before.path),
        EntryKind::Symlink(target) => {
            let was =
                fs::read_link(&before.path).map_err(SnapshotError::io("read the link", &before.path))?;
            Ok(was.as_os_str().as_bytes() == target)
        }
        _ => Ok(true),
    }
}

fn same_content(one: &Path, other: &Path) -> Result<bool, SnapshotError> {
    let open = |path: &Path| File::open(path).map_err(SnapshotError::io("open", path));
    let (mut one_file, mut other_file) = (open(one)?, open(other)?);
    let (mut one_buffer, mut other_buffer) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        let length = read_full(&mut one_file, &mut one_buffer).map_err(SnapshotError::io("read", one))?;
        let other_length =
            read_full(&mut other_file, &mut other_buffer).map_err(SnapshotError::io("read", other))?;
        if one_buffer.get(..length) != other_buffer.get(..other_length) {
            return Ok(false);
        }
        if length == 0 {
            return Ok(true);
        }
    }
}

fn read_full(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(space) = buffer.get_mut(filled..).filter(|space| !space.is_empty()) {
        match file.read(space)? {
            0 => break,
            length => filled += length,
        }
    }
    Ok(filled)
}
