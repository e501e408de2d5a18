//! A case: one text file that holds a Dockerfile, the files around it, and the flags to build it with.
//!
//! ```text
//! Whatever stands before the first section says what the case is about.
//! -- Dockerfile --
//! FROM alpine
//! -- context/a.txt 0600 --
//! content
//! -- context/link -> a.txt --
//! -- context/folder/ 0700 --
//! -- context/b.txt no-newline crlf escaped --
//! content without its last line feed, with CRLF, and with \x00 and the like
//! -- context/c.tar tar gzip --
//! f 0644 0:0 file "content"
//! -- image NAME config --
//! {"Env": ["A=b"]}
//! -- image NAME layer --
//! d 0755 0:0 folder
//! -- flags --
//! --build-arg A=b
//! -- ours differs --
//! Why it does so, and in which lines.
//! - d 0755 0:0 /in-the-reference
//! + d 0700 0:0 /with-us
//! ```
//!
//! An archive's and a layer's entries are written as in [`notation`]. An image
//! can be named by the Dockerfile. Flags are `docker build`'s, one a line; their paths start beside the Dockerfile.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, Timespec, Timestamps};

use crate::archive;
use crate::notation;

#[derive(Default)]
pub(crate) struct Case {
    files: Vec<Placed>,
    /// By name, the images to be found under that name.
    pub(crate) images: BTreeMap<String, Image>,
    pub(crate) flags: Vec<Flag>,
    /// The lines in which what we make is meant to differ from what the reference makes.
    pub(crate) differences: Vec<String>,
}

/// A base image that is made for the case.
#[derive(Default)]
pub(crate) struct Image {
    /// The OCI `config` object.
    pub(crate) config: serde_json::Value,
    /// Plain archives, lowest first.
    pub(crate) layers: Vec<Vec<u8>>,
}

pub(crate) struct Flag {
    pub(crate) name: String,
    pub(crate) value: Option<String>,
}

struct Placed {
    path: String,
    mode: Option<u32>,
    what: What,
}

enum What {
    File(Vec<u8>),
    Directory,
    Link(String),
}

impl Case {
    pub(crate) fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let mut case = Self::default();
        let mut sections: Vec<(Vec<&str>, String)> = Vec::new();
        for line in text.split_inclusive('\n') {
            let header = line.trim_end().strip_prefix("-- ");
            if let Some(header) = header.and_then(|line| line.strip_suffix(" --")) {
                sections.push((header.split(' ').collect(), String::new()));
            } else if let Some((_, content)) = sections.last_mut() {
                content.push_str(line);
            }
        }
        for (header, content) in sections {
            case.section(&header, content);
        }
        case
    }

    fn section(&mut self, header: &[&str], content: String) {
        match header {
            ["flags"] => self.flags = content.lines().map(Flag::read).collect(),
            ["ours", "differs"] => {
                let lines = content.lines();
                let lines = lines.filter(|line| line.starts_with("- ") || line.starts_with("+ "));
                self.differences = lines.map(str::to_owned).collect();
            }
            ["image", name, "config"] => {
                self.image(name).config = serde_json::from_str(&content).unwrap();
            }
            ["image", name, "layer"] => {
                let layer = archive::tar(&notation::entries(&content));
                self.image(name).layers.push(layer);
            }
            [path, "->", target] => self.place(path, None, What::Link((*target).to_owned())),
            [path, words @ ..] => {
                let mode = words.iter().find(|word| word.starts_with('0'));
                let mode = mode.map(|mode| u32::from_str_radix(mode, 8).unwrap());
                let has = |word| words.contains(&word);
                let what = if path.ends_with('/') {
                    What::Directory
                } else if has("tar") {
                    let plain = archive::tar(&notation::entries(&content));
                    What::File(archive::compressed(plain, words.last().unwrap()))
                } else {
                    let mut content = content;
                    if has("no-newline") {
                        assert_eq!(content.pop(), Some('\n'));
                    }
                    if has("crlf") {
                        content = content.replace('\n', "\r\n");
                    }
                    What::File(if has("escaped") {
                        notation::unescaped(&content)
                    } else {
                        content.into_bytes()
                    })
                };
                self.place(path.trim_end_matches('/'), mode, what);
            }
            [] => unreachable!("splitting gives one word at least"),
        }
    }

    fn image(&mut self, name: &str) -> &mut Image {
        self.images.entry(name.to_owned()).or_default()
    }

    fn place(&mut self, path: &str, mode: Option<u32>, what: What) {
        let path = path.to_owned();
        self.files.push(Placed { path, mode, what });
    }

    /// Writes the files into `folder`, which is empty; the context is its subfolder `context`.
    pub(crate) fn write(&self, folder: &Path) {
        fs::create_dir(folder.join("context")).unwrap();
        for Placed { path, mode, what } in &self.files {
            let place = folder.join(path);
            make_folders(place.parent().unwrap());
            let usual = match what {
                What::File(content) => {
                    fs::write(&place, content).unwrap();
                    0o644
                }
                What::Directory => {
                    make_folders(&place);
                    0o755
                }
                What::Link(target) => {
                    symlink(target, &place).unwrap();
                    continue;
                }
            };
            let mode = Permissions::from_mode(mode.unwrap_or(usual));
            fs::set_permissions(&place, mode).unwrap();
        }
        set_times(folder);
    }
}

/// Gives everything in `folder` a time by which it is known to come from there.
fn set_times(folder: &Path) {
    static FILES: AtomicU64 = AtomicU64::new(0);
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            set_times(&path);
        }
        // Another run has other seconds: the daemon may remember that one too.
        let number = FILES.fetch_add(1, Ordering::Relaxed) + u64::from(std::process::id()) * 4099;
        let length = notation::CONTEXT.end - notation::CONTEXT.start;
        let seconds = notation::CONTEXT.start + number % length;
        let time = Timespec {
            tv_sec: i64::try_from(seconds).unwrap(),
            tv_nsec: 0,
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        rustix::fs::utimensat(rustix::fs::CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
}

/// Modes are part of what is compared, so they may not depend on the umask.
fn make_folders(path: &Path) {
    if path.exists() {
        return;
    }
    make_folders(path.parent().unwrap());
    fs::create_dir(path).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

impl Flag {
    fn read(line: &str) -> Self {
        let (name, value) = match line.split_once(' ') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (line, None),
        };
        Self {
            name: name.to_owned(),
            value,
        }
    }
}
