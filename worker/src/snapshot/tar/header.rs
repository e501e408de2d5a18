//! One entry of an archive, and its 512-byte header.

use std::collections::BTreeMap;
use std::io;

use super::BLOCK;

/// Why an archive could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The bytes are not a tar archive, or one that is damaged.
    #[error("the archive is damaged at byte {at}: {what}")]
    Malformed {
        /// Where the header begins.
        at: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Something that is legal in a tar archive and never found in an image layer.
    #[error("the archive holds {0}, which image layers may not")]
    Unsupported(&'static str),
    /// There are more than anyone needs.
    #[error("the archive has too many {0} to be unpacked here")]
    TooMany(&'static str),
    /// Reading or writing failed.
    #[error("the archive could not be read or written: {0}")]
    Io(#[from] io::Error),
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file; its content follows.
    File {
        /// The content's length in bytes.
        size: u64,
    },
    /// Another name of an earlier entry.
    HardLink(Vec<u8>),
    /// A symbolic link.
    Symlink(Vec<u8>),
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
}

/// One entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name as it stands in the archive; a directory's final `/` is not part of it.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits, set-id and sticky bits among them.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds since 1970.
    pub mtime: i64,
    /// The fraction of that second, in nanoseconds.
    pub mtime_nanos: u32,
    /// Extended attributes by name.
    pub attributes: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Entry {
    /// An empty file of root's, from 1970.
    pub fn new(name: Vec<u8>) -> Self {
        Self {
            name,
            kind: EntryKind::File { size: 0 },
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: 0,
            mtime_nanos: 0,
            attributes: BTreeMap::new(),
        }
    }

    /// The length of the content that follows.
    pub fn size(&self) -> u64 {
        match self.kind {
            EntryKind::File { size } => size,
            EntryKind::HardLink(_)
            | EntryKind::Symlink(_)
            | EntryKind::CharDevice { .. }
            | EntryKind::BlockDevice { .. }
            | EntryKind::Directory
            | EntryKind::Fifo => 0,
        }
    }
}

/// A header block's raw fields. The places are those of POSIX `ustar`.
pub(super) struct Block(pub(super) [u8; BLOCK]);

/// Where a field stands: its first byte and its length.
pub(super) type Field = (usize, usize);

pub(super) const NAME: Field = (0, 100);
pub(super) const MODE: Field = (100, 8);
pub(super) const UID: Field = (108, 8);
pub(super) const GID: Field = (116, 8);
pub(super) const SIZE: Field = (124, 12);
pub(super) const MTIME: Field = (136, 12);
const CHECKSUM: Field = (148, 8);
pub(super) const TYPE: usize = 156;
pub(super) const LINK: Field = (157, 100);
const MAGIC: Field = (257, 8);
pub(super) const MAJOR: Field = (329, 8);
pub(super) const MINOR: Field = (337, 8);
const PREFIX: Field = (345, 155);
/// In GNU's header of a sparse file: the first places that have content, whether there are more, and the length with
/// all holes.
const MAP: Field = (386, 96);
const MAP_GOES_ON: usize = 482;
const REAL_SIZE: Field = (483, 12);
/// In the blocks that follow it.
const CONTINUED: Field = (0, 504);
const CONTINUED_GOES_ON: usize = 504;

impl Block {
    pub(super) fn ustar() -> Self {
        let mut block = Self([0; BLOCK]);
        block.set_text(MAGIC, b"ustar\x0000");
        block
    }

    pub(super) fn type_flag(&self) -> u8 {
        self.0[TYPE]
    }

    fn field(&self, (start, length): Field) -> &[u8] {
        self.0.get(start..start + length).unwrap_or_default()
    }

    /// The field up to its first NUL.
    pub(super) fn text(&self, field: Field) -> &[u8] {
        let bytes = self.field(field);
        bytes.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// The name, with the prefix that POSIX (not GNU) headers put before it.
    pub(super) fn name(&self) -> Vec<u8> {
        let name = self.text(NAME);
        let prefix = if self.field(MAGIC) == b"ustar\x0000" {
            self.text(PREFIX)
        } else {
            b""
        };
        if prefix.is_empty() {
            name.to_vec()
        } else {
            [prefix, b"/", name].concat()
        }
    }

    /// A number in octal, or in GNU's base-256 form when the first bit is set.
    pub(super) fn number(&self, field: Field) -> Option<i64> {
        let bytes = self.field(field);
        let first = *bytes.first()?;
        if first & 0x80 != 0 {
            let negative = first & 0x40 != 0;
            let mut value: i128 = if negative { -1 } else { 0 };
            for (index, byte) in bytes.iter().enumerate() {
                let byte = if index == 0 && !negative {
                    byte & 0x7f
                } else {
                    *byte
                };
                value = value.checked_mul(256)?.checked_add(i128::from(byte))?;
            }
            return i64::try_from(value).ok();
        }
        let digits: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == b' ').collect();
        let digits = digits
            .split(|byte| matches!(byte, 0 | b' '))
            .next()
            .unwrap_or_default();
        let mut value: i64 = 0;
        for digit in digits {
            if !(b'0'..=b'7').contains(digit) {
                return None;
            }
            value = value.checked_mul(8)?.checked_add(i64::from(digit - b'0'))?;
        }
        Some(value)
    }

    /// Offsets and lengths that a sparse file's header names.
    pub(super) fn sparse_map(&self) -> Vec<(Option<i64>, Option<i64>)> {
        self.pairs(MAP)
    }

    pub(super) fn has_more_of_the_map(&self) -> bool {
        self.0[MAP_GOES_ON] != 0
    }

    /// The same of a block that follows the header.
    pub(super) fn sparse_map_continued(&self) -> Vec<(Option<i64>, Option<i64>)> {
        self.pairs(CONTINUED)
    }

    pub(super) fn goes_on(&self) -> bool {
        self.0[CONTINUED_GOES_ON] != 0
    }

    /// A sparse file's length, its holes counted.
    pub(super) fn real_size(&self) -> Option<u64> {
        self.number(REAL_SIZE).and_then(|size| u64::try_from(size).ok())
    }

    /// Pairs of numbers of twelve bytes each, up to the first that nobody wrote.
    fn pairs(&self, (start, length): Field) -> Vec<(Option<i64>, Option<i64>)> {
        (start..start + length)
            .step_by(24)
            .take_while(|at| self.0.get(*at).is_some_and(|byte| *byte != 0))
            .map(|at| (self.number((at, 12)), self.number((at + 12, 12))))
            .collect()
    }

    /// Puts text into a field; `false` where it is too long.
    pub(super) fn set_text(&mut self, (start, length): Field, text: &[u8]) -> bool {
        match self.0.get_mut(start..start + text.len()) {
            Some(place) if text.len() <= length => {
                place.copy_from_slice(text);
                true
            }
            _ => false,
        }
    }

    /// Puts an octal number into a field; `false` where it does not fit or is negative.
    pub(super) fn set_number(&mut self, field: Field, value: i64) -> bool {
        let digits = field.1 - 1;
        let text = format!("{value:0digits$o}");
        value >= 0 && text.len() == digits && self.set_text(field, text.as_bytes())
    }

    pub(super) fn seal(&mut self) {
        let sum = self.sums().0;
        let text = format!("{sum:06o}\0 ");
        self.set_text(CHECKSUM, text.as_bytes());
    }

    pub(super) fn is_sound(&self) -> bool {
        let (unsigned, signed) = self.sums();
        self.number(CHECKSUM)
            .is_some_and(|sum| sum == unsigned || sum == signed)
    }

    /// The sum over the block with the checksum field blank; some old tools added signed bytes.
    fn sums(&self) -> (i64, i64) {
        let checksum = CHECKSUM.0..CHECKSUM.0 + CHECKSUM.1;
        let mut sums = (0, 0);
        for (index, byte) in self.0.iter().enumerate() {
            let byte = if checksum.contains(&index) { b' ' } else { *byte };
            sums.0 += i64::from(byte);
            sums.1 += i64::from(byte.cast_signed());
        }
        sums
    }
}
