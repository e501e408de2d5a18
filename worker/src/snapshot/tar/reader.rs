//! Reading archives.

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::BLOCK;
use super::header::{Block, Entry, EntryKind, GID, LINK, MAJOR, MINOR, MODE, MTIME, SIZE, TarError, UID};
use super::sparse::Holes;

/// All that is said about one entry beside its header (long names, PAX records, the places of holes) is held in memory,
/// so an archive may not make it arbitrarily large, neither at once nor in many pieces.
const MAX_EXTENSION: u64 = 1 << 20;

/// Reads an archive entry by entry. Between two calls of [`next_entry`](Self::next_entry) it is itself the reader of the
/// current entry's content.
pub struct TarReader<R> {
    source: R,
    /// Whether it is any archive rather than a layer.
    any: bool,
    position: u64,
    remaining: u64,
    padding: u64,
    /// Where the current entry has content and where it has none, if it is sparse.
    holes: Option<Holes>,
    ended: bool,
}

/// What the extension entries before an entry said about it.
#[derive(Default)]
struct Extension {
    /// Bytes of all of them together.
    size: u64,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl<R: Read> TarReader<R> {
    /// Reads from `source`, which needs no buffering of its own: blocks are small, but content is passed through.
    pub fn new(source: R) -> Self {
        Self {
            source,
            any: false,
            position: 0,
            remaining: 0,
            padding: 0,
            holes: None,
            ended: false,
        }
    }

    /// The same for archives that were not made to be layers: GNU's sparse files are read with zeros for their holes, so
    /// that a small archive may hold any number of bytes, and entries of an unknown type are passed over.
    pub fn of_any(source: R) -> Self {
        Self {
            any: true,
            ..Self::new(source)
        }
    }

    /// The next entry, after skipping what is left of the current one; `None` at the end of the archive.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        let mut extension = Extension::default();
        loop {
            let Some((at, block)) = self.next_block()? else {
                return Ok(None);
            };
            let malformed = |what| TarError::Malformed { at, what };
            if !block.is_sound() {
                return Err(malformed("a header's checksum is wrong"));
            }
            let size = block.number(SIZE).and_then(|size| u64::try_from(size).ok());
            let size = size.ok_or(malformed("a size is not a number"))?;
            match block.type_flag() {
                b'x' => {
                    let records = self.extension(at, size, &mut extension)?;
                    parse_pax(&records, &mut extension.pax).ok_or(malformed("a PAX record is malformed"))?;
                }
                // Global records describe the archive; git writes its commit id into one.
                b'g' => drop(self.extension(at, size, &mut Extension::default())?),
                b'L' => extension.name = Some(without_nul(self.extension(at, size, &mut extension)?)),
                b'K' => extension.link = Some(without_nul(self.extension(at, size, &mut extension)?)),
                other if self.any && !matches!(other, 0 | b'0'..=b'7' | b'S') => {
                    extension = Extension::default();
                    self.expect_content(size);
                }
                _ => return self.entry(at, &block, size, extension).map(Some),
            }
        }
    }

    /// Reads the rest of the source, so that all of it has been hashed, and gives the source back.
    pub fn drain(mut self) -> io::Result<R> {
        io::copy(&mut self.source, &mut io::sink())?;
        Ok(self.source)
    }

    fn entry(&mut self, at: u64, block: &Block, size: u64, extension: Extension) -> Result<Entry, TarError> {
        let malformed = |what| TarError::Malformed { at, what };
        let Extension {
            size: said,
            name,
            link,
            mut pax,
        } = extension;
        if pax.keys().any(|key| key.starts_with(b"GNU.sparse.")) {
            return Err(TarError::Unsupported("a sparse file"));
        }
        let number = |key: &[u8], field| match pax.get(key) {
            Some(text) => std::str::from_utf8(text)
                .ok()
                .and_then(|text| text.parse::<i64>().ok()),
            None => block.number(field),
        };
        let id = |value: Option<i64>| value.and_then(|value| u32::try_from(value).ok());
        let size = match pax.get(b"size".as_slice()) {
            Some(_) => number(b"size", SIZE).and_then(|size| u64::try_from(size).ok()),
            None => Some(size),
        };
        let size = size.ok_or(malformed("a size is not a number"))?;
        let uid = id(number(b"uid", UID)).ok_or(malformed("an owner is not a number"))?;
        let gid = id(number(b"gid", GID)).ok_or(malformed("a group is not a number"))?;
        let mode = block.number(MODE).ok_or(malformed("a mode is not a number"))?;
        let mode = u32::try_from(mode & 0o7777).unwrap_or_default();
        let (mtime, mtime_nanos) = match pax.get(b"mtime".as_slice()) {
            Some(text) => parse_time(text),
            None => block.number(MTIME).map(|seconds| (seconds, 0)),
        }
        .ok_or(malformed("a time is not a number"))?;
        let mut name = pax
            .remove(b"path".as_slice())
            .or(name)
            .unwrap_or_else(|| block.name());
        let link = pax
            .remove(b"linkpath".as_slice())
            .or(link)
            .unwrap_or_else(|| block.text(LINK).to_vec());
        if name.is_empty() || name.contains(&0) || link.contains(&0) {
            return Err(malformed("a name is empty or contains a NUL"));
        }
        let device = |field| id(block.number(field)).ok_or(malformed("a device number is not a number"));
        let mut stored = size;
        let kind = match block.type_flag() {
            // Before POSIX, a directory was a file whose name ends in a slash.
            0 | b'0' | b'7' if name.ends_with(b"/") => EntryKind::Directory,
            0 | b'0' | b'7' => EntryKind::File { size },
            b'1' => EntryKind::HardLink(link),
            b'2' => EntryKind::Symlink(link),
            b'3' => EntryKind::CharDevice {
                major: device(MAJOR)?,
                minor: device(MINOR)?,
            },
            b'4' => EntryKind::BlockDevice {
                major: device(MAJOR)?,
                minor: device(MINOR)?,
            },
            b'5' => EntryKind::Directory,
            b'6' => EntryKind::Fifo,
            b'S' if self.any => {
                let holes = self.sparse(at, block, size, said)?;
                let size = holes.size();
                self.holes = Some(holes);
                EntryKind::File { size }
            }
            b'S' => return Err(TarError::Unsupported("a sparse file")),
            _ => return Err(TarError::Unsupported("an entry of an unknown type")),
        };
        if kind == EntryKind::Directory {
            let kept = name
                .iter()
                .rposition(|byte| *byte != b'/')
                .map_or(1, |last| last + 1);
            name.truncate(kept);
        }
        let attributes = pax
            .into_iter()
            .filter_map(|(key, value)| {
                key.strip_prefix(b"SCHILY.xattr.")
                    .map(|name| (name.to_vec(), value))
            })
            .filter(|(name, _)| !name.is_empty() && !name.contains(&0))
            .collect();
        // Other kinds have no content, though some tools state the size of what a hard link points at.
        if matches!(kind, EntryKind::HardLink(_)) {
            stored = 0;
        }
        self.expect_content(stored);
        Ok(Entry {
            name,
            kind,
            mode,
            uid,
            gid,
            mtime,
            mtime_nanos,
            attributes,
        })
    }

    fn expect_content(&mut self, size: u64) {
        self.remaining = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
    }

    /// The content of an extension entry, which is counted to the others of the same entry.
    fn extension(&mut self, at: u64, size: u64, with: &mut Extension) -> Result<Vec<u8>, TarError> {
        with.size = with.size.saturating_add(size);
        if with.size > MAX_EXTENSION {
            return Err(TarError::Malformed {
                at,
                what: "more than a megabyte is said about one file",
            });
        }
        self.expect_content(size);
        let mut content = Vec::new();
        self.read_to_end(&mut content)?;
        Ok(content)
    }

    /// Where a sparse file has content. The map begins in its header and goes on in blocks of its own.
    fn sparse(&mut self, at: u64, header: &Block, stored: u64, mut said: u64) -> Result<Holes, TarError> {
        let malformed = |what| TarError::Malformed { at, what };
        let mut map = header.sparse_map();
        let mut more = header.has_more_of_the_map();
        while more {
            said += BLOCK as u64;
            if said > MAX_EXTENSION {
                return Err(malformed("more than a megabyte is said about one file"));
            }
            let mut block = Block([0; BLOCK]);
            if self.fill(&mut block)? < BLOCK {
                return Err(malformed("it ends in the middle of a header"));
            }
            map.extend(block.sparse_map_continued());
            more = block.goes_on();
        }
        Holes::new(&map, stored, header.real_size()).ok_or(malformed("the map of a sparse file is malformed"))
    }

    /// The next block that is not the end mark, and where it stands.
    fn next_block(&mut self) -> Result<Option<(u64, Block)>, TarError> {
        if self.ended {
            return Ok(None);
        }
        self.skip()?;
        let at = self.position;
        let mut block = Block([0; BLOCK]);
        let filled = self.fill(&mut block)?;
        // Some tools leave the end mark out; one zero block is enough of an end.
        if filled == 0 || (filled == BLOCK && block.0.iter().all(|byte| *byte == 0)) {
            self.ended = true;
            return Ok(None);
        }
        if filled < BLOCK {
            return Err(TarError::Malformed {
                at,
                what: "it ends in the middle of a header",
            });
        }
        Ok(Some((at, block)))
    }

    /// Reads one block, as far as there is one.
    fn fill(&mut self, block: &mut Block) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(space) = block.0.get_mut(filled..).filter(|space| !space.is_empty()) {
            match self.source.read(space) {
                Ok(0) => break,
                Ok(length) => filled += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.position += filled as u64;
        Ok(filled)
    }

    /// Skips the rest of the current entry.
    fn skip(&mut self) -> Result<(), TarError> {
        self.holes = None;
        let rest = self.remaining + self.padding;
        let skipped = io::copy(&mut (&mut self.source).take(rest), &mut io::sink())?;
        self.position += skipped;
        if skipped < rest {
            return Err(TarError::Malformed {
                at: self.position,
                what: "it ends in the middle of a file",
            });
        }
        (self.remaining, self.padding) = (0, 0);
        Ok(())
    }
}

/// The content of the current entry.
impl<R: Read> Read for TarReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(mut holes) = self.holes.take() else {
            return self.stored(buffer);
        };
        let read = holes.read(buffer, |buffer| self.stored(buffer));
        self.holes = Some(holes);
        read
    }
}

impl<R: Read> TarReader<R> {
    /// What the archive holds of the current entry.
    fn stored(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.remaining)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let length = self.source.read(buffer.get_mut(..wanted).unwrap_or_default())?;
        if length == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the archive ends in the middle of a file",
            ));
        }
        self.remaining -= length as u64;
        self.position += length as u64;
        Ok(length)
    }
}

/// Records of the form `<length> <key>=<value>\n`, the length counting all of the record. Values may hold any byte.
fn parse_pax(mut records: &[u8], into: &mut BTreeMap<Vec<u8>, Vec<u8>>) -> Option<()> {
    while !records.is_empty() {
        let space = records.iter().position(|byte| *byte == b' ')?;
        let length: usize = std::str::from_utf8(records.get(..space)?).ok()?.parse().ok()?;
        let record = records.get(space + 1..length)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        let (key, value) = (record.get(..equals)?, record.get(equals + 1..)?);
        into.insert(key.to_vec(), value.to_vec());
        records = records.get(length..)?;
    }
    Some(())
}

/// `seconds[.fraction]`, the fraction counting upwards also before 1970.
fn parse_time(text: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut seconds: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    let mut nanos: u32 = digits.parse().ok()?;
    if whole.starts_with('-') && nanos > 0 {
        seconds = seconds.checked_sub(1)?;
        nanos = 1_000_000_000 - nanos;
    }
    Some((seconds, nanos))
}

fn without_nul(mut text: Vec<u8>) -> Vec<u8> {
    if let Some(end) = text.iter().position(|byte| *byte == 0) {
        text.truncate(end);
    }
    text
}
