//! Files from git repositories, by the machine's own `git`.
//!
//! A repository is a stranger's. Nothing of this machine's configuration is used, no hook runs, only network protocols
//! are spoken, and what proves who asks is handed over in the environment, where other users cannot see it: a password
//! that stands in an address is taken out of it first. Where others than the owner ask, git connects to the addresses
//! that were checked, whatever its own look-up of the name would say.

mod program;
mod remote;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use stagewright_core::digest::Digest;

use self::program::Git;
pub use self::remote::Remote;
use super::address::Reach;
use super::http::shown;

/// The repositories that builds read from: for each remote a bare one here, so that only what is new travels.
pub struct Repositories {
    root: PathBuf,
    locks: Mutex<BTreeMap<PathBuf, Arc<tokio::sync::Mutex<()>>>>,
}

/// What a name stands for in a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Its full name, such as `refs/heads/main`; the commit where it is none.
    pub name: String,
    /// The object that it names: a commit, or a tag that says more.
    pub object: String,
    /// The commit.
    pub commit: String,
}

/// Why a repository could not be read.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no `git`.
    #[error(
        "git repositories are read by the program git, which is not on this machine: install it (apt-get install git)"
    )]
    Missing,
    /// It leads to this machine or a private network, and the build may not.
    #[error(
        "{0} is an address of the worker's own machine or of a private network, from which builds that others start get \
         no files; its owner can allow a network (private-networks in the worker's configuration)"
    )]
    Local(String),
    /// It is no address to read from.
    #[error("{0} is no address of a git repository that can be read: use https, http, ssh or git")]
    Address(String),
    /// There is no branch or tag of that name.
    #[error("the repository {url} has no branch or tag {name:?}{hint}")]
    NoSuchName {
        /// Which repository.
        url: String,
        /// What was looked for.
        name: String,
        /// What there is: a sentence that begins with its own punctuation.
        hint: String,
    },
    /// It is not what it has to be.
    #[error(
        "{url} is at commit {found}, and not at {wanted} as asked for: it was changed since, or is not what was meant"
    )]
    Checksum {
        /// Which repository.
        url: String,
        /// The commit.
        found: String,
        /// The commit that was asked for, or its beginning.
        wanted: String,
    },
    /// git failed.
    #[error("git cannot {what} {url}: {said}")]
    Failed {
        /// What was tried, as a verb.
        what: &'static str,
        /// With which repository.
        url: String,
        /// Its last words.
        said: String,
    },
    /// A file could not be written.
    #[error("the repository cannot be kept: {0}")]
    Io(#[from] io::Error),
}

/// Whether a text is a commit's whole name.
pub fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Repositories {
    /// The repositories under `root`.
    pub fn open(root: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(root)?;
        Ok(Self {
            root: root.canonicalize()?,
            locks: Mutex::default(),
        })
    }

    /// What `name` stands for now; the branch that the repository is on where it is empty. A whole commit stands for
    /// itself, and nobody is asked.
    pub async fn resolve(&self, remote: &Remote, name: &str) -> Result<Resolved, GitError> {
        if is_commit(name) {
            let commit = name.to_ascii_lowercase();
            return Ok(Resolved {
                name: commit.clone(),
                object: commit.clone(),
                commit,
            });
        }
        if name.starts_with('-') || name.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(no_such_name(remote, name, ""));
        }
        let git = Git::new(&self.root, remote)?.pinned(remote).await?;
        let head = if name.is_empty() { "HEAD" } else { name };
        let peeled = format!("{head}^{{}}");
        let said = git
            .run("read", &["ls-remote", "--symref", "--", &git.url, head, &peeled])
            .await?;
        find(&said, name).ok_or_else(|| no_such_name(remote, head, &said))
    }

    /// Where what was fetched of a repository is kept.
    pub fn place(&self, remote: &Remote) -> PathBuf {
        self.root.join(Digest::of(remote.plain_url().as_bytes()).hex())
    }

    /// Writes the files of a commit to the empty directory `target`. Nobody else uses the repository meanwhile.
    pub async fn check_out(
        &self,
        remote: &Remote,
        wanted: &Resolved,
        options: &CheckOut,
        target: &Path,
    ) -> Result<i64, GitError> {
        let directory = self.place(remote);
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(locks.entry(directory.clone()).or_default())
        };
        let _alone = lock.lock().await;
        let git = Git::new(&directory, remote)?;
        fetch(&git, &directory, remote, wanted).await?;
        let found = git
            .run(
                "read",
                &["rev-parse", "--verify", &format!("{}^{{commit}}", wanted.object)],
            )
            .await?;
        let commit = found.trim().to_owned();
        if commit != wanted.commit && wanted.commit != wanted.object {
            return Err(remote.differs(&commit, &wanted.commit));
        }
        let time = git.run("read", &["show", "-s", "--format=%ct", &commit]).await?;
        if options.keep_repository {
            clone_into(&git, &directory, remote, wanted, target).await?;
        } else {
            let mut git = git.clone();
            // An index of its own: what an earlier build wrote elsewhere is not here.
            let index = directory.join("stagewright-index");
            remove_file(&index)?;
            // A killed worker leaves this behind.
            remove_file(&directory.join("stagewright-index.lock"))?;
            git.environment("GIT_INDEX_FILE", index);
            git.environment("GIT_WORK_TREE", target);
            git.run("read", &["read-tree", &commit]).await?;
            git.run("check out", &["checkout-index", "--all", "--force"])
                .await?;
        }
        if options.submodules && target.join(".gitmodules").symlink_metadata().is_ok() {
            submodules(&git, &directory, remote, &commit, options, target).await?;
        }
        Ok(time.trim().parse().unwrap_or(0))
    }
}

/// What of a repository is written.
#[derive(Debug, Clone, Copy)]
pub struct CheckOut {
    /// Whether `.git` is kept.
    pub keep_repository: bool,
    /// Whether the repositories in it are written too.
    pub submodules: bool,
}

/// Brings a commit here, with as little of its history as the server lets us.
async fn fetch(git: &Git, directory: &Path, remote: &Remote, wanted: &Resolved) -> Result<(), GitError> {
    if !directory.join("HEAD").exists() {
        let format = if wanted.object.len() == 64 {
            "--object-format=sha256"
        } else {
            "--object-format=sha1"
        };
        git.run("make room for", &["init", "--quiet", "--bare", format, "."])
            .await?;
    }
    // A killed worker leaves these behind, or half of what is made first.
    for lock in ["shallow.lock", "config.lock"] {
        remove_file(&directory.join(lock))?;
    }
    git.run("make room for", &["config", "remote.origin.url", &git.url])
        .await?;
    let commit = format!("{}^{{commit}}", wanted.object);
    if git.run("read", &["cat-file", "-e", &commit]).await.is_ok() {
        return Ok(());
    }
    // First what is wanted alone; where a server does not hand that out, its branches and tags, one deep; then all.
    let kept = format!("+{}:refs/stagewright/{}", wanted.object, wanted.object);
    let named = format!("+{}:refs/stagewright/named", wanted.name);
    let every = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"];
    let base = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head"];
    let mut attempts: Vec<Vec<&str>> = vec![[&base[..], &["--depth=1", "origin", &kept]].concat()];
    if wanted.name != wanted.object {
        attempts.push([&base[..], &["--depth=1", "origin", &named]].concat());
    }
    attempts.push([&base[..], &["origin"], &every[..]].concat());
    if directory.join("shallow").exists() {
        attempts.push([&base[..], &["--unshallow", "origin"], &every[..]].concat());
    }
    let mut last = None;
    for attempt in attempts {
        match git.pinned(remote).await?.run("fetch from", &attempt).await {
            Ok(_) if git.run("read", &["cat-file", "-e", &commit]).await.is_ok() => return Ok(()),
            Ok(_) => {}
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| GitError::Failed {
        what: "fetch from",
        url: git.url.clone(),
        said: format!("the commit {} is not there", wanted.object),
    }))
}

/// Makes `target` a repository of its own, with one commit in it.
async fn clone_into(
    git: &Git,
    directory: &Path,
    remote: &Remote,
    wanted: &Resolved,
    target: &Path,
) -> Result<(), GitError> {
    let name = if wanted.name == wanted.object {
        "refs/stagewright/wanted"
    } else {
        wanted.name.as_str()
    };
    // So that what is to be fetched has a name that it can be fetched by.
    git.run("read", &["update-ref", name, &wanted.object]).await?;
    let mut clone = git.clone();
    clone.directory = target.to_owned();
    clone.environment("GIT_DIR", target.join(".git"));
    clone.environment("GIT_WORK_TREE", target);
    clone.allow("file");
    let format = if wanted.object.len() == 64 {
        "--object-format=sha256"
    } else {
        "--object-format=sha1"
    };
    clone
        .run(
            "check out",
            &["-c", "init.defaultBranch=master", "init", "--quiet", format],
        )
        .await?;
    // By way of the protocol: a clone by links would share files with what later builds change.
    let from = format!("file://{}", directory.display());
    let refspec = if wanted.name == wanted.object {
        name.to_owned()
    } else {
        format!("+{name}:{name}")
    };
    clone
        .run(
            "check out",
            &[
                "fetch",
                "--quiet",
                "--update-head-ok",
                "--depth=1",
                "--no-tags",
                &from,
                &refspec,
            ],
        )
        .await?;
    clone
        .run("check out", &["checkout", "--quiet", "FETCH_HEAD"])
        .await?;
    clone
        .run("check out", &["remote", "add", "origin", &shown(&remote.url)])
        .await?;
    clone
        .run("check out", &["reflog", "expire", "--all", "--expire=now"])
        .await?;
    remove_file(&target.join(".git/FETCH_HEAD"))?;
    Ok(())
}

/// Writes the repositories that this one names.
async fn submodules(
    git: &Git,
    directory: &Path,
    remote: &Remote,
    commit: &str,
    options: &CheckOut,
    target: &Path,
) -> Result<(), GitError> {
    if matches!(remote.reach, Reach::Public(_)) {
        // Their addresses are the repository's to choose.
        return Err(GitError::Failed {
            what: "follow the submodules of",
            url: shown(&remote.url),
            said: "builds that others than the worker's owner start do not read from addresses that a repository \
                   chooses; name it with ?submodules=false"
                .to_owned(),
        });
    }
    let mut git = git.clone();
    git.directory = target.to_owned();
    git.environment("GIT_WORK_TREE", target);
    let at = if options.keep_repository {
        target.join(".git")
    } else {
        directory.to_owned()
    };
    git.environment("GIT_DIR", at);
    if !options.keep_repository {
        git.environment("GIT_INDEX_FILE", directory.join("stagewright-index"));
        git.run("read", &["read-tree", commit]).await?;
    }
    git.run(
        "follow the submodules of",
        &[
            "submodule",
            "--quiet",
            "update",
            "--init",
            "--recursive",
            "--depth=1",
        ],
    )
    .await?;
    Ok(())
}

fn no_such_name(remote: &Remote, name: &str, said: &str) -> GitError {
    let hint = if is_hex(name) {
        ": a commit is named by all of its 40 digits"
    } else if said.is_empty() {
        ""
    } else {
        ": it has only others that end in it"
    };
    GitError::NoSuchName {
        url: shown(&remote.url),
        name: name.to_owned(),
        hint: hint.to_owned(),
    }
}

fn is_hex(text: &str) -> bool {
    text.len() >= 7 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Looks a name up in what `git ls-remote --symref` says. Branches go before tags, as for git itself.
fn find(said: &str, name: &str) -> Option<Resolved> {
    let mut objects = BTreeMap::new();
    let mut branch = None;
    for line in said.lines() {
        let Some((object, reference)) = line.split_once('\t') else {
            continue;
        };
        match object.strip_prefix("ref: ") {
            Some(target) if reference == "HEAD" => branch = Some(target.to_owned()),
            Some(_) => {}
            None => _ = objects.insert(reference, object),
        }
    }
    let names = if name.is_empty() {
        vec![branch.unwrap_or_else(|| "HEAD".to_owned())]
    } else {
        let plain = |prefix: &str| format!("{prefix}{}", name.strip_prefix(prefix).unwrap_or(name));
        vec![plain("refs/"), plain("refs/heads/"), plain("refs/tags/")]
    };
    let lookup = |reference: &str| objects.get(reference).copied().filter(|object| is_commit(object));
    let (found, object) = names.into_iter().find_map(|reference| {
        // Only HEAD itself was asked for, and it is the branch.
        let listed = if name.is_empty() {
            "HEAD"
        } else {
            reference.as_str()
        };
        let object = lookup(listed)?.to_owned();
        Some((reference, object))
    })?;
    let commit = lookup(&format!("{found}^{{}}")).map_or_else(|| object.clone(), str::to_owned);
    Some(Resolved {
        name: found,
        object,
        commit,
    })
}

fn remove_file(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
