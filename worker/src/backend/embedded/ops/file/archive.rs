//! Unpacking: `ADD` of a local tar archive stands for what is in it.

use std::io::{self, BufRead, BufReader, Read};
use std::path::{Component, Path, PathBuf};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use rustix::fs::FileType;
use tar::{Archive, EntryType, Header};
use tokio_util::sync::CancellationToken;

use super::super::super::select::Selected;
use super::super::super::target::{Making, Metadata, Target};
use super::super::super::tree::{Attributes, NodeKind, Tree, resolve};
use super::{FileError, Owner};

/// What an archive may unpack to at most, in bytes: a small one may hold any number of zeros.
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
    if !is_archive(decoder(source, selected)?).map_err(failed)? {
        return Ok(false);
    }
    let Some(reader) = decoder(source, selected)? else {
        return Ok(false);
    };
    let into = Making {
        owner: owner.map(Owner::numbers),
        mode: 0o755,
        modified: time,
    };
    let root = target.make_directories(Path::new(dest), &into);
    // An archive's paths and links begin and end in the directory that it is unpacked into.
    let target = &root.and_then(|root| target.below(&root)).map_err(failed)?;
    let mut archive = Archive::new(reader.take(MAX_UNPACKED));
    let mut later = Vec::new();
    for entry in archive.entries().map_err(failed)? {
        if cancel.is_cancelled() {
            return Err(FileError::Cancelled);
        }
        let mut entry = entry.map_err(failed)?;
        let name = entry.path().map_err(failed)?.into_owned();
        let name = confined(&name);
        let attributes = attributes(&mut entry).map_err(failed)?;
        let metadata = metadata(entry.header(), owner, attributes).map_err(failed)?;
        let Some(last) = name.file_name() else { continue };
        let above = above(target, name.parent().unwrap_or(Path::new(""))).map_err(failed)?;
        let path = above.join(last);
        let kind = entry.header().entry_type();
        let there = target.tree().look(&path).map_err(failed)?;
        if kind.is_dir() {
            if !there.is_some_and(|node| node.is_directory()) {
                target
                    .remove(&path)
                    .and_then(|()| target.make_directory(&path))
                    .map_err(failed)?;
            }
            target.set(&path, &metadata).map_err(failed)?;
            // Writing into a directory changes its time, so the times of directories come last.
            later.extend(metadata.modified.map(|modified| (path, modified)));
            continue;
        }
        target.remove(&path).map_err(failed)?;
        match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let mut file = target.create(&path).map_err(failed)?;
                io::copy(&mut entry, &mut file).map_err(failed)?;
            }
            EntryType::Symlink => {
                let link = entry.link_name().map_err(failed)?.unwrap_or_default();
                target.symlink(link.as_os_str(), &path).map_err(failed)?;
            }
            EntryType::Link => {
                let link = entry.link_name().map_err(failed)?.unwrap_or_default();
                let (existing, _) = resolve(target.tree(), &confined(&link), false).map_err(failed)?;
                // What its entry says of owner and mode holds for the file under all of its names.
                target.hard_link(&existing, &path).map_err(failed)?;
            }
            EntryType::Fifo => target.special(&path, FileType::Fifo, 0).map_err(failed)?,
            EntryType::Char | EntryType::Block => {
                let kind = if kind == EntryType::Char {
                    FileType::CharacterDevice
                } else {
                    FileType::BlockDevice
                };
                target
                    .special(&path, kind, device(entry.header()).map_err(failed)?)
                    .map_err(failed)?;
            }
            // Headers that speak of others have been read by the library; what else there may be is passed over.
            _ => continue,
        }
        target.set(&path, &metadata).map_err(failed)?;
    }
    for (path, modified) in later.into_iter().rev() {
        target.set_modified(&path, modified).map_err(failed)?;
    }
    Ok(true)
}

/// What comes out of a file, decompressed by its first bytes; `None` where it is empty.
fn decoder(source: &dyn Tree, selected: &Selected) -> Result<Option<Box<dyn Read>>, FileError> {
    let failed = |error| FileError::io("read", &selected.path)(error);
    let mut file = BufReader::with_capacity(1 << 17, source.open(&selected.path).map_err(failed)?);
    let start = file.fill_buf().map_err(failed)?.to_vec();
    if start.is_empty() {
        Ok(None)
    } else if start.starts_with(&[0x1f, 0x8b]) {
        Ok(Some(Box::new(MultiGzDecoder::new(file))))
    } else if start.starts_with(b"BZh") {
        Ok(Some(Box::new(MultiBzDecoder::new(file))))
    } else if start.starts_with(&[0xfd, b'7', b'z', b'X', b'Z', 0]) {
        Ok(Some(Box::new(XzReader::new(file, true))))
    } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Ok(Some(Box::new(zstd::Decoder::with_buffer(file).map_err(failed)?)))
    } else {
        Ok(Some(Box::new(file)))
    }
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
    let Ok(block) = <[u8; 512]>::try_from(block) else {
        return Ok(false);
    };
    let mut header = Header::new_old();
    header.as_mut_bytes().copy_from_slice(&block);
    let sum: u32 = block
        .iter()
        .enumerate()
        .map(|(at, byte)| {
            if (148..156).contains(&at) {
                32
            } else {
                u32::from(*byte)
            }
        })
        .sum();
    Ok(block.iter().any(|byte| *byte != 0) && header.cksum().is_ok_and(|expected| expected == sum))
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
fn confined(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => plain.push(part),
            Component::ParentDir => drop(plain.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    plain
}

fn metadata(header: &Header, owner: Option<Owner>, attributes: Attributes) -> io::Result<Metadata> {
    let number = |number: u64| u32::try_from(number).map_err(|_| io::Error::from(io::ErrorKind::InvalidData));
    // A field that nobody wrote is a zero to every tar.
    let old = header.as_old();
    let blank = |field: &[u8]| field.iter().all(|byte| matches!(byte, 0 | b' '));
    let uid = if blank(&old.uid) { 0 } else { header.uid()? };
    let gid = if blank(&old.gid) { 0 } else { header.gid()? };
    let mode = if blank(&old.mode) {
        0
    } else {
        header.mode()? & 0o7777
    };
    let modified = if blank(&old.mtime) { 0 } else { header.mtime()? };
    let owner = match owner {
        Some(owner) => owner.numbers(),
        None => (number(uid)?, number(gid)?),
    };
    let is_link = header.entry_type() == EntryType::Symlink;
    let modified = i64::try_from(modified).unwrap_or(0);
    Ok(Metadata {
        owner,
        mode: (!is_link).then_some(mode),
        modified: Some((modified, 0)),
        attributes,
    })
}

fn attributes<R: Read>(entry: &mut tar::Entry<'_, R>) -> io::Result<Attributes> {
    let mut found = Attributes::new();
    if let Some(extensions) = entry.pax_extensions()? {
        for extension in extensions {
            let extension = extension?;
            if let Some(name) = extension
                .key()
                .ok()
                .and_then(|key| key.strip_prefix("SCHILY.xattr."))
                && !name.contains(".overlay.")
            {
                found.insert(name.into(), extension.value_bytes().to_vec());
            }
        }
    }
    Ok(found)
}

fn device(header: &Header) -> io::Result<u64> {
    let major = header.device_major()?.unwrap_or(0);
    let minor = header.device_minor()?.unwrap_or(0);
    Ok(rustix::fs::makedev(major, minor))
}
