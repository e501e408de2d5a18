//! Files from git repositories, by the machine's own `git`.
//!
//! A repository is a stranger's. Nothing of this machine's configuration is used, no hook runs, only network protocols
//! are spoken, and what proves who asks is handed over in the environment, where other users cannot see it: a password
//! that stands in an address is taken out of it first. Where others than the owner ask, git connects to the addresses
//! that were checked, whatever its own look-up of the name would say.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use rustix::process::{Pid, Signal, kill_process_group};
use stagewright_core::digest::Digest;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use super::address::Reach;
use super::http::shown;
use super::secret::Secret;

/// What of a command's output is kept.
const MOST_OUTPUT: u64 = 1 << 20;

/// The repositories that builds read from: for each remote a bare one here, so that only what is new travels.
pub struct Repositories {
    root: PathBuf,
    locks: Mutex<BTreeMap<PathBuf, Arc<tokio::sync::Mutex<()>>>>,
}

/// A repository elsewhere, and how to get at it.
#[derive(Debug, Clone, Default)]
pub struct Remote {
    /// What is asked for. A password may stand in it.
    pub url: String,
    /// A header that proves who asks.
    pub proof: Option<Secret>,
    /// The socket of an SSH agent.
    pub agent: Option<PathBuf>,
    /// Lines of a `known_hosts` file.
    pub known_hosts: Option<String>,
    /// How far its address may lead.
    pub reach: Reach,
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

impl Remote {
    /// The addresses that git may connect to: those that were checked. None where any will do.
    async fn checked(&self) -> Result<Option<(Host, Vec<SocketAddr>)>, GitError> {
        let host = self.host().ok_or_else(|| GitError::Address(shown(&self.url)))?;
        if matches!(self.reach, Reach::Anywhere) {
            return Ok(None);
        }
        if !self.reach.allows_host(&host.name) {
            return Err(GitError::Local(shown(&self.url)));
        }
        match self.reach.find(&host.name, host.port).await {
            Ok(found) if found.is_empty() => Err(GitError::Local(shown(&self.url))),
            Ok(found) => Ok(Some((host, found))),
            Err(error) => Err(GitError::Failed {
                what: "find the host of",
                url: shown(&self.url),
                said: error.to_string(),
            }),
        }
    }

    /// The address as git gets it: no password is in it. Who asks stays, where the protocol has no other place for it.
    fn plain_url(&self) -> String {
        match reqwest::Url::parse(&self.url) {
            Ok(mut url) if url.scheme() == "ssh" && url.password().is_some() => {
                // Fails for addresses that have no host, and so no password either.
                _ = url.set_password(None);
                url.to_string()
            }
            Ok(url) if url.scheme() == "ssh" => self.url.clone(),
            _ => shown(&self.url),
        }
    }

    /// The header that proves who asks: one that was given, or of what stands in the address.
    fn proof(&self) -> Option<Secret> {
        if self.proof.is_some() {
            return self.proof.clone();
        }
        let url = reqwest::Url::parse(&self.url).ok()?;
        if !matches!(url.scheme(), "http" | "https")
            || (url.username().is_empty() && url.password().is_none())
        {
            return None;
        }
        let pair = [
            decoded(url.username()),
            b":".to_vec(),
            decoded(url.password().unwrap_or_default()),
        ]
        .concat();
        let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
        Some(Secret::new(format!("basic {encoded}").into_bytes()))
    }

    /// The host of `https://host/path`, or of `user@host:path`.
    fn host(&self) -> Option<Host> {
        if let Some((scheme, rest)) = self.url.split_once("://") {
            if !matches!(scheme, "http" | "https" | "ssh" | "git") {
                return None;
            }
            let url = reqwest::Url::parse(&self.url).ok()?;
            // In these git reads another host than we do.
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            if self.url.contains('\\') || authority.contains('%') {
                return None;
            }
            let (scheme, usual) = match url.scheme() {
                "http" => (Scheme::Web, 80),
                "https" => (Scheme::Web, 443),
                "ssh" => (Scheme::Ssh, 22),
                _ => (Scheme::Git, 9418),
            };
            return Some(Host {
                scheme,
                name: url.host_str()?.trim_matches(['[', ']']).to_owned(),
                port: url.port().unwrap_or(usual),
            });
        }
        // With two colons it is a program of git's that is asked for.
        let (before, _) = self
            .url
            .split_once(':')
            .filter(|(_, path)| !path.starts_with(':'))?;
        let host = before.rsplit('@').next()?;
        let plain = !host.is_empty() && !host.starts_with(['-', '[']) && !before.starts_with('-');
        plain.then(|| Host {
            scheme: Scheme::Ssh,
            name: host.to_owned(),
            port: 22,
        })
    }

    /// The error of a commit that is another than it has to be.
    pub fn differs(&self, found: &str, wanted: &str) -> GitError {
        GitError::Checksum {
            url: shown(&self.url),
            found: found.to_owned(),
            wanted: wanted.to_owned(),
        }
    }
}

/// Where git is to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Host {
    scheme: Scheme,
    name: String,
    port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Web,
    Ssh,
    Git,
}

/// What a part of an address says once its `%` are worked out.
fn decoded(text: &str) -> Vec<u8> {
    let hex = |digit: Option<&u8>| digit.and_then(|digit| char::from(*digit).to_digit(16));
    let (bytes, mut at, mut plain) = (text.as_bytes(), 0, Vec::new());
    while let Some(byte) = bytes.get(at) {
        let number = hex(bytes.get(at + 1)).zip(hex(bytes.get(at + 2)));
        if let (b'%', Some((high, low))) = (byte, number) {
            plain.push(u8::try_from(high * 16 + low).unwrap_or_default());
            at += 3;
        } else {
            plain.push(*byte);
            at += 1;
        }
    }
    plain
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

/// `git` in one place, with nothing of this machine's configuration.
#[derive(Clone)]
struct Git {
    directory: PathBuf,
    /// What it is asked for: as it may be told, too.
    url: String,
    /// How it connects by SSH.
    ssh: String,
    environment: BTreeMap<OsString, OsString>,
    protocols: Vec<&'static str>,
    settings: Vec<(String, OsString)>,
}

impl Git {
    fn new(directory: &Path, remote: &Remote) -> Result<Self, GitError> {
        std::fs::create_dir_all(directory)?;
        let mut git = Self {
            directory: directory.to_owned(),
            url: remote.plain_url(),
            ssh: String::new(),
            environment: BTreeMap::new(),
            protocols: vec!["http", "https", "ssh", "git"],
            settings: vec![
                ("core.hooksPath".into(), "/dev/null".into()),
                ("core.fsmonitor".into(), "false".into()),
                ("gc.auto".into(), "0".into()),
                ("maintenance.auto".into(), "false".into()),
                ("advice.detachedHead".into(), "false".into()),
                ("safe.directory".into(), "*".into()),
                ("http.lowSpeedLimit".into(), "100".into()),
                ("http.lowSpeedTime".into(), "60".into()),
                (
                    "http.userAgent".into(),
                    concat!("stagewright/", env!("CARGO_PKG_VERSION")).into(),
                ),
            ],
        };
        if matches!(remote.reach, Reach::Public(_)) {
            git.settings.push(("http.followRedirects".into(), "false".into()));
        }
        for name in [
            "PATH",
            "http_proxy",
            "https_proxy",
            "no_proxy",
            "all_proxy",
            "HTTPS_PROXY",
            "HTTP_PROXY",
            "NO_PROXY",
            "ALL_PROXY",
        ] {
            if let Some(value) = std::env::var_os(name) {
                git.environment(name, value);
            }
        }
        for (name, value) in [
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_ASKPASS", "/bin/false"),
            ("SSH_ASKPASS", "/bin/false"),
            ("HOME", "/dev/null"),
            ("LC_ALL", "C"),
            ("GIT_LFS_SKIP_SMUDGE", "1"),
        ] {
            git.environment(name, value);
        }
        // What this machine has above is none of the repository's.
        if let Some(above) = directory.parent() {
            git.environment("GIT_CEILING_DIRECTORIES", above);
        }
        let known = match &remote.known_hosts {
            Some(lines) => {
                // Each list has a file of its own: builds that run at once trust their own hosts only.
                let name = format!("stagewright-known-hosts-{}", Digest::of(lines.as_bytes()).hex());
                let file = directory.join(name);
                std::fs::write(&file, lines)?;
                format!("yes -o UserKnownHostsFile='{}'", file.display())
            }
            None => "no -o UserKnownHostsFile=/dev/null".to_owned(),
        };
        git.ssh = format!("ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking={known}");
        git.environment("GIT_SSH_COMMAND", git.ssh.clone());
        if let Some(agent) = &remote.agent {
            git.environment("SSH_AUTH_SOCK", agent);
        }
        if let (Some(proof), Ok(mut url)) = (remote.proof(), reqwest::Url::parse(&remote.url)) {
            // For this server only: not for one that it redirects to, and not for those of submodules.
            url.set_path("/");
            url.set_query(None);
            let mut header = b"Authorization: ".to_vec();
            header.extend_from_slice(proof.reveal());
            let header = std::os::unix::ffi::OsStringExt::from_vec(header);
            git.settings
                .push((format!("http.{}.extraHeader", shown(url.as_str())), header));
        }
        Ok(git)
    }

    fn environment(&mut self, name: &str, value: impl Into<OsString>) {
        self.environment.insert(name.into(), value.into());
    }

    fn allow(&mut self, protocol: &'static str) {
        self.protocols.push(protocol);
    }

    /// The same, which connects to no other address than those that were just checked.
    async fn pinned(&self, remote: &Remote) -> Result<Self, GitError> {
        let mut git = self.clone();
        if let Some((host, addresses)) = remote.checked().await? {
            git.pin(&host, &addresses);
        }
        Ok(git)
    }

    fn pin(&mut self, host: &Host, addresses: &[SocketAddr]) {
        let (name, port) = (&host.name, host.port);
        if name.parse::<std::net::IpAddr>().is_ok() {
            // It is not looked up.
            return;
        }
        let Some(first) = addresses.first() else { return };
        match host.scheme {
            Scheme::Web => {
                let all: Vec<String> = addresses.iter().map(|address| written(*address)).collect();
                self.settings.push((
                    "http.curloptResolve".into(),
                    format!("{name}:{port}:{}", all.join(",")).into(),
                ));
            }
            Scheme::Ssh => {
                // The host's key is still looked for under its own name.
                let known = if port == 22 {
                    name.clone()
                } else {
                    format!("[{name}]:{port}")
                };
                let ssh = format!("{} -o HostName={} -o HostKeyAlias={known}", self.ssh, first.ip());
                self.environment("GIT_SSH_COMMAND", ssh);
            }
            Scheme::Git => {
                let authority = self.url.find("://").map_or(0, |at| at + 3);
                let rest = self.url.get(authority..).unwrap_or_default();
                let end = rest.find('/').map_or(self.url.len(), |at| authority + at + 1);
                let prefix = self.url.get(..end).unwrap_or_default().to_owned();
                let instead = format!("url.git://{}:{port}/.insteadOf", written(*first));
                self.settings.push((instead, prefix.into()));
            }
        }
    }

    /// Runs git to its end, and gives what it printed. Dropping the future ends it, and what it started.
    async fn run(&self, what: &'static str, arguments: &[&str]) -> Result<String, GitError> {
        let mut command = Command::new("git");
        command
            .args(arguments)
            .current_dir(&self.directory)
            .env_clear()
            .envs(&self.environment)
            .env("GIT_ALLOW_PROTOCOL", self.protocols.join(":"))
            .env("GIT_CONFIG_COUNT", self.settings.len().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        for (index, (name, value)) in self.settings.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{index}"), name);
            command.env(format!("GIT_CONFIG_VALUE_{index}"), value);
        }
        let mut child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => GitError::Missing,
            _ => GitError::Io(error),
        })?;
        let group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
        let (printed, said, status) = tokio::join!(
            collected(child.stdout.take()),
            collected(child.stderr.take()),
            child.wait()
        );
        let status = status?;
        drop(group);
        if status.success() {
            return Ok(printed);
        }
        let mut said = last_lines(&said);
        if said.is_empty() {
            said = match (status.code(), status.signal()) {
                (Some(code), _) => format!("it ended with {code} and said nothing"),
                (None, signal) => format!("it was ended by signal {}", signal.unwrap_or_default()),
            };
        }
        Err(GitError::Failed {
            what,
            url: self.url.clone(),
            said,
        })
    }
}

/// The processes of one command; dropping it ends those that are left.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // Where all have ended there is none to be ended.
            _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

async fn collected(stream: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        // What cannot be read, or is more than anyone reads, is left out; it must not keep the command waiting.
        _ = (&mut stream).take(MOST_OUTPUT).read_to_end(&mut bytes).await;
        _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// An address as it stands in one with a port.
fn written(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    }
}

/// What git said last, without what only people at a terminal need.
fn last_lines(said: &str) -> String {
    let lines: Vec<&str> = said
        .lines()
        .map(str::trim)
        .filter(|line| {
            !line.is_empty() && !line.starts_with("hint:") && !line.starts_with("Warning: Permanently added")
        })
        .collect();
    let from = lines.len().saturating_sub(4);
    lines.get(from..).unwrap_or_default().join("; ")
}

fn remove_file(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "1111111111111111111111111111111111111111";
    const TWO: &str = "2222222222222222222222222222222222222222";
    const THREE: &str = "3333333333333333333333333333333333333333";

    #[test]
    fn branches_go_before_tags_and_tags_lead_to_their_commit() {
        let said = format!(
            "{ONE}\trefs/heads/v1\n{TWO}\trefs/tags/v1\n{THREE}\trefs/tags/v1^{{}}\n{ONE}\trefs/heads/x/v1\n"
        );
        let resolved = |name: &str, object: &str, commit: &str| {
            Some(Resolved {
                name: name.into(),
                object: object.into(),
                commit: commit.into(),
            })
        };
        assert_eq!(find(&said, "v1"), resolved("refs/heads/v1", ONE, ONE));
        assert_eq!(find(&said, "refs/tags/v1"), resolved("refs/tags/v1", TWO, THREE));
        assert_eq!(find(&said, "tags/v1"), resolved("refs/tags/v1", TWO, THREE));
        assert_eq!(find(&said, "1"), None);
        let head = format!("ref: refs/heads/main\tHEAD\n{ONE}\tHEAD\n{TWO}\trefs/remotes/origin/HEAD\n");
        assert_eq!(find(&head, ""), resolved("refs/heads/main", ONE, ONE));
    }

    #[test]
    fn hosts_are_found_in_both_forms_and_other_protocols_have_none() {
        let host = |url: &str| {
            Remote {
                url: url.into(),
                ..Remote::default()
            }
            .host()
            .map(|host| host.name)
        };
        assert_eq!(
            host("https://me@example.com:8443/a.git").as_deref(),
            Some("example.com")
        );
        assert_eq!(host("git@example.com:a/b.git").as_deref(), Some("example.com"));
        assert_eq!(host("git://[::1]:9418/a").as_deref(), Some("::1"));
        for other in [
            "file:///etc",
            "ext::sh -c id",
            "/etc",
            "-oProxyCommand=x:y",
            // What git and we would read as different hosts.
            "git://%31%32%37.0.0.1:1/x",
            "[127.0.0.1:22]:x",
            "http://example.com\\@127.0.0.1/",
        ] {
            assert_eq!(host(other), None, "{other}");
        }
    }

    #[tokio::test]
    async fn protocols_that_are_not_of_the_network_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let repositories = Repositories::open(&directory.path().join("git")).unwrap();
        for url in ["file:///etc", "/etc", "ext::sh -c id"] {
            let remote = Remote {
                url: url.into(),
                reach: Reach::Anywhere,
                ..Remote::default()
            };
            let refused = repositories.resolve(&remote, "").await;
            assert!(matches!(refused, Err(GitError::Address(_))), "{url}");
        }
    }

    fn remote(url: &str) -> Remote {
        Remote {
            url: url.into(),
            ..Remote::default()
        }
    }

    #[test]
    fn a_password_in_an_address_is_handed_over_as_a_header_and_stands_in_no_address() {
        let directory = tempfile::tempdir().unwrap();
        for (url, plain, pair) in [
            (
                "https://me:w%40rd@example.com/a.git",
                "https://example.com/a.git",
                Some("me:w@rd"),
            ),
            (
                "http://t0ken@example.com:8080/a",
                "http://example.com:8080/a",
                Some("t0ken:"),
            ),
            ("https://example.com/a b", "https://example.com/a b", None),
            ("ssh://git:word@example.com/a", "ssh://git@example.com/a", None),
            ("ssh://git@example.com/a", "ssh://git@example.com/a", None),
            ("git@example.com:a/b.git", "git@example.com:a/b.git", None),
        ] {
            let remote = remote(url);
            let git = Git::new(directory.path(), &remote).unwrap();
            assert_eq!(git.url, plain, "{url}");
            let header = pair.map(|pair| {
                let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
                OsString::from(format!("Authorization: basic {encoded}"))
            });
            let set = git
                .settings
                .iter()
                .find(|(name, _)| name.ends_with(".extraHeader"));
            assert_eq!(set.map(|(_, value)| value.clone()), header, "{url}");
            if let Some((name, _)) = set {
                assert!(!name.contains('@'), "{name}");
            }
        }
    }

    #[test]
    fn git_is_told_the_addresses_that_were_checked() {
        let directory = tempfile::tempdir().unwrap();
        let pinned = |url: &str| {
            let remote = remote(url);
            let mut git = Git::new(directory.path(), &remote).unwrap();
            let addresses = ["192.0.2.1:1".parse().unwrap(), "[2001:db8::1]:1".parse().unwrap()];
            git.pin(&remote.host().unwrap(), &addresses);
            let ssh = git.environment[&OsString::from("GIT_SSH_COMMAND")].clone();
            let last = git.settings.pop().unwrap();
            (last.0, last.1.into_string().unwrap(), ssh.into_string().unwrap())
        };
        let (name, value, _) = pinned("https://example.com/a.git");
        assert_eq!(
            (name.as_str(), value.as_str()),
            ("http.curloptResolve", "example.com:443:192.0.2.1,[2001:db8::1]")
        );
        let (name, value, _) = pinned("git://example.com:99/a.git");
        assert_eq!(
            (name.as_str(), value.as_str()),
            ("url.git://192.0.2.1:99/.insteadOf", "git://example.com:99/")
        );
        let (.., ssh) = pinned("git@example.com:a.git");
        assert!(
            ssh.ends_with("-o HostName=192.0.2.1 -o HostKeyAlias=example.com"),
            "{ssh}"
        );
        let (.., ssh) = pinned("ssh://git@example.com:2222/a.git");
        assert!(
            ssh.ends_with("-o HostName=192.0.2.1 -o HostKeyAlias=[example.com]:2222"),
            "{ssh}"
        );
        assert_ne!(pinned("https://192.0.2.9/a.git").0, "http.curloptResolve");
    }

    /// A server of a repository's list of branches, as any web server can be one.
    fn web_server() -> u16 {
        use std::io::{Read as _, Write as _};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = [0; 4096];
                let length = stream.read(&mut request).unwrap();
                let refs = format!("{ONE}\trefs/heads/main\n");
                let asked = String::from_utf8_lossy(&request[..length]).contains("/info/refs");
                let (status, body) = if asked {
                    ("200 OK", refs.as_str())
                } else {
                    ("404 Not Found", "")
                };
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}",
                    body.len()
                );
                write!(stream, "{head}\r\nConnection: close\r\n\r\n{body}").unwrap();
            }
        });
        port
    }

    #[tokio::test]
    async fn a_name_that_leads_elsewhere_a_moment_later_gains_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let port = web_server();
        // The name is nobody's, so only who was told the address can connect to it.
        let remote = remote(&format!("http://rebound.invalid:{port}/a"));
        let mut git = Git::new(directory.path(), &remote).unwrap();
        let url = git.url.clone();
        let ask = ["ls-remote", "--", &url];
        assert!(git.run("read", &ask).await.is_err());
        git.pin(
            &remote.host().unwrap(),
            &[SocketAddr::from(([127, 0, 0, 1], port))],
        );
        let said = git.run("read", &ask).await.unwrap();
        assert!(said.contains("refs/heads/main"), "{said}");
    }

    #[tokio::test]
    async fn what_only_this_machine_and_its_network_reach_is_not_asked() {
        let directory = tempfile::tempdir().unwrap();
        let repositories = Repositories::open(&directory.path().join("git")).unwrap();
        let port = web_server();
        for host in [
            "127.0.0.1",
            "localhost",
            "[::1]",
            "10.0.0.1",
            "169.254.169.254",
            "[fd00::1]",
        ] {
            for url in [
                format!("http://{host}:{port}/a"),
                format!("ssh://git@{host}:{port}/a"),
            ] {
                let refused = repositories.resolve(&remote(&url), "main").await;
                assert!(matches!(refused, Err(GitError::Local(_))), "{url}: {refused:?}");
            }
        }
        let allowed = Remote {
            reach: Reach::Public(["127.0.0.0/8".parse().unwrap()].into()),
            ..remote(&format!("http://localhost:{port}/a"))
        };
        assert_eq!(repositories.resolve(&allowed, "main").await.unwrap().commit, ONE);
    }
}
