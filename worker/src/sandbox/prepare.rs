//! Everything that a step needs, made ready in the worker: what can fail with a sentence fails here.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use libc::sock_filter;
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, mkdirat, openat, symlinkat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, open_tree,
};
use rustix::process::{Gid, Resource, Rlimit, Uid};

use super::cgroup::{Cgroups, Group};
use super::child::{Candidate, ChildMount, ChildPlan, MountWhat, NetworkPlan};
use super::kernel::{OwnFileSystem, Strings};
use super::launcher::launcher;
use super::network::{Exit, Exits};
use super::secret::secret_file;
use super::user::{Identity, identify};
use super::{MountSource, Network, ProcessSpec, SandboxError, Ulimit, floor, syscall};
use crate::rootless::Ids;
use crate::snapshot::{Confined, Created, DirAttributes, Files, mount_detached};

/// What all steps of a worker share.
pub(super) struct Workshop {
    /// Floors, by their content.
    pub(super) floors: PathBuf,
    /// Generated files, by their content.
    pub(super) files: PathBuf,
    /// An empty directory that root file systems pass through, each in its own namespace.
    pub(super) place: PathBuf,
    /// Where secrets stand for a moment.
    pub(super) passing: PathBuf,
    pub(super) filter: Arc<[sock_filter]>,
    pub(super) cgroups: Cgroups,
    pub(super) exits: Exits,
}

/// A step ready to be started.
pub(super) struct Prepared {
    pub(super) plan: ChildPlan,
    /// The root file system, for the worker.
    pub(super) root: Confined,
    pub(super) group: Group,
    /// The network lent to the step.
    pub(super) exit: Option<Exit>,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
    /// Where the child reports a failure.
    pub(super) report: OwnedFd,
    /// The mount points, in the plan's order, and whether each is a directory.
    pub(super) targets: Vec<(String, bool)>,
    /// Those that were made in the step's files, to be undone when it has ended.
    pub(super) made: Vec<Created>,
}

/// A mount, before its place is known to exist.
struct Planned {
    target: String,
    is_dir: bool,
    what: MountWhat,
}

const NODEV: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NODEV;
const NOSUID: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID;
const NOEXEC: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOEXEC;
const RDONLY: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_RDONLY;

/// Where programs are looked for when the image sets no `PATH`; Docker's default.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) fn prepare(shop: &Workshop, spec: &ProcessSpec) -> Result<Prepared, SandboxError> {
    let mut mounts = system_mounts(spec.network, spec.insecure)?;
    for (target, content) in [
        ("etc/hosts", hosts(spec)),
        ("etc/resolv.conf", resolver(spec.network)),
    ] {
        let path = floor::file(&shop.files, &content)
            .map_err(SandboxError::system(format!("/{target} cannot be made")))?;
        mounts.push(bind(target, &path, RDONLY | NODEV | NOSUID | NOEXEC)?);
    }
    for mount in &spec.mounts {
        let planned = step_mount(shop, mount)?;
        make_place(&mounts, &planned);
        mounts.push(planned);
    }
    let places: Vec<(&Path, bool)> = mounts
        .iter()
        .map(|mount| (Path::new(&mount.target), mount.is_dir))
        .collect();
    let (floor, made) = match &spec.root {
        Files::Layers(_) => {
            let floor = floor::floor(&shop.floors, &places)
                .map_err(SandboxError::system("mount points cannot be made"))?;
            (Some(floor), Vec::new())
        }
        Files::Copy(copy) => {
            let copy =
                Confined::open(copy).map_err(SandboxError::system("the step's files cannot be opened"))?;
            (None, floor::in_copy(&copy, &places))
        }
    };
    let root = mount_detached(&spec.root, floor.as_deref(), MountAttrFlags::empty())?;
    if spec.insecure {
        syscall::clear_mount_attributes(root.as_fd(), NODEV).map_err(SandboxError::system(
            "devices cannot be allowed in the root file system",
        ))?;
    }
    let again = root.try_clone().map_err(SandboxError::system(
        "the root file system cannot be opened twice",
    ))?;
    let confined = Confined::from_fd(again);
    let identity = identify(&spec.user, &confined)?;
    if let Some(lacking) = Ids::here().lacking((identity.uid, identity.gid)) {
        return Err(SandboxError::Unusable(format!(
            "the step cannot run as the user {:?}: {lacking}",
            spec.user
        )));
    }
    let cwd = working_directory(spec, &confined, &identity)?;
    if spec.readonly_root {
        syscall::set_mount_attributes(root.as_fd(), RDONLY, false).map_err(SandboxError::system(
            "the root file system cannot be made read-only",
        ))?;
    }
    let group = shop
        .cgroups
        .create(&spec.limits)
        .map_err(SandboxError::system("resource limits cannot be set"))?;
    let cgroups = group
        .entrances()
        .map_err(SandboxError::system("resource limits cannot be entered"))?;
    let exit = if spec.network == Network::Default {
        shop.exits.lend()
    } else {
        None
    };
    let network = match (spec.network, &exit) {
        (Network::Host, _) => NetworkPlan::Host,
        (Network::Default, Some(exit)) => NetworkPlan::Join(
            exit.namespace()
                .map_err(SandboxError::system("the step's network cannot be opened"))?,
        ),
        (Network::None | Network::Default, _) => NetworkPlan::Isolated,
    };
    let pipe = || std::io::pipe().map_err(SandboxError::system("a pipe cannot be made"));
    let ((stdout, stdout_end), (stderr, stderr_end), (report, report_end)) = (pipe()?, pipe()?, pipe()?);
    let stdin = File::open("/dev/null").map_err(SandboxError::system("/dev/null cannot be opened"))?;
    // One for each step: what one might do to its own does not matter to others.
    let launcher = launcher().map_err(SandboxError::system(
        "what starts programs cannot be made (files in memory may be executed unless the setting vm.memfd_noexec is 2)",
    ))?;
    let mut targets = Vec::new();
    let mut child_mounts = Vec::new();
    for Planned { target, is_dir, what } in mounts {
        child_mounts.push(ChildMount {
            target: text("a mount's target", target.as_str())?,
            what,
        });
        targets.push((target, is_dir));
    }
    let report_end = OwnedFd::from(report_end);
    let plan = ChildPlan {
        programs: candidates(spec, &report_end)?,
        report: report_end,
        launcher,
        cgroups,
        network,
        hostname: text("the host name", spec.hostname.as_str())?,
        root,
        place: text("the state directory", shop.place.as_os_str().as_encoded_bytes())?,
        mounts: child_mounts,
        cwd,
        streams: [stdin.into(), stdout_end.into(), stderr_end.into()],
        confined: !spec.insecure,
        filter: shop.filter.clone(),
        ulimits: spec.ulimits.iter().map(limit).collect(),
        uid: Uid::from_raw(identity.uid),
        gid: Gid::from_raw(identity.gid),
        groups: Ids::here()
            .may_set_groups()
            .then(|| identity.groups.iter().copied().map(Gid::from_raw).collect()),
        environment: Strings::new(environment(spec, &identity)?.into_iter().map(Arc::from)),
    };
    Ok(Prepared {
        plan,
        root: confined,
        group,
        exit,
        stdout: stdout.into(),
        stderr: stderr.into(),
        report: report.into(),
        targets,
        made,
    })
}

/// `/proc`, `/dev`, `/sys` and what is in them. With `insecure` the kernel's settings can be written to, and there are the
/// devices that the machine has for file systems, loops, virtual machines and tunnels.
fn system_mounts(network: Network, insecure: bool) -> Result<Vec<Planned>, SandboxError> {
    let own = |kind: &CStr, attributes| OwnFileSystem {
        kind: kind.to_owned(),
        flags: Vec::new(),
        options: Vec::new(),
        attributes,
    };
    let dir = |target: &str, what| Planned {
        target: target.to_owned(),
        is_dir: true,
        what,
    };
    let safe = NODEV | NOSUID | NOEXEC;
    let ids = Ids::here();
    let settings = if insecure { safe } else { safe | RDONLY };
    let more = if insecure { machine_devices() } else { Vec::new() };
    let mut mounts = vec![
        dir("proc", MountWhat::Own(own(c"proc", safe))),
        dir("dev", MountWhat::Prepared(device_directory(&more, insecure)?)),
        dir(
            "dev/pts",
            // Its own terminals: with the worker's instance a step could open the worker's.
            MountWhat::Prepared(file_system(
                "devpts",
                &["newinstance"],
                // Terminals belong to the group `tty`, where there is one.
                &[
                    ("ptmxmode", "0666"),
                    ("mode", "0620"),
                    ("gid", if ids.has_group(5) { "5" } else { "0" }),
                ],
                NOSUID | NOEXEC,
            )?),
        ),
        dir(
            "dev/shm",
            MountWhat::Prepared(file_system(
                "tmpfs",
                &[],
                &[("mode", "1777"), ("size", "65536k")],
                safe,
            )?),
        ),
        dir("dev/mqueue", MountWhat::Optional(own(c"mqueue", safe))),
    ];
    if network == Network::Host && !ids.are_the_machines() {
        // This file system is of a network, and the machine's is not an ordinary user's.
        mounts.push(bind("sys", Path::new("/sys"), safe | RDONLY)?);
    } else {
        mounts.push(dir("sys", MountWhat::Own(own(c"sysfs", settings))));
    }
    for device in DEVICES.into_iter().chain(more.iter().map(String::as_str)) {
        // The worker's node is shown, not a new one made: `/dev` itself can then refuse devices, and a step that makes nodes,
        // which it has the capability for, can open none of them.
        mounts.push(bind(
            &format!("dev/{device}"),
            &Path::new("/dev").join(device),
            NOSUID | NOEXEC,
        )?);
    }
    Ok(mounts)
}

const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Which of the devices that a step without confinement gets this machine has.
fn machine_devices() -> Vec<String> {
    let named = ["kmsg", "cuse", "fuse", "kvm", "loop-control", "net/tun"].map(str::to_owned);
    let loops = (0..64).map(|number| format!("loop{number}"));
    let there = |device: &String| Path::new("/dev").join(device).exists();
    named.into_iter().chain(loops).filter(there).collect()
}

/// An empty `/dev` with the places that other things are mounted on, and the links that programs expect.
fn device_directory(more: &[String], insecure: bool) -> Result<OwnedFd, SandboxError> {
    let devices = if insecure { MountAttrFlags::empty() } else { NODEV };
    let dev = file_system(
        "tmpfs",
        &[],
        &[("mode", "0755"), ("size", "65536k")],
        devices | NOSUID | NOEXEC,
    )?;
    let fill = || -> rustix::io::Result<()> {
        for dir in ["pts", "shm", "mqueue"] {
            mkdirat(&dev, dir, Mode::from_raw_mode(0o755))?;
        }
        if more.iter().any(|device| device.starts_with("net/")) {
            mkdirat(&dev, "net", Mode::from_raw_mode(0o755))?;
        }
        for device in DEVICES.into_iter().chain(more.iter().map(String::as_str)) {
            openat(
                &dev,
                device,
                OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC,
                Mode::from_raw_mode(0o666),
            )?;
        }
        let links = [
            ("ptmx", "pts/ptmx"),
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
            ("core", "/proc/kcore"),
        ];
        links
            .into_iter()
            .try_for_each(|(link, target)| symlinkat(target, &dev, link))
    };
    fill().map_err(SandboxError::system("/dev cannot be filled"))?;
    Ok(dev)
}

fn step_mount(shop: &Workshop, mount: &super::MountSpec) -> Result<Planned, SandboxError> {
    let mut attributes = NODEV;
    if mount.readonly {
        attributes |= RDONLY;
    }
    match &mount.source {
        MountSource::Tmpfs { size } => {
            let size = size.map(|size| size.to_string());
            let mut options = vec![("mode", "1777")];
            options.extend(size.as_deref().map(|size| ("size", size)));
            let what = MountWhat::Prepared(file_system("tmpfs", &[], &options, attributes | NOSUID)?);
            Ok(Planned {
                target: mount.target.clone(),
                is_dir: true,
                what,
            })
        }
        MountSource::Secret { content, owner, mode } => {
            let file = secret_file(&shop.passing, content.reveal(), *owner, *mode)?;
            let attributes = NODEV | NOSUID | NOEXEC | RDONLY;
            syscall::set_mount_attributes(file.as_fd(), attributes, false)
                .map_err(SandboxError::system("a secret cannot be made read-only"))?;
            Ok(Planned {
                target: mount.target.clone(),
                is_dir: false,
                what: MountWhat::Prepared(file),
            })
        }
        MountSource::Bind { root, path } => {
            if path.as_os_str().is_empty() {
                return bind(&mount.target, root, attributes);
            }
            let missing = |error: std::io::Error| {
                SandboxError::Unusable(format!(
                    "what is to be mounted at {} cannot be found: {} ({error})",
                    mount.target,
                    path.display()
                ))
            };
            // A leading slash means the root that is given, as for a process that has it.
            let found = Confined::open(root).and_then(|root| root.open_at(path, OFlags::PATH, Mode::empty()));
            bind_handle(&mount.target, found.map_err(missing)?.as_fd(), attributes)
        }
    }
}

/// Makes the place of a mount that lies in an earlier one, such as a cache in a writable view of a stage. One that
/// cannot be made, in what is only read, is missed when it is mounted.
fn make_place(earlier: &[Planned], mount: &Planned) {
    let absolute = |target: &str| Path::new("/").join(target);
    let target = absolute(&mount.target);
    let mut around = earlier.iter().rev().filter(|earlier| earlier.is_dir);
    let Some((around, inner)) = around.find_map(|around| {
        let inner = target.strip_prefix(absolute(&around.target)).ok()?;
        (!inner.as_os_str().is_empty()).then_some((around, inner))
    }) else {
        return;
    };
    let MountWhat::Prepared(root) = &around.what else {
        return;
    };
    let Ok(root) = root.try_clone().map(Confined::from_fd) else {
        return;
    };
    if root.open_at(inner, OFlags::PATH, Mode::empty()).is_err() {
        let made = if mount.is_dir {
            root.make_dirs(inner, DirAttributes::ROOT).map(drop)
        } else {
            root.make_file(inner).map(drop)
        };
        if let Err(error) = made {
            tracing::debug!(%error, target = %mount.target, "a mount point in a mount cannot be made");
        }
    }
}

/// A worker's file or directory, shown at `target`.
fn bind(target: &str, source: &Path, attributes: MountAttrFlags) -> Result<Planned, SandboxError> {
    let handle = openat(CWD, source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(
        SandboxError::system(format!("{} cannot be opened", source.display())),
    )?;
    bind_handle(target, handle.as_fd(), attributes)
}

fn bind_handle(
    target: &str,
    source: std::os::fd::BorrowedFd<'_>,
    attributes: MountAttrFlags,
) -> Result<Planned, SandboxError> {
    let failed = || SandboxError::system(format!("what is mounted at {target} cannot be prepared"));
    let is_dir = FileType::from_raw_mode(fstat(source).map_err(failed())?.st_mode) == FileType::Directory;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    let mount = open_tree(source, "", flags).map_err(failed())?;
    syscall::set_mount_attributes(mount.as_fd(), attributes, true).map_err(failed())?;
    Ok(Planned {
        target: target.to_owned(),
        is_dir,
        what: MountWhat::Prepared(mount),
    })
}

pub(super) fn file_system(
    kind: &str,
    flags: &[&str],
    options: &[(&str, &str)],
    attributes: MountAttrFlags,
) -> Result<OwnedFd, SandboxError> {
    let make = || {
        let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
        for flag in flags {
            fsconfig_set_flag(&context, *flag)?;
        }
        for (name, value) in options {
            fsconfig_set_string(&context, *name, *value)?;
        }
        fsconfig_create(&context)?;
        fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
    };
    make().map_err(SandboxError::system(format!(
        "a {kind} file system cannot be made"
    )))
}

/// The directory to start in, made where it is missing, as the user's.
fn working_directory(
    spec: &ProcessSpec,
    root: &Confined,
    identity: &Identity,
) -> Result<CString, SandboxError> {
    let cwd = if spec.cwd.is_empty() {
        "/"
    } else {
        spec.cwd.as_str()
    };
    let path = Path::new(cwd);
    let in_a_mount = spec.mounts.iter().any(|mount| {
        let absolute = |path: &str| Path::new("/").join(path);
        absolute(cwd).starts_with(absolute(&mount.target))
    });
    // What is in a mount cannot be seen yet, and making it below the mount would leave it in the layer.
    if !in_a_mount
        && root
            .open_at(path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
            .is_err()
    {
        let owner = DirAttributes {
            mode: 0o755,
            uid: identity.uid,
            gid: identity.gid,
        };
        root.make_dirs(path, owner).map_err(|error| {
            SandboxError::Unusable(format!(
                "the working directory {cwd} cannot be made or entered ({error})"
            ))
        })?;
    }
    text("the working directory", cwd)
}

/// The image's environment and what every step has beyond it.
fn environment(spec: &ProcessSpec, identity: &Identity) -> Result<Vec<CString>, SandboxError> {
    let mut environment = Vec::new();
    for (name, value) in &spec.secret_env {
        let mut variable = format!("{name}=").into_bytes();
        variable.extend_from_slice(value.reveal());
        environment.push(text(&format!("the secret in the variable {name}"), variable)?);
    }
    let hidden = |variable: &str| {
        let name = variable.split_once('=').map_or(variable, |(name, _)| name);
        spec.secret_env.iter().any(|(secret, _)| secret == name)
    };
    for variable in spec.env.iter().filter(|variable| !hidden(variable)) {
        environment.push(text("an environment variable", variable.as_str())?);
    }
    let has_home = environment
        .iter()
        .any(|variable| variable.as_bytes().starts_with(b"HOME="));
    if !has_home {
        environment.push(text(
            "an environment variable",
            format!("HOME={}", identity.home),
        )?);
    }
    Ok(environment)
}

fn limit(limit: &Ulimit) -> (Resource, Rlimit) {
    let Ulimit { resource, soft, hard } = *limit;
    let limit = Rlimit {
        current: soft,
        maximum: hard,
    };
    (resource, limit)
}

/// The paths that the program may be at, in the order of the search.
fn programs(spec: &ProcessSpec) -> Result<Vec<CString>, SandboxError> {
    let Some(program) = spec.args.first().filter(|program| !program.is_empty()) else {
        return Err(SandboxError::Unusable(
            "there is no program to run; RUN needs a command".to_owned(),
        ));
    };
    if program.contains('/') {
        return Ok(vec![text("the program", program.as_str())?]);
    }
    search_path(&spec.env)
        .split(':')
        .map(|dir| if dir.is_empty() { "." } else { dir })
        .map(|dir| text("the program", format!("{dir}/{program}")))
        .collect()
}

/// The same with what the launcher is told of them.
fn candidates(spec: &ProcessSpec, report: &OwnedFd) -> Result<Vec<Candidate>, SandboxError> {
    let report: Arc<CStr> = text("a number", report.as_raw_fd().to_string())?.into();
    let arguments = texts("an argument", &spec.args)?;
    let arguments: Vec<Arc<CStr>> = arguments.into_iter().map(Arc::from).collect();
    let candidate = |path: CString| {
        let path: Arc<CStr> = path.into();
        let arguments = [report.clone(), path.clone()]
            .into_iter()
            .chain(arguments.iter().cloned());
        Candidate {
            arguments: Strings::new(arguments),
            path,
        }
    };
    Ok(programs(spec)?.into_iter().map(candidate).collect())
}

/// The last `PATH` in the environment.
pub(super) fn search_path(environment: &[String]) -> &str {
    environment
        .iter()
        .rev()
        .find_map(|variable| variable.strip_prefix("PATH="))
        .unwrap_or(DEFAULT_PATH)
}

fn hosts(spec: &ProcessSpec) -> String {
    use std::fmt::Write as _;
    let mut text = format!(
        "127.0.0.1\tlocalhost {}\n::1\tlocalhost ip6-localhost ip6-loopback\n",
        spec.hostname
    );
    for (address, name) in &spec.extra_hosts {
        let _ = writeln!(text, "{address}\t{name}");
    }
    text
}

/// The machine's resolver configuration. A server on its loopback cannot be reached from another network.
fn resolver(network: Network) -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let text = read("/etc/resolv.conf");
    match network {
        Network::Host => text,
        // Where a resolver runs on the machine itself, this has the servers that it asks.
        Network::None | Network::Default if names_only_loopback(&text) => {
            reachable_resolvers(&read("/run/systemd/resolve/resolv.conf"))
        }
        Network::None | Network::Default => reachable_resolvers(&text),
    }
}

/// Whether a line names a resolver, and whether that is on the machine's loopback.
fn resolver_on_loopback(line: &str) -> Option<bool> {
    let mut words = line.split_whitespace();
    if words.next() != Some("nameserver") {
        return None;
    }
    let address = words.next()?.split('%').next()?.parse::<std::net::IpAddr>();
    Some(address.is_ok_and(|address| address.is_loopback()))
}

fn names_only_loopback(text: &str) -> bool {
    let mut resolvers = text.lines().filter_map(resolver_on_loopback).peekable();
    resolvers.peek().is_some() && resolvers.all(|loopback| loopback)
}

fn reachable_resolvers(text: &str) -> String {
    let is_loopback = |line: &str| resolver_on_loopback(line) == Some(true);
    let mut result = String::new();
    for line in text.lines().filter(|line| !is_loopback(line)) {
        result.push_str(line);
        result.push('\n');
    }
    if !result.lines().any(|line| line.starts_with("nameserver")) {
        // As Docker does for a machine whose only resolver is its own.
        result.push_str("nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
    }
    result
}

fn text(what: &str, text: impl Into<Vec<u8>>) -> Result<CString, SandboxError> {
    CString::new(text).map_err(|_| SandboxError::Unusable(format!("{what} contains a zero byte")))
}

fn texts(what: &str, list: &[String]) -> Result<Vec<CString>, SandboxError> {
    list.iter().map(|one| text(what, one.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers_on_the_machines_loopback_are_left_out() {
        let text = "# made by hand\nsearch example.org\nnameserver 127.0.0.53\nnameserver 10.0.0.1\nnameserver ::1\n";
        assert_eq!(
            reachable_resolvers(text),
            "# made by hand\nsearch example.org\nnameserver 10.0.0.1\n"
        );
        assert!(!names_only_loopback(text) && !names_only_loopback("search example.org\n"));
        assert!(names_only_loopback("nameserver 127.0.0.53\noptions edns0\n"));
        assert_eq!(
            reachable_resolvers("nameserver 127.0.0.1\n"),
            "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"
        );
    }

    #[test]
    fn programs_are_searched_like_a_shell_does() {
        let spec = |args: &[&str], env: &[&str]| {
            let root = crate::snapshot::OverlaySpec {
                lowers: Vec::new(),
                writable: None,
            };
            let mut spec = ProcessSpec::new(root, args.iter().map(ToString::to_string).collect());
            spec.env = env.iter().map(ToString::to_string).collect();
            programs(&spec).map(|programs| {
                programs
                    .into_iter()
                    .map(|one| one.into_string().unwrap())
                    .collect::<Vec<_>>()
            })
        };
        assert_eq!(
            spec(&["go"], &["PATH=/a:/b::", "X=1"]).unwrap(),
            ["/a/go", "/b/go", "./go", "./go"]
        );
        assert_eq!(spec(&["./x"], &["PATH=/a"]).unwrap(), ["./x"]);
        assert_eq!(spec(&["go"], &["PATH=/a", "PATH=/z"]).unwrap(), ["/z/go"]);
        assert_eq!(spec(&["go"], &[]).unwrap().len(), 6);
        assert!(spec(&[], &[]).is_err());
        assert!(spec(&["a\0b"], &[]).is_err());
    }
}
