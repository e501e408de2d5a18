//! What a solver has to be capable of to carry an op out, as BuildKit's client asks for it.

use super::{ExecOp, MountType, NetMode, Op, OpKind, SecurityMode, SourceOp};

impl Op {
    /// The capabilities that the op needs, in the order of their names.
    ///
    /// Some that an op might be thought to need are never asked for by the reference, so they are not asked for here:
    /// those of `COPY`'s patterns, of its required paths and of its modes in letters.
    pub fn caps(&self) -> Vec<&'static str> {
        let mut caps = match &self.kind {
            Some(OpKind::Exec(exec)) => of_exec(exec),
            Some(OpKind::Source(source)) => of_source(source),
            Some(OpKind::File(_)) => vec!["file.base"],
            Some(OpKind::Merge(_)) => vec!["mergeop"],
            Some(OpKind::Diff(_)) => vec!["diffop"],
            Some(OpKind::Passthrough(_)) => vec!["passthroughop"],
            Some(OpKind::Build(_)) | None => Vec::new(),
        };
        caps.sort_unstable();
        caps.dedup();
        caps
    }
}

fn of_exec(exec: &ExecOp) -> Vec<&'static str> {
    let mut caps = vec!["exec.meta.base", "exec.meta.setsdefaultpath"];
    if let Some(meta) = &exec.meta {
        for (cap, used) in [
            ("exec.meta.proxyenv", meta.proxy_env.is_some()),
            ("exec.meta.ulimit", !meta.ulimit.is_empty()),
            ("exec.validexitcode", !meta.valid_exit_codes.is_empty()),
        ] {
            if used {
                caps.push(cap);
            }
        }
    }
    if exec.network() != NetMode::Unset {
        caps.push("exec.meta.network");
    }
    if exec.security() == SecurityMode::Insecure {
        caps.push("exec.meta.security");
    }
    if !exec.cdi_devices.is_empty() {
        caps.push("exec.meta.cdi");
    }
    if !exec.secretenv.is_empty() {
        caps.extend(["exec.mount.secret", "exec.secretenv"]);
    }
    for mount in &exec.mounts {
        if !mount.selector.is_empty() {
            caps.push("exec.mount.selector");
        }
        match mount.mount_type() {
            MountType::Bind if mount.input >= 0 => caps.push("exec.mount.bind"),
            MountType::Bind => {}
            MountType::Cache => caps.extend(["exec.mount.cache", "exec.mount.cache.sharing"]),
            MountType::Tmpfs => {
                caps.push("exec.mount.tmpfs");
                if mount.tmpfs_opt.is_some_and(|options| options.size > 0) {
                    caps.push("exec.mount.tmpfs.size");
                }
            }
            MountType::Secret => caps.push("exec.mount.secret"),
            MountType::Ssh => caps.push("exec.mount.ssh"),
        }
    }
    caps
}

fn of_source(source: &SourceOp) -> Vec<&'static str> {
    let scheme = source.identifier.split("://").next().unwrap_or_default();
    let (own, by_attr): (&str, &[(&str, &str)]) = match scheme {
        "docker-image" => (
            "source.image",
            &[
                ("image.layerlimit", "source.image.layerlimit"),
                ("image.checksum", "source.image.checksum"),
            ],
        ),
        "local" => (
            "source.local",
            &[
                ("local.unique", "source.local.unique"),
                ("local.session", "source.local.sessionid"),
                ("local.includepattern", "source.local.includepatterns"),
                ("local.followpaths", "source.local.followpaths"),
                ("local.excludepatterns", "source.local.excludepatterns"),
                ("local.sharedkeyhint", "source.local.sharedkeyhint"),
            ],
        ),
        "git" => (
            "source.git",
            &[
                ("git.keepgitdir", "source.git.keepgitdir"),
                ("git.fullurl", "source.git.fullurl"),
                // Who has an agent also asks who the host is.
                ("git.mountsshsock", "source.git.knownsshhosts"),
                ("git.mountsshsock", "source.git.mountsshsock"),
                ("git.checksum", "source.git.checksum"),
                ("git.skipsubmodules", "source.git.skipsubmodules"),
                ("git.mtime", "source.git.mtime"),
                ("git.fetchbycommit", "source.git.fetchbycommit"),
            ],
        ),
        "http" | "https" => (
            "source.http",
            &[
                ("http.checksum", "source.http.checksum"),
                ("http.perm", "source.http.perm"),
            ],
        ),
        "oci-layout" => ("source.ocilayout", &[]),
        _ => return Vec::new(),
    };
    let used = by_attr.iter().filter(|(attr, _)| source.attr(attr).is_some());
    std::iter::once(own).chain(used.map(|(_, cap)| *cap)).collect()
}
