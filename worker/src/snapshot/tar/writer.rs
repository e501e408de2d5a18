//! Writing archives.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use super::BLOCK;
use super::header::{
    Block, Entry, EntryKind, GID, LINK, MAJOR, MINOR, MODE, MTIME, NAME, SIZE, TYPE, TarError, UID,
};

/// Writes an archive. The same entries always give the same bytes: `ustar` headers, and PAX records, sorted, for what does not
/// fit in one. No user names, no access times.
pub struct TarWriter<W> {
    sink: W,
}

impl<W: Write> TarWriter<W> {
    /// Writes to `sink`, in pieces of one block and more.
    pub fn new(sink: W) -> Self {
        Self { sink }
    }

    /// Writes one entry, with exactly [`Entry::size`] bytes of `content`.
    pub fn append(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<(), TarError> {
        let mut block = Block::ustar();
        let mut pax = BTreeMap::new();
        let is_dir = entry.kind == EntryKind::Directory;
        let name = if is_dir {
            [entry.name.as_slice(), b"/"].concat()
        } else {
            entry.name.clone()
        };
        set_text(&mut block, &mut pax, NAME, b"path", &name);
        block.set_number(MODE, i64::from(entry.mode));
        set_number(&mut block, &mut pax, UID, b"uid", i64::from(entry.uid));
        set_number(&mut block, &mut pax, GID, b"gid", i64::from(entry.gid));
        let size =
            i64::try_from(entry.size()).map_err(|_| TarError::Unsupported("a file of more than 8 EiB"))?;
        set_number(&mut block, &mut pax, SIZE, b"size", size);
        set_number(&mut block, &mut pax, MTIME, b"mtime", entry.mtime);
        let device = |block: &mut Block, major: u32, minor: u32| {
            block.set_number(MAJOR, i64::from(major)) && block.set_number(MINOR, i64::from(minor))
        };
        let (flag, fits) = match &entry.kind {
            EntryKind::File { .. } => (b'0', true),
            EntryKind::HardLink(target) => {
                set_text(&mut block, &mut pax, LINK, b"linkpath", target);
                (b'1', true)
            }
            EntryKind::Symlink(target) => {
                set_text(&mut block, &mut pax, LINK, b"linkpath", target);
                (b'2', true)
            }
            EntryKind::CharDevice { major, minor } => (b'3', device(&mut block, *major, *minor)),
            EntryKind::BlockDevice { major, minor } => (b'4', device(&mut block, *major, *minor)),
            EntryKind::Directory => (b'5', true),
            EntryKind::Fifo => (b'6', true),
        };
        if !fits {
            return Err(TarError::Unsupported("a device with a number above two million"));
        }
        block.0[TYPE] = flag;
        for (name, value) in &entry.attributes {
            pax.insert([b"SCHILY.xattr.", name.as_slice()].concat(), value.clone());
        }
        if !pax.is_empty() {
            self.append_pax(&entry.name, &pax)?;
        }
        block.seal();
        self.sink.write_all(&block.0)?;
        self.content(entry.size(), content)
    }

    /// Writes the end mark and gives the sink back.
    pub fn finish(mut self) -> Result<W, TarError> {
        self.sink.write_all(&[0; 2 * BLOCK])?;
        Ok(self.sink)
    }

    fn append_pax(&mut self, name: &[u8], records: &BTreeMap<Vec<u8>, Vec<u8>>) -> Result<(), TarError> {
        let mut text = Vec::new();
        for (key, value) in records {
            // The length counts its own digits, so it is found by trying.
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while rest + length.to_string().len() != length {
                length = rest + length.to_string().len();
            }
            text.extend_from_slice(format!("{length} ").as_bytes());
            text.extend_from_slice(key);
            text.push(b'=');
            text.extend_from_slice(value);
            text.push(b'\n');
        }
        let mut block = Block::ustar();
        // Only readers without PAX see this name.
        let base: Vec<u8> = name
            .rsplit(|byte| *byte == b'/')
            .next()
            .unwrap_or_default()
            .to_vec();
        let shown: Vec<u8> = b"PaxHeaders.0/"
            .iter()
            .copied()
            .chain(base)
            .filter(u8::is_ascii)
            .take(99)
            .collect();
        block.set_text(NAME, &shown);
        block.set_number(MODE, 0);
        block.set_number(UID, 0);
        block.set_number(GID, 0);
        block.set_number(MTIME, 0);
        if !block.set_number(SIZE, i64::try_from(text.len()).unwrap_or(i64::MAX)) {
            return Err(TarError::Unsupported("extended attributes of more than 8 GiB"));
        }
        block.0[TYPE] = b'x';
        block.seal();
        self.sink.write_all(&block.0)?;
        self.content(text.len() as u64, &mut text.as_slice())
    }

    fn content(&mut self, size: u64, content: &mut dyn Read) -> Result<(), TarError> {
        let copied = io::copy(&mut content.take(size), &mut self.sink)?;
        if copied != size {
            let what = "a file became shorter while it was archived";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what).into());
        }
        let padding = size.wrapping_neg() % BLOCK as u64;
        self.sink.write_all(
            [0; BLOCK]
                .get(..usize::try_from(padding).unwrap_or(0))
                .unwrap_or_default(),
        )?;
        Ok(())
    }
}

type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// Text goes into its field, or where it is too long or not ASCII into a record.
fn set_text(block: &mut Block, pax: &mut Records, field: super::header::Field, key: &[u8], text: &[u8]) {
    if !text.is_ascii() || !block.set_text(field, text) {
        pax.insert(key.to_vec(), text.to_vec());
        let start: Vec<u8> = text.iter().copied().filter(u8::is_ascii).take(field.1).collect();
        block.set_text(field, &start);
    }
}

/// A number goes into its field, or where it is too large or negative into a record.
fn set_number(block: &mut Block, pax: &mut Records, field: super::header::Field, key: &[u8], value: i64) {
    if !block.set_number(field, value) {
        pax.insert(key.to_vec(), value.to_string().into_bytes());
        block.set_number(field, 0);
    }
}
