//! What to run, and how it ended.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Resource;

use crate::snapshot::Files;
use crate::source::secret::Secret;

/// One process to run. Nothing of the worker's own environment reaches it beyond what stands here.
#[derive(Debug, Clone)]
pub struct ProcessSpec {
    /// The program and its arguments. A program without `/` is looked up in the `PATH` of `env`.
    pub args: Vec<String>,
    /// `NAME=value`. `HOME` is added from the image's `/etc/passwd` unless it is here.
    pub env: Vec<String>,
    /// Variables whose values are secrets. They count before those of `env`.
    pub secret_env: Vec<(String, Secret)>,
    /// The working directory. It is made, for the user, where the image has none; empty means `/`.
    pub cwd: String,
    /// `""` (root), a name, a number, or `user:group`, resolved by the image's own `/etc/passwd` and `/etc/group`.
    pub user: String,
    /// What the root file system is made of.
    pub root: Files,
    /// Whether the root file system may not be written to; mounts may.
    pub readonly_root: bool,
    /// More file systems, in the order in which they are mounted.
    pub mounts: Vec<MountSpec>,
    /// The host name that the step sees.
    pub hostname: String,
    /// What it can reach.
    pub network: Network,
    /// Whether it may do to the machine what the worker may: all capabilities and devices, and no filter. To be asked for by
    /// the worker's owner, never by a plan alone.
    pub insecure: bool,
    /// More lines for `/etc/hosts`.
    pub extra_hosts: Vec<(IpAddr, String)>,
    /// What it may use up.
    pub limits: Limits,
    /// Limits that it can see and lower, each process for itself.
    pub ulimits: Vec<Ulimit>,
}

impl ProcessSpec {
    /// A process with `BuildKit`'s defaults: root, in `/`, nothing mounted, no limits.
    pub fn new(root: impl Into<Files>, args: Vec<String>) -> Self {
        Self {
            args,
            env: Vec::new(),
            secret_env: Vec::new(),
            cwd: "/".to_owned(),
            user: String::new(),
            root: root.into(),
            readonly_root: false,
            mounts: Vec::new(),
            hostname: "buildkitsandbox".to_owned(),
            network: Network::Default,
            insecure: false,
            extra_hosts: Vec::new(),
            limits: Limits::default(),
            ulimits: Vec::new(),
        }
    }
}

/// A file system mounted into the step's own.
#[derive(Debug, Clone)]
pub struct MountSpec {
    /// Where, in the step's root; links in it are followed as the step would. What is missing appears for the step only.
    pub target: String,
    /// What.
    pub source: MountSource,
    /// Whether it can only be read.
    pub readonly: bool,
}

/// What a mount shows.
#[derive(Debug, Clone)]
pub enum MountSource {
    /// A directory or file of the worker.
    Bind {
        /// A directory that the worker knows to be its own.
        root: PathBuf,
        /// What in it, empty for all of it. Links are resolved with `root` as `/`, so this may come from a stranger.
        path: PathBuf,
    },
    /// A file that is in memory only and vanishes with the step. It can only be read.
    Secret {
        /// What is in it.
        content: Secret,
        /// Its owner and group.
        owner: (u32, u32),
        /// Its permission bits.
        mode: u32,
    },
    /// An empty file system in memory that vanishes with the step.
    Tmpfs {
        /// Its largest size in bytes; half of the memory where none is given.
        size: Option<u64>,
    },
}

/// What a step can reach. The worker's loopback, and so its API, is reachable with [`Network::Host`] only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// Only itself.
    None,
    /// A network of its own with a way out, where the machine allows one ([`probe`](super::probe()) tells); else only itself.
    #[default]
    Default,
    /// The worker's own network. To be asked for by the worker's owner, never by a plan alone.
    Host,
}

/// What a step may use up; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Bytes of memory, swap included.
    pub memory: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// Processor time per second, in thousandths of one processor.
    pub cpu_millis: Option<u64>,
    /// Time from start to end.
    pub wall_time: Option<Duration>,
    /// Bytes of output kept; what follows is dropped and said to be.
    pub log_bytes: Option<u64>,
}

impl Limits {
    /// These, and where they say nothing `others`.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self {
            memory: self.memory.or(others.memory),
            pids: self.pids.or(others.pids),
            cpu_millis: self.cpu_millis.or(others.cpu_millis),
            wall_time: self.wall_time.or(others.wall_time),
            log_bytes: self.log_bytes.or(others.log_bytes),
        }
    }
}

/// A limit as `ulimit` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ulimit {
    /// Of what.
    pub(super) resource: Resource,
    /// The limit that counts; `None` is no limit.
    pub(super) soft: Option<u64>,
    /// How far the process may raise it.
    pub(super) hard: Option<u64>,
}

impl Ulimit {
    /// The limit called `name`, `nofile` or the like; negative numbers are no limit. `None` where there is none of that
    /// name.
    pub fn named(name: &str, soft: i64, hard: i64) -> Option<Self> {
        let resource = match name {
            "as" => Resource::As,
            "core" => Resource::Core,
            "cpu" => Resource::Cpu,
            "data" => Resource::Data,
            "fsize" => Resource::Fsize,
            "locks" => Resource::Locks,
            "memlock" => Resource::Memlock,
            "msgqueue" => Resource::Msgqueue,
            "nice" => Resource::Nice,
            "nofile" => Resource::Nofile,
            "nproc" => Resource::Nproc,
            "rss" => Resource::Rss,
            "rtprio" => Resource::Rtprio,
            "rttime" => Resource::Rttime,
            "sigpending" => Resource::Sigpending,
            "stack" => Resource::Stack,
            _ => return None,
        };
        Some(Self {
            resource,
            soft: u64::try_from(soft).ok(),
            hard: u64::try_from(hard).ok(),
        })
    }
}

/// Where output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stream {
    /// Standard output; 1 on the wire.
    Stdout,
    /// Standard error; 2 on the wire.
    Stderr,
}

/// A piece of output, as it was written: it may end in the middle of a line or of a character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Which of the two streams.
    pub stream: Stream,
    /// The bytes.
    pub data: Vec<u8>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// It ended by itself; 0 is success.
    Exited(i32),
    /// A signal ended it.
    Signaled(i32),
    /// It took longer than [`Limits::wall_time`].
    TimedOut,
    /// It, or a process it started, was killed for using more than [`Limits::memory`].
    OutOfMemory,
    /// The build was cancelled.
    Cancelled,
}

impl ExitStatus {
    /// Whether the step succeeded.
    pub fn is_success(self) -> bool {
        self == Self::Exited(0)
    }
}
