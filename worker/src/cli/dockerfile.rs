//! The arguments by which every planning command finds its Dockerfile, and what they make of them.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};

use stagewright_core::Input;
use stagewright_core::analysis::Options;
use stagewright_core::ignore::{IgnoreFile, ignore_file};
use stagewright_core::platform::Platform;

use super::Failure;
use crate::request::obstacle::Obstacle;
pub(super) use crate::request::planning::Dockerfile;
use crate::request::platform::{platform_or_local, settled};

/// Larger files are refused: no Dockerfile is, and a mistyped path may name anything.
const MAX_BYTES: u64 = 4 << 20;

// No group of its own: clap would name it like the group of the command that flattens it.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// The Dockerfile; `-` reads it from standard input [default: PATH/Dockerfile, or PATH/dockerfile where only that is there]
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// The stage to build [default: the last one]
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,

    /// Set a build argument; without `=VALUE` its value is taken from the environment
    #[arg(long, value_name = "NAME[=VALUE]")]
    build_arg: Vec<String>,

    /// The platform to build for, such as linux/arm64, or local for this machine's [default: linux/amd64]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_parser = platform_or_local, value_delimiter = ',')]
    platform: Vec<Platform>,

    /// The build context: a folder, and where something is built also a git repository as URL[#NAME[:FOLDER]], or an
    /// archive or a Dockerfile alone at an http address or on standard input, which is `-`
    #[arg(default_value = ".", value_name = "PATH")]
    path: PathBuf,

    /// The Dockerfile's name and text, where it was read already.
    #[arg(skip)]
    given: Option<(String, String)>,
}

impl Arguments {
    /// What stands in the place of the context, as written.
    pub(super) fn place(&self) -> &Path {
        &self.path
    }

    /// The file that was named.
    pub(super) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// What the folder's Dockerfile is called, where none is named.
    pub(super) fn usual(&self) -> &'static str {
        Dockerfile::usual(|name| self.path.join(name).symlink_metadata().is_ok())
    }

    /// The same with another context and file.
    pub(super) fn at(&self, path: PathBuf, file: Option<PathBuf>) -> Self {
        Self {
            file,
            path,
            ..self.clone()
        }
    }

    /// The same where nothing but the Dockerfile is there, which is what `file` holds.
    pub(super) fn with_text(&self, name: &str, mut file: std::fs::File) -> Result<Self, Failure> {
        let text = file
            .rewind()
            .map_err(|error| Failure::new(Failure::WORK, format!("cannot read {name} again: {error}")));
        let text = text.and_then(|()| from(file, name))?;
        Ok(Self {
            path: PathBuf::from("-"),
            given: Some((name.to_owned(), text)),
            ..self.clone()
        })
    }

    /// Whether there is a Dockerfile only, on standard input.
    fn has_no_context(&self) -> bool {
        self.path == Path::new("-")
    }

    /// The folder that is the build context.
    pub(super) fn context(&self) -> Result<&Path, Obstacle> {
        if self.path.is_dir() {
            return Ok(&self.path);
        }
        if self.has_no_context() {
            return Err(Obstacle::usage(
                "the build copies from its context, and a Dockerfile on standard input alone has none",
            )
            .hint("name the folder as PATH, and the Dockerfile with -f -"));
        }
        let path = self.path.display();
        Err(Obstacle::usage(format!(
            "the build copies from its context, but {path} is no folder"
        ))
        .hint("name the folder as PATH, and the Dockerfile with -f where it is not in it"))
    }

    /// What stands in the place of the context and is no path, which therefore means something else.
    pub(super) fn take_name(&mut self) -> Option<String> {
        if self.path.exists() {
            return None;
        }
        let path = std::mem::replace(&mut self.path, PathBuf::from("."));
        path.into_os_string().into_string().ok()
    }

    /// The file that is read, where it can be written as well.
    pub(super) fn written_to(&self) -> Option<PathBuf> {
        match &self.file {
            Some(file) if file == Path::new("-") => None,
            None if self.has_no_context() => None,
            Some(file) => Some(file.clone()),
            None if self.path.is_file() => Some(self.path.clone()),
            None => Some(self.path.join(self.usual())),
        }
    }

    /// The platforms to build for, each once.
    pub(super) fn platforms(&self) -> Vec<Platform> {
        settled(&self.platform)
    }

    /// Reads the Dockerfile for one platform.
    pub(super) fn read(&self) -> Result<Dockerfile, Failure> {
        if self.platform.len() > 1 {
            return Err(Failure::new(
                Failure::USAGE,
                format!(
                    "{} platforms are named, and this looks at one",
                    self.platform.len()
                ),
            )
            .hint("name the one that is meant with --platform"));
        }
        self.read_for_several()
    }

    /// What the flags say of the build, with the first of its platforms.
    pub(super) fn options(&self) -> Result<Options, Failure> {
        Ok(Options {
            target: self.target.clone(),
            build_args: named_values("--build-arg", &self.build_arg, |name| std::env::var(name).ok())?,
            platform: self.platform.first().cloned(),
            ..Options::default()
        })
    }

    /// Reads the Dockerfile, with the first of its platforms.
    pub(super) fn read_for_several(&self) -> Result<Dockerfile, Failure> {
        let mut options = self.options()?;
        let (name, source) = match &self.file {
            Some(_) if self.has_no_context() => {
                return Err(Failure::new(
                    Failure::USAGE,
                    "PATH is -, which is the Dockerfile itself, and -f names one too",
                )
                .hint(
                    "write -f - and the folder to read the Dockerfile from standard input and have a context",
                ));
            }
            Some(file) => text(file)?,
            None if self.has_no_context() => match &self.given {
                Some(given) => given.clone(),
                None => text(Path::new("-"))?,
            },
            // A file where the context is expected can only mean the Dockerfile itself.
            None if self.path.is_file() => (self.path.display().to_string(), open(&self.path)?),
            None if !self.path.exists() => {
                let path = self.path.display();
                return Err(Failure::new(Failure::USAGE, format!("there is no folder {path}"))
                    .hint("name the Dockerfile with -f, or the folder it stands in as PATH"));
            }
            None => {
                let usual = self.usual();
                let file = self.path.join(usual);
                let name = if self.path == Path::new(".") {
                    usual.into()
                } else {
                    file.display().to_string()
                };
                (name, open(&file)?)
            }
        };
        let ignore = self.ignore_file();
        if let Some(path) = &ignore {
            options.ignore = Some(open(path)?);
        }
        Ok(Dockerfile {
            name,
            input: Input { source, options },
            // As the Dockerfile is called.
            ignore_name: ignore.map(|path| path.strip_prefix(".").unwrap_or(&path).display().to_string()),
        })
    }

    /// The ignore file that counts, where there is one.
    fn ignore_file(&self) -> Option<PathBuf> {
        if self.has_no_context() {
            return None;
        }
        let file = match &self.file {
            // Nothing stands beside what comes from elsewhere.
            Some(file) if file == Path::new("-") => PathBuf::new(),
            Some(file) => file.clone(),
            None if self.path.is_file() => self.path.clone(),
            None => self.path.join(self.usual()),
        };
        let beside = file.parent().unwrap_or(Path::new(""));
        let names = |folder: &Path| -> Vec<String> {
            let folder = if folder == Path::new("") {
                Path::new(".")
            } else {
                folder
            };
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            entries
                .filter_map(|entry| entry.file_name().into_string().ok())
                .collect()
        };
        let name = file
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let (near, root) = (names(beside), names(&self.path));
        let found = ignore_file(
            name,
            near.iter().map(String::as_str),
            root.iter().map(String::as_str),
        );
        Some(match found? {
            IgnoreFile::Own(name) => beside.join(name),
            IgnoreFile::Shared => self.path.join(".dockerignore"),
        })
    }
}

/// The text of a file, and what to call it; `-` is standard input.
pub(super) fn text(path: &Path) -> Result<(String, String), Failure> {
    if path == Path::new("-") {
        return Ok(("<stdin>".to_owned(), from(std::io::stdin(), "<stdin>")?));
    }
    Ok((path.display().to_string(), open(path)?))
}

fn open(path: &Path) -> Result<String, Failure> {
    let name = path.display().to_string();
    let file = std::fs::File::open(path).map_err(|error| {
        Failure::new(Failure::USAGE, format!("cannot read {name}: {error}"))
            .hint("name the Dockerfile with -f, or the folder it stands in as PATH")
    })?;
    from(file, &name)
}

fn from(reader: impl std::io::Read, name: &str) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    reader
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::new(Failure::USAGE, format!("cannot read {name}: {error}")))?;
    if is_archive(&bytes) {
        return Err(Failure::new(
            Failure::USAGE,
            format!("{name} is an archive, and a Dockerfile is text"),
        )
        .hint("unpack it, and name the folder as PATH"));
    }
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Failure::new(
            Failure::USAGE,
            format!(
                "{name} is larger than {} MiB, so it is hardly a Dockerfile",
                MAX_BYTES >> 20
            ),
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::new(
            Failure::USAGE,
            format!("{name} is not UTF-8 text: byte {at} begins no character"),
        )
    })
}

/// Whether it begins as a tar or as what tars are compressed to.
fn is_archive(bytes: &[u8]) -> bool {
    let begins = |start: &[u8]| bytes.starts_with(start);
    begins(&[0x1f, 0x8b])
        || begins(b"BZh")
        || begins(b"\xfd7zXZ\0")
        || begins(&[0x28, 0xb5, 0x2f, 0xfd])
        || bytes.get(257..262) == Some(b"ustar")
}

/// Names and values as a flag has them.
pub(super) fn named_values(
    flag: &str,
    given: &[String],
    environment: impl Fn(&str) -> Option<String>,
) -> Result<BTreeMap<String, String>, Failure> {
    let mut args = BTreeMap::new();
    for argument in given {
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            // A name that the environment lacks too stays unset, so that the file's own default holds.
            None => (argument.as_str(), environment(argument)),
        };
        if name.is_empty() {
            return Err(
                Failure::new(Failure::USAGE, format!("{flag} {argument:?} has no name"))
                    .hint(format!("write {flag} NAME=VALUE")),
            );
        }
        if let Some(value) = value {
            args.insert(name.to_owned(), value);
        }
    }
    Ok(args)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_arg_without_value_comes_from_the_environment_or_stays_unset() {
        let given = ["A=1=2".to_owned(), "B".to_owned(), "C".to_owned()];
        let args = named_values("--build-arg", &given, |name| (name == "B").then(|| "env".into())).unwrap();
        assert_eq!(
            args,
            BTreeMap::from([("A".into(), "1=2".into()), ("B".into(), "env".into())])
        );
        assert!(named_values("--build-arg", &["=x".to_owned()], |_| None).is_err());
    }

    #[test]
    fn dockerfile_in_lower_case_is_read_where_there_is_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let arguments = Arguments {
            file: None,
            target: None,
            build_arg: Vec::new(),
            platform: Vec::new(),
            path: folder.path().to_owned(),
            given: None,
        };
        write("dockerfile", "FROM lower\n");
        write("dockerfile.dockerignore", "own\n");
        let read = arguments.read().unwrap();
        assert_eq!(read.input.source, "FROM lower\n");
        assert!(read.name.ends_with("/dockerfile"), "{}", read.name);
        assert_eq!(read.input.options.ignore.as_deref(), Some("own\n"));
        assert_eq!(arguments.written_to(), Some(folder.path().join("dockerfile")));
        write("Dockerfile", "FROM upper\n");
        let read = arguments.read().unwrap();
        assert_eq!(read.input.source, "FROM upper\n");
        assert_eq!(read.input.options.ignore, None);
    }

    #[test]
    fn archive_in_the_place_of_a_dockerfile_is_told_what_to_do() {
        let mut tar = vec![0; 1024];
        tar[257..262].copy_from_slice(b"ustar");
        for bytes in [tar.as_slice(), &[0x1f, 0x8b, 8, 0]] {
            let failure = from(bytes, "<stdin>").unwrap_err();
            assert!(failure.message.contains("is an archive"), "{failure}");
        }
    }

    #[test]
    fn text_that_is_not_utf8_is_refused_with_its_place() {
        let failure = from(&b"FROM \xff"[..], "Dockerfile").unwrap_err();
        assert!(failure.message.contains("byte 5"), "{failure}");
    }
}
