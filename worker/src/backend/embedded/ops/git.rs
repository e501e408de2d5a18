//! The files of a commit, as a layer: `ADD https://host/name.git`.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use stagewright_core::digest::Digest;
use stagewright_core::llb::SourceOp;

use super::super::layer::{Made, finish};
use super::super::rootfs::Rootfs;
use super::super::target::{Metadata, Target};
use super::super::tree::{Attributes, DirectoryTree, Node, NodeKind, Tree, resolve};
use super::{StepFailure, blocking};
use crate::backend::Extras;
use crate::snapshot::SnapshotStore;
use crate::source::address::{Network, Reach};
use crate::source::git::{CheckOut, Remote, Repositories, Resolved, is_commit};
use crate::source::http::shown;
use crate::source::secret::{Secret, Secrets};

/// A part of a repository that an op asks for.
pub(crate) struct Checkout {
    /// What git is asked for.
    url: String,
    /// A branch, a tag or a commit; empty for the branch that the repository is on.
    reference: String,
    directory: String,
    /// The commit that it has to be, or its beginning.
    checksum: String,
    fetch_by_commit: bool,
    options: CheckOut,
    /// Whether files get the time of now rather than that of their commit.
    dated_now: bool,
    token: Option<String>,
    header: Option<String>,
    agent: Option<String>,
    known_hosts: Option<String>,
}

impl Checkout {
    /// Reads what an op asks for.
    pub(crate) fn of(op: &SourceOp) -> Result<Self, StepFailure> {
        let address = op.identifier.strip_prefix("git://").unwrap_or(&op.identifier);
        let (address, fragment) = address.split_once('#').unwrap_or((address, ""));
        let (reference, directory) = fragment.split_once(':').unwrap_or((fragment, ""));
        let url = op
            .attr("git.fullurl")
            .map_or_else(|| format!("https://{address}"), str::to_owned);
        let text = |key: &str| op.attr(key).filter(|text| !text.is_empty()).map(str::to_owned);
        let yes = |key: &str| op.attr(key) == Some("true");
        let checksum = text("git.checksum").unwrap_or_default().to_ascii_lowercase();
        if !checksum.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(StepFailure::new(format!(
                "{checksum:?} is no commit: a checksum of a repository is the digits of a commit"
            )));
        }
        if reference.starts_with('-') {
            return Err(StepFailure::new(format!(
                "{reference:?} is no name of a branch or tag"
            )));
        }
        Ok(Self {
            url,
            reference: reference.to_owned(),
            directory: directory.to_owned(),
            checksum,
            fetch_by_commit: yes("git.fetchbycommit"),
            options: CheckOut {
                // A part of a repository is none itself.
                keep_repository: yes("git.keepgitdir") && directory.trim_matches(['/', '.']).is_empty(),
                submodules: !yes("git.skipsubmodules"),
            },
            dated_now: op.attr("git.mtime") == Some("checkout"),
            token: text("git.authtokensecret"),
            header: text("git.authheadersecret"),
            agent: text("git.mountsshsock"),
            known_hosts: text("git.knownsshhosts"),
        })
    }

    /// Names the question: what the answer to the same one was before is kept under it.
    pub(crate) fn identity(&self) -> Digest {
        Digest::of(format!("git {:?} {:?}", shown(&self.url), self.reference).as_bytes())
    }

    /// Whether the answer can only be one.
    pub(crate) fn is_fixed(&self) -> bool {
        is_commit(&self.reference)
    }

    /// How to get at the repository.
    pub(crate) fn remote(&self, extras: &Extras, networks: &[Network]) -> Result<Remote, StepFailure> {
        let agent = self.agent.as_ref().and_then(|id| extras.agents.get(id)).cloned();
        Ok(Remote {
            url: self.url.clone(),
            proof: self.proof(&extras.secrets)?,
            agent,
            known_hosts: self.known_hosts.clone(),
            reach: if extras.local {
                Reach::Anywhere
            } else {
                Reach::Public(networks.into())
            },
            here: false,
        })
    }

    /// The value of the header that proves who asks. A secret for the host goes before one for all.
    fn proof(&self, secrets: &Secrets) -> Result<Option<Secret>, StepFailure> {
        let Ok(url) = reqwest::Url::parse(&self.url) else {
            return Ok(None);
        };
        if !matches!(url.scheme(), "http" | "https") {
            return Ok(None);
        }
        let host = match (url.host_str().unwrap_or_default(), url.port()) {
            (host, Some(port)) => format!("{host}:{port}"),
            (host, None) => host.to_owned(),
        };
        for suffix in [format!(".{host}"), String::new()] {
            for (name, is_token) in [(&self.header, false), (&self.token, true)] {
                let Some(name) = name else { continue };
                let found = secrets.get(&format!("{name}{suffix}"));
                let Some(secret) = found.map_err(|error| StepFailure::new(error.to_string()))? else {
                    continue;
                };
                if !is_token {
                    return Ok(Some(Secret::new(secret.reveal().trim_ascii().to_vec())));
                }
                let mut pair = b"x-access-token:".to_vec();
                pair.extend_from_slice(secret.reveal().trim_ascii());
                let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
                return Ok(Some(Secret::new(format!("basic {encoded}").into_bytes())));
            }
        }
        Ok(None)
    }

    /// The commit that is asked for, as it is now.
    pub(crate) async fn resolve(
        &self,
        repositories: &Repositories,
        remote: &Remote,
    ) -> Result<Resolved, StepFailure> {
        let failed = |error: crate::source::git::GitError| StepFailure::new(error.to_string());
        if self.fetch_by_commit && !self.is_fixed() {
            if !is_commit(&self.checksum) {
                return Err(StepFailure::new(
                    "to be fetched by its commit, a repository has to be named with all digits of that commit",
                ));
            }
            let mut found = repositories
                .resolve(remote, &self.checksum)
                .await
                .map_err(failed)?;
            if !self.reference.is_empty() {
                let full = self.reference.starts_with("refs/");
                let prefix = if full { "" } else { "refs/heads/" };
                found.name = format!("{prefix}{}", self.reference);
            }
            return Ok(found);
        }
        let found = repositories
            .resolve(remote, &self.reference)
            .await
            .map_err(failed)?;
        if !found.object.starts_with(&self.checksum) && !found.commit.starts_with(&self.checksum) {
            return Err(failed(remote.differs(&found.commit, &self.checksum)));
        }
        Ok(found)
    }

    /// Names what comes out.
    pub(crate) fn result(&self, found: &Resolved) -> Digest {
        let kept = (shown(&self.url), &found.name, &found.object);
        let kept = self.options.keep_repository.then_some(kept);
        let (directory, submodules) = (&self.directory, self.options.submodules);
        let text = format!(
            "git 1 {} {directory:?} {submodules} {kept:?} {}",
            found.commit, self.dated_now
        );
        Digest::of(text.as_bytes())
    }

    /// Writes the files to a layer.
    pub(crate) async fn check_out(
        &self,
        repositories: &Repositories,
        remote: &Remote,
        found: &Resolved,
        snapshots: &SnapshotStore,
        scratch: PathBuf,
    ) -> Result<Made, StepFailure> {
        let scratch = Scratch::new(scratch).map_err(StepFailure::internal)?;
        // Not pruned from here on.
        snapshots.leases().using(&repositories.place(remote));
        let time = repositories
            .check_out(remote, found, &self.options, &scratch.0)
            .await
            .map_err(|error| StepFailure::new(error.to_string()))?;
        let time = (!self.dated_now).then_some((time, 0));
        let (directory, keep) = (self.directory.clone(), self.options.keep_repository);
        let snapshots = snapshots.clone();
        blocking(move || {
            let active = snapshots.begin(&[])?;
            let tree = DirectoryTree::open_root(&scratch.0).map_err(StepFailure::internal)?;
            let (from, node) = resolve(&tree, Path::new(&directory), false).map_err(StepFailure::internal)?;
            if !node.is_some_and(|node| node.is_directory()) {
                return Err(StepFailure::new(format!(
                    "the repository has no directory {directory:?}"
                )));
            }
            let target = Target::open(&active.upper()).map_err(StepFailure::internal)?;
            let copy = Copy {
                tree: &tree,
                target: &target,
                time,
                // What git leaves behind of its own is no file of the commit.
                skipped: if keep {
                    BTreeSet::new()
                } else {
                    BTreeSet::from([".git".into()])
                },
            };
            copy.directory(&from, Path::new("")).map_err(|error| {
                StepFailure::new(format!("the files of the repository cannot be written: {error}"))
            })?;
            finish(&snapshots, active, &Rootfs::default())
        })
        .await
    }
}

/// A directory that goes with this value.
struct Scratch(PathBuf);

impl Scratch {
    fn new(path: PathBuf) -> io::Result<Self> {
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The next start of the worker clears what is left.
        _ = crate::snapshot::remove_all(&self.0);
    }
}

/// Copies what was checked out: root's, with the modes that git knows of, whatever this process makes files with.
struct Copy<'a> {
    tree: &'a DirectoryTree,
    target: &'a Target,
    time: Option<(i64, u32)>,
    skipped: BTreeSet<std::ffi::OsString>,
}

impl Copy<'_> {
    fn directory(&self, from: &Path, to: &Path) -> io::Result<()> {
        for name in self.tree.names(from)? {
            if self.skipped.contains(&name) {
                continue;
            }
            let (from, to) = (from.join(&name), to.join(&name));
            let Some(node) = self.tree.look(&from)? else {
                continue;
            };
            match &node.kind {
                NodeKind::Directory => {
                    self.target.make_directory(&to)?;
                    self.directory(&from, &to)?;
                }
                NodeKind::File(_) => {
                    self.tree.open(&from)?.copy_to(&mut self.target.create(&to)?)?;
                }
                NodeKind::Symlink(link) => self.target.symlink(link, &to)?,
                // git knows of no others.
                NodeKind::Fifo | NodeKind::Device(..) | NodeKind::Socket => continue,
            }
            self.target.set(&to, &self.metadata(&node))?;
        }
        Ok(())
    }

    fn metadata(&self, node: &Node) -> Metadata {
        let mode = match node.kind {
            NodeKind::Symlink(_) => None,
            NodeKind::Directory => Some(0o755),
            _ if node.mode & 0o100 != 0 => Some(0o755),
            _ => Some(0o644),
        };
        Metadata {
            owner: (0, 0),
            mode,
            modified: self.time,
            attributes: Attributes::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stagewright_core::llb::Attr;

    fn checkout(identifier: &str, attrs: &[(&str, &str)]) -> Result<Checkout, StepFailure> {
        let attrs = attrs.iter().map(|(key, value)| Attr::new(*key, *value)).collect();
        Checkout::of(&SourceOp::new(identifier.into(), attrs))
    }

    #[test]
    fn an_op_says_what_of_which_repository() {
        let plain = checkout("git://example.com/a.git#v1:sub/dir", &[]).unwrap();
        assert_eq!(
            (plain.url.as_str(), plain.reference.as_str()),
            ("https://example.com/a.git", "v1")
        );
        assert_eq!(plain.directory, "sub/dir");
        let kept = [
            ("git.keepgitdir", "true"),
            ("git.fullurl", "git@example.com:a.git"),
        ];
        assert!(
            checkout("git://example.com/a.git", &kept)
                .unwrap()
                .options
                .keep_repository
        );
        assert!(
            !checkout("git://example.com/a.git#:sub", &kept)
                .unwrap()
                .options
                .keep_repository
        );
        assert!(checkout("git://example.com/a.git#--upload-pack=x", &[]).is_err());
        assert!(checkout("git://example.com/a.git", &[("git.checksum", "HEAD~1")]).is_err());
    }

    #[test]
    fn a_secret_for_the_host_goes_before_one_for_all_hosts() {
        let names = [
            ("git.authtokensecret", "GIT_AUTH_TOKEN"),
            ("git.authheadersecret", "GIT_AUTH_HEADER"),
        ];
        let repository = checkout("git://example.com/a.git", &names).unwrap();
        let mut secrets = Secrets::default();
        let proof = |secrets: &Secrets| {
            let proof = repository.proof(secrets).unwrap();
            proof.map(|proof| String::from_utf8(proof.reveal().to_vec()).unwrap())
        };
        assert_eq!(proof(&secrets), None);
        secrets.add_value("GIT_AUTH_TOKEN", Secret::new(b"t\n".to_vec()));
        assert_eq!(proof(&secrets).as_deref(), Some("basic eC1hY2Nlc3MtdG9rZW46dA=="));
        secrets.add_value("GIT_AUTH_HEADER.example.com", Secret::new(b"bearer x".to_vec()));
        assert_eq!(proof(&secrets).as_deref(), Some("bearer x"));
    }
}
