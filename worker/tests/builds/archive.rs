//! Archives, and the ways to compress them.

use std::io::{Read as _, Write as _};

use crate::notation::{Entry, Kind};

/// A plain archive of `entries`, in their order.
pub(crate) fn tar(entries: &[(String, Entry)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, entry) in entries {
        let path = path.trim_matches('"');
        let mut header = tar::Header::new_ustar();
        header.set_mode(entry.mode);
        header.set_uid(entry.owner.0);
        header.set_gid(entry.owner.1);
        header.set_mtime(entry.modified);
        let mut content: &[u8] = &[];
        let (kind, target) = match &entry.kind {
            Kind::Directory => (tar::EntryType::Directory, None),
            Kind::File(bytes) => {
                content = bytes;
                (tar::EntryType::Regular, None)
            }
            Kind::Symlink(target) => (tar::EntryType::Symlink, Some(target)),
            Kind::HardLink(target) => (tar::EntryType::Link, Some(target)),
            Kind::Fifo => (tar::EntryType::Fifo, None),
            Kind::Character(major, minor) => {
                header.set_device_major(*major).unwrap();
                header.set_device_minor(*minor).unwrap();
                (tar::EntryType::Char, None)
            }
            Kind::Block(major, minor) => {
                header.set_device_major(*major).unwrap();
                header.set_device_minor(*minor).unwrap();
                (tar::EntryType::Block, None)
            }
        };
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        let keys: Vec<String> = entry
            .attributes
            .keys()
            .map(|name| format!("SCHILY.xattr.{name}"))
            .collect();
        let records = keys.iter().map(String::as_str);
        builder
            .append_pax_extensions(records.zip(entry.attributes.values().map(Vec::as_slice)))
            .unwrap();
        // Written as they are, also where they lead out of the archive: what becomes of that is to be seen.
        let as_ustar = header.as_ustar_mut().unwrap();
        as_ustar.name[..path.len()].copy_from_slice(path.as_bytes());
        if let Some(target) = target {
            as_ustar.linkname[..target.len()].copy_from_slice(target.as_bytes());
        }
        header.set_cksum();
        builder.append(&header, content).unwrap();
    }
    builder.into_inner().unwrap()
}

/// `plain` in the format of that name; `tar` is none.
pub(crate) fn compressed(plain: Vec<u8>, format: &str) -> Vec<u8> {
    match format {
        "tar" => plain,
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(&plain).unwrap();
            encoder.finish().unwrap()
        }
        "bzip2" => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
            encoder.write_all(&plain).unwrap();
            encoder.finish().unwrap()
        }
        "xz" => {
            let options = lzma_rust2::XzOptions::default();
            let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
            encoder.write_all(&plain).unwrap();
            encoder.finish().unwrap()
        }
        "zstd" => zstd::encode_all(plain.as_slice(), 0).unwrap(),
        other => panic!("{other} is no way to compress"),
    }
}

/// A layer as a plain archive.
pub(crate) fn plain(blob: &[u8], media_type: &str) -> Vec<u8> {
    let mut content = Vec::new();
    if media_type.ends_with("gzip") {
        flate2::read::MultiGzDecoder::new(blob)
            .read_to_end(&mut content)
            .unwrap();
    } else if media_type.ends_with("zstd") {
        zstd::Decoder::new(blob)
            .unwrap()
            .read_to_end(&mut content)
            .unwrap();
    } else {
        content.extend_from_slice(blob);
    }
    content
}
