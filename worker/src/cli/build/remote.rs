//! A repository's address in the place of the build context.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::cli::{Failure, dockerfile};
use crate::source::address::Reach;
use crate::source::git::{CheckOut, Remote, Repositories};
use crate::source::http::shown;

/// A repository, and what of it is the context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    url: String,
    /// A branch, tag or commit; empty for what the repository is on.
    name: String,
    /// The folder in it; empty for all of it.
    folder: String,
}

impl Address {
    /// Reads `URL[#NAME[:FOLDER]]`, as docker build has it. `None` where it is a path.
    pub(super) fn read(place: &Path) -> Result<Option<Self>, Failure> {
        let Some(text) = place.to_str() else {
            return Ok(None);
        };
        let (url, fragment) = text.split_once('#').unwrap_or((text, ""));
        let begins = |start: &[&str]| start.iter().any(|start| url.starts_with(start));
        let web = begins(&["http://", "https://"]);
        if web && url.strip_suffix(".git").is_none() {
            return Err(Failure::new(
                Failure::USAGE,
                format!(
                    "{} is no address of a git repository, and other things are not fetched as a context",
                    shown(url)
                ),
            )
            .hint("write https://HOST/REPOSITORY.git#BRANCH:FOLDER, or fetch it and name the folder"));
        }
        if !web && !begins(&["git://", "ssh://", "git@", "github.com/"]) || place.exists() {
            return Ok(None);
        }
        let (name, folder) = fragment.split_once(':').unwrap_or((fragment, ""));
        let url = if url.starts_with("github.com/") {
            format!("https://{url}")
        } else {
            url.to_owned()
        };
        Ok(Some(Self {
            url,
            name: name.to_owned(),
            folder: folder.to_owned(),
        }))
    }
}

impl Address {
    /// The address as it may be told: without what proves who asks.
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

/// A repository's files, gone when this is dropped.
pub(super) struct Checkout {
    root: tempfile::TempDir,
    /// The context.
    folder: PathBuf,
    /// The repository's address with what was asked for of it, and its commit.
    repository: (String, String),
}

impl Checkout {
    /// Fetches the files, with the machine's `git` and the agent of whoever asks.
    pub(super) async fn fetch(address: &Address) -> Result<Self, Failure> {
        let failed = |error: &dyn std::fmt::Display| {
            Failure::new(Failure::WORK, format!("there is no build context: {error}"))
        };
        let root = tempfile::Builder::new()
            .prefix("stagewright-context-")
            .tempdir()
            .map_err(|error| failed(&error))?;
        let mut checkout = Self {
            folder: root.path().join("files"),
            root,
            repository: (address.shown(), String::new()),
        };
        std::fs::create_dir(&checkout.folder).map_err(|error| failed(&error))?;
        let repositories = Repositories::open(&checkout.root.path().join("git")).map_err(|error| failed(&error))?;
        let remote = Remote {
            url: address.url.clone(),
            agent: std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from),
            reach: Reach::Anywhere,
            ..Remote::default()
        };
        let found = repositories.resolve(&remote, &address.name).await;
        let found = found.map_err(|error| failed(&error))?;
        checkout.repository.1.clone_from(&found.commit);
        let options = CheckOut {
            keep_repository: false,
            submodules: true,
        };
        let written = repositories
            .check_out(&remote, &found, &options, &checkout.folder)
            .await;
        written.map_err(|error| failed(&error))?;
        checkout.folder = inside(&checkout.folder, Path::new(&address.folder))?;
        Ok(checkout)
    }

    /// Which repository it is of, as it may be told, and the commit.
    pub(super) fn repository(&self) -> (String, String) {
        self.repository.clone()
    }

    /// The arguments as they are with the repository's files as context. The Dockerfile is one of them.
    pub(super) fn arguments(&self, given: &dockerfile::Arguments) -> Result<dockerfile::Arguments, Failure> {
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

/// A path of the repository, with all links followed: it is a stranger's, and none of them may lead out.
fn inside(folder: &Path, path: &Path) -> Result<PathBuf, Failure> {
    let shown = path.display();
    let root = folder
        .canonicalize()
        .map_err(|error| Failure::new(Failure::WORK, format!("there is no build context: {error}")))?;
    let found = root.join(path).canonicalize().map_err(|error| {
        Failure::new(Failure::USAGE, format!("the repository has no {shown}: {error}"))
            .hint("name the folder behind the address as #NAME:FOLDER, and the Dockerfile in it with -f")
    })?;
    if found.starts_with(&root) {
        Ok(found)
    } else {
        Err(
            Failure::new(Failure::USAGE, format!("{shown} leads out of the repository"))
                .hint("name a file or folder that is in it"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(String, String, String)> {
        let address = Address::read(Path::new(text)).unwrap()?;
        Some((address.url, address.name, address.folder))
    }

    #[test]
    fn addresses_are_told_from_paths_as_docker_build_does() {
        let address = |url: &str, name: &str, folder: &str| Some((url.into(), name.into(), folder.into()));
        for (text, wanted) in [
            (".", None),
            ("a.git", None),
            ("-", None),
            ("https://h.io/a/b.git", address("https://h.io/a/b.git", "", "")),
            (
                "https://h.io/a.git#main:docker/app",
                address("https://h.io/a.git", "main", "docker/app"),
            ),
            ("git@h.io:a/b#v1", address("git@h.io:a/b", "v1", "")),
            (
                "github.com/a/b#:sub",
                address("https://github.com/a/b", "", "sub"),
            ),
        ] {
            assert_eq!(read(text), wanted, "{text}");
        }
        let failure = Address::read(Path::new("https://h.io/context.tar.gz")).unwrap_err();
        assert!(
            failure.message.contains("no address of a git repository"),
            "{failure}"
        );
    }

    #[test]
    fn nothing_of_a_repository_leads_out_of_it() {
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
