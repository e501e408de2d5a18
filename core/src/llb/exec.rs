//! Running a process.

use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};

/// Runs a process over mounted inputs (`pb.ExecOp`).
#[derive(Clone, PartialEq, prost::Message)]
pub struct ExecOp {
    /// The process.
    #[prost(message, optional, tag = "1")]
    pub meta: Option<Meta>,
    /// Its file system; the mount at `/` is the root.
    #[prost(message, repeated, tag = "2")]
    pub mounts: Vec<Mount>,
    /// Its network.
    #[prost(enumeration = "NetMode", tag = "3")]
    pub network: i32,
    /// What it may do to the machine.
    #[prost(enumeration = "SecurityMode", tag = "4")]
    pub security: i32,
    /// Environment variables whose values are secrets.
    #[prost(message, repeated, tag = "5")]
    pub secretenv: Vec<SecretEnv>,
    /// Devices it wants.
    #[prost(message, repeated, tag = "6")]
    pub cdi_devices: Vec<CdiDevice>,
}

/// The process of an exec op (`pb.Meta`).
#[derive(Clone, PartialEq, prost::Message)]
pub struct Meta {
    /// Program and arguments.
    #[prost(string, repeated, tag = "1")]
    pub args: Vec<String>,
    /// `KEY=value` each.
    #[prost(string, repeated, tag = "2")]
    pub env: Vec<String>,
    /// Working directory, absolute.
    #[prost(string, tag = "3")]
    pub cwd: String,
    /// `user`, `uid`, `user:group`, …; empty is root.
    #[prost(string, tag = "4")]
    pub user: String,
    /// Proxies that apply while it runs; they are no part of its cache key.
    #[prost(message, optional, tag = "5")]
    pub proxy_env: Option<ProxyEnv>,
    /// Lines for `/etc/hosts`.
    #[prost(message, repeated, tag = "6")]
    pub extra_hosts: Vec<HostIp>,
    /// Host name; empty is the worker's choice.
    #[prost(string, tag = "7")]
    pub hostname: String,
    /// Resource limits.
    #[prost(message, repeated, tag = "9")]
    pub ulimit: Vec<Ulimit>,
    /// Where in the cgroup tree it runs.
    #[prost(string, tag = "10")]
    pub cgroup_parent: String,
    /// Whether directories made for the sake of a mount go away again, with their parents.
    #[prost(bool, tag = "11")]
    pub remove_mount_stubs_recursive: bool,
    /// Exit codes that count as success; none means 0 only.
    #[prost(int32, repeated, tag = "12")]
    pub valid_exit_codes: Vec<i32>,
}

/// A process that is planned: the [`Meta`] it becomes, borrowed from the stage, whose variables every step repeats.
pub(crate) struct Process<'p> {
    pub(crate) args: &'p [&'p str],
    /// `KEY=value` each.
    pub(crate) env: &'p [String],
    /// One more variable.
    pub(crate) socket: Option<&'p str>,
    pub(crate) cwd: &'p str,
    pub(crate) user: &'p str,
    pub(crate) proxy: Option<ProxyEnv>,
    /// Empty is the worker's choice.
    pub(crate) hostname: &'p str,
    pub(crate) parts: &'p MetaParts,
}

impl Process<'_> {
    /// The bytes of the [`Meta`], its fields in their order.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let lengths = |texts: &mut dyn Iterator<Item = &str>| texts.map(|text| text.len() + 6).sum::<usize>();
        let args = lengths(&mut self.args.iter().copied());
        let env = lengths(&mut self.env.iter().map(String::as_str));
        let socket = self.socket.map_or(0, str::len);
        let MetaParts { hosts, limits } = self.parts;
        let rest = self.cwd.len() + self.user.len() + self.hostname.len() + hosts.len() + limits.len();
        let mut bytes = Vec::with_capacity(args + env + socket + rest + 30);
        for arg in self.args {
            text(1, arg, &mut bytes);
        }
        for variable in self.env {
            text(2, variable, &mut bytes);
        }
        if let Some(socket) = self.socket {
            text(2, socket, &mut bytes);
        }
        for (tag, field) in [(3, self.cwd), (4, self.user)] {
            if !field.is_empty() {
                text(tag, field, &mut bytes);
            }
        }
        if let Some(proxy) = &self.proxy {
            prost::encoding::message::encode(5, proxy, &mut bytes);
        }
        bytes.extend_from_slice(hosts);
        if !self.hostname.is_empty() {
            text(7, self.hostname, &mut bytes);
        }
        bytes.extend_from_slice(limits);
        // Directories made for the sake of a mount go away again, with their parents.
        encode_key(11, WireType::Varint, &mut bytes);
        encode_varint(1, &mut bytes);
        bytes
    }
}

/// What all processes of a build have in their [`Meta`], as it is written there: bytes that are the same for each of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MetaParts {
    hosts: Vec<u8>,
    limits: Vec<u8>,
}

impl MetaParts {
    /// Lines for `/etc/hosts`, limits that each process sees, and where in the tree of control groups it runs; empty is
    /// where the worker wants it.
    pub fn new(hosts: Vec<HostIp>, ulimits: Vec<Ulimit>, cgroup_parent: String) -> Self {
        let hosts = Meta {
            extra_hosts: hosts,
            ..Meta::default()
        };
        let limits = Meta {
            ulimit: ulimits,
            cgroup_parent,
            ..Meta::default()
        };
        Self {
            hosts: hosts.encode_to_vec(),
            limits: limits.encode_to_vec(),
        }
    }
}

fn text(tag: u32, text: &str, bytes: &mut Vec<u8>) {
    encode_key(tag, WireType::LengthDelimited, bytes);
    encode_varint(text.len() as u64, bytes);
    bytes.extend_from_slice(text.as_bytes());
}

/// `pb.HostIP`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct HostIp {
    /// Host name.
    #[prost(string, tag = "1")]
    pub host: String,
    /// Its address.
    #[prost(string, tag = "2")]
    pub ip: String,
}

/// `pb.Ulimit`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Ulimit {
    /// `nofile`, …
    #[prost(string, tag = "1")]
    pub name: String,
    /// Soft limit.
    #[prost(int64, tag = "2")]
    pub soft: i64,
    /// Hard limit.
    #[prost(int64, tag = "3")]
    pub hard: i64,
}

/// Which network a process sees (`pb.NetMode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum NetMode {
    /// The sandbox's own.
    Unset = 0,
    /// The machine's.
    Host = 1,
    /// Loopback only.
    None = 2,
}

/// What a process may do to the machine (`pb.SecurityMode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum SecurityMode {
    /// As little as it needs.
    Sandbox = 0,
    /// Everything.
    Insecure = 1,
}

/// An environment variable whose value is a secret (`pb.SecretEnv`).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SecretEnv {
    /// Which secret.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Which variable.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Whether the process runs without it.
    #[prost(bool, tag = "3")]
    pub optional: bool,
}

/// A device by its CDI name (`pb.CDIDevice`).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CdiDevice {
    /// `vendor.com/gpu=gpu1`.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Whether the process runs without it.
    #[prost(bool, tag = "2")]
    pub optional: bool,
}

/// A piece of a process's file system (`pb.Mount`).
#[derive(Clone, PartialEq, prost::Message)]
pub struct Mount {
    /// Index into [`super::Op::inputs`]; -1 is nothing.
    #[prost(int64, tag = "1")]
    pub input: i64,
    /// Path within the input.
    #[prost(string, tag = "2")]
    pub selector: String,
    /// Where it appears.
    #[prost(string, tag = "3")]
    pub dest: String,
    /// Which output it becomes; -1 is none. It counts for bind mounts only.
    #[prost(int64, tag = "4")]
    pub output: i64,
    /// Whether writing is refused.
    #[prost(bool, tag = "5")]
    pub readonly: bool,
    /// What kind of mount it is.
    #[prost(enumeration = "MountType", tag = "6")]
    pub mount_type: i32,
    /// Options of a tmpfs mount.
    #[prost(message, optional, tag = "19")]
    pub tmpfs_opt: Option<TmpfsOpt>,
    /// Options of a cache mount.
    #[prost(message, optional, tag = "20")]
    pub cache_opt: Option<CacheOpt>,
    /// Options of a secret mount.
    #[prost(message, optional, tag = "21")]
    pub secret_opt: Option<SecretOpt>,
    /// Options of an SSH agent mount.
    #[prost(message, optional, tag = "22")]
    pub ssh_opt: Option<SshOpt>,
    /// Names a result for later.
    #[prost(string, tag = "23")]
    pub result_id: String,
    /// Whether its content counts in the cache key.
    #[prost(enumeration = "MountContentCache", tag = "24")]
    pub content_cache: i32,
}

/// What kind of mount a mount is (`pb.MountType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum MountType {
    /// An input.
    Bind = 0,
    /// A secret, as a file.
    Secret = 1,
    /// A socket to an SSH agent.
    Ssh = 2,
    /// A directory that outlives the build.
    Cache = 3,
    /// Memory.
    Tmpfs = 4,
}

/// Whether a mount's content counts in the cache key (`pb.MountContentCache`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum MountContentCache {
    /// As the worker sees fit.
    Default = 0,
    /// It does.
    On = 1,
    /// It does not.
    Off = 2,
}

/// `pb.TmpfsOpt`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct TmpfsOpt {
    /// Largest size in bytes; 0 is no limit.
    #[prost(int64, tag = "1")]
    pub size: i64,
}

/// `pb.CacheOpt`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CacheOpt {
    /// Caches with one id are one directory.
    #[prost(string, tag = "1")]
    pub id: String,
    /// What happens when two processes want it at once.
    #[prost(enumeration = "CacheSharing", tag = "2")]
    pub sharing: i32,
}

/// What happens when two processes want a cache at once (`pb.CacheSharingOpt`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum CacheSharing {
    /// Both get it.
    Shared = 0,
    /// The second gets a new one.
    Private = 1,
    /// The second waits.
    Locked = 2,
}

/// `pb.SecretOpt`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SecretOpt {
    /// Which secret.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Owner of the file.
    #[prost(uint32, tag = "2")]
    pub uid: u32,
    /// Group of the file.
    #[prost(uint32, tag = "3")]
    pub gid: u32,
    /// Permission bits of the file.
    #[prost(uint32, tag = "4")]
    pub mode: u32,
    /// Whether the process runs without it.
    #[prost(bool, tag = "5")]
    pub optional: bool,
}

/// `pb.SSHOpt`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SshOpt {
    /// Which agent.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Owner of the socket.
    #[prost(uint32, tag = "2")]
    pub uid: u32,
    /// Group of the socket.
    #[prost(uint32, tag = "3")]
    pub gid: u32,
    /// Permission bits of the socket.
    #[prost(uint32, tag = "4")]
    pub mode: u32,
    /// Whether the process runs without it.
    #[prost(bool, tag = "5")]
    pub optional: bool,
}

/// `pb.ProxyEnv`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ProxyEnv {
    /// `HTTP_PROXY`.
    #[prost(string, tag = "1")]
    pub http_proxy: String,
    /// `HTTPS_PROXY`.
    #[prost(string, tag = "2")]
    pub https_proxy: String,
    /// `FTP_PROXY`.
    #[prost(string, tag = "3")]
    pub ftp_proxy: String,
    /// `NO_PROXY`.
    #[prost(string, tag = "4")]
    pub no_proxy: String,
    /// `ALL_PROXY`.
    #[prost(string, tag = "5")]
    pub all_proxy: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_written_as_its_message_would_be() {
        let proxy = Some(ProxyEnv {
            no_proxy: "x".into(),
            ..ProxyEnv::default()
        });
        let hosts = vec![HostIp {
            host: "db".into(),
            ip: "10.0.0.5".into(),
        }];
        let ulimit = vec![Ulimit {
            name: "nofile".into(),
            soft: 1,
            hard: -1,
        }];
        for (cwd, user, hostname, cgroup_parent) in
            [("/", "", "h", ""), ("", "u", "", "/up"), ("/a", "1:2", "h", "")]
        {
            let process = Process {
                args: &["/bin/sh", "", "x"],
                env: &["A=1".to_owned()],
                socket: Some("S=/s"),
                cwd,
                user,
                proxy: proxy.clone(),
                hostname,
                parts: &MetaParts::new(hosts.clone(), ulimit.clone(), cgroup_parent.into()),
            };
            let meta = Meta {
                args: vec!["/bin/sh".into(), String::new(), "x".into()],
                env: vec!["A=1".into(), "S=/s".into()],
                cwd: cwd.into(),
                user: user.into(),
                proxy_env: proxy.clone(),
                extra_hosts: hosts.clone(),
                hostname: hostname.into(),
                ulimit: ulimit.clone(),
                cgroup_parent: cgroup_parent.into(),
                remove_mount_stubs_recursive: true,
                ..Meta::default()
            };
            assert_eq!(process.encode(), meta.encode_to_vec());
        }
    }
}
