//! Unpacking: `ADD` of a local tar archive stands for what is in it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use rustix::fs::FileType;
use tokio_util::sync::CancellationToken;

use super::super::super::select::Selected;
use super::super::super::target::{Making, Metadata, Target};
use super::super::super::tree::{Attributes, NodeKind, Tree, resolve};
use super::{FileError, Owner};
use crate::rootless::Ids;
use crate::snapshot::is_overlay_attribute;
use crate::snapshot::tar::{Entry, EntryKind, Most, TarError, TarReader, begins_archive};

/// What an archive may unpack to at most, in bytes: a small one may hold any number of zeros and holes.
const MAX_UNPACKED: u64 = 64 << 30;

/// Unpacks what is selected into the directory `dest` where it is a tar archive, plain or compressed; says whether
/// it was.
pub(super) fn unpack(
    source: &dyn Tree,
    selected: &Selected,
    target: &Target,
    dest: &str,
    owner: Option<Owner>,
    time: Option<(i64, u32)>,
    cancel: &CancellationToken,
) -> Result<bool, FileError> {
    if !matches!(selected.node.kind, NodeKind::File(_)) {
        return Ok(false);
    }
    let failed = |error| FileError::io("unpack", &selected.path)(error);
    let open = || {
        source
            .open(&selected.path)
            .and_then(decoder)
            .map_err(FileError::io("read", &selected.path))
    };
    if !is_archive(open()?).map_err(failed)? {
        return Ok(false);
    }
    let Some(reader) = open()? else {
        return Ok(false);
    };
    let into = Making {
        owner: owner.map(Owner::numbers),
        mode: 0o755,
        modified: time,
    };
    let root = target.make_directories(Path::new(dest), &into);
    // An archive's paths and links begin and end in the directory that it is unpacked into.
    let root = root.and_then(|root| target.below(&root)).map_err(failed)?;
    let mut unpacking = Unpacking {
        target: &root,
        owner,
        left: Most::default(),
        bytes: MAX_UNPACKED,
        later: Vec::new(),
    };
    let unpacked = unpacking.all(reader, cancel);
    unpacked.map_err(|error| match error {
        Stopped::Cancelled => FileError::Cancelled,
        Stopped::Failed(error) => failed(error),
    })?;
    Ok(true)
}

/// Unpacks all of `file` into `folder` where it is a tar archive, plain or compressed, with its files the worker's own; says
/// whether it was.
pub(crate) fn unpack_all(file: &File, folder: &Path) -> Result<bool, FileError> {
    let failed = |error| FileError::io("unpack", Path::new("the archive"))(error);
    let open = || {
        let mut file = file.try_clone()?;
        file.rewind()?;
        decoder(file)
    };
    if !is_archive(open().map_err(failed)?).map_err(failed)? {
        return Ok(false);
    }
    let Some(reader) = open().map_err(failed)? else {
        return Ok(false);
    };
    let mut unpacking = Unpacking {
        target: &Target::open(folder).map_err(failed)?,
        owner: Some(Owner {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        }),
        left: Most::default(),
        bytes: MAX_UNPACKED,
        later: Vec::new(),
    };
    match unpacking.all(reader, &CancellationToken::new()) {
        Ok(()) => Ok(true),
        Err(Stopped::Cancelled) => Err(FileError::Cancelled),
        Err(Stopped::Failed(error)) => Err(failed(error)),
    }
}

/// Why not all of an archive was unpacked.
enum Stopped {
    Cancelled,
    Failed(io::Error),
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<TarError> for Stopped {
    fn from(error: TarError) -> Self {
        Self::Failed(match error {
            TarError::Io(error) => error,
            other => io::Error::new(io::ErrorKind::InvalidData, other),
        })
    }
}

/// An archive on its way into a directory.
struct Unpacking<'a> {
    target: &'a Target,
    owner: Option<Owner>,
    /// What may still come.
    left: Most,
    /// Bytes of files, holes counted, that may still come.
    bytes: u64,
    /// Directories and their times. Writing into a directory changes its time, so these come last.
    later: Vec<(PathBuf, (i64, u32))>,
}

impl Unpacking<'_> {
    fn all(&mut self, reader: Box<dyn Read>, cancel: &CancellationToken) -> Result<(), Stopped> {
        let mut archive = TarReader::of_any(reader.take(self.bytes));
        while let Some(entry) = archive.next_entry()? {
            if cancel.is_cancelled() {
                return Err(Stopped::Cancelled);
            }
            self.left.entry()?;
            self.entry(&entry, &mut archive)?;
        }
        // What is behind the archive's end is not unpacked, but only who reads all of a blob knows that it is whole.
        if archive.drain()?.limit() == 0 {
            return Err(too_large().into());
        }
        for (path, modified) in std::mem::take(&mut self.later).into_iter().rev() {
            self.target.set_modified(&path, modified)?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<(), Stopped> {
        let target = self.target;
        let name = confined(&entry.name);
        let metadata = self.metadata(entry);
        let Some(last) = name.file_name() else {
            return Ok(());
        };
        let above = above(target, name.parent().unwrap_or(Path::new("")))?;
        let path = above.join(last);
        let there = target.tree().look(&path)?;
        if entry.kind == EntryKind::Directory {
            if !there.is_some_and(|node| node.is_directory()) {
                target.remove(&path).and_then(|()| target.make_directory(&path))?;
            }
            target.set(&path, &metadata)?;
            self.left.path(path.as_os_str().len())?;
            self.later
                .extend(metadata.modified.map(|modified| (path, modified)));
            return Ok(());
        }
        target.remove(&path)?;
        match &entry.kind {
            EntryKind::File { .. } => {
                let mut file = target.create(&path)?;
                self.bytes = fill(content, &mut file, self.bytes)?;
            }
            EntryKind::Symlink(link) => target.symlink(std::ffi::OsStr::from_bytes(link), &path)?,
            EntryKind::HardLink(link) => {
                let (existing, _) = resolve(target.tree(), &confined(link), false)?;
                // What its entry says of owner and mode holds for the file under all of its names.
                target.hard_link(&existing, &path)?;
            }
            EntryKind::Fifo => target.special(&path, FileType::Fifo, 0)?,
            // As with those of base images: the worker of an ordinary user can make none, and steps could not open them.
            EntryKind::CharDevice { .. } | EntryKind::BlockDevice { .. }
                if !Ids::here().are_the_machines() =>
            {
                return Ok(());
            }
            EntryKind::CharDevice { major, minor } => {
                target.special(
                    &path,
                    FileType::CharacterDevice,
                    rustix::fs::makedev(*major, *minor),
                )?;
            }
            EntryKind::BlockDevice { major, minor } => {
                target.special(&path, FileType::BlockDevice, rustix::fs::makedev(*major, *minor))?;
            }
            EntryKind::Directory => {}
        }
        Ok(target.set(&path, &metadata)?)
    }

    fn metadata(&self, entry: &Entry) -> Metadata {
        let is_link = matches!(entry.kind, EntryKind::Symlink(_));
        let attributes: Attributes = entry
            .attributes
            .iter()
            .filter(|(name, _)| !is_overlay_attribute(name))
            .map(|(name, value)| (std::ffi::OsStr::from_bytes(name).to_owned(), value.clone()))
            .collect();
        Metadata {
            owner: self.owner.map_or((entry.uid, entry.gid), Owner::numbers),
            mode: (!is_link).then_some(entry.mode),
            modified: Some((entry.mtime, entry.mtime_nanos)),
            attributes,
        }
    }
}

fn too_large() -> io::Error {
    let reason = format!("it unpacks to more than {} GiB", MAX_UNPACKED >> 30);
    io::Error::new(io::ErrorKind::FileTooLarge, reason)
}

/// Writes all of `content`, which has at most `left` bytes, and says how many may still come. Zeros become holes, so
/// that a bomb of them takes no room on the disk.
fn fill(content: &mut dyn Read, file: &mut File, mut left: u64) -> io::Result<u64> {
    let mut buffer = vec![0; 1 << 17];
    let mut size = 0_u64;
    loop {
        let count = match content.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        left = left.checked_sub(count as u64).ok_or_else(too_large)?;
        size += count as u64;
        let piece = buffer.get(..count).unwrap_or_default();
        if piece.iter().all(|byte| *byte == 0) {
            file.seek(SeekFrom::Start(size))?;
        } else {
            file.write_all(piece)?;
        }
    }
    file.set_len(size)?;
    Ok(left)
}

/// What comes out of a file, decompressed by its first bytes; `None` where it is empty.
fn decoder(file: impl Read + 'static) -> io::Result<Option<Box<dyn Read>>> {
    let mut file = BufReader::with_capacity(1 << 17, file);
    let start = file.fill_buf()?.to_vec();
    Ok(if start.is_empty() {
        None
    } else if start.starts_with(&[0x1f, 0x8b]) {
        Some(Box::new(MultiGzDecoder::new(file)))
    } else if start.starts_with(b"BZh") {
        Some(Box::new(MultiBzDecoder::new(file)))
    } else if start.starts_with(&[0xfd, b'7', b'z', b'X', b'Z', 0]) {
        Some(Box::new(XzReader::new(file, true)))
    } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Some(Box::new(zstd::Decoder::with_buffer(file)?))
    } else {
        Some(Box::new(file))
    })
}

/// Whether a stream begins with the header of a tar entry.
fn is_archive(reader: Option<Box<dyn Read>>) -> io::Result<bool> {
    let Some(reader) = reader else { return Ok(false) };
    let mut block = Vec::with_capacity(512);
    match reader.take(512).read_to_end(&mut block) {
        Ok(_) => {}
        // Something that only looks compressed is a file like any other; each decoder has its own word for that.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::InvalidInput
                    | io::ErrorKind::InvalidData
                    | io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::Other
                    | io::ErrorKind::Unsupported
            ) =>
        {
            return Ok(false);
        }
        Err(error) => return Err(error),
    }
    Ok(begins_archive(&block))
}

/// The directory that an entry goes into. One that the archive does not mention is root's, whoever gets the rest.
fn above(target: &Target, path: &Path) -> io::Result<PathBuf> {
    let (plain, there) = resolve(target.tree(), path, false)?;
    if there.is_some() {
        return Ok(resolve(target.tree(), path, true)?.0);
    }
    let making = Making {
        owner: Some((0, 0)),
        mode: 0o755,
        modified: None,
    };
    target.make_directories(&plain, &making)
}

/// A plain path from an archive's. One that leads upwards ends at the top.
fn confined(path: &[u8]) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in Path::new(std::ffi::OsStr::from_bytes(path)).components() {
        match component {
            Component::Normal(part) => plain.push(part),
            Component::ParentDir => drop(plain.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::tar::TarWriter;
    use std::os::unix::fs::MetadataExt as _;

    /// Unpacks an archive into a new directory, with as much room as `set` leaves.
    fn unpacked(
        archive: &[u8],
        set: impl FnOnce(&mut Unpacking<'_>),
    ) -> (tempfile::TempDir, Result<(), String>) {
        let directory = tempfile::tempdir().unwrap();
        let target = Target::open(directory.path()).unwrap();
        let mut unpacking = Unpacking {
            target: &target,
            owner: None,
            left: Most::default(),
            bytes: MAX_UNPACKED,
            later: Vec::new(),
        };
        set(&mut unpacking);
        let result = unpacking.all(
            Box::new(io::Cursor::new(archive.to_vec())),
            &CancellationToken::new(),
        );
        let result = result.map_err(|stopped| match stopped {
            Stopped::Cancelled => "cancelled".to_owned(),
            Stopped::Failed(error) => error.to_string(),
        });
        (directory, result)
    }

    fn archive(entries: &[(&str, EntryKind, &[u8])]) -> Vec<u8> {
        let mut writer = TarWriter::new(Vec::new());
        for (name, kind, content) in entries {
            let entry = Entry {
                kind: kind.clone(),
                ..Entry::new(name.as_bytes().to_vec())
            };
            writer.append(&entry, &mut &**content).unwrap();
        }
        writer.finish().unwrap()
    }

    /// A GNU archive with one sparse file of `size` bytes, of which the archive holds the last.
    fn sparse(size: u64) -> Vec<u8> {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::GNUSparse);
        header.set_path("hole").unwrap();
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(1);
        let octal = |number: u64| format!("{number:011o}\0").into_bytes();
        let gnu = header.as_gnu_mut().unwrap();
        gnu.sparse[0].offset.copy_from_slice(&octal(size - 1));
        gnu.sparse[0].numbytes.copy_from_slice(&octal(1));
        gnu.realsize.copy_from_slice(&octal(size));
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.push(b'x');
        bytes.resize(4 * 512, 0);
        bytes
    }

    #[test]
    fn a_huge_sparse_file_takes_no_room_and_counts_as_long_as_it_is() {
        let (directory, result) = unpacked(&sparse(1 << 30), |_| {});
        result.unwrap();
        let made = std::fs::metadata(directory.path().join("hole")).unwrap();
        assert_eq!(made.len(), 1 << 30);
        assert!(made.blocks() < 1000, "{} blocks", made.blocks());
        let (_directory, result) = unpacked(&sparse(1 << 30), |unpacking| unpacking.bytes = 1 << 29);
        assert!(result.unwrap_err().contains("it unpacks to more than"));
    }

    #[test]
    fn a_bomb_of_zeros_takes_no_room_and_is_stopped() {
        let zeros = vec![0; 3 << 20];
        let bomb = archive(&[("a", EntryKind::File { size: 3 << 20 }, &zeros)]);
        let (directory, result) = unpacked(&bomb, |_| {});
        result.unwrap();
        let made = std::fs::metadata(directory.path().join("a")).unwrap();
        assert_eq!((made.len(), made.blocks()), (3 << 20, 0));
        for most in [1 << 20, bomb.len() as u64] {
            let (_directory, result) = unpacked(&bomb, |unpacking| unpacking.bytes = most);
            assert!(result.is_err(), "{most}");
        }
    }

    #[test]
    fn more_files_or_directories_than_anyone_needs_are_not_made() {
        let names: Vec<String> = (0..10).map(|number| format!("directory-{number}")).collect();
        let entries: Vec<_> = names
            .iter()
            .map(|name| (name.as_str(), EntryKind::Directory, &b""[..]))
            .collect();
        let bytes = archive(&entries);
        let (directory, result) = unpacked(&bytes, |unpacking| unpacking.left.entries = 4);
        assert!(result.unwrap_err().contains("too many entries"));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 4);
        let (_directory, result) = unpacked(&bytes, |unpacking| unpacking.left.paths = 50);
        assert!(result.unwrap_err().contains("too many names"));
    }
}
