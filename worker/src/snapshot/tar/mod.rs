//! Tar archives as image layers use them: ustar with PAX records, GNU long names read too.
//!
//! Written by hand because layers need what general libraries do not promise: attribute values with any byte in them (a file
//! capability may contain a line feed), and the same bytes for the same input, always.

mod header;
mod reader;
mod writer;

pub use header::{Entry, EntryKind, TarError};
pub use reader::TarReader;
pub use writer::TarWriter;

/// Archives are made of blocks of this size.
const BLOCK: usize = 512;

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
