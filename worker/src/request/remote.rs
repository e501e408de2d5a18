//! A build context that is elsewhere: in a repository, or in an archive on a web server.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use stagewright_core::boolean;

use super::obstacle::Obstacle;
use crate::backend::embedded::unpack_context;
use crate::source::address::{Network, Reach};
use crate::source::git::{CheckOut, GitError, Remote, Repositories};
use crate::source::http::{Answer, Question, Web, shown};
use crate::source::secret::Secret;

/// Where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Git(Repository),
    /// The address of a file.
    Web(String),
}

/// A repository, and what of it is the context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Repository {
    pub(crate) url: String,
    /// A branch, tag or commit; empty for what the repository is on.
    pub(crate) name: String,
    /// The folder in it; empty for all of it.
    pub(crate) folder: String,
    /// Whether the repositories in it are left out.
    pub(crate) alone: bool,
    /// What the address asks for that cannot be had.
    doubt: Option<String>,
}

impl Address {
    /// Reads `URL[?QUERY][#NAME[:FOLDER]]`, or the address of a file, as docker build has it. `None` where it is neither.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (url, _) = text.split_once('#').unwrap_or((text, ""));
        let begins = |start: &[&str]| start.iter().any(|start| url.starts_with(start));
        let web = begins(&["http://", "https://"]);
        if web && bare(url).0.strip_suffix(".git").is_none() {
            return Some(Self::Web(text.to_owned()));
        }
        if !web && !begins(&["git://", "ssh://", "git@", "github.com/"]) {
            return None;
        }
        Some(Self::Git(Repository::read(text)))
    }

    /// The same for the worker's owner, who may also name a repository on this machine, by its path or as `file://…`.
    pub(crate) fn read_for_owner(text: &str) -> Option<Self> {
        if text.starts_with('/') {
            return Some(Self::Git(Repository::read(&format!("file://{text}"))));
        }
        if text.starts_with("file:///") {
            return Some(Self::Git(Repository::read(text)));
        }
        Self::read(text)
    }

    /// The address, for people.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Git(repository) => told(&repository.url),
            Self::Web(url) => shown(url),
        }
    }
}

/// An address without the questions that it may end in, and these.
fn bare(url: &str) -> (&str, &str) {
    url.split_once('?').unwrap_or((url, ""))
}

impl Repository {
    fn read(text: &str) -> Self {
        let (url, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (url, query) = bare(url);
        let (name, folder) = fragment.split_once(':').unwrap_or((fragment, ""));
        let url = if url.starts_with("github.com/") {
            format!("https://{url}")
        } else {
            url.to_owned()
        };
        let mut repository = Self {
            url,
            name: name.to_owned(),
            folder: folder.to_owned(),
            alone: false,
            doubt: None,
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            repository.ask(pair);
        }
        repository
    }

    /// Takes one question of the address up, by the names that `BuildKit` has for them.
    fn ask(&mut self, pair: &str) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = value.replace('+', " ");
        let value = percent_encoding::percent_decode_str(&value).decode_utf8_lossy();
        if key == "submodules" {
            match boolean::read(&value) {
                Some(wanted) => self.alone = !wanted,
                None if value.is_empty() => {}
                None => self.doubt = Some(format!("?{pair} is neither true nor false")),
            }
            return;
        }
        let (place, wanted) = match key {
            "ref" | "commit" => (&mut self.name, value.to_string()),
            "branch" => (&mut self.name, format!("refs/heads/{value}")),
            "tag" => (&mut self.name, format!("refs/tags/{value}")),
            "subdir" => (&mut self.folder, value.to_string()),
            _ => {
                self.doubt = Some(format!(
                    "?{pair} cannot be asked of the repository of a build context"
                ));
                return;
            }
        };
        if value.is_empty() {
            self.doubt = Some(format!("?{key} says nothing"));
        } else if place.is_empty() || *place == wanted {
            *place = wanted;
        } else {
            self.doubt = Some(format!("the address asks for both {place} and {wanted}"));
        }
    }

    /// Its address as it may be told: without what proves who asks.
    fn shown(&self) -> String {
        let mut text = told(&self.url);
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

/// An address as it may be told: without what proves who asks, and of a repository on this machine only what it is called.
pub(crate) fn told(address: &str) -> String {
    let Some(path) = address.strip_prefix("file://").or(address.strip_prefix('/')) else {
        return shown(address);
    };
    // A name behind it may have slashes of its own.
    let (path, fragment) = path.split_at(path.find('#').unwrap_or(path.len()));
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    format!("{name}{fragment}")
}

/// For whom something is fetched.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asker {
    /// Whether it is the worker's owner, whose addresses may lead anywhere.
    pub(crate) owner: bool,
    /// Private networks that others get files from all the same.
    pub(crate) networks: Vec<Network>,
    /// The socket of an SSH agent.
    pub(crate) agent: Option<PathBuf>,
    /// A header that proves who asks.
    pub(crate) proof: Option<Secret>,
    /// Bytes of one file.
    pub(crate) most: u64,
    /// Whether the repositories in a repository come along: their addresses are the repository's to choose.
    pub(crate) submodules: bool,
}

impl Asker {
    fn reach(&self) -> Reach {
        if self.owner {
            Reach::Anywhere
        } else {
            Reach::Public(self.networks.as_slice().into())
        }
    }
}

pub(crate) fn lacking(error: &dyn std::fmt::Display) -> Obstacle {
    Obstacle::work(format!("there is no build context: {error}"))
}

/// A file from a web server. It has no name here.
pub(crate) async fn download(url: &str, asker: &Asker) -> Result<File, Obstacle> {
    let question = Question {
        url: url.to_owned(),
        local: asker.owner,
        ..Question::default()
    };
    let answer = Web::new(asker.most, &asker.networks).ask(&question).await;
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

/// The files of a context, gone when this is dropped.
pub(crate) struct Checkout {
    root: tempfile::TempDir,
    /// The context.
    pub(crate) folder: PathBuf,
    /// The repository's address with what was asked for of it, as it may be told, and its commit, where they come from one.
    pub(crate) repository: Option<(String, String)>,
}

impl Checkout {
    /// Without any files yet, in a folder of `beneath`.
    pub(crate) fn new(beneath: &Path) -> Result<Self, Obstacle> {
        let root = tempfile::Builder::new()
            .prefix("stagewright-context-")
            .tempdir_in(beneath)
            .map_err(|error| lacking(&error))?;
        let folder = root.path().join("files");
        std::fs::create_dir(&folder).map_err(|error| lacking(&error))?;
        Ok(Self {
            root,
            folder,
            repository: None,
        })
    }

    /// Fetches a repository's files, with the machine's `git`.
    pub(crate) async fn of(repository: &Repository, asker: &Asker, beneath: &Path) -> Result<Self, Obstacle> {
        if let Some(doubt) = &repository.doubt {
            return Err(Obstacle::usage(format!("there is no build context: {doubt}"))
                .hint("behind the address stand ref, branch, tag, commit, subdir or submodules, or #NAME:FOLDER"));
        }
        let mut checkout = Self::new(beneath)?;
        let repositories =
            Repositories::open(&checkout.root.path().join("git")).map_err(|error| lacking(&error))?;
        let remote = Remote {
            url: repository.url.clone(),
            proof: asker.proof.clone(),
            agent: asker.agent.clone(),
            reach: asker.reach(),
            here: asker.owner,
            ..Remote::default()
        };
        let found = repositories.resolve(&remote, &repository.name).await;
        let lacking = |error: GitError| {
            let path = repository.url.strip_prefix("file://").unwrap_or(&repository.url);
            let said = error.to_string().replace(&repository.url, &told(&repository.url));
            lacking(&said.replace(path, &told(&repository.url)))
        };
        let found = found.map_err(lacking)?;
        checkout.repository = Some((repository.shown(), found.commit.clone()));
        let options = CheckOut {
            keep_repository: false,
            submodules: asker.submodules && !repository.alone,
        };
        let written = repositories
            .check_out(&remote, &found, &options, &checkout.folder)
            .await;
        written.map_err(lacking)?;
        checkout.folder = inside(&checkout.folder, Path::new(&repository.folder))?;
        Ok(checkout)
    }

    /// Unpacks an archive of that name; says whether it is one.
    pub(crate) fn unpack(&self, name: &str, archive: &File) -> Result<bool, Obstacle> {
        unpack_context(archive, &self.folder).map_err(|error| lacking(&format!("{name}: {error}")))
    }
}

/// A path of the context, with all links followed: it is a stranger's, and none of them may lead out.
pub(crate) fn inside(folder: &Path, path: &Path) -> Result<PathBuf, Obstacle> {
    let shown = path.display();
    let root = folder
        .canonicalize()
        .map_err(|error| Obstacle::work(format!("there is no build context: {error}")))?;
    let found = root.join(path).canonicalize().map_err(|error| {
        Obstacle::usage(format!("the build context has no {shown}: {error}"))
            .hint("name the Dockerfile in it with -f, and a folder of a repository behind its address as #NAME:FOLDER")
    })?;
    if found.starts_with(&root) {
        Ok(found)
    } else {
        Err(Obstacle::usage(format!("{shown} leads out of the build context"))
            .hint("name a file or folder that is in it"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Address> {
        Address::read(text)
    }

    #[test]
    fn addresses_are_told_from_paths_as_docker_build_does() {
        let repository = |url: &str, name: &str, folder: &str| {
            Some(Address::Git(Repository {
                url: url.into(),
                name: name.into(),
                folder: folder.into(),
                alone: false,
                doubt: None,
            }))
        };
        let file = |url: &str| Some(Address::Web(url.into()));
        for (text, wanted) in [
            (".", None),
            ("a.git", None),
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
            (
                "https://h.io/a.git?branch=x%2Fy&subdir=docker",
                repository("https://h.io/a.git", "refs/heads/x/y", "docker"),
            ),
            (
                "ssh://git@h.io/a?tag=v1&submodules=1",
                repository("ssh://git@h.io/a", "refs/tags/v1", ""),
            ),
            (
                "https://h.io/a.git?ref=v1#v1",
                repository("https://h.io/a.git", "v1", ""),
            ),
            ("https://h.io/context.tar.gz", file("https://h.io/context.tar.gz")),
            ("http://h.io/Dockerfile?raw", file("http://h.io/Dockerfile?raw")),
        ] {
            assert_eq!(read(text), wanted, "{text}");
        }
        let Some(Address::Git(alone)) = read("https://h.io/a.git?submodules=false#v1") else {
            panic!("it is the address of a repository");
        };
        assert_eq!((alone.url.as_str(), alone.alone), ("https://h.io/a.git", true));
    }

    #[tokio::test]
    async fn what_a_context_s_address_asks_for_in_vain_is_said_before_anything_is_fetched() {
        for (query, said) in [
            ("mtime=commit", "?mtime=commit cannot be asked"),
            ("branch=", "?branch says nothing"),
            ("submodules=no", "?submodules=no is neither"),
            ("ref=a&tag=b", "both a and refs/tags/b"),
            ("branch=a#b", "both b and refs/heads/a"),
        ] {
            let Some(Address::Git(repository)) = read(&format!("https://localhost/a.git?{query}")) else {
                panic!("{query} is asked of a repository");
            };
            let refused = Checkout::of(&repository, &Asker::default(), Path::new("/nowhere")).await;
            let message = refused.err().unwrap().to_string();
            assert!(message.contains(said), "{query}: {message}");
        }
    }

    #[test]
    fn only_the_owner_names_repositories_of_this_machine() {
        for text in ["/srv/app.git#main", "file:///srv/app.git#main"] {
            assert_eq!(read(text), None);
            let Some(Address::Git(repository)) = Address::read_for_owner(text) else {
                panic!("{text} is the owner's to name");
            };
            assert_eq!(
                (repository.url.as_str(), repository.name.as_str()),
                ("file:///srv/app.git", "main")
            );
        }
    }

    #[test]
    fn where_a_repository_of_this_machine_is_is_not_told() {
        for (address, said) in [
            ("/srv/git/app.git#refs/heads/a:sub", "app.git#refs/heads/a:sub"),
            ("file:///srv/app.git/", "app.git"),
            ("https://user:word@h.io/a.git#b", "https://h.io/a.git#b"),
            ("git@h.io:a/b", "git@h.io:a/b"),
        ] {
            assert_eq!(told(address), said);
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
