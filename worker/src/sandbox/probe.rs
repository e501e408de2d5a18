//! What this machine lets a worker do, before the first build finds out.

use std::path::Path;

use rustix::io::Errno;

use super::cgroup::Cgroups;
use super::emulation::all_emulated;
use super::filter;
use super::launcher::launcher;
use crate::rootless::{Ids, Standing, standing};
use crate::snapshot::{SnapshotError, SnapshotStore, Way};

/// One thing a worker needs or makes use of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capability {
    /// What it is, as a short noun.
    pub name: &'static str,
    /// Whether builds with `RUN` are impossible without it.
    pub required: bool,
    /// `Ok` with what was found, or one sentence on what is missing and what to do.
    pub state: Result<String, String>,
}

/// What a machine allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// In the order in which they matter.
    pub capabilities: Vec<Capability>,
}

impl Report {
    /// Whether steps can be run.
    pub fn can_build(&self) -> bool {
        self.capabilities
            .iter()
            .all(|capability| !capability.required || capability.state.is_ok())
    }

    /// One sentence for everything that is missing.
    pub fn problems(&self) -> impl Iterator<Item = &str> {
        self.capabilities
            .iter()
            .filter_map(|capability| capability.state.as_ref().err().map(String::as_str))
    }
}

/// What keeps this machine from running any step, as far as a look tells: a sentence each. It takes microseconds, where
/// [`probe`] takes as long as a small build.
pub fn obstacles() -> Vec<String> {
    [privileges(&standing()), namespaces(), seccomp(), programs()]
        .into_iter()
        .filter_map(Result::err)
        .collect()
}

/// Tries out what a worker with its state in `state_dir` could do. Leaves nothing behind.
pub fn probe(state_dir: &Path) -> Report {
    let standing = standing();
    let mut report = Report {
        capabilities: vec![
            Capability {
                name: "privileges",
                required: true,
                state: privileges(&standing),
            },
            Capability {
                name: "namespaces",
                required: true,
                state: namespaces(),
            },
            layers(state_dir),
            Capability {
                name: "seccomp",
                required: true,
                state: seccomp(),
            },
            Capability {
                name: "programs",
                required: true,
                state: programs(),
            },
            Capability {
                name: "limits",
                required: false,
                state: limits(&standing),
            },
            Capability {
                name: "network",
                required: false,
                state: network(),
            },
            Capability {
                name: "emulation",
                required: false,
                state: Ok(emulation()),
            },
        ],
    };
    if let Some(state) = owners(&standing) {
        let owners = Capability {
            name: "owners",
            required: false,
            state,
        };
        report.capabilities.insert(1, owners);
    }
    report
}

/// Who files can belong to and steps can be, where that is not everybody.
fn owners(standing: &Standing) -> Option<Result<String, String>> {
    match standing {
        Standing::Root | Standing::Refused(_) => None,
        Standing::User => Some(Ok(format!(
            "{} users and as many groups that files can belong to",
            Ids::here().count()
        ))),
        Standing::Alone(reason) => Some(Err(format!(
            "All files belong to one user, so steps that change owners or users fail, apt-get among them: {reason}."
        ))),
    }
}

fn privileges(standing: &Standing) -> Result<String, String> {
    let advice = "run it as root (in a container: with --privileged); plans and checks work without";
    if let Standing::Refused(reason) = standing {
        return Err(reason.clone());
    }
    // Bits as in capability.h: CHOWN, SETGID, SETUID, SETPCAP, SYS_CHROOT, SYS_ADMIN, MKNOD.
    let needed = [
        (0, "CHOWN"),
        (6, "SETGID"),
        (7, "SETUID"),
        (8, "SETPCAP"),
        (18, "SYS_CHROOT"),
        (21, "SYS_ADMIN"),
        (27, "MKNOD"),
    ];
    let held = rustix::thread::capabilities(None).map_or(0, |sets| sets.effective.bits());
    let missing: Vec<&str> = needed
        .iter()
        .filter(|(bit, _)| held & (1 << bit) == 0)
        .map(|(_, name)| *name)
        .collect();
    if missing.is_empty() {
        Ok(match standing {
            Standing::Root | Standing::Refused(_) => "root with the capabilities that are needed",
            Standing::User | Standing::Alone(_) => "an ordinary user, as root in a user namespace of its own",
        }
        .to_owned())
    } else {
        Err(format!(
            "The worker is root without the capabilities {}: {advice}.",
            missing.join(", ")
        ))
    }
}

fn namespaces() -> Result<String, String> {
    let missing: Vec<&str> = ["mnt", "pid", "ipc", "uts", "net", "cgroup"]
        .into_iter()
        .filter(|name| !Path::new("/proc/self/ns").join(name).exists())
        .collect();
    if let Some(hidden) = hidden_in_proc() {
        return Err(format!(
            "{hidden} is covered, as in containers, and so an ordinary user's steps cannot have a /proc of their own: let the \
             container show all of it (Docker: --security-opt systempaths=unconfined, Podman: --security-opt unmask=ALL)."
        ));
    }
    if missing.is_empty() {
        Ok("mount, process, IPC, host name, network and cgroup namespaces".to_owned())
    } else {
        Err(format!(
            "This kernel is without the namespaces {}: use one that has them.",
            missing.join(", ")
        ))
    }
}

/// What of `/proc` is covered: where something is, the kernel lets nobody but the machine's root mount another one.
fn hidden_in_proc() -> Option<String> {
    if Ids::here().are_the_machines() {
        return None;
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    covered(&mounts).map(ToOwned::to_owned)
}

fn covered(mounts: &str) -> Option<&str> {
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    // Two directories in it are there to be mounted on.
    let meant = ["/proc/sys/fs/binfmt_misc", "/proc/fs/nfsd"];
    let mut covered = points.filter(|point| point.starts_with("/proc/") && !meant.contains(point));
    covered.next()
}

/// Whether layers can be put on top of each other, and how.
fn layers(state_dir: &Path) -> Capability {
    let try_out = || -> Result<Way, SnapshotError> {
        let dir = state_dir.join(format!("probe-{}", std::process::id()));
        let result = SnapshotStore::open(&dir).and_then(|store| {
            // What is made here is thrown away: no need to wait until it is on the disk.
            store.leave();
            let base = "probe".parse()?;
            store.begin(&[])?.commit(&base)?;
            store.begin(&[base])?.mount()?;
            store.way().cloned()
        });
        let _ = std::fs::remove_dir_all(&dir);
        result
    };
    let way = try_out();
    Capability {
        name: "overlay",
        required: way.is_err(),
        state: told(way),
    }
}

fn told(way: Result<Way, SnapshotError>) -> Result<String, String> {
    match way {
        Ok(Way::Mounted) => Ok("layers can be mounted".to_owned()),
        // The reason comes with its own advice: a kernel without overlay is not helped by another directory.
        Ok(Way::Copied(reason)) => Err(format!("Layers are copied, which takes longer: {reason}.")),
        Err(error) => Err(format!("{}.", capitalised(&error.to_string()))),
    }
}

fn seccomp() -> Result<String, String> {
    let actions = std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    if !actions.split_whitespace().any(|action| action == "errno") {
        return Err("This kernel cannot filter system calls: use one with CONFIG_SECCOMP_FILTER.".to_owned());
    }
    match filter::filter() {
        Some(_) => Ok("system calls are filtered as in Docker".to_owned()),
        None => Err(format!(
            "Steps cannot be run on {}: its system calls are not known; use x86_64 or aarch64.",
            std::env::consts::ARCH
        )),
    }
}

fn programs() -> Result<String, String> {
    match launcher() {
        Ok(_) => Ok("started from a file in memory, so that none gets hold of the worker's".to_owned()),
        Err(Errno::ACCESS) => Err(
            "Programs cannot be started: this machine lets no file in memory be executed. Set vm.memfd_noexec to 1 or 0 \
             (sysctl vm.memfd_noexec=1)."
                .to_owned(),
        ),
        Err(errno) => Err(format!("Programs cannot be started: a file in memory cannot be made ({errno}).")),
    }
}

fn limits(standing: &Standing) -> Result<String, String> {
    let missing = Cgroups::detect().missing();
    if missing.is_empty() {
        return Ok("memory, processes and processor time can be limited".to_owned());
    }
    let advice = match standing {
        Standing::Root | Standing::Refused(_) => {
            "let the worker write to its control group (in a systemd unit: Delegate=yes)"
        }
        Standing::User | Standing::Alone(_) => {
            "start it where you may write to the control group (systemd-run --user --scope -p Delegate=yes stagewright …)"
        }
    };
    Err(format!(
        "Limits on {} cannot be kept: {advice}.",
        missing.join(", ")
    ))
}

fn network() -> Result<String, String> {
    super::network::probe()
        .map(ToOwned::to_owned)
        .map_err(|reason| format!("Steps have no way out to the network: {reason}."))
}

fn emulation() -> String {
    let emulated: Vec<&str> = all_emulated().collect();
    if emulated.is_empty() {
        return "none is registered: steps run programs for this machine's processor".to_owned();
    }
    format!("steps run programs for {} too", emulated.join(", "))
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().collect::<String>() + letters.as_str())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_layers_are_copied_is_told_with_the_advice_that_belongs_to_it() {
        let reason = "this kernel has no overlay file system; load it with `modprobe overlay`";
        assert_eq!(
            told(Ok(Way::Copied(reason.to_owned()))),
            Err(format!("Layers are copied, which takes longer: {reason}."))
        );
    }

    #[test]
    fn a_covered_proc_is_told_from_one_that_is_mounted_on_as_meant() {
        let host =
            "22 28 0:21 / /proc rw - proc proc rw\n30 22 0:28 / /proc/sys/fs/binfmt_misc rw - autofs x rw\n";
        assert_eq!(covered(host), None);
        let container = format!("{host}31 22 0:6 /null /proc/kcore rw - tmpfs tmpfs rw\n");
        assert_eq!(covered(&container), Some("/proc/kcore"));
    }
}
