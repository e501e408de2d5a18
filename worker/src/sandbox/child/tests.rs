//! The order of the child's steps, recorded instead of made.

use std::cell::RefCell;
use std::ffi::CStr;
use std::fs::File;
use std::os::fd::BorrowedFd;

use libc::sock_filter;
use rustix::mount::MountAttrFlags;

use super::*;

/// Writes down every call; fails those that `refuse` names.
#[derive(Default)]
struct Recorder {
    calls: RefCell<Vec<String>>,
    refuse: Vec<(&'static str, Errno)>,
}

impl Recorder {
    fn note(&self, call: impl Into<String>) -> Call {
        let call = call.into();
        let refused = self
            .refuse
            .iter()
            .find(|(prefix, _)| call.starts_with(prefix))
            .map(|(_, errno)| *errno);
        self.calls.borrow_mut().push(call);
        refused.map_or(Ok(()), Err)
    }

    fn position(&self, prefix: &str) -> usize {
        let calls = self.calls.borrow();
        calls
            .iter()
            .position(|call| call.starts_with(prefix))
            .unwrap_or_else(|| panic!("no {prefix} in {calls:?}"))
    }

    fn last_position(&self, prefix: &str) -> usize {
        self.calls
            .borrow()
            .iter()
            .rposition(|call| call.starts_with(prefix))
            .unwrap()
    }
}

fn text(text: &CStr) -> &str {
    text.to_str().unwrap()
}

fn descriptor() -> OwnedFd {
    File::open("/dev/null").unwrap().into()
}

impl Kernel for Recorder {
    fn die_with_parent(&self, _: BorrowedFd<'_>) -> Call {
        self.note("die_with_parent")
    }
    fn join_cgroup(&self, _: BorrowedFd<'_>) -> Call {
        self.note("join_cgroup")
    }
    fn hide_cgroups(&self) -> Call {
        self.note("hide_cgroups")
    }
    fn join_network(&self, _: BorrowedFd<'_>) -> Call {
        self.note("join_network")
    }
    fn raise_loopback(&self) -> Call {
        self.note("raise_loopback")
    }
    fn set_hostname(&self, name: &CStr) -> Call {
        self.note(format!("set_hostname {}", text(name)))
    }
    fn make_mounts_private(&self) -> Call {
        self.note("make_mounts_private")
    }
    fn attach_root(&self, _: BorrowedFd<'_>, place: &CStr) -> Call {
        self.note(format!("attach_root {}", text(place)))
    }
    fn find(&self, _: BorrowedFd<'_>, path: &CStr) -> Call<OwnedFd> {
        self.note(format!("find {}", text(path))).map(|()| descriptor())
    }
    fn attach(&self, _: BorrowedFd<'_>, _: BorrowedFd<'_>) -> Call {
        self.note("attach")
    }
    fn make_file_system(&self, file_system: &OwnFileSystem) -> Call<OwnedFd> {
        self.note(format!("make_file_system {}", text(&file_system.kind)))
            .map(|()| descriptor())
    }
    fn pivot(&self, _: BorrowedFd<'_>) -> Call {
        self.note("pivot")
    }
    fn mask(&self, path: &CStr) -> Call {
        self.note(format!("mask {}", text(path)))
    }
    fn protect(&self, path: &CStr) -> Call {
        self.note(format!("protect {}", text(path)))
    }
    fn change_dir(&self, path: &CStr) -> Call {
        self.note(format!("change_dir {}", text(path)))
    }
    fn start_session(&self) -> Call {
        self.note("start_session")
    }
    fn set_stream(&self, number: i32, _: BorrowedFd<'_>) -> Call {
        self.note(format!("set_stream {number}"))
    }
    fn set_limit(&self, _: Resource, _: Rlimit) -> Call {
        self.note("set_limit")
    }
    fn set_umask(&self, mask: u32) {
        let _ = self.note(format!("set_umask {mask:o}"));
    }
    fn forget_keys(&self) {
        let _ = self.note("forget_keys");
    }
    fn install_filter(&self, _: &[sock_filter]) -> Call {
        self.note("install_filter")
    }
    fn drop_capability(&self, capability: u32) -> Call {
        self.note(format!("drop_capability {capability}"))?;
        // As on a kernel whose last capability is number 40.
        if capability > 40 {
            Err(Errno::INVAL)
        } else {
            Ok(())
        }
    }
    fn clear_ambient_capabilities(&self) -> Call {
        self.note("clear_ambient_capabilities")
    }
    fn keep_capabilities(&self) -> Call {
        self.note("keep_capabilities")
    }
    fn raise_capabilities(&self) -> Call {
        self.note("raise_capabilities")
    }
    fn set_groups(&self, groups: &[Gid]) -> Call {
        self.note(format!("set_groups {groups:?}"))
    }
    fn set_group(&self, gid: Gid) -> Call {
        self.note(format!("set_group {}", gid.as_raw()))
    }
    fn set_user(&self, uid: Uid) -> Call {
        self.note(format!("set_user {}", uid.as_raw()))
    }
    fn set_capabilities(&self, capabilities: CapabilitySet) -> Call {
        self.note(format!("set_capabilities {:x}", capabilities.bits()))
    }
    fn close_descriptors(&self, _: [BorrowedFd<'_>; 2]) -> Call {
        self.note("close_descriptors")
    }
    fn reset_signals(&self) {
        let _ = self.note("reset_signals");
    }
    fn may_execute(&self, program: &CStr) -> Call {
        self.note(format!("may_execute {}", text(program)))
    }
    fn launch(&self, _: BorrowedFd<'_>, _: BorrowedFd<'_>, _: &Strings, _: &Strings) -> Errno {
        self.note("launch").err().unwrap_or(Errno::IO)
    }
}

fn candidate(path: &CStr) -> Candidate {
    Candidate {
        path: path.into(),
        arguments: Strings::new([c"3".into(), path.into(), c"x".into()]),
    }
}

fn plan(uid: u32) -> ChildPlan {
    let own = |kind: &CStr| OwnFileSystem {
        kind: kind.into(),
        flags: Vec::new(),
        options: Vec::new(),
        attributes: MountAttrFlags::empty(),
    };
    ChildPlan {
        report: descriptor(),
        launcher: descriptor(),
        cgroups: Entrances {
            tasks: vec![descriptor(), descriptor()],
            birthplace: None,
        },
        network: NetworkPlan::Isolated,
        hostname: c"step".into(),
        root: descriptor(),
        place: c"/state/root".into(),
        mounts: vec![
            ChildMount {
                target: c"proc".into(),
                what: MountWhat::Own(own(c"proc")),
            },
            ChildMount {
                target: c"dev".into(),
                what: MountWhat::Prepared(descriptor()),
            },
            ChildMount {
                target: c"dev/mqueue".into(),
                what: MountWhat::Optional(own(c"mqueue")),
            },
        ],
        cwd: c"/src".into(),
        streams: [descriptor(), descriptor(), descriptor()],
        confined: true,
        filter: super::super::filter::filter().unwrap().into(),
        ulimits: vec![(
            Resource::Nofile,
            Rlimit {
                current: Some(1),
                maximum: None,
            },
        )],
        uid: Uid::from_raw(uid),
        gid: Gid::from_raw(5),
        groups: Some(vec![Gid::from_raw(5)]),
        programs: vec![candidate(c"/usr/bin/x"), candidate(c"/bin/x")],
        environment: Strings::new([]),
    }
}

#[test]
fn rights_are_given_up_in_the_order_that_leaves_none() {
    let kernel = Recorder::default();
    enter(&kernel, &plan(1000));
    let order = [
        kernel.position("die_with_parent"),
        kernel.last_position("join_cgroup"),
        kernel.position("hide_cgroups"),
        kernel.position("make_mounts_private"),
        kernel.position("attach_root"),
        kernel.last_position("attach"),
        kernel.position("pivot"),
        kernel.position("mask /proc/kcore"),
        kernel.position("protect /proc/sys"),
        // No path of the step's is followed while the worker's descriptors are open.
        kernel.position("close_descriptors"),
        kernel.position("change_dir /src"),
        kernel.position("set_limit"),
        kernel.position("install_filter"),
        kernel.last_position("drop_capability"),
        kernel.position("set_groups"),
        kernel.position("set_group 5"),
        kernel.position("set_user 1000"),
        kernel.last_position("die_with_parent"),
        kernel.position("may_execute"),
        kernel.position("launch"),
    ];
    assert!(
        order.is_sorted_by(|one, next| one < next),
        "{order:?} {:?}",
        kernel.calls.borrow()
    );
}

#[test]
fn only_dockers_capabilities_stay() {
    let kernel = Recorder::default();
    enter(&kernel, &plan(0));
    let calls = kernel.calls.borrow();
    let dropped = calls
        .iter()
        .filter(|call| call.starts_with("drop_capability"))
        .count();
    // 41 are known, 14 of them are kept, and one more is asked for to find the end.
    assert_eq!(dropped, 41 - 14 + 1);
    for kept in CAPABILITIES {
        assert!(!calls.contains(&format!("drop_capability {kept}")));
    }
    // What `docker run busybox grep CapEff /proc/1/status` shows.
    assert!(calls.contains(&"set_capabilities a80425fb".to_owned()));
}

#[test]
fn other_users_are_given_no_capabilities() {
    let kernel = Recorder::default();
    enter(&kernel, &plan(1000));
    assert!(
        !kernel
            .calls
            .borrow()
            .iter()
            .any(|call| call.starts_with("set_capabilities"))
    );
}

#[test]
fn what_is_not_confined_keeps_what_it_has_and_is_tied_to_the_worker_all_the_same() {
    let kernel = Recorder::default();
    let plan = ChildPlan {
        confined: false,
        ..plan(1000)
    };
    enter(&kernel, &plan);
    let order = [
        kernel.position("join_cgroup"),
        kernel.position("make_mounts_private"),
        kernel.position("pivot"),
        kernel.position("close_descriptors"),
        kernel.position("forget_keys"),
        kernel.position("keep_capabilities"),
        kernel.position("set_user 1000"),
        kernel.position("raise_capabilities"),
        kernel.last_position("die_with_parent"),
        kernel.position("may_execute"),
        kernel.position("launch"),
    ];
    assert!(order.is_sorted_by(|one, next| one < next), "{order:?}");
    for call in [
        "mask",
        "protect",
        "install_filter",
        "drop_capability",
        "set_capabilities",
    ] {
        let made = kernel.calls.borrow().iter().any(|made| made.starts_with(call));
        assert!(!made, "{call}");
    }
}

#[test]
fn any_failure_ends_it_before_the_program() {
    for (call, step) in [
        ("join_cgroup", Step::Limits),
        ("raise_loopback", Step::Network),
        ("attach_root", Step::Root),
        ("make_file_system proc", Step::Mount),
        ("pivot", Step::Pivot),
        ("mask", Step::Mask),
        ("install_filter", Step::Filter),
        ("drop_capability", Step::Capabilities),
        ("set_groups", Step::User),
        ("set_user", Step::User),
        ("set_capabilities", Step::Capabilities),
        ("close_descriptors", Step::Streams),
    ] {
        let kernel = Recorder {
            refuse: vec![(call, Errno::PERM)],
            ..Recorder::default()
        };
        let failure = enter(&kernel, &plan(0));
        assert_eq!((failure.step, failure.errno), (step, Errno::PERM), "{call}");
        assert!(
            !kernel.calls.borrow().iter().any(|call| call == "launch"),
            "{call}"
        );
    }
}

#[test]
fn a_missing_mount_point_is_named_by_its_place() {
    let kernel = Recorder {
        refuse: vec![("find dev", Errno::NOENT)],
        ..Recorder::default()
    };
    let failure = enter(&kernel, &plan(0));
    assert_eq!(
        failure,
        Failure {
            step: Step::MountPoint,
            index: 1,
            errno: Errno::NOENT
        }
    );
}

#[test]
fn a_step_can_do_without_message_queues() {
    let kernel = Recorder {
        refuse: vec![("make_file_system mqueue", Errno::NODEV)],
        ..Recorder::default()
    };
    assert_eq!(enter(&kernel, &plan(0)).step, Step::Launch);
}

#[test]
fn the_path_is_searched_to_its_end() {
    let failed = |errno| Failure {
        step: Step::Execute,
        index: 0,
        errno,
    };
    let started = Failure {
        step: Step::Launch,
        ..failed(Errno::IO)
    };
    let (first, second) = ("may_execute /usr/bin/x", "may_execute /bin/x");
    for (refuse, ended) in [
        (vec![(first, Errno::NOENT)], started),
        (vec![(first, Errno::ACCESS)], started),
        (
            vec![(first, Errno::NOENT), (second, Errno::NOENT)],
            failed(Errno::NOENT),
        ),
        // A file that may not be executed is the reason rather than that another is not there.
        (
            vec![(first, Errno::ACCESS), (second, Errno::NOENT)],
            failed(Errno::ACCESS),
        ),
        (vec![(first, Errno::LOOP)], failed(Errno::LOOP)),
        (vec![("launch", Errno::TOOBIG)], failed(Errno::TOOBIG)),
        (vec![("launch", Errno::AGAIN)], failed(Errno::AGAIN)),
    ] {
        let kernel = Recorder {
            refuse,
            ..Recorder::default()
        };
        assert_eq!(enter(&kernel, &plan(0)), ended, "{:?}", kernel.refuse);
    }
}

#[test]
fn failures_survive_the_pipe() {
    for (index, step) in (0..).zip(STEPS) {
        let failure = Failure {
            step,
            index,
            errno: Errno::NOSPC,
        };
        assert_eq!(Failure::from_bytes(&failure.to_bytes()), Some(failure));
    }
    for (errno, step) in [(Errno::NOENT, Step::Interpreter), (Errno::NOEXEC, Step::Execute)] {
        let failure = Failure {
            step,
            index: 0,
            errno,
        };
        assert_eq!(
            Failure::from_bytes(&errno.raw_os_error().to_ne_bytes()),
            Some(failure)
        );
    }
    assert_eq!(Failure::from_bytes(&[]), None);
    assert_eq!(Failure::from_bytes(&[200; 9]), None);
}
