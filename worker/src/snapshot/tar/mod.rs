//! Tar archives as image layers use them: ustar with PAX records, GNU long names read too.
//!
//! Written by hand because layers need what general libraries do not promise: attribute values with any byte in them (a file
//! capability may contain a line feed), and the same bytes for the same input, always.

mod header;
mod reader;
mod sparse;
mod writer;

pub use header::{Entry, EntryKind, TarError};
pub use reader::TarReader;
pub use writer::TarWriter;

/// Archives are made of blocks of this size.
const BLOCK: usize = 512;

/// How much of an archive is remembered and made while it is unpacked: a small one, well compressed, may hold any number
/// of empty files, each of which costs the disk an inode, and of directories, whose times are set last.
#[derive(Debug, Clone, Copy)]
pub struct Most {
    /// Entries.
    pub entries: u64,
    /// Bytes of the paths of all directories together.
    pub paths: u64,
}

impl Default for Most {
    /// Ten times what the largest images have.
    fn default() -> Self {
        Self {
            entries: 4_000_000,
            paths: 256 << 20,
        }
    }
}

impl Most {
    /// Counts one entry.
    pub fn entry(&mut self) -> Result<(), TarError> {
        self.entries = self.entries.checked_sub(1).ok_or(TarError::TooMany("entries"))?;
        Ok(())
    }

    /// Counts the path of a directory.
    pub fn path(&mut self, length: usize) -> Result<(), TarError> {
        let left = self.paths.checked_sub(length as u64);
        self.paths = left.ok_or(TarError::TooMany("names of directories"))?;
        Ok(())
    }
}

/// Whether `start`, the beginning of a file, is the header of an archive's first entry.
pub fn begins_archive(start: &[u8]) -> bool {
    let block = start.get(..BLOCK).and_then(|block| block.try_into().ok());
    block.is_some_and(|block: [u8; BLOCK]| {
        block.iter().any(|byte| *byte != 0) && header::Block(block).is_sound()
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;

    fn entry() -> impl Strategy<Value = Entry> {
        let name = proptest::collection::vec(prop_oneof![1..=255_u8], 1..300).prop_map(|mut name| {
            // A directory's final slash is the format's own.
            while name.last() == Some(&b'/') {
                name.pop();
            }
            if name.is_empty() { b"x".to_vec() } else { name }
        });
        let attributes = proptest::collection::btree_map(
            "[a-z.]{1,20}".prop_map(String::into_bytes),
            proptest::collection::vec(any::<u8>(), 0..40),
            0..3,
        );
        let kind = prop_oneof![
            Just(EntryKind::Directory),
            Just(EntryKind::Fifo),
            proptest::collection::vec(1..=255_u8, 1..200).prop_map(EntryKind::Symlink),
            (0..5000_u64).prop_map(|size| EntryKind::File { size }),
            (0..4095_u32, 0..65535_u32).prop_map(|(major, minor)| EntryKind::CharDevice { major, minor }),
        ];
        (
            name,
            kind,
            0..0o7777_u32,
            any::<u32>(),
            any::<u32>(),
            -5_000_000_000..50_000_000_000_i64,
            attributes,
        )
            .prop_map(|(name, kind, mode, uid, gid, mtime, attributes)| Entry {
                name,
                kind,
                mode,
                uid,
                gid,
                mtime,
                mtime_nanos: 0,
                attributes,
            })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(entries in proptest::collection::vec(entry(), 0..8)) {
            let mut writer = TarWriter::new(Vec::new());
            for entry in &entries {
                let content = vec![7; usize::try_from(entry.size()).unwrap()];
                writer.append(entry, &mut content.as_slice()).unwrap();
            }
            let bytes = writer.finish().unwrap();
            prop_assert_eq!(bytes.len() % BLOCK, 0);
            let mut reader = TarReader::new(bytes.as_slice());
            let mut read = Vec::new();
            while let Some(entry) = reader.next_entry().unwrap() {
                let mut content = Vec::new();
                reader.read_to_end(&mut content).unwrap();
                prop_assert_eq!(content.len() as u64, entry.size());
                read.push(entry);
            }
            prop_assert_eq!(read, entries);
        }

        #[test]
        fn no_bytes_bring_the_reader_down(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
            let mut reader = TarReader::new(bytes.as_slice());
            while let Ok(Some(_)) = reader.next_entry() {}
        }

        #[test]
        fn no_damage_brings_the_reader_down(entry in entry(), at in any::<proptest::sample::Index>(), byte in any::<u8>()) {
            let mut writer = TarWriter::new(Vec::new());
            let content = vec![7; usize::try_from(entry.size()).unwrap()];
            writer.append(&entry, &mut content.as_slice()).unwrap();
            let mut bytes = writer.finish().unwrap();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let mut reader = TarReader::new(bytes.as_slice());
            while let Ok(Some(_)) = reader.next_entry() {}
        }
    }

    #[test]
    fn archives_of_other_tools_are_read() {
        let mut builder = ::tar::Builder::new(Vec::new());
        let mut header = ::tar::Header::new_gnu();
        header.set_size(5);
        header.set_mode(0o644);
        header.set_uid(3_000_000_000);
        header.set_gid(7);
        header.set_mtime(12);
        let long = format!("{}/file", "d".repeat(200));
        builder
            .append_data(&mut header, &long, b"hello".as_slice())
            .unwrap();
        let bytes = builder.into_inner().unwrap();
        let mut reader = TarReader::new(bytes.as_slice());
        let entry = reader.next_entry().unwrap().unwrap();
        assert_eq!(entry.name, long.as_bytes());
        assert_eq!((entry.uid, entry.gid, entry.mtime), (3_000_000_000, 7, 12));
        let mut content = String::new();
        reader.read_to_string(&mut content).unwrap();
        assert_eq!(content, "hello");
        assert!(reader.next_entry().unwrap().is_none());
    }

    #[test]
    fn other_tools_read_our_archives() {
        let mut writer = TarWriter::new(Vec::new());
        let name = format!("{}/\u{e9}", "d".repeat(150)).into_bytes();
        let entry = Entry {
            kind: EntryKind::File { size: 3 },
            mode: 0o4755,
            uid: 5_000_000,
            mtime: 99,
            ..Entry::new(name.clone())
        };
        writer.append(&entry, &mut b"abc".as_slice()).unwrap();
        let bytes = writer.finish().unwrap();
        let mut archive = ::tar::Archive::new(bytes.as_slice());
        let mut read = archive.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(read.path_bytes().as_ref(), name);
        assert_eq!(read.header().uid().unwrap(), 5_000_000);
        assert_eq!(read.header().mode().unwrap(), 0o4755);
        let mut content = Vec::new();
        read.read_to_end(&mut content).unwrap();
        assert_eq!(content, b"abc");
    }

    /// A header of that type and size, and what follows it.
    fn raw(kind: u8, size: u64, content: &[u8]) -> Vec<u8> {
        let mut block = header::Block::ustar();
        block.set_text(header::NAME, b"n");
        for field in [header::MODE, header::UID, header::GID, header::MTIME] {
            block.set_number(field, 0);
        }
        block.set_number(header::SIZE, i64::try_from(size).unwrap());
        block.0[header::TYPE] = kind;
        block.seal();
        let mut bytes = block.0.to_vec();
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        bytes
    }

    fn first(bytes: &[u8]) -> Result<Option<Entry>, String> {
        TarReader::of_any(bytes)
            .next_entry()
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_said_about_one_file_is_bounded_at_once_and_in_pieces() {
        let file = raw(b'0', 0, b"");
        // Nothing of what is announced has to be there for it to be refused.
        for kind in [b'L', b'K', b'x', b'g'] {
            let said = first(&raw(kind, (1 << 20) + 1, b"")).unwrap_err();
            assert!(said.contains("more than a megabyte"), "{said}");
        }
        let record = |number: usize| format!("20 k{number:05}={}\n", "v".repeat(9));
        let half: String = (0..26_000).map(record).collect();
        let pieces = |count: usize| {
            let mut bytes = raw(b'x', half.len() as u64, half.as_bytes()).repeat(count);
            bytes.extend_from_slice(&file);
            bytes
        };
        assert!(first(&pieces(2)).unwrap().is_some());
        assert!(first(&pieces(3)).unwrap_err().contains("more than a megabyte"));
    }

    #[test]
    fn a_map_of_holes_without_end_is_refused() {
        let mut header = raw(b'S', 0, b"");
        // It goes on, says the header, and so says each block after it.
        header[482] = 1;
        let sum: u32 = (0..BLOCK)
            .map(|at| {
                if (148..156).contains(&at) {
                    32
                } else {
                    u32::from(header[at])
                }
            })
            .sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let mut block = [0; BLOCK];
        block[504] = 1;
        header.extend(std::iter::repeat_n(block, 3000).flatten());
        assert!(first(&header).unwrap_err().contains("more than a megabyte"));
    }

    #[test]
    fn entries_of_unknown_types_are_passed_over_in_archives_and_refused_in_layers() {
        let bytes = [raw(b'V', 3, b"abc"), raw(b'0', 1, b"x")].concat();
        let mut reader = TarReader::of_any(bytes.as_slice());
        assert_eq!(reader.next_entry().unwrap().unwrap().size(), 1);
        assert!(TarReader::new(bytes.as_slice()).next_entry().is_err());
    }

    #[test]
    fn an_empty_archive_is_dockers_empty_layer() {
        let bytes = TarWriter::new(Vec::new()).finish().unwrap();
        assert_eq!(
            stagewright_core::digest::Digest::of(&bytes).as_str(),
            "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
        );
    }

    #[test]
    fn a_truncated_archive_is_an_error() {
        let mut writer = TarWriter::new(Vec::new());
        let entry = Entry {
            kind: EntryKind::File { size: 600 },
            ..Entry::new(b"f".to_vec())
        };
        writer.append(&entry, &mut [1_u8; 600].as_slice()).unwrap();
        let bytes = writer.finish().unwrap();
        let mut reader = TarReader::new(&bytes[..700]);
        reader.next_entry().unwrap();
        assert!(reader.read_to_end(&mut Vec::new()).is_err());
    }
}
