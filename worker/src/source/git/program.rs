//! The machine's `git`, run with nothing of the machine's configuration.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use stagewright_core::digest::Digest;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use super::remote::{Host, Scheme};
use super::{GitError, Remote};
use crate::source::address::Reach;
use crate::source::http::shown;

/// What of a command's output is kept.
const MOST_OUTPUT: u64 = 1 << 20;

/// `git` in one place, with nothing of this machine's configuration.
#[derive(Clone)]
pub(super) struct Git {
    pub(super) directory: PathBuf,
    /// What it is asked for: as it may be told, too.
    pub(super) url: String,
    /// How it connects by SSH.
    ssh: String,
    pub(super) environment: BTreeMap<OsString, OsString>,
    protocols: Vec<&'static str>,
    pub(super) settings: Vec<(String, OsString)>,
}

impl Git {
    pub(super) fn new(directory: &Path, remote: &Remote) -> Result<Self, GitError> {
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
        if remote.here {
            git.allow("file");
        }
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

    pub(super) fn environment(&mut self, name: &str, value: impl Into<OsString>) {
        self.environment.insert(name.into(), value.into());
    }

    pub(super) fn allow(&mut self, protocol: &'static str) {
        self.protocols.push(protocol);
    }

    /// The same, which connects to no other address than those that were just checked.
    pub(super) async fn pinned(&self, remote: &Remote) -> Result<Self, GitError> {
        let mut git = self.clone();
        if let Some((host, addresses)) = remote.checked().await? {
            git.pin(&host, &addresses);
        }
        Ok(git)
    }

    pub(super) fn pin(&mut self, host: &Host, addresses: &[SocketAddr]) {
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
    pub(super) async fn run(&self, what: &'static str, arguments: &[&str]) -> Result<String, GitError> {
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
