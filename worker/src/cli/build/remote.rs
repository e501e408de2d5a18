//! A build context that is no folder of this machine's: a repository, or an archive or a Dockerfile alone, from a web server or
//! standard input.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::cli::{Failure, dockerfile};
use crate::request::obstacle::Obstacle;
use crate::request::remote::{self, Asker, Checkout, download, inside, lacking};

/// Where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    Far(remote::Address),
    StandardInput,
}

impl Address {
    /// Reads `URL[#NAME[:FOLDER]]`, the address of a file, or `-`, as docker build has it. `None` where it is a path.
    pub(super) fn read(place: &Path) -> Option<Self> {
        let text = place.to_str()?;
        if text == "-" {
            return Some(Self::StandardInput);
        }
        match remote::Address::read(text)? {
            // A folder may be called so.
            remote::Address::Git(_) if place.exists() => None,
            far => Some(Self::Far(far)),
        }
    }

    /// Where something has to be fetched from, for people.
    pub(super) fn far(&self) -> Option<String> {
        match self {
            Self::Far(address) => Some(address.shown()),
            Self::StandardInput => None,
        }
    }

    /// Brings it here, a file of so many bytes at most. `given` are the arguments that name it. Dropping the future leaves
    /// nothing behind.
    pub(super) async fn fetch(&self, given: &dockerfile::Arguments, most: u64) -> Result<Fetched, Failure> {
        let beneath = std::env::temp_dir();
        let asker = Asker {
            owner: true,
            agent: std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from),
            most,
            submodules: true,
            ..Asker::default()
        };
        let (name, received) = match self {
            Self::Far(remote::Address::Git(repository)) => {
                return fetched(Checkout::of(repository, &asker, &beneath).await?, given);
            }
            Self::Far(remote::Address::Web(url)) => {
                (self.far().unwrap_or_default(), download(url, &asker).await?)
            }
            Self::StandardInput => {
                // It may never end, and waiting for it cannot be broken off.
                let received = tokio::task::spawn_blocking(standard_input).await;
                let received = received.map_err(|error| lacking(&error))?;
                ("<stdin>".to_owned(), received.map_err(|error| lacking(&error))?)
            }
        };
        let checkout = Checkout::new(&beneath)?;
        if checkout.unpack(&name, &received)? {
            return fetched(checkout, given);
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

/// What comes on standard input, in a file without a name.
fn standard_input() -> io::Result<File> {
    let mut received = tempfile::tempfile()?;
    io::copy(&mut io::stdin().lock(), &mut received)?;
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

fn fetched(checkout: Checkout, given: &dockerfile::Arguments) -> Result<Fetched, Failure> {
    Ok(Fetched {
        arguments: arguments(&checkout.folder, given)?,
        repository: checkout.repository.clone(),
        _files: Some(checkout),
    })
}

/// The arguments as they are with these files as context. The Dockerfile is one of them.
fn arguments(folder: &Path, given: &dockerfile::Arguments) -> Result<dockerfile::Arguments, Obstacle> {
    let usual = given.at(folder.to_owned(), None).usual();
    let file = match given.file() {
        Some(file) if file == Path::new("-") => Some(file.to_owned()),
        Some(file) => Some(inside(folder, file)?),
        None => {
            inside(folder, Path::new(usual))?;
            None
        }
    };
    // What keeps files out of the context is read like the Dockerfile, so it may be no way out either. One's own stands beside it.
    let root = inside(folder, Path::new("."))?;
    let beside = file
        .as_deref()
        .map(|file| file.strip_prefix(&root).unwrap_or(file));
    let mut own = beside.unwrap_or(Path::new(usual)).as_os_str().to_owned();
    own.push(".dockerignore");
    for name in [OsStr::new(".dockerignore"), &own] {
        if root.join(name).symlink_metadata().is_ok() {
            inside(&root, Path::new(name))?;
        }
    }
    Ok(given.at(folder.to_owned(), file))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        arguments: dockerfile::Arguments,
    }

    #[test]
    fn what_is_read_beside_a_strangers_dockerfile_is_no_way_out() {
        let all = tempfile::tempdir().unwrap();
        let root = all.path().join("root");
        std::fs::create_dir_all(root.join("sub")).unwrap();
        std::fs::write(all.path().join("secret"), "").unwrap();
        for name in ["dockerfile", "sub/Dockerfile"] {
            std::fs::write(root.join(name), "FROM scratch\n").unwrap();
        }
        let refused = |flags: &[&str]| {
            let line = Line::parse_from([&["build"], flags].concat());
            arguments(&root, &line.arguments).err().map(|error| error.message)
        };
        let (top, sub): (&[&str], &[&str]) = (&[], &["-f", "sub/Dockerfile"]);
        assert_eq!((refused(top), refused(sub)), (None, None));
        let link =
            |name: &str| std::os::unix::fs::symlink(all.path().join("secret"), root.join(name)).unwrap();
        link("sub/Dockerfile.dockerignore");
        assert_eq!(refused(top), None);
        let out = |name: &str| Some(format!("{name} leads out of the build context"));
        assert_eq!(refused(sub), out("sub/Dockerfile.dockerignore"));
        link("dockerfile.dockerignore");
        assert_eq!(refused(top), out("dockerfile.dockerignore"));
        link(".dockerignore");
        assert_eq!(refused(top), out(".dockerignore"));
        std::fs::remove_file(root.join("dockerfile")).unwrap();
        link("dockerfile");
        assert_eq!(refused(top), out("dockerfile"));
    }
}
