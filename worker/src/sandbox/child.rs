//! From a copy of the worker to the step's program: the order in which things are done.
//!
//! The order is the security of it. What needs rights comes before they are given up; the worker's files are let go of before
//! anything of the image's is looked at by name; the filter is installed while `SYS_ADMIN` is still there, because steps may use
//! `sudo` as in Docker and so run without `no_new_privs`.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use libc::sock_filter;
use rustix::io::Errno;
use rustix::process::{Gid, Resource, Rlimit, Uid};
use rustix::thread::CapabilitySet;

use super::cgroup::Entrances;
use super::kernel::{Call, Kernel, OwnFileSystem, Strings};

/// Everything the child needs, prepared.
pub(super) struct ChildPlan {
    /// Where failures are reported to; closed when the program has started.
    pub(super) report: OwnedFd,
    /// What starts the program, so that nothing of the image's is started by the worker itself.
    pub(super) launcher: OwnedFd,
    /// How to get into the groups that limit it.
    pub(super) cgroups: Entrances,
    pub(super) network: NetworkPlan,
    pub(super) hostname: CString,
    /// The detached root file system.
    pub(super) root: OwnedFd,
    /// A directory of the worker's to attach it to on the way.
    pub(super) place: CString,
    pub(super) mounts: Vec<ChildMount>,
    pub(super) cwd: CString,
    /// Standard input, output, error.
    pub(super) streams: [OwnedFd; 3],
    /// Whether it gives up what a sandbox takes: capabilities, system calls, the kernel's own files.
    pub(super) confined: bool,
    pub(super) filter: Arc<[sock_filter]>,
    pub(super) ulimits: Vec<(Resource, Rlimit)>,
    pub(super) uid: Uid,
    pub(super) gid: Gid,
    /// `None` where a process may not choose its groups.
    pub(super) groups: Option<Vec<Gid>>,
    /// The places where the program may be, in turn.
    pub(super) programs: Vec<Candidate>,
    pub(super) environment: Strings,
}

/// A place where the program may be.
pub(super) struct Candidate {
    pub(super) path: Arc<CStr>,
    /// The launcher's, if it is there.
    pub(super) arguments: Strings,
}

pub(super) enum NetworkPlan {
    /// The worker's.
    Host,
    /// A new one with a loopback interface.
    Isolated,
    /// One that was prepared.
    Join(OwnedFd),
}

pub(super) struct ChildMount {
    /// The path in the step's root.
    pub(super) target: CString,
    pub(super) what: MountWhat,
}

pub(super) enum MountWhat {
    Prepared(OwnedFd),
    Own(OwnFileSystem),
    /// As `Own`, but the step can do without.
    Optional(OwnFileSystem),
}

/// Docker's default capabilities, by number: `CHOWN`, `DAC_OVERRIDE`, `FOWNER`, `FSETID`, `KILL`, `SETGID`, `SETUID`,
/// `SETPCAP`, `NET_BIND_SERVICE`, `NET_RAW`, `SYS_CHROOT`, `MKNOD`, `AUDIT_WRITE`, `SETFCAP`.
pub(super) const CAPABILITIES: [u32; 14] = [0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31];

/// Docker's default masked paths.
const MASKED: [&CStr; 12] = [
    c"/proc/acpi",
    c"/proc/asound",
    c"/proc/interrupts",
    c"/proc/kcore",
    c"/proc/keys",
    c"/proc/latency_stats",
    c"/proc/sched_debug",
    c"/proc/scsi",
    c"/proc/timer_list",
    c"/proc/timer_stats",
    c"/sys/devices/virtual/powercap",
    c"/sys/firmware",
];

/// Docker's default read-only paths.
const READ_ONLY: [&CStr; 5] = [
    c"/proc/bus",
    c"/proc/fs",
    c"/proc/irq",
    c"/proc/sys",
    c"/proc/sysrq-trigger",
];

/// What the child was doing. The numbers travel to the parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Step {
    /// Tying its life to the worker's.
    Lifeline,
    /// Entering the resource limits.
    Limits,
    /// Entering the network.
    Network,
    /// Setting the host name.
    Hostname,
    /// Keeping mounts to itself.
    Propagation,
    /// Attaching the root file system.
    Root,
    /// Finding a mount point; the index says which.
    MountPoint,
    /// Mounting; the index says which.
    Mount,
    /// Switching to the new root.
    Pivot,
    /// Masking the kernel's own files.
    Mask,
    /// Entering the working directory.
    WorkingDirectory,
    /// Connecting the output.
    Streams,
    /// Installing the system call filter.
    Filter,
    /// Giving capabilities up.
    Capabilities,
    /// Becoming the user.
    User,
    /// Handing over to what starts the program.
    Launch,
    /// Starting the program.
    Execute,
    /// As before, but the file is there: something that it needs is not.
    Interpreter,
}

const STEPS: [Step; 18] = [
    Step::Lifeline,
    Step::Limits,
    Step::Network,
    Step::Hostname,
    Step::Propagation,
    Step::Root,
    Step::MountPoint,
    Step::Mount,
    Step::Pivot,
    Step::Mask,
    Step::WorkingDirectory,
    Step::Streams,
    Step::Filter,
    Step::Capabilities,
    Step::User,
    Step::Launch,
    Step::Execute,
    Step::Interpreter,
];

impl Step {
    /// A noun phrase for messages.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Lifeline => "tying it to the worker",
            Self::Limits => "entering its resource limits",
            Self::Network => "entering its network",
            Self::Hostname => "setting its host name",
            Self::Propagation => "separating its mounts",
            Self::Root => "attaching its root file system",
            Self::MountPoint => "finding a mount point",
            Self::Mount => "mounting",
            Self::Pivot => "switching to its root file system",
            Self::Mask => "masking the kernel's files",
            Self::WorkingDirectory => "entering its working directory",
            Self::Streams => "connecting its output",
            Self::Filter => "installing the system call filter",
            Self::Capabilities => "giving up capabilities",
            Self::User => "becoming its user",
            Self::Launch => "leaving it to its program",
            Self::Execute | Self::Interpreter => "starting its program",
        }
    }
}

/// Where and why the child gave up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) step: Step,
    /// Which mount.
    pub(super) index: u32,
    pub(super) errno: Errno,
}

impl Failure {
    pub(super) fn to_bytes(self) -> [u8; 9] {
        let mut bytes = [0; 9];
        let [step, index @ .., e0, e1, e2, e3] = &mut bytes;
        *step = self.step as u8;
        *index = self.index.to_le_bytes();
        [*e0, *e1, *e2, *e3] = self.errno.raw_os_error().to_le_bytes();
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match *bytes {
            [step, i0, i1, i2, i3, e0, e1, e2, e3] => Some(Self {
                step: *STEPS.get(usize::from(step))?,
                index: u32::from_le_bytes([i0, i1, i2, i3]),
                errno: Errno::from_raw_os_error(i32::from_le_bytes([e0, e1, e2, e3])),
            }),
            // The launcher's words. It was started for a file that is there.
            [e0, e1, e2, e3] => {
                let errno = Errno::from_raw_os_error(i32::from_ne_bytes([e0, e1, e2, e3]));
                let step = match errno {
                    Errno::NOENT | Errno::NOTDIR => Step::Interpreter,
                    _ => Step::Execute,
                };
                Some(at(step)(errno))
            }
            _ => None,
        }
    }
}

/// Becomes the program; returns only if that fails. Runs in the child: no allocation, no lock, no panic.
pub(super) fn enter(kernel: &impl Kernel, plan: &ChildPlan) -> Failure {
    match isolate(kernel, plan) {
        Ok(()) => execute(kernel, plan),
        Err(failure) => failure,
    }
}

fn at(step: Step) -> impl Fn(Errno) -> Failure {
    move |errno| Failure {
        step,
        index: 0,
        errno,
    }
}

fn isolate(kernel: &impl Kernel, plan: &ChildPlan) -> Result<(), Failure> {
    kernel
        .die_with_parent(plan.report.as_fd())
        .map_err(at(Step::Lifeline))?;
    for tasks in &plan.cgroups.tasks {
        kernel.join_cgroup(tasks.as_fd()).map_err(at(Step::Limits))?;
    }
    kernel.hide_cgroups().map_err(at(Step::Limits))?;
    match &plan.network {
        NetworkPlan::Host => {}
        NetworkPlan::Isolated => kernel.raise_loopback().map_err(at(Step::Network))?,
        NetworkPlan::Join(namespace) => kernel
            .join_network(namespace.as_fd())
            .map_err(at(Step::Network))?,
    }
    kernel.set_hostname(&plan.hostname).map_err(at(Step::Hostname))?;
    kernel.make_mounts_private().map_err(at(Step::Propagation))?;
    kernel
        .attach_root(plan.root.as_fd(), &plan.place)
        .map_err(at(Step::Root))?;
    for (index, mount) in (0..).zip(&plan.mounts) {
        mount_one(kernel, plan, mount).map_err(|(step, errno)| Failure { step, index, errno })?;
    }
    kernel.pivot(plan.root.as_fd()).map_err(at(Step::Pivot))?;
    if plan.confined {
        for path in MASKED {
            kernel.mask(path).map_err(at(Step::Mask))?;
        }
        for path in READ_ONLY {
            kernel.protect(path).map_err(at(Step::Mask))?;
        }
    }
    kernel.start_session().map_err(at(Step::Streams))?;
    for (number, stream) in (0..).zip(&plan.streams) {
        kernel
            .set_stream(number, stream.as_fd())
            .map_err(at(Step::Streams))?;
    }
    // Before any path of the step's own is followed: `/proc/self/fd` would lead through the worker's directories to
    // the machine's files, for a working directory, a program, or the interpreter that it names.
    kernel
        .close_descriptors([plan.report.as_fd(), plan.launcher.as_fd()])
        .map_err(at(Step::Streams))?;
    kernel.change_dir(&plan.cwd).map_err(at(Step::WorkingDirectory))?;
    kernel.set_umask(0o022);
    // While it may still raise them.
    for (resource, limit) in &plan.ulimits {
        kernel.set_limit(*resource, *limit).map_err(at(Step::Limits))?;
    }
    kernel.forget_keys();
    if plan.confined {
        // From here on only what the filter allows can be done.
        kernel.install_filter(&plan.filter).map_err(at(Step::Filter))?;
        give_up_rights(kernel, plan)?;
    } else {
        keep_rights(kernel, plan)?;
    }
    // Becoming another user took this back.
    kernel
        .die_with_parent(plan.report.as_fd())
        .map_err(at(Step::Lifeline))?;
    kernel.reset_signals();
    Ok(())
}

fn mount_one(kernel: &impl Kernel, plan: &ChildPlan, mount: &ChildMount) -> Result<(), (Step, Errno)> {
    let failed = |errno| (Step::Mount, errno);
    let own: OwnedFd;
    let what = match &mount.what {
        MountWhat::Prepared(mount) => mount.as_fd(),
        MountWhat::Own(file_system) => {
            own = kernel.make_file_system(file_system).map_err(failed)?;
            own.as_fd()
        }
        MountWhat::Optional(file_system) => match kernel.make_file_system(file_system) {
            Ok(mount) => {
                own = mount;
                own.as_fd()
            }
            Err(_) => return Ok(()),
        },
    };
    let point = kernel
        .find(plan.root.as_fd(), &mount.target)
        .map_err(|errno| (Step::MountPoint, errno))?;
    kernel.attach(what, point.as_fd()).map_err(failed)
}

fn give_up_rights(kernel: &impl Kernel, plan: &ChildPlan) -> Result<(), Failure> {
    let failed = at(Step::Capabilities);
    for capability in (0..64).filter(|capability| !CAPABILITIES.contains(capability)) {
        match kernel.drop_capability(capability) {
            // The kernel knows no capability of that number, nor of a higher one.
            Err(Errno::INVAL) => break,
            result => result.map_err(&failed)?,
        }
    }
    kernel.clear_ambient_capabilities().map_err(&failed)?;
    become_user(kernel, plan).map_err(at(Step::User))?;
    // Every other user lost all capabilities in becoming one.
    if plan.uid.is_root() {
        let kept = CAPABILITIES
            .iter()
            .fold(0, |bits: u64, capability| bits | 1 << capability);
        kernel
            .set_capabilities(CapabilitySet::from_bits_retain(kept))
            .map_err(&failed)?;
    }
    Ok(())
}

/// Becomes the user with all capabilities, also where that is not root.
fn keep_rights(kernel: &impl Kernel, plan: &ChildPlan) -> Result<(), Failure> {
    let failed = at(Step::Capabilities);
    kernel.keep_capabilities().map_err(&failed)?;
    become_user(kernel, plan).map_err(at(Step::User))?;
    kernel.raise_capabilities().map_err(&failed)
}

fn become_user(kernel: &impl Kernel, plan: &ChildPlan) -> Call {
    if let Some(groups) = &plan.groups {
        kernel.set_groups(groups)?;
    }
    kernel.set_group(plan.gid)?;
    kernel.set_user(plan.uid)
}

/// Tries the candidates as a shell tries the directories of its PATH.
fn execute(kernel: &impl Kernel, plan: &ChildPlan) -> Failure {
    let failed = at(Step::Execute);
    let mut failure = failed(Errno::NOENT);
    for Candidate { path, arguments } in &plan.programs {
        match kernel.may_execute(path) {
            Ok(()) => {
                let (launcher, report) = (plan.launcher.as_fd(), plan.report.as_fd());
                return match kernel.launch(launcher, report, arguments, &plan.environment) {
                    // Too many arguments, or processes of the step's user: it is not about the launcher.
                    errno @ (Errno::TOOBIG | Errno::AGAIN) => failed(errno),
                    errno => at(Step::Launch)(errno),
                };
            }
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            // Kept as the reason unless a later directory has the program.
            Err(errno @ (Errno::ACCESS | Errno::PERM)) => failure = failed(errno),
            Err(errno) => return failed(errno),
        }
    }
    failure
}

#[cfg(test)]
mod tests;
