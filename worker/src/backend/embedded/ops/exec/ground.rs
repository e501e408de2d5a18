//! What a process sees beside its root: files of other steps, caches, memory, secrets, agents.

use std::path::{Path, PathBuf};

use stagewright_core::digest::Digest;
use stagewright_core::llb::{CacheSharing, ExecOp, Mount, MountType, SshOpt};

use super::super::super::flight::Ticket;
use super::super::super::rootfs::{Output, Rootfs};
use super::super::super::target::{Metadata, Target};
use super::super::super::tree::{DirectoryTree, Tree, resolve};
use super::super::{StepFailure, blocking, file};
use super::caches::{Taken, Wanted};
use super::{Executor, agent};
use crate::backend::Extras;
use crate::sandbox::{MountSource, MountSpec};
use crate::snapshot::{Active, Mounted, SnapshotStore};
use crate::source::secret::Secret;

/// What a step is given that is not in its op.
pub(crate) struct Given<'a> {
    /// What it works on, all unpacked.
    pub(crate) inputs: &'a [Output],
    /// Checksums of the files that its caches begin with, by the index of their mount.
    pub(crate) origins: &'a [Option<Digest>],
    /// What the build brought along.
    pub(crate) extras: &'a Extras,
}

/// The mounts of a process, and what they are of. Views go before the layers they are of.
#[derive(Default)]
pub(super) struct Ground {
    /// What to mount.
    pub(super) specs: Vec<MountSpec>,
    /// Variables whose values are secrets.
    pub(super) variables: Vec<(String, Secret)>,
    /// All secrets that the process gets.
    pub(super) secrets: Vec<Secret>,
    mounted: Vec<Mounted>,
    actives: Vec<Active>,
    agents: Vec<agent::Lent>,
    caches: Vec<Taken>,
}

impl Ground {
    /// Prepares everything that `op` mounts beside its root.
    pub(super) async fn prepare(
        executor: &Executor,
        op: &ExecOp,
        given: &Given<'_>,
        ticket: &Ticket,
    ) -> Result<Self, StepFailure> {
        let mut ground = Self::default();
        // What can be lacking is asked for before anything is waited for or copied: a cache may be somebody else's for
        // as long as their step takes.
        nothing_is_lacking(op, given.extras)?;
        for variable in &op.secretenv {
            if let Some(secret) = secret(given.extras, &variable.id, variable.optional)? {
                ground.secrets.push(secret.clone());
                ground.variables.push((variable.name.clone(), secret));
            }
        }
        let wanted = wanted(op, given.origins);
        let taken = tokio::select! {
            biased;
            () = ticket.cancel.cancelled() => return Err(StepFailure::cancelled()),
            taken = executor.caches.take(&wanted) => taken?,
        };
        // From here on it is not pruned: whether it has files is asked afterwards.
        for directory in taken.iter().filter_map(|taken| taken.files.parent()) {
            executor.snapshots.leases().using(directory);
        }
        let mut caches = taken.into_iter();
        for mount in op.mounts.iter().filter(|mount| mount.dest != "/") {
            let kind = kind(mount)?;
            let source = match kind {
                MountType::Tmpfs => {
                    let size = mount
                        .tmpfs_opt
                        .and_then(|options| u64::try_from(options.size).ok());
                    Some(MountSource::Tmpfs {
                        size: size.filter(|size| *size > 0),
                    })
                }
                MountType::Bind => Some(ground.bind(executor, mount, given.inputs).await?),
                MountType::Cache => {
                    let taken = caches
                        .next()
                        .ok_or_else(|| StepFailure::internal("a cache that was not taken"))?;
                    Some(ground.cache(executor, mount, given.inputs, taken).await?)
                }
                MountType::Secret => ground.secret(mount, given.extras)?,
                MountType::Ssh => ground.agent(executor, mount, given.extras)?,
            };
            let Some(source) = source else { continue };
            ground.specs.push(MountSpec {
                target: mount.dest.clone(),
                source,
                readonly: mount.readonly || kind == MountType::Secret,
            });
        }
        Ok(ground)
    }

    /// Files of an input. What the step writes there, where it may, is thrown away.
    async fn bind(
        &mut self,
        executor: &Executor,
        mount: &Mount,
        inputs: &[Output],
    ) -> Result<MountSource, StepFailure> {
        if mount.output > 0 {
            return Err(StepFailure::new(
                "the step keeps what it writes into a mount, which this worker cannot do",
            ));
        }
        let path = PathBuf::from(&mount.selector);
        let snapshots = executor.snapshots.clone();
        let input = input(mount, inputs);
        let (readonly, selector) = (mount.readonly, mount.selector.clone());
        let (mounted, active) = blocking(move || match input {
            // A single layer is seen as it lies, with the marks of what is gone in it, unless another lies over it.
            Some(Output::Files(files)) if readonly && files.layers().len() != 1 => {
                Ok((snapshots.view(&files.snapshots())?, None))
            }
            Some(Output::Files(files)) => writable(&snapshots, &files),
            Some(Output::Context(context)) => {
                let (mounted, active) = writable(&snapshots, &Rootfs::default())?;
                copy_all(context.as_ref(), &selector, mounted.path())?;
                Ok((mounted, active))
            }
            None => writable(&snapshots, &Rootfs::default()),
        })
        .await?;
        let root = mounted.path().to_owned();
        self.mounted.push(mounted);
        self.actives.extend(active);
        Ok(MountSource::Bind { root, path })
    }

    /// A directory that outlives the build. It begins with files of an input, where the mount names one.
    async fn cache(
        &mut self,
        executor: &Executor,
        mount: &Mount,
        inputs: &[Output],
        taken: Taken,
    ) -> Result<MountSource, StepFailure> {
        let (snapshots, selector, input) = (
            executor.snapshots.clone(),
            mount.selector.clone(),
            input(mount, inputs),
        );
        let fill = move |directory: &Path| match input {
            Some(Output::Files(files)) => {
                let mounted = snapshots.view(&files.snapshots())?;
                let tree = DirectoryTree::open_root(mounted.path()).map_err(StepFailure::internal)?;
                copy_onto(&tree, &selector, directory)
            }
            Some(Output::Context(context)) => copy_onto(context.as_ref(), &selector, directory),
            None => Ok(()),
        };
        executor.caches.fill(&taken, fill).await?;
        let root = taken.files.clone();
        self.caches.push(taken);
        Ok(MountSource::Bind {
            root,
            path: PathBuf::new(),
        })
    }

    /// A secret as a file; `None` where the step can do without.
    fn secret(&mut self, mount: &Mount, extras: &Extras) -> Result<Option<MountSource>, StepFailure> {
        let options = mount.secret_opt.clone().unwrap_or_default();
        let Some(content) = secret(extras, &options.id, options.optional)? else {
            return Ok(None);
        };
        self.secrets.push(content.clone());
        Ok(Some(MountSource::Secret {
            content,
            owner: (options.uid, options.gid),
            mode: options.mode & 0o7777,
        }))
    }

    /// The socket of an agent; `None` where the step can do without.
    fn agent(
        &mut self,
        executor: &Executor,
        mount: &Mount,
        extras: &Extras,
    ) -> Result<Option<MountSource>, StepFailure> {
        let options: SshOpt = mount.ssh_opt.clone().unwrap_or_default();
        let Some(real) = real_agent(extras, &options)? else {
            return Ok(None);
        };
        let directory = executor.scratch();
        let lent = agent::Lent::open(directory, real, &options)
            .map_err(|error| StepFailure::internal(format!("a socket for the SSH agent: {error}")))?;
        let (root, path) = lent.place();
        self.agents.push(lent);
        Ok(Some(MountSource::Bind { root, path }))
    }
}

/// Whether the build was given every secret and agent that `op` cannot do without.
fn nothing_is_lacking(op: &ExecOp, extras: &Extras) -> Result<(), StepFailure> {
    for mount in &op.mounts {
        match kind(mount)? {
            MountType::Secret => {
                let options = mount.secret_opt.clone().unwrap_or_default();
                secret(extras, &options.id, options.optional)?;
            }
            MountType::Ssh => {
                real_agent(extras, &mount.ssh_opt.clone().unwrap_or_default())?;
            }
            MountType::Bind | MountType::Cache | MountType::Tmpfs => {}
        }
    }
    Ok(())
}

/// The socket of an agent that the build was given; `None` where the step can do without.
fn real_agent<'a>(extras: &'a Extras, options: &SshOpt) -> Result<Option<&'a PathBuf>, StepFailure> {
    let id = agent::id(options);
    match extras.agents.get(id) {
        None if !options.optional => Err(StepFailure::new(format!(
            "the step needs the SSH agent {id:?}, and the build was given none of that name: build with --ssh {id}"
        ))),
        found => Ok(found),
    }
}

/// A secret that the build was given; `None` where the step can do without.
fn secret(extras: &Extras, id: &str, optional: bool) -> Result<Option<Secret>, StepFailure> {
    let found = extras
        .secrets
        .get(id)
        .map_err(|error| StepFailure::new(error.to_string()))?;
    if found.is_none() && !optional {
        return Err(StepFailure::new(format!(
            "the step needs the secret {id:?}, and the build was given none of that name: build with \
             --secret id={id},src=FILE or --secret id={id},env=NAME"
        )));
    }
    Ok(found)
}

/// The caches that `op` mounts, in the order of their mounts.
fn wanted(op: &ExecOp, origins: &[Option<Digest>]) -> Vec<Wanted> {
    let mounts = op.mounts.iter().enumerate();
    let caches = mounts.filter(|(_, mount)| mount.dest != "/" && kind(mount).ok() == Some(MountType::Cache));
    caches
        .map(|(index, mount)| {
            let options = mount.cache_opt.clone().unwrap_or_default();
            Wanted {
                id: options.id,
                origin: origins.get(index).cloned().flatten(),
                // What a mode of a later version means is not known; to be alone is right for any.
                sharing: CacheSharing::try_from(options.sharing).unwrap_or(CacheSharing::Locked),
            }
        })
        .collect()
}

fn kind(mount: &Mount) -> Result<MountType, StepFailure> {
    MountType::try_from(mount.mount_type).map_err(|_| StepFailure::new("a mount of a kind that is not known"))
}

fn input(mount: &Mount, inputs: &[Output]) -> Option<Output> {
    let index = usize::try_from(mount.input).ok()?;
    inputs.get(index).cloned()
}

/// A view that may be written to and is thrown away.
fn writable(snapshots: &SnapshotStore, files: &Rootfs) -> Result<(Mounted, Option<Active>), StepFailure> {
    let active = snapshots.begin(&files.snapshots())?;
    Ok((active.mount()?, Some(active)))
}

/// Copies what is at `selector` in a tree to the same place under `root`.
fn copy_all(tree: &dyn Tree, selector: &str, root: &Path) -> Result<(), StepFailure> {
    let path = if selector.is_empty() { "/" } else { selector };
    copy(tree, path, path, root)
}

/// Makes `root` what is at `selector` in a tree: its content, mode and owner.
fn copy_onto(tree: &dyn Tree, selector: &str, root: &Path) -> Result<(), StepFailure> {
    let path = if selector.is_empty() { "/" } else { selector };
    copy(tree, path, "/", root)?;
    let (_, node) = resolve(tree, Path::new(path), true).map_err(StepFailure::internal)?;
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

fn copy(tree: &dyn Tree, src: &str, dest: &str, root: &Path) -> Result<(), StepFailure> {
    let target = Target::open(root).map_err(StepFailure::internal)?;
    let cancel = tokio_util::sync::CancellationToken::new();
    Ok(file::copy_under(tree, src, dest, &target, &cancel)?)
}
