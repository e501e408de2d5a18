//! Running a process: `RUN`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use stagewright_core::digest::Digest;
use stagewright_core::llb::{Action, CacheSharing, ExecOp, FileActionCopy, Meta, Mount, MountType, NetMode};
use tokio::sync::OwnedMutexGuard;

use super::super::flight::Ticket;
use super::super::layer::{Made, finish};
use super::super::progress::News;
use super::super::rootfs::{self, Rootfs};
use super::super::target::Target;
use super::super::tree::DirectoryTree;
use super::{StepFailure, blocking, file};
use crate::backend::timestamp;
use crate::sandbox::{
    ExitStatus, Limits, MountSource, MountSpec, Network, Output, ProcessSpec, Sandbox, SandboxError, Stream,
};
use crate::snapshot::{Active, Mounted, SnapshotStore};

/// Runs processes.
pub(crate) struct Executor {
    /// Where they run.
    pub(crate) sandbox: Sandbox,
    /// Where their files are.
    pub(crate) snapshots: SnapshotStore,
    /// What each may use up.
    pub(crate) limits: Limits,
    /// What outlives builds.
    pub(crate) caches: Caches,
}

/// The files of a process. Views go before the layers they are of.
#[derive(Default)]
struct Ground {
    specs: Vec<MountSpec>,
    mounted: Vec<Mounted>,
    actives: Vec<Active>,
    locks: Vec<OwnedMutexGuard<()>>,
}

impl Executor {
    /// Runs `op` on inputs that are all unpacked, and gives the layer it made.
    pub(crate) async fn run(
        &self,
        op: &ExecOp,
        inputs: &[rootfs::Output],
        ticket: &Ticket,
    ) -> Result<Made, StepFailure> {
        let meta = op
            .meta
            .as_ref()
            .ok_or_else(|| StepFailure::new("an exec op without a process"))?;
        let root = op.mounts.iter().find(|mount| mount.dest == "/");
        let root = root.ok_or_else(|| StepFailure::new("an exec op without a root"))?;
        let base = files(root.input, inputs)?;
        let ground = self.ground(op, inputs, ticket).await?;
        let active = {
            let (snapshots, base) = (self.snapshots.clone(), base.clone());
            blocking(move || Ok(snapshots.begin(&base.snapshots())?)).await?
        };
        let mut spec = ProcessSpec::new(active.overlay(), meta.args.clone());
        spec.env = environment(meta);
        spec.cwd.clone_from(&meta.cwd);
        spec.user.clone_from(&meta.user);
        spec.readonly_root = root.readonly;
        spec.mounts.clone_from(&ground.specs);
        spec.limits = self.limits;
        if !meta.hostname.is_empty() {
            spec.hostname.clone_from(&meta.hostname);
        }
        if op.network == NetMode::None as i32 {
            spec.network = Network::None;
        }
        for host in &meta.extra_hosts {
            let address = host.ip.parse().map_err(|_| {
                StepFailure::new(format!(
                    "{:?} is not an address that {:?} could have",
                    host.ip, host.host
                ))
            })?;
            spec.extra_hosts.push((address, host.host.clone()));
        }
        let (output, mut heard) = tokio::sync::mpsc::channel(64);
        let hear = async {
            let mut tail = Tail::default();
            while let Some(Output { stream, data }) = heard.recv().await {
                tail.push(&data);
                let stream = match stream {
                    Stream::Stdout => 1,
                    Stream::Stderr => 2,
                };
                ticket.tell(News::Log {
                    stream,
                    data,
                    timestamp: timestamp(),
                });
            }
            tail
        };
        let (status, tail) = tokio::join!(self.sandbox.run(spec, output, ticket.cancel.clone()), hear);
        drop(ground);
        verdict(status, meta, &self.limits, &tail.text())?;
        let snapshots = self.snapshots.clone();
        blocking(move || finish(&snapshots, active, &base)).await
    }

    /// Prepares everything that is mounted beside the root.
    async fn ground(
        &self,
        op: &ExecOp,
        inputs: &[rootfs::Output],
        ticket: &Ticket,
    ) -> Result<Ground, StepFailure> {
        let mut ground = Ground::default();
        for mount in op.mounts.iter().filter(|mount| mount.dest != "/") {
            let kind = MountType::try_from(mount.mount_type)
                .map_err(|_| StepFailure::new("a mount of a kind that is not known"))?;
            let source = match kind {
                MountType::Tmpfs => {
                    let size = mount
                        .tmpfs_opt
                        .and_then(|options| u64::try_from(options.size).ok());
                    MountSource::Tmpfs {
                        size: size.filter(|size| *size > 0),
                    }
                }
                MountType::Bind => self.bind(mount, inputs, &mut ground).await?,
                MountType::Cache => self.cache(mount, inputs, &mut ground, ticket).await?,
                MountType::Secret => {
                    if mount.secret_opt.as_ref().is_some_and(|options| options.optional) {
                        continue;
                    }
                    return Err(StepFailure::new(
                        "the step needs a secret, and this worker cannot pass secrets on yet",
                    ));
                }
                MountType::Ssh => {
                    if mount.ssh_opt.as_ref().is_some_and(|options| options.optional) {
                        continue;
                    }
                    return Err(StepFailure::new(
                        "the step needs an SSH agent, and this worker cannot pass agents on yet",
                    ));
                }
            };
            ground.specs.push(MountSpec {
                target: mount.dest.clone(),
                source,
                readonly: mount.readonly,
            });
        }
        if let Some(secret) = op.secretenv.iter().find(|secret| !secret.optional) {
            return Err(StepFailure::new(format!(
                "the step needs the secret {:?} as a variable, and this worker cannot pass secrets on yet",
                secret.id
            )));
        }
        Ok(ground)
    }

    /// Files of an input. What the step writes there, where it may, is thrown away.
    async fn bind(
        &self,
        mount: &Mount,
        inputs: &[rootfs::Output],
        ground: &mut Ground,
    ) -> Result<MountSource, StepFailure> {
        if mount.output > 0 {
            return Err(StepFailure::new(
                "the step keeps what it writes into a mount, which this worker cannot do",
            ));
        }
        let path = PathBuf::from(&mount.selector);
        let snapshots = self.snapshots.clone();
        let input = usize::try_from(mount.input)
            .ok()
            .and_then(|index| inputs.get(index))
            .cloned();
        let (readonly, selector) = (mount.readonly, mount.selector.clone());
        let (mounted, active) = blocking(move || match input {
            Some(rootfs::Output::Files(files)) if readonly => Ok((snapshots.view(&files.snapshots())?, None)),
            Some(rootfs::Output::Files(files)) => writable(&snapshots, &files),
            Some(rootfs::Output::Context(context)) => {
                let (mounted, active) = writable(&snapshots, &Rootfs::default())?;
                copy_all(context.as_ref(), &selector, mounted.path())?;
                Ok((mounted, active))
            }
            None => writable(&snapshots, &Rootfs::default()),
        })
        .await?;
        let root = mounted.path().to_owned();
        ground.mounted.push(mounted);
        ground.actives.extend(active);
        Ok(MountSource::Bind { root, path })
    }

    /// A directory that outlives the build.
    async fn cache(
        &self,
        mount: &Mount,
        inputs: &[rootfs::Output],
        ground: &mut Ground,
        ticket: &Ticket,
    ) -> Result<MountSource, StepFailure> {
        let options = mount.cache_opt.clone().unwrap_or_default();
        let sharing = CacheSharing::try_from(options.sharing).unwrap_or(CacheSharing::Locked);
        let (root, lock) = tokio::select! {
            biased;
            () = ticket.cancel.cancelled() => return Err(StepFailure::cancelled()),
            got = self.caches.get(&options.id, sharing) => got?,
        };
        ground.locks.extend(lock);
        let first = !root.join("fs").exists();
        let input = usize::try_from(mount.input)
            .ok()
            .and_then(|index| inputs.get(index))
            .cloned();
        let (snapshots, selector, directory) =
            (self.snapshots.clone(), mount.selector.clone(), root.join("fs"));
        blocking(move || {
            if first {
                let io_failure = |error| StepFailure::internal(format!("a cache directory: {error}"));
                std::fs::create_dir_all(&directory).map_err(io_failure)?;
                if let Some(rootfs::Output::Files(files)) = &input {
                    let mounted = snapshots.view(&files.snapshots())?;
                    let tree = DirectoryTree::open_root(mounted.path()).map_err(io_failure)?;
                    copy_onto(&tree, &selector, &directory)?;
                }
            }
            Ok(())
        })
        .await?;
        Ok(MountSource::Bind {
            root: root.join("fs"),
            path: PathBuf::new(),
        })
    }
}

/// A view that may be written to and is thrown away.
fn writable(snapshots: &SnapshotStore, files: &Rootfs) -> Result<(Mounted, Option<Active>), StepFailure> {
    let active = snapshots.begin(&files.snapshots())?;
    Ok((active.mount()?, Some(active)))
}

/// Copies what is at `selector` in a tree to the same place under `root`.
fn copy_all(tree: &dyn super::super::tree::Tree, selector: &str, root: &Path) -> Result<(), StepFailure> {
    let path = if selector.is_empty() { "/" } else { selector };
    copy(tree, path, path, root)
}

/// Makes `root` what is at `selector` in a tree: its content, mode and owner.
fn copy_onto(tree: &dyn super::super::tree::Tree, selector: &str, root: &Path) -> Result<(), StepFailure> {
    use super::super::target::Metadata;
    let path = if selector.is_empty() { "/" } else { selector };
    copy(tree, path, "/", root)?;
    let (_, node) =
        super::super::tree::resolve(tree, Path::new(path), true).map_err(StepFailure::internal)?;
    if let Some(node) = node {
        let metadata = Metadata {
            owner: (node.uid, node.gid),
            mode: Some(node.mode),
            ..Metadata::default()
        };
        let target = Target::open(root).map_err(StepFailure::internal)?;
        target
            .set(Path::new(""), &metadata)
            .map_err(StepFailure::internal)?;
    }
    Ok(())
}

fn copy(tree: &dyn super::super::tree::Tree, src: &str, dest: &str, root: &Path) -> Result<(), StepFailure> {
    let action = Action::Copy(FileActionCopy {
        src: src.to_owned(),
        dest: dest.to_owned(),
        mode: -1,
        follow_symlink: true,
        dir_copy_contents: true,
        create_dest_path: true,
        timestamp: -1,
        ..FileActionCopy::default()
    });
    let target = Target::open(root).map_err(StepFailure::internal)?;
    Ok(file::apply(
        &action,
        Some(tree),
        &target,
        None,
        &tokio_util::sync::CancellationToken::new(),
    )?)
}

fn files(input: i64, inputs: &[rootfs::Output]) -> Result<Rootfs, StepFailure> {
    let Ok(index) = usize::try_from(input) else {
        return Ok(Rootfs::default());
    };
    match inputs.get(index) {
        Some(rootfs::Output::Files(files)) => Ok(files.clone()),
        Some(rootfs::Output::Context(_)) => Err(StepFailure::new(
            "a step cannot run in a build context: copy it first",
        )),
        None => Err(StepFailure::new(
            "the step runs on an input that it does not have",
        )),
    }
}

/// The variables of the process, and the proxies that apply while it runs.
fn environment(meta: &Meta) -> Vec<String> {
    let mut variables = meta.env.clone();
    if let Some(proxy) = &meta.proxy_env {
        for (name, value) in [
            ("HTTP_PROXY", &proxy.http_proxy),
            ("HTTPS_PROXY", &proxy.https_proxy),
            ("FTP_PROXY", &proxy.ftp_proxy),
            ("NO_PROXY", &proxy.no_proxy),
            ("ALL_PROXY", &proxy.all_proxy),
        ] {
            if !value.is_empty() {
                variables.push(format!("{name}={value}"));
                variables.push(format!("{}={value}", name.to_lowercase()));
            }
        }
    }
    variables
}

fn verdict(
    status: Result<ExitStatus, SandboxError>,
    meta: &Meta,
    limits: &Limits,
    tail: &str,
) -> Result<(), StepFailure> {
    let failed = |what: String, exit_code| {
        let message = if tail.is_empty() {
            what
        } else {
            format!("{what}. Its last lines:\n{tail}")
        };
        Err(StepFailure {
            exit_code,
            ..StepFailure::new(message)
        })
    };
    match status {
        Ok(ExitStatus::Exited(code)) if meta.valid_exit_codes.is_empty() && code == 0 => Ok(()),
        Ok(ExitStatus::Exited(code)) if meta.valid_exit_codes.contains(&code) => Ok(()),
        Ok(ExitStatus::Exited(code)) => {
            let hint = match code {
                127 => " (the shell says so when a command is not in the image)",
                126 => " (the shell says so when a file cannot be executed)",
                _ => "",
            };
            failed(format!("the command exited with code {code}{hint}"), Some(code))
        }
        Ok(ExitStatus::Signaled(signal)) => failed(
            format!("the command was ended by signal {signal}"),
            Some(128 + signal),
        ),
        Ok(ExitStatus::TimedOut) => {
            let time = limits.wall_time.unwrap_or_default().as_secs();
            failed(
                format!("the command ran longer than the {time} seconds that this worker gives a step"),
                None,
            )
        }
        Ok(ExitStatus::OutOfMemory) => {
            let memory = limits.memory.unwrap_or_default() >> 20;
            failed(
                format!(
                    "the command used more than the {memory} MiB of memory that this worker gives a step"
                ),
                None,
            )
        }
        Ok(ExitStatus::Cancelled) => Err(StepFailure::cancelled()),
        Err(error) => Err(StepFailure::new(error.to_string())),
    }
}

/// The last lines that a process printed.
#[derive(Default)]
struct Tail(Vec<u8>);

impl Tail {
    const BYTES: usize = 4096;
    const LINES: usize = 12;

    fn push(&mut self, data: &[u8]) {
        self.0.extend_from_slice(data);
        if self.0.len() > 2 * Self::BYTES {
            self.0.drain(..self.0.len() - Self::BYTES);
        }
    }

    fn text(&self) -> String {
        let text = String::from_utf8_lossy(
            self.0
                .get(self.0.len().saturating_sub(Self::BYTES)..)
                .unwrap_or_default(),
        );
        let lines: Vec<&str> = text.lines().collect();
        lines
            .get(lines.len().saturating_sub(Self::LINES)..)
            .unwrap_or_default()
            .join("\n")
            .trim_end()
            .to_owned()
    }
}

/// Directories that outlive builds, by the id that mounts name.
pub(crate) struct Caches {
    root: PathBuf,
    locks: Mutex<BTreeMap<PathBuf, Arc<tokio::sync::Mutex<()>>>>,
}

impl Caches {
    /// The directories under `root`.
    pub(crate) fn open(root: PathBuf) -> std::io::Result<Self> {
        std::fs::create_dir_all(&root)?;
        Ok(Self {
            root,
            locks: Mutex::default(),
        })
    }

    /// The directory of a cache, and the right to use it alone where its sharing asks for that. It has its files in
    /// `fs`.
    async fn get(
        &self,
        id: &str,
        sharing: CacheSharing,
    ) -> Result<(PathBuf, Option<OwnedMutexGuard<()>>), StepFailure> {
        let directory = self.root.join(Digest::of(id.as_bytes()).hex());
        match sharing {
            CacheSharing::Shared => Ok((directory.join("0"), None)),
            CacheSharing::Locked => {
                let path = directory.join("0");
                let guard = self.lock(&path).lock_owned().await;
                Ok((path, Some(guard)))
            }
            CacheSharing::Private => {
                for number in 0..1_000 {
                    let path = directory.join(number.to_string());
                    if let Ok(guard) = self.lock(&path).try_lock_owned() {
                        return Ok((path, Some(guard)));
                    }
                }
                Err(StepFailure::new(
                    "too many steps use one private cache at the same time",
                ))
            }
        }
    }

    fn lock(&self, path: &Path) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(locks.entry(path.to_owned()).or_default())
    }
}
