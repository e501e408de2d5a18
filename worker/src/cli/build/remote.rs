//! A build context that is no folder of this machine's: a repository, or an archive or a Dockerfile alone, from a web server or
//! standard input.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::backend::embedded::unpack_context;
use crate::cli::{Failure, dockerfile};
use crate::source::address::Reach;
use crate::source::git::{CheckOut, Remote, Repositories};
use crate::source::http::{Answer, Question, Web, shown};

/// Where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    Git(Repository),
    /// The address of a file.
    Web(String),
    StandardInput,
}

/// A repository, and what of it is the context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Repository {
    url: String,
    /// A branch, tag or commit; empty for what the repository is on.
    name: String,
    /// The folder in it; empty for all of it.
    folder: String,
}

impl Address {
    /// Reads `URL[#NAME[:FOLDER]]`, the address of a file, or `-`, as docker build has it. `None` where it is a path.
    pub(super) fn read(place: &Path) -> Option<Self> {
        let text = place.to_str()?;
        if text == "-" {
            return Some(Self::StandardInput);
        }
        let (url, fragment) = text.split_once('#').unwrap_or((text, ""));
        let begins = |start: &[&str]| start.iter().any(|start| url.starts_with(start));
        let web = begins(&["http://", "https://"]);
        if web && url.strip_suffix(".git").is_none() {
            return Some(Self::Web(text.to_owned()));
        }
        if !web && !begins(&["git://", "ssh://", "git@", "github.com/"]) || place.exists() {
            return None;
        }
        let (name, folder) = fragment.split_once(':').unwrap_or((fragment, ""));
        let url = if url.starts_with("github.com/") {
            format!("https://{url}")
        } else {
            url.to_owned()
        };
        Some(Self::Git(Repository {
            url,
            name: name.to_owned(),
            folder: folder.to_owned(),
        }))
    }

    /// Where something has to be fetched from, for people.
    pub(super) fn far(&self) -> Option<String> {
        match self {
            Self::Git(repository) => Some(shown(&repository.url)),
            Self::Web(url) => Some(shown(url)),
            Self::StandardInput => None,
        }
    }

    /// Brings it here, a file of so many bytes at most. `given` are the arguments that name it. Dropping the future leaves
    /// nothing behind.
    pub(super) async fn fetch(&self, given: &dockerfile::Arguments, most: u64) -> Result<Fetched, Failure> {
        let (name, received) = match self {
            Self::Git(repository) => return Checkout::of(repository).await?.fetched(given),
            Self::Web(url) => (shown(url), download(url, most).await?),
            Self::StandardInput => {
                // It may never end, and waiting for it cannot be broken off.
                let received = tokio::task::spawn_blocking(standard_input).await;
                let received = received.map_err(|error| lacking(&error))?;
                ("<stdin>".to_owned(), received.map_err(|error| lacking(&error))?)
            }
        };
        let checkout = Checkout::new()?;
        if unpack_context(&received, &checkout.folder)
            .map_err(|error| lacking(&format!("{name}: {error}")))?
        {
            return checkout.fetched(given);
        }
        // What is no archive is the Dockerfile itself, and there is no context.
        let arguments = given.with_text(&name, received)?;
        Ok(Fetched {
            arguments,
            repository: None,
            _files: None,
        })
    }
}

impl Repository {
    /// Its address as it may be told: without what proves who asks.
    fn shown(&self) -> String {
        let mut text = shown(&self.url);
        if !self.name.is_empty() || !self.folder.is_empty() {
            text.push('#');
            text.push_str(&self.name);
        }
        if !self.folder.is_empty() {
            text.push(':');
            text.push_str(&self.folder);
        }
        text
    }
}

fn lacking(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Failure::WORK, format!("there is no build context: {error}"))
}

/// What comes on standard input, in a file without a name.
fn standard_input() -> io::Result<File> {
    let mut received = tempfile::tempfile()?;
    io::copy(&mut io::stdin().lock(), &mut received)?;
    Ok(received)
}

/// A file of so many bytes at most from a web server.
async fn download(url: &str, most: u64) -> Result<File, Failure> {
    let question = Question {
        url: url.to_owned(),
        local: true,
        ..Question::default()
    };
    let answer = Web::new(most, &[]).ask(&question).await;
    let Answer::File(mut download) = answer.map_err(|error| lacking(&error))? else {
        return Err(lacking(
            &"the server says that it did not change, although it was not asked that",
        ));
    };
    let mut received = tempfile::tempfile().map_err(|error| lacking(&error))?;
    while let Some(piece) = download.next().await.map_err(|error| lacking(&error))? {
        received.write_all(&piece).map_err(|error| lacking(&error))?;
    }
    Ok(received)
}

/// What was brought here, and the arguments as they are with it.
pub(super) struct Fetched {
    pub(super) arguments: dockerfile::Arguments,
    /// Which repository it is of, as it may be told, and the commit.
    pub(super) repository: Option<(String, String)>,
    /// Gone when this is dropped.
    _files: Option<Checkout>,
}

/// The files of a context, gone when this is dropped.
struct Checkout {
    root: tempfile::TempDir,
    /// The context.
    folder: PathBuf,
    /// The repository's address with what was asked for of it, and its commit, where they come from one.
    repository: Option<(String, String)>,
}

impl Checkout {
    /// Without any files yet.
    fn new() -> Result<Self, Failure> {
        let root = tempfile::Builder::new()
            .prefix("stagewright-context-")
            .tempdir()
            .map_err(|error| lacking(&error))?;
        let folder = root.path().join("files");
        std::fs::create_dir(&folder).map_err(|error| lacking(&error))?;
        Ok(Self {
            root,
            folder,
            repository: None,
        })
    }

    /// Fetches a repository's files, with the machine's `git` and the agent of whoever asks.
    async fn of(repository: &Repository) -> Result<Self, Failure> {
        let mut checkout = Self::new()?;
        let repositories =
            Repositories::open(&checkout.root.path().join("git")).map_err(|error| lacking(&error))?;
        let remote = Remote {
            url: repository.url.clone(),
            agent: std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from),
            reach: Reach::Anywhere,
            ..Remote::default()
        };
        let found = repositories.resolve(&remote, &repository.name).await;
        let found = found.map_err(|error| lacking(&error))?;
        checkout.repository = Some((repository.shown(), found.commit.clone()));
        let options = CheckOut {
            keep_repository: false,
            submodules: true,
        };
        let written = repositories
            .check_out(&remote, &found, &options, &checkout.folder)
            .await;
        written.map_err(|error| lacking(&error))?;
        checkout.folder = inside(&checkout.folder, Path::new(&repository.folder))?;
        Ok(checkout)
    }

    fn fetched(self, given: &dockerfile::Arguments) -> Result<Fetched, Failure> {
        Ok(Fetched {
            arguments: self.arguments(given)?,
            repository: self.repository.clone(),
            _files: Some(self),
        })
    }

    /// The arguments as they are with these files as context. The Dockerfile is one of them.
    fn arguments(&self, given: &dockerfile::Arguments) -> Result<dockerfile::Arguments, Failure> {
        let file = match given.file() {
            Some(file) if file == Path::new("-") => Some(file.to_owned()),
            Some(file) => Some(inside(&self.folder, file)?),
            None => {
                inside(&self.folder, Path::new("Dockerfile"))?;
                None
            }
        };
        // What keeps files out of the context is read like the Dockerfile, so it may be no way out either.
        let file_name = file.as_deref().and_then(Path::file_name);
        let mut own = file_name.unwrap_or(OsStr::new("Dockerfile")).to_owned();
        own.push(".dockerignore");
        for name in [OsStr::new(".dockerignore"), &own] {
            if self.folder.join(name).symlink_metadata().is_ok() {
                inside(&self.folder, Path::new(name))?;
            }
        }
        Ok(given.at(self.folder.clone(), file))
    }
}

/// A path of the context, with all links followed: it is a stranger's, and none of them may lead out.
fn inside(folder: &Path, path: &Path) -> Result<PathBuf, Failure> {
    let shown = path.display();
    let root = folder
        .canonicalize()
        .map_err(|error| Failure::new(Failure::WORK, format!("there is no build context: {error}")))?;
    let found = root.join(path).canonicalize().map_err(|error| {
        Failure::new(Failure::USAGE, format!("the build context has no {shown}: {error}"))
            .hint("name the Dockerfile in it with -f, and a folder of a repository behind its address as #NAME:FOLDER")
    })?;
    if found.starts_with(&root) {
        Ok(found)
    } else {
        Err(
            Failure::new(Failure::USAGE, format!("{shown} leads out of the build context"))
                .hint("name a file or folder that is in it"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Address> {
        Address::read(Path::new(text))
    }

    #[test]
    fn addresses_are_told_from_paths_as_docker_build_does() {
        let repository = |url: &str, name: &str, folder: &str| {
            Some(Address::Git(Repository {
                url: url.into(),
                name: name.into(),
                folder: folder.into(),
            }))
        };
        let file = |url: &str| Some(Address::Web(url.into()));
        for (text, wanted) in [
            (".", None),
            ("a.git", None),
            ("-", Some(Address::StandardInput)),
            ("https://h.io/a/b.git", repository("https://h.io/a/b.git", "", "")),
            (
                "https://h.io/a.git#main:docker/app",
                repository("https://h.io/a.git", "main", "docker/app"),
            ),
            ("git@h.io:a/b#v1", repository("git@h.io:a/b", "v1", "")),
            (
                "github.com/a/b#:sub",
                repository("https://github.com/a/b", "", "sub"),
            ),
            ("https://h.io/context.tar.gz", file("https://h.io/context.tar.gz")),
            ("http://h.io/Dockerfile?raw", file("http://h.io/Dockerfile?raw")),
        ] {
            assert_eq!(read(text), wanted, "{text}");
        }
    }

    #[test]
    fn nothing_of_a_context_leads_out_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir_all(root.join("sub")).unwrap();
        std::fs::write(folder.path().join("secret"), "").unwrap();
        std::os::unix::fs::symlink("../secret", root.join("Dockerfile")).unwrap();
        std::os::unix::fs::symlink("sub", root.join("link")).unwrap();
        assert!(inside(&root, Path::new("link")).unwrap().ends_with("sub"));
        for path in ["Dockerfile", "../secret", "/etc/passwd"] {
            let failure = inside(&root, Path::new(path)).unwrap_err();
            assert!(failure.message.contains("leads out"), "{path}: {failure}");
        }
        assert!(
            inside(&root, Path::new("lacking"))
                .unwrap_err()
                .message
                .contains("has no lacking")
        );
    }
}
