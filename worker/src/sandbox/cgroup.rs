//! Resource limits, by whichever kind of cgroups the machine has.
//!
//! Machines have version 1 (a tree per controller), version 2 (one tree), or both with the controllers spread over them. Groups
//! are made below the worker's own, so limits put on the worker hold for its steps too.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Limits;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Controller {
    Memory,
    Pids,
    Cpu,
}

impl Controller {
    pub(super) const ALL: [Self; 3] = [Self::Memory, Self::Pids, Self::Cpu];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Cpu => "cpu",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// Where this machine lets the worker make groups.
#[derive(Debug, Default)]
pub(super) struct Cgroups {
    places: BTreeMap<Controller, (Version, PathBuf)>,
    /// Which worker made a group: process id and start time.
    owner: String,
}

/// Numbers the groups of this process, of whichever sandbox: two steps in one group would take it away from each other.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// The leaf that the worker moves into where version 2 demands that a group with children has no processes.
const LEAF: &str = "stagewright-worker";
const PREFIX: &str = "stagewright-step-";

impl Cgroups {
    /// Finds out what can be limited. Moves the worker into a group of its own where that is needed first.
    pub(super) fn detect() -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mut places = BTreeMap::new();
        for controller in Controller::ALL {
            let place = v1_place(&mounts, &own, controller).map(|place| (Version::V1, place));
            let place =
                place.or_else(|| v2_place(&mounts, &own, controller).map(|place| (Version::V2, place)));
            if let Some((version, place)) = place.filter(|(_, place)| is_writable(place)) {
                places.insert(controller, (version, place));
            }
        }
        let cgroups = Self {
            places,
            owner: owner(std::process::id()),
        };
        cgroups.sweep();
        cgroups
    }

    /// Which limits cannot be kept here.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        Controller::ALL
            .into_iter()
            .filter(|controller| !self.places.contains_key(controller))
            .map(Controller::name)
            .collect()
    }

    /// Makes a group with these limits. Limits that cannot be kept here are left out: [`probe`](super::probe()) reports them.
    pub(super) fn create(&self, limits: &Limits) -> io::Result<Group> {
        let mut group = Group {
            dirs: Vec::new(),
            memory: None,
        };
        let name = format!("{PREFIX}{}-{}", self.owner, NEXT.fetch_add(1, Ordering::Relaxed));
        let wanted = [
            (Controller::Memory, limits.memory),
            (Controller::Pids, limits.pids),
            (Controller::Cpu, limits.cpu_millis),
        ];
        for (controller, value) in wanted {
            let (Some(value), Some((version, place))) = (value, self.places.get(&controller)) else {
                continue;
            };
            let dir = place.join(&name);
            match fs::create_dir(&dir) {
                Ok(()) => group.dirs.push((*version, dir.clone())),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
            set_limit(&dir, *version, controller, value)?;
            if controller == Controller::Memory {
                group.memory = Some((*version, dir));
            }
        }
        Ok(group)
    }

    /// Ends what a worker that was killed left running, and takes its groups away. Its steps died with it, but for programs
    /// that changed their rights and so lost the tie.
    fn sweep(&self) {
        for (_, place) in self.places.values() {
            let Ok(entries) = fs::read_dir(place) else {
                continue;
            };
            for entry in entries.flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let Some(made_by) = name.strip_prefix(PREFIX).and_then(|rest| rest.rsplit_once('-')) else {
                    continue;
                };
                let pid = made_by.0.split('-').next().and_then(|pid| pid.parse().ok());
                if pid.is_some_and(|pid| owner(pid) == made_by.0) {
                    continue;
                }
                kill_all(&entry.path());
                remove(&entry.path());
            }
        }
    }
}

/// The groups of one step. Dropping it takes them away; the step must have ended.
#[derive(Debug)]
pub(super) struct Group {
    dirs: Vec<(Version, PathBuf)>,
    memory: Option<(Version, PathBuf)>,
}

impl Group {
    /// Handles by which a process enters the groups.
    ///
    /// Moving a process by `cgroup.procs` makes the kernel wait until every processor has let go of the list of threads: ten
    /// milliseconds and more. Neither of these ways does.
    pub(super) fn entrances(&self) -> io::Result<Entrances> {
        let mut entrances = Entrances::default();
        for (version, dir) in &self.dirs {
            match version {
                Version::V1 => {
                    let tasks = File::options().write(true).open(dir.join("tasks"))?;
                    entrances.tasks.push(tasks.into());
                }
                Version::V2 => entrances.birthplace = Some(File::open(dir)?.into()),
            }
        }
        Ok(entrances)
    }

    /// Whether a process in it was killed for using too much memory.
    pub(super) fn ran_out_of_memory(&self) -> bool {
        let Some((version, dir)) = &self.memory else {
            return false;
        };
        let file = match version {
            Version::V1 => "memory.oom_control",
            Version::V2 => "memory.events",
        };
        let text = fs::read_to_string(dir.join(file)).unwrap_or_default();
        text.lines().any(|line| {
            line.strip_prefix("oom_kill ")
                .is_some_and(|count| count.trim() != "0")
        })
    }
}

/// How a child gets into its groups.
#[derive(Debug, Default)]
pub(super) struct Entrances {
    /// The `tasks` of version 1 groups: a thread that writes `0` there moves itself, and the child has no other.
    pub(super) tasks: Vec<OwnedFd>,
    /// The version 2 group that the child is made in.
    pub(super) birthplace: Option<OwnedFd>,
}

impl Drop for Group {
    fn drop(&mut self) {
        for (_, dir) in &self.dirs {
            remove(dir);
        }
    }
}

fn set_limit(dir: &Path, version: Version, controller: Controller, value: u64) -> io::Result<()> {
    // One processor's time is handed out in periods of this many microseconds.
    const PERIOD: u64 = 100_000;
    let quota = value.saturating_mul(PERIOD / 1000).max(1000);
    match (version, controller) {
        (Version::V1, Controller::Memory) => {
            fs::write(dir.join("memory.limit_in_bytes"), value.to_string())?;
            // Kernels without swap accounting have no such file.
            optional(fs::write(
                dir.join("memory.memsw.limit_in_bytes"),
                value.to_string(),
            ))
        }
        (Version::V2, Controller::Memory) => {
            fs::write(dir.join("memory.max"), value.to_string())?;
            optional(fs::write(dir.join("memory.swap.max"), "0"))
        }
        (_, Controller::Pids) => fs::write(dir.join("pids.max"), value.to_string()),
        (Version::V1, Controller::Cpu) => {
            fs::write(dir.join("cpu.cfs_period_us"), PERIOD.to_string())?;
            fs::write(dir.join("cpu.cfs_quota_us"), quota.to_string())
        }
        (Version::V2, Controller::Cpu) => fs::write(dir.join("cpu.max"), format!("{quota} {PERIOD}")),
    }
}

fn optional(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error)
            if error.kind() == io::ErrorKind::NotFound || error.kind() == io::ErrorKind::PermissionDenied =>
        {
            Ok(())
        }
        result => result,
    }
}

/// A group is busy for a moment after its last process ended.
fn remove(dir: &Path) {
    for attempt in 0..10 {
        match fs::remove_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                std::thread::sleep(Duration::from_millis(1 << attempt.min(6)));
            }
            _ => return,
        }
    }
    tracing::warn!(path = %dir.display(), "a control group could not be removed");
}

fn kill_all(dir: &Path) {
    let Ok(processes) = fs::read_to_string(dir.join("cgroup.procs")) else {
        return;
    };
    for pid in processes
        .lines()
        .filter_map(|line| line.parse().ok())
        .filter_map(rustix::process::Pid::from_raw)
    {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// Names a process beyond the reuse of its number: `<pid>-<start time>`; empty where there is none.
fn owner(pid: u32) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The second field is the program's name in brackets and may contain anything.
    let started = status
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.split_whitespace().nth(19));
    started.map(|time| format!("{pid}-{time}")).unwrap_or_default()
}

/// The worker's own group in the version 1 tree of a controller.
fn v1_place(mounts: &str, own: &str, controller: Controller) -> Option<PathBuf> {
    let has = |list: &str| list.split(',').any(|name| name == controller.name());
    let mount = mounts
        .lines()
        .filter_map(Mount::parse)
        .find(|mount| mount.kind == "cgroup" && has(mount.options))?;
    let path = own.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        has(controllers).then_some(path)
    })?;
    Some(mount.place(path))
}

/// The group in the version 2 tree below which groups can be made that limit what `controller` does.
fn v2_place(mounts: &str, own: &str, controller: Controller) -> Option<PathBuf> {
    let mount = mounts
        .lines()
        .filter_map(Mount::parse)
        .find(|mount| mount.kind == "cgroup2")?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mut base = mount.place(path);
    if base.file_name().is_some_and(|name| name == LEAF) {
        base.pop();
    }
    let listed = |file: &str| {
        fs::read_to_string(base.join(file))
            .unwrap_or_default()
            .split_whitespace()
            .any(|name| name == controller.name())
    };
    if !listed("cgroup.controllers") {
        return None;
    }
    let enable = || {
        fs::write(
            base.join("cgroup.subtree_control"),
            format!("+{}", controller.name()),
        )
    };
    if !listed("cgroup.subtree_control") && enable().is_err() {
        // A group with processes of its own cannot hand controllers down, so the worker moves one level down.
        let leaf = base.join(LEAF);
        fs::create_dir(&leaf)
            .or_else(|error| if leaf.is_dir() { Ok(()) } else { Err(error) })
            .ok()?;
        fs::write(leaf.join("cgroup.procs"), std::process::id().to_string()).ok()?;
        enable().ok()?;
    }
    Some(base)
}

fn is_writable(place: &Path) -> bool {
    let access = rustix::fs::Access::WRITE_OK;
    rustix::fs::accessat(rustix::fs::CWD, place, access, rustix::fs::AtFlags::EACCESS).is_ok()
}

/// A line of `/proc/self/mountinfo`, as far as it matters.
struct Mount<'a> {
    root: &'a str,
    point: &'a str,
    kind: &'a str,
    options: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ');
        let (root, point) = (before.nth(3)?, before.next()?);
        let mut after = after.split(' ');
        let (kind, options) = (after.next()?, after.nth(1)?);
        Some(Self {
            root,
            point,
            kind,
            options,
        })
    }

    /// Where a group with this path in the hierarchy can be seen.
    fn place(&self, path: &str) -> PathBuf {
        let below = path
            .strip_prefix(self.root)
            .unwrap_or(path)
            .trim_start_matches('/');
        let place = Path::new(self.point).join(below);
        // In a container the path may be one of the outside.
        if place.is_dir() {
            place
        } else {
            PathBuf::from(self.point)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd, AsRawFd as _};

    use super::super::syscall;
    use super::*;

    const HYBRID: &str = "\
30 25 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
31 30 0:27 / /nowhere/unified rw,nosuid - cgroup2 cgroup2 rw
34 30 0:30 / /nowhere/cpu,cpuacct rw,nosuid shared:1 - cgroup cgroup rw,cpu,cpuacct
35 30 0:31 /docker/abc /nowhere/memory rw,nosuid - cgroup cgroup rw,memory
";

    #[test]
    fn controllers_are_found_where_they_are_mounted() {
        let own = "8:memory:/docker/abc\n4:cpu,cpuacct:/x\n0::/\n";
        assert_eq!(
            v1_place(HYBRID, own, Controller::Memory),
            Some("/nowhere/memory".into())
        );
        assert_eq!(
            v1_place(HYBRID, own, Controller::Cpu),
            Some("/nowhere/cpu,cpuacct".into())
        );
        assert_eq!(v1_place(HYBRID, own, Controller::Pids), None);
        assert_eq!(v2_place(HYBRID, own, Controller::Pids), None);
    }

    #[test]
    fn version_two_is_used_where_it_hands_the_controller_down() {
        let dir = tempfile::tempdir().unwrap();
        let point = dir.path().to_str().unwrap();
        let mounts = format!("31 30 0:27 / {point} rw - cgroup2 cgroup2 rw\n");
        fs::create_dir(dir.path().join("own")).unwrap();
        fs::write(dir.path().join("own/cgroup.controllers"), "cpu memory pids\n").unwrap();
        fs::write(dir.path().join("own/cgroup.subtree_control"), "memory pids\n").unwrap();
        assert_eq!(
            v2_place(&mounts, "0::/own\n", Controller::Memory),
            Some(dir.path().join("own"))
        );
        let limits = Limits {
            memory: Some(1 << 20),
            pids: Some(7),
            cpu_millis: Some(1500),
            ..Limits::default()
        };
        let places = Controller::ALL.map(|controller| (controller, (Version::V2, dir.path().join("own"))));
        let cgroups = Cgroups {
            places: places.into(),
            owner: "1-2".to_owned(),
        };
        let group = cgroups.create(&limits).unwrap();
        let again = cgroups.create(&limits).unwrap();
        assert_ne!(group.dirs, again.dirs);
        let made = group.dirs[0].1.clone();
        assert!(made.to_str().unwrap().contains("own/stagewright-step-1-2-"));
        let read = |file: &str| fs::read_to_string(made.join(file)).unwrap();
        assert_eq!(
            (read("memory.max"), read("pids.max"), read("cpu.max")),
            ("1048576".into(), "7".into(), "150000 100000".into())
        );
        assert!(!group.ran_out_of_memory());
        fs::write(made.join("memory.events"), "oom 1\noom_kill 1\n").unwrap();
        assert!(group.ran_out_of_memory());
    }

    #[test]
    fn a_child_begins_in_its_group() {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let unified = mounts.lines().find_map(|line| {
            let (place, kind) = line.split_once(" - ")?;
            kind.starts_with("cgroup2 ")
                .then(|| place.split(' ').nth(4))
                .flatten()
        });
        let dir =
            Path::new(unified.unwrap_or_default()).join(format!("stagewright-test-{}", std::process::id()));
        if unified.is_none() || fs::create_dir(&dir).is_err() {
            println!("skipped: no version 2 groups can be made here");
            return;
        }
        let group = Group {
            dirs: vec![(Version::V2, dir.clone())],
            memory: None,
        };
        let birthplace = group.entrances().unwrap().birthplace;
        let (waits, keeps_waiting) = io::pipe().unwrap();
        #[expect(unsafe_code, reason = "a child is what is tested")]
        // SAFETY: the child makes two system calls and ends.
        let made = unsafe { syscall::clone_process(0, birthplace.as_ref().map(AsFd::as_fd)) };
        let child = match made.unwrap() {
            syscall::Clone::Child => {
                // Its own end of the pipe would keep it waiting for ever.
                #[expect(unsafe_code, reason = "the descriptor is closed twice, once in each process")]
                // SAFETY: nothing uses it afterwards.
                unsafe {
                    rustix::io::close(keeps_waiting.as_raw_fd());
                }
                _ = rustix::io::read(&waits, &mut [0; 1]);
                syscall::exit_now(0)
            }
            syscall::Clone::Parent(child) => child,
        };
        let members = fs::read_to_string(dir.join("cgroup.procs")).unwrap();
        drop(keeps_waiting);
        rustix::process::waitid(
            rustix::process::WaitId::PidFd(child.as_fd()),
            rustix::process::WaitIdOptions::EXITED,
        )
        .unwrap();
        drop(group);
        assert_eq!(members.lines().count(), 1, "{members:?}");
        assert!(!dir.exists());
    }

    #[test]
    fn a_process_is_told_from_a_later_one_of_the_same_number() {
        let own = owner(std::process::id());
        assert!(own.starts_with(&format!("{}-", std::process::id())), "{own}");
        assert_eq!(owner(u32::MAX), "");
    }
}
