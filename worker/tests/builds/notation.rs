//! How a file system entry is written, in cases and in what is expected of them.
//!
//! ```text
//! d 0755 0:0 /folder
//! f 0644 0:0 /file "content" user.name="value"
//! l 0777 0:0 /link -> target
//! h /other = /file 0644 0:0
//! p 0644 0:0 /fifo
//! c 0600 0:0 /device 1:3
//! b 0600 0:0 /device 8:0
//! ```
//!
//! With `@1234567890` at its end a line says when the entry was last changed, in seconds since 1970, with `@context` that it
//! has the time of what is in a context; what was changed by the build itself has no time. Nor have folders: theirs
//! depend on when the reference wrote what is in them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// An entry as an archive has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) owner: (u64, u64),
    /// Extended attributes.
    pub(crate) attributes: BTreeMap<String, Vec<u8>>,
    /// When it was last changed, in seconds since 1970.
    pub(crate) modified: u64,
}

/// When files of a context were last changed: at some second of 2000-01-01, each at one of its own. The reference takes a
/// file of the same name, size and time for the one that it was sent for the case before.
pub(crate) const CONTEXT: std::ops::Range<u64> = 946_684_800..946_771_200;

/// When entries of archives and layers were last changed, where the case does not say.
const PACKED: u64 = 1_234_567_890;

/// What was changed later was changed by the build.
const LONG_AGO: u64 = 1_700_000_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File(Vec<u8>),
    Symlink(String),
    /// Another name of the file at this path.
    HardLink(String),
    Fifo,
    Character(u32, u32),
    Block(u32, u32),
}

/// Reads a list of entries, in its order.
pub(crate) fn entries(text: &str) -> Vec<(String, Entry)> {
    let lines = text.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| entry(line).unwrap_or_else(|| panic!("this is no entry: {line}")))
        .collect()
}

fn entry(line: &str) -> Option<(String, Entry)> {
    let words = words(line);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    // An archive says owner and mode of a file again with each further name.
    if let ["h", path, "=", target, rest @ ..] = words.as_slice() {
        let (mode, owner) = match rest {
            [mode, owner, ..] => (*mode, *owner),
            _ => ("0644", "0:0"),
        };
        let entry = Entry {
            kind: Kind::HardLink((*target).to_owned()),
            mode: u32::from_str_radix(mode, 8).ok()?,
            owner: numbers(owner)?,
            attributes: attributes(rest.get(2..).unwrap_or_default())?,
            modified: PACKED,
        };
        return Some(((*path).to_owned(), entry));
    }
    let [kind, mode, owner, path, rest @ ..] = words.as_slice() else {
        return None;
    };
    let (time, rest) = match rest.split_last() {
        Some((last, before)) if last.starts_with('@') => (last[1..].parse().ok(), before),
        _ => (None, rest),
    };
    let device = || {
        let (major, minor) = rest.first()?.split_once(':')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    let (kind, rest) = match *kind {
        "d" => (Kind::Directory, rest),
        "f" => {
            let (content, rest) = rest.split_first()?;
            (Kind::File(unescaped(quoted(content)?)), rest)
        }
        "l" => (Kind::Symlink((*rest.get(1)?).to_owned()), rest.get(2..)?),
        "p" => (Kind::Fifo, rest),
        "c" => device().map(|(major, minor)| (Kind::Character(major, minor), &rest[1..]))?,
        "b" => device().map(|(major, minor)| (Kind::Block(major, minor), &rest[1..]))?,
        _ => return None,
    };
    let entry = Entry {
        kind,
        mode: u32::from_str_radix(mode, 8).ok()?,
        owner: numbers(owner)?,
        attributes: attributes(rest)?,
        modified: time.unwrap_or(PACKED),
    };
    Some(((*path).to_owned(), entry))
}

fn numbers(owner: &str) -> Option<(u64, u64)> {
    let (user, group) = owner.split_once(':')?;
    Some((user.parse().ok()?, group.parse().ok()?))
}

fn attributes(words: &[&str]) -> Option<BTreeMap<String, Vec<u8>>> {
    let pair = |word: &&str| {
        let (name, value) = word.split_once('=')?;
        Some((name.to_owned(), unescaped(quoted(value)?)))
    };
    words.iter().map(pair).collect()
}

/// Words between blanks; a blank between quotes belongs to its word.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), String::new());
    let (mut inside, mut escape) = (false, false);
    for character in line.chars() {
        match character {
            ' ' if !inside => {
                words.push(std::mem::take(&mut word));
                continue;
            }
            '"' if !escape => inside = !inside,
            _ => {}
        }
        escape = character == '\\' && !escape;
        word.push(character);
    }
    words.push(word);
    words
}

fn quoted(word: &str) -> Option<&str> {
    word.strip_prefix('"')?.strip_suffix('"')
}

/// What [`escaped`] wrote, as it was.
pub(crate) fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next() {
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'x') => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            Some(other) => other,
            None => b'\\',
        });
    }
    bytes
}

/// Bytes as text of one line: UTF-8 stays readable, what cannot be seen is written in hexadecimal digits.
pub(crate) fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                '\\' | '"' => text.extend(['\\', character]),
                control if control.is_control() => {
                    let mut buffer = [0; 4];
                    for byte in control.encode_utf8(&mut buffer).bytes() {
                        write!(text, "\\x{byte:02x}").unwrap();
                    }
                }
                other => text.push(other),
            }
        }
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02x}").unwrap();
        }
    }
    text
}

/// An entry as a line, without what a file holds: `content` says that.
pub(crate) fn line(path: &str, entry: &Entry, content: &str) -> String {
    let Entry {
        kind,
        mode,
        owner: (user, group),
        attributes,
        modified,
    } = entry;
    let path = if path.chars().any(|c| c == ' ' || c == '"' || c.is_control()) {
        format!("\"/{}\"", escaped(path.as_bytes()))
    } else {
        format!("/{path}")
    };
    let (letter, rest) = match kind {
        Kind::Directory => ('d', String::new()),
        Kind::File(_) => ('f', format!(" {content}")),
        Kind::Symlink(target) => ('l', format!(" -> {target}")),
        Kind::HardLink(target) => return format!("h {path} = /{target}"),
        Kind::Fifo => ('p', String::new()),
        Kind::Character(major, minor) => ('c', format!(" {major}:{minor}")),
        Kind::Block(major, minor) => ('b', format!(" {major}:{minor}")),
    };
    let mut line = format!("{letter} {mode:04o} {user}:{group} {path}{rest}");
    for (name, value) in attributes {
        write!(line, " {name}=\"{}\"", escaped(value)).unwrap();
    }
    if *kind == Kind::Directory {
        return line;
    }
    if CONTEXT.contains(modified) {
        line.push_str(" @context");
    } else if *modified < LONG_AGO {
        write!(line, " @{modified}").unwrap();
    }
    line
}
