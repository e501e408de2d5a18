//! `RUN --mount`: what a command sees beside the files of its stage.

use std::borrow::Cow;

use crate::analysis::{EdgeKind, EdgeSource};
use crate::diagnostic::Problem;
use crate::instruction::run::Run;
use crate::instruction::{Mount, MountKind, Sharing};
use crate::llb::{
    self, Action, CacheOpt, CacheSharing, ChownOpt, FileActionMkDir, MountType, SecretEnv, SecretOpt, SshOpt,
    TmpfsOpt, User, UserOpt,
};
use crate::plan::build::Step;
use crate::plan::env::Env;
use crate::plan::graph::{ActionPlan, MountPlan, Output, Work};
use crate::plan::path;

use super::copy::too_early;

/// The mounts of a command.
#[derive(Default)]
pub(super) struct Mounts {
    /// Mounts of files, in the order in which they are written.
    pub(super) files: Vec<MountPlan>,
    /// Secrets that are variables.
    pub(super) secret_env: Vec<SecretEnv>,
    secrets: Vec<llb::Mount>,
    ssh: Vec<llb::Mount>,
    /// Variables that hide those of the stage wherever the command is shown.
    pub(super) masked: Env,
}

impl Mounts {
    pub(super) fn read(step: &mut Step<'_, '_>, run: &Run) -> Result<Self, Problem> {
        let mut mounts = Self::default();
        for (index, written) in run.mounts.iter().enumerate() {
            let mount = Mount::read(&written.text, |value| step.expand(value).map(Cow::into_owned))?;
            let node = step.command.sources.get(index).copied().flatten();
            mounts
                .add(step, &mount, node, written.text.span)
                .map_err(|problem| problem.at(written.text.span))?;
        }
        Ok(mounts)
    }

    /// The mounts that are no files: secrets, then SSH agents. Gives the socket of the first agent too.
    pub(super) fn into_extra(self) -> (Vec<MountPlan>, Vec<SecretEnv>, Vec<llb::Mount>, Option<String>) {
        let mut ssh = self.ssh;
        for (index, mount) in ssh.iter_mut().enumerate() {
            if mount.dest.is_empty() {
                mount.dest = format!("/run/buildkit/ssh_agent.{index}");
            }
        }
        let socket = ssh.first().map(|mount| mount.dest.clone());
        let mut extra = self.secrets;
        extra.extend(ssh);
        (self.files, self.secret_env, extra, socket)
    }

    fn add(
        &mut self,
        step: &mut Step<'_, '_>,
        mount: &Mount,
        node: Option<usize>,
        span: crate::span::Span,
    ) -> Result<(), Problem> {
        // A cache is filled from nothing unless it says from what.
        let from_context = mount.from.is_empty() && mount.kind != MountKind::Cache;
        let mut source = None;
        let mut edge = None;
        let mut local = None;
        if !from_context && let Some(node) = node {
            let Some(Some(finished)) = step.shared.finished.get(node) else {
                return Err(too_early(step, node, "mounted from"));
            };
            source = finished.output;
            local = finished.local.filter(|_| !mount.from.is_empty());
            edge = step
                .shared
                .sources
                .get(node)
                .copied()
                .filter(|_| !mount.from.is_empty());
        }
        match mount.kind {
            MountKind::Secret => return self.secret(mount),
            MountKind::Ssh => return self.ssh(mount),
            MountKind::Tmpfs => source = None,
            MountKind::Bind if from_context => {
                source = Some(step.shared.graph.context());
                edge = Some(EdgeSource::Context);
            }
            MountKind::Bind | MountKind::Cache => {}
        }
        let target = target(step, mount)?;
        let mut plan = llb::Mount {
            dest: target,
            readonly: mount.read_only,
            ..llb::Mount::default()
        };
        match mount.kind {
            MountKind::Cache => {
                plan.set_mount_type(MountType::Cache);
                plan.cache_opt = Some(cache(step, mount));
            }
            MountKind::Tmpfs => {
                plan.set_mount_type(MountType::Tmpfs);
                plan.tmpfs_opt = Some(TmpfsOpt { size: mount.size });
            }
            // What is written to a bind mount is thrown away.
            MountKind::Bind if !mount.read_only => plan.output = -1,
            MountKind::Bind | MountKind::Secret | MountKind::Ssh => {}
        }
        let within = path::join(&["/", &mount.source]);
        if within != "/" {
            plan.selector.clone_from(&within);
        } else if mount.uid.is_some() || mount.gid.is_some() || mount.mode.is_some() {
            source = Some(cache_directory(step, mount, source));
            plan.selector = "/cache".into();
        }
        step.takes(local, &mount.source);
        if from_context {
            step.build.context_paths.insert(within);
        }
        if let Some(edge) = edge {
            let shown = if mount.source.is_empty() {
                "/".to_owned()
            } else {
                mount.source.clone()
            };
            step.edge(EdgeKind::Mount, edge, vec![shown], span);
        }
        self.files.push(MountPlan { source, mount: plan });
        Ok(())
    }

    fn secret(&mut self, mount: &Mount) -> Result<(), Problem> {
        let id = match (mount.source.as_str(), mount.id.as_str()) {
            ("", "") => path::base(&mount.target),
            ("", id) => id,
            (source, _) => source,
        };
        if id.is_empty() {
            return Err(Problem::new(
                "bad-mount",
                "This mount does not say which secret it is.",
            ));
        }
        if let Some(name) = &mount.env {
            self.masked.set(name, "****");
            self.secret_env.push(SecretEnv {
                id: id.into(),
                name: name.clone(),
                optional: !mount.required,
            });
            if mount.target.is_empty() {
                return Ok(());
            }
        }
        let dest = match mount.target.as_str() {
            "" => format!("/run/secrets/{}", path::base(id)),
            target => target.into(),
        };
        let (uid, gid, mode) = ownership(mount, 0o400);
        let mut secret = llb::Mount {
            input: -1,
            dest,
            ..llb::Mount::default()
        };
        secret.set_mount_type(MountType::Secret);
        secret.secret_opt = Some(SecretOpt {
            id: id.into(),
            uid,
            gid,
            mode,
            optional: !mount.required,
        });
        self.secrets.push(secret);
        Ok(())
    }

    fn ssh(&mut self, mount: &Mount) -> Result<(), Problem> {
        if !mount.source.is_empty() {
            return Err(
                Problem::new("bad-mount", "A mount of type ssh has no source.").hint("Name the agent by id.")
            );
        }
        let (uid, gid, mode) = ownership(mount, 0o600);
        let mut ssh = llb::Mount {
            input: -1,
            dest: mount.target.clone(),
            ..llb::Mount::default()
        };
        ssh.set_mount_type(MountType::Ssh);
        ssh.ssh_opt = Some(SshOpt {
            id: mount.id.clone(),
            uid,
            gid,
            mode,
            optional: !mount.required,
        });
        self.ssh.push(ssh);
        Ok(())
    }
}

/// Owner, group and permission bits, the latter `usual` where none are given.
fn ownership(mount: &Mount, usual: u32) -> (u32, u32, u32) {
    (
        mount.uid.unwrap_or(0),
        mount.gid.unwrap_or(0),
        mount.mode.unwrap_or(usual),
    )
}

/// Where a mount appears.
fn target(step: &Step<'_, '_>, mount: &Mount) -> Result<String, Problem> {
    // Not even on Windows is a path with a drive an absolute one here.
    let target = if path::clean(&mount.target).starts_with('/') {
        mount.target.clone()
    } else {
        path::join(&["/", &step.build.dir, &mount.target])
    };
    if target == "/" {
        return Err(
            Problem::new("bad-mount", "A mount cannot be at /, where the stage itself is.")
                .hint("Give it a target below, such as target=/src."),
        );
    }
    Ok(target)
}

fn cache(step: &Step<'_, '_>, mount: &Mount) -> CacheOpt {
    let id = if mount.id.is_empty() {
        path::clean(&mount.target)
    } else {
        mount.id.as_str().into()
    };
    let sharing = match mount.sharing {
        None | Some(Sharing::Shared) => CacheSharing::Shared,
        Some(Sharing::Private) => CacheSharing::Private,
        Some(Sharing::Locked) => CacheSharing::Locked,
    };
    CacheOpt {
        id: format!("{}/{id}", super::run::asked(step, "BUILDKIT_CACHE_MOUNT_NS")),
        sharing: sharing.into(),
    }
}

/// A directory with the owner and mode that a new cache begins with.
fn cache_directory(step: &mut Step<'_, '_>, mount: &Mount, base: Option<Output>) -> Output {
    let by_id = |id| {
        Some(UserOpt {
            user: Some(User::ById(id)),
        })
    };
    let (uid, gid, mode) = ownership(mount, 0o755);
    let action = Action::MkDir(FileActionMkDir {
        path: "/cache".into(),
        mode: i32::try_from(mode & 0o777).unwrap_or(0),
        make_parents: false,
        owner: Some(ChownOpt {
            user: by_id(uid),
            group: by_id(gid),
        }),
        timestamp: -1,
    });
    let work = Work::File {
        base,
        actions: vec![ActionPlan { action, source: None }],
    };
    let name = "[internal] setting cache mount permissions".to_owned();
    step.add(work, name)
}
