//! What a step tries against the kernel and the machine around it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::program::{TEXT, call_of_another_architecture, one_call};
use crate::stage::{Stage, Victim};

#[test]
fn what_the_kernel_would_run_outside_cannot_be_set_from_a_step() {
    let Some(stage) = Stage::new() else { return };
    let before: Vec<_> = SETTINGS.iter().map(|path| fs::read(path).ok()).collect();
    let write = SETTINGS.iter().chain(&WRITABLE_ONLY);
    let write: Vec<String> = write
        .map(|path| format!("echo '|/tmp/evil' > {path} && echo WROTE {path}\n"))
        .collect();
    let groups = ["memory", "rdma", "pids", "devices", "unified", ""];
    let groups: Vec<String> = groups
        .iter()
        .map(|hierarchy| {
            format!(
                "for file in release_agent notify_on_release cgroup.procs devices.allow cgroup.subtree_control memory.max; \
                 do p=/sys/fs/cgroup/{hierarchy}/$file; [ -e $p ] && echo 1 > $p && echo WROTE $p; done\n\
                 mount -t cgroup -o {hierarchy} cgroup /tmp/cg && echo MOUNTED\n"
            )
        })
        .collect();
    let script = format!(
        "mkdir -p /tmp/cg\n{}{}\
         mount -t cgroup2 none /tmp/cg && echo MOUNTED\nmkdir /sys/fs/cgroup/x && echo MADE\n\
         find /sys/fs/cgroup -name release_agent -print 2>/dev/null\n",
        write.concat(),
        groups.concat(),
    );
    let said = stage.script(&script);
    for word in ["WROTE", "MOUNTED", "MADE"] {
        assert!(!said.contains(word), "{said}");
    }
    let after: Vec<_> = SETTINGS.iter().map(|path| fs::read(path).ok()).collect();
    assert_eq!(after, before);
}

/// What names a program or switches something for the whole machine.
const SETTINGS: [&str; 9] = [
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/hotplug",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/fs/binfmt_misc/status",
    "/proc/sys/kernel/randomize_va_space",
    "/sys/kernel/uevent_helper",
    "/sys/kernel/mm/ksm/run",
    "/sys/module/printk/parameters/time",
];
const WRITABLE_ONLY: [&str; 6] = [
    "/proc/sysrq-trigger",
    "/proc/sys/fs/binfmt_misc/register",
    "/proc/irq/default_smp_affinity",
    "/proc/self/../../sys/kernel/core_pattern",
    "/proc/1/root/sys/kernel/uevent_helper",
    "/sys/class/net/lo/../../../kernel/uevent_helper",
];

#[test]
fn what_the_kernel_tells_of_the_machine_is_masked() {
    let Some(stage) = Stage::new() else { return };
    let said = stage.script(
        "for p in kcore keys timer_list sched_debug latency_stats kmsg interrupts kallsyms vmallocinfo slabinfo; do\n\
         [ -r /proc/$p ] && echo \"$p $(head -c 4096 /proc/$p 2>/dev/null | tr -d '\\0' | wc -c)\"; done\n\
         for p in /sys/firmware /proc/acpi /proc/scsi /sys/devices/virtual/powercap /sys/kernel/debug /sys/kernel/tracing \
         /sys/kernel/security /sys/fs/bpf; do [ -d $p ] && echo \"$p $(ls $p | wc -l)\"; done\n\
         dmesg | wc -l\n",
    );
    for masked in [
        "kcore",
        "keys",
        "timer_list",
        "sched_debug",
        "latency_stats",
        "interrupts",
    ] {
        if let Some(line) = said.lines().find(|line| line.starts_with(&format!("{masked} "))) {
            assert_eq!(line, format!("{masked} 0"), "{said}");
        }
    }
    for masked in [
        "/sys/firmware",
        "/proc/acpi",
        "/proc/scsi",
        "/sys/devices/virtual/powercap",
    ] {
        if let Some(line) = said.lines().find(|line| line.starts_with(&format!("{masked} "))) {
            assert_eq!(line, format!("{masked} 0"), "{said}");
        }
    }
    // Addresses of the kernel are zeros, messages of the kernel are not there.
    assert!(!said.contains("sysrq"), "{said}");
}

/// Calls, with arguments under which they would fail in another way, or do no harm, where nobody forbade them.
#[cfg(target_arch = "x86_64")]
fn forbidden_calls() -> Vec<(&'static str, i64, [u64; 6], &'static [u8])> {
    let no = [0; 6];
    let bad = u64::MAX;
    vec![
        (
            "add_key",
            libc_number::ADD_KEY,
            [TEXT, TEXT, 0, 0, 1_u64.wrapping_neg(), 0],
            b"user",
        ),
        (
            "keyctl",
            libc_number::KEYCTL,
            [0, 3_u64.wrapping_neg(), 0, 0, 0, 0],
            b"",
        ),
        (
            "request_key",
            libc_number::REQUEST_KEY,
            [TEXT, TEXT, 0, 0, 0, 0],
            b"user",
        ),
        ("bpf", libc_number::BPF, [bad, 0, 0, 0, 0, 0], b""),
        ("userfaultfd", libc_number::USERFAULTFD, [bad, 0, 0, 0, 0, 0], b""),
        (
            "io_uring_setup",
            libc_number::IO_URING_SETUP,
            [1, 0, 0, 0, 0, 0],
            b"",
        ),
        (
            "perf_event_open",
            libc_number::PERF_EVENT_OPEN,
            [0, 0, 0, bad, 0, 0],
            b"",
        ),
        (
            "open_by_handle_at",
            libc_number::OPEN_BY_HANDLE_AT,
            [bad, 0, 0, 0, 0, 0],
            b"",
        ),
        ("mount", libc_number::MOUNT, [TEXT, TEXT, TEXT, 0, 0, 0], b"/tmp"),
        (
            "move_mount",
            libc_number::MOVE_MOUNT,
            [bad, TEXT, bad, TEXT, bad, 0],
            b"/tmp",
        ),
        (
            "open_tree",
            libc_number::OPEN_TREE,
            [bad, TEXT, bad, 0, 0, 0],
            b"/tmp",
        ),
        ("fsopen", libc_number::FSOPEN, [TEXT, bad, 0, 0, 0, 0], b"nofs"),
        (
            "umount2",
            libc_number::UMOUNT2,
            [TEXT, bad, 0, 0, 0, 0],
            b"/nowhere",
        ),
        (
            "pivot_root",
            libc_number::PIVOT_ROOT,
            [TEXT, TEXT, 0, 0, 0, 0],
            b"/nowhere",
        ),
        ("setns", libc_number::SETNS, [bad, 0, 0, 0, 0, 0], b""),
        (
            "unshare a user namespace",
            libc_number::UNSHARE,
            [0x1000_0000, 0, 0, 0, 0, 0],
            b"",
        ),
        (
            "unshare a mount namespace",
            libc_number::UNSHARE,
            [0x2_0000, 0, 0, 0, 0, 0],
            b"",
        ),
        (
            "clone into a user namespace",
            libc_number::CLONE,
            [0x1000_0000, 0, 0, 0, 0, 0],
            b"",
        ),
        (
            "init_module",
            libc_number::INIT_MODULE,
            [0, 0, TEXT, 0, 0, 0],
            b"",
        ),
        (
            "finit_module",
            libc_number::FINIT_MODULE,
            [bad, TEXT, bad, 0, 0, 0],
            b"",
        ),
        (
            "delete_module",
            libc_number::DELETE_MODULE,
            [TEXT, 0, 0, 0, 0, 0],
            b"nothing",
        ),
        ("kexec_load", libc_number::KEXEC_LOAD, [0, 0, 0, bad, 0, 0], b""),
        ("reboot", libc_number::REBOOT, [1, 2, 3, 0, 0, 0], b""),
        (
            "swapon",
            libc_number::SWAPON,
            [TEXT, bad, 0, 0, 0, 0],
            b"/nowhere",
        ),
        (
            "settimeofday",
            libc_number::SETTIMEOFDAY,
            [bad, bad, 0, 0, 0, 0],
            b"",
        ),
        ("acct", libc_number::ACCT, [TEXT, 0, 0, 0, 0, 0], b"/nowhere"),
        ("quotactl", libc_number::QUOTACTL, [bad, 0, 0, 0, 0, 0], b""),
        ("syslog", libc_number::SYSLOG, [bad, 0, 0, 0, 0, 0], b""),
        ("iopl", libc_number::IOPL, [4, 0, 0, 0, 0, 0], b""),
        ("ioperm", libc_number::IOPERM, [bad, 1, 1, 0, 0, 0], b""),
        ("kcmp", libc_number::KCMP, [bad, bad, bad, 0, 0, 0], b""),
        ("move_pages", libc_number::MOVE_PAGES, [0, 0, 0, 0, 0, bad], b""),
        (
            "a socket to the hypervisor",
            libc_number::SOCKET,
            [40, 1, 0, 0, 0, 0],
            b"",
        ),
        (
            "another personality",
            libc_number::PERSONALITY,
            [0x40_0000, 0, 0, 0, 0, 0],
            b"",
        ),
        ("vhangup", libc_number::VHANGUP, no, b""),
    ]
}

/// The numbers that these calls have on x86-64.
#[cfg(target_arch = "x86_64")]
mod libc_number {
    pub(super) const SOCKET: i64 = 41;
    pub(super) const CLONE: i64 = 56;
    pub(super) const PTRACE: i64 = 101;
    pub(super) const SYSLOG: i64 = 103;
    pub(super) const PERSONALITY: i64 = 135;
    pub(super) const VHANGUP: i64 = 153;
    pub(super) const PIVOT_ROOT: i64 = 155;
    pub(super) const ACCT: i64 = 163;
    pub(super) const SETTIMEOFDAY: i64 = 164;
    pub(super) const MOUNT: i64 = 165;
    pub(super) const UMOUNT2: i64 = 166;
    pub(super) const SWAPON: i64 = 167;
    pub(super) const REBOOT: i64 = 169;
    pub(super) const IOPL: i64 = 172;
    pub(super) const IOPERM: i64 = 173;
    pub(super) const INIT_MODULE: i64 = 175;
    pub(super) const DELETE_MODULE: i64 = 176;
    pub(super) const QUOTACTL: i64 = 179;
    pub(super) const KEXEC_LOAD: i64 = 246;
    pub(super) const ADD_KEY: i64 = 248;
    pub(super) const REQUEST_KEY: i64 = 249;
    pub(super) const KEYCTL: i64 = 250;
    pub(super) const UNSHARE: i64 = 272;
    pub(super) const MOVE_PAGES: i64 = 279;
    pub(super) const PERF_EVENT_OPEN: i64 = 298;
    pub(super) const OPEN_BY_HANDLE_AT: i64 = 304;
    pub(super) const SETNS: i64 = 308;
    pub(super) const KCMP: i64 = 312;
    pub(super) const FINIT_MODULE: i64 = 313;
    pub(super) const BPF: i64 = 321;
    pub(super) const USERFAULTFD: i64 = 323;
    pub(super) const IO_URING_SETUP: i64 = 425;
    pub(super) const OPEN_TREE: i64 = 428;
    pub(super) const MOVE_MOUNT: i64 = 429;
    pub(super) const FSOPEN: i64 = 430;
    pub(super) const CLONE3: i64 = 435;
}

#[cfg(target_arch = "x86_64")]
#[test]
fn calls_that_reach_beyond_a_step_are_not_permitted() {
    const EPERM: i32 = 1;
    const ENOSYS: i32 = 38;
    let Some(stage) = Stage::new() else { return };
    let put = |name: &str, program: Vec<u8>| {
        stage.add(&format!("calls/{name}"), program);
        let path = stage.ground.context.join("calls").join(name);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    let calls = forbidden_calls();
    for (number, (_, call, arguments, text)) in calls.iter().enumerate() {
        put(&format!("{number:02}"), one_call(*call, *arguments, text));
    }
    put(
        "clone3",
        one_call(libc_number::CLONE3, [TEXT, 88, 0, 0, 0, 0], &[0; 88]),
    );
    put("other", call_of_another_architecture());
    // A call that is allowed, so that a program that does not run at all is seen.
    put("ptrace", one_call(libc_number::PTRACE, [0, 0, 0, 0, 0, 0], b""));
    let (ended, _) = stage.build(
        "COPY calls /calls\nRUN for p in /calls/*; do $p; echo $p $?.; done",
        &[],
    );
    let said = crate::stage::printed(&ended.well().err);
    let code = |answer: &str| said.contains(&format!("/calls/{answer}."));
    assert!(code("ptrace 0"), "{said}");
    assert!(code(&format!("clone3 {ENOSYS}")), "{said}");
    // Ended by the kernel: 128 and SIGSYS.
    assert!(code("other 159"), "{said}");
    for (number, (name, ..)) in calls.iter().enumerate() {
        assert!(
            code(&format!("{number:02} {EPERM}")),
            "{name} ({number:02}): {said}"
        );
    }
}

#[test]
fn processes_of_the_machine_can_be_neither_seen_nor_traced_nor_signalled() {
    let Some(stage) = Stage::new() else { return };
    let outside = std::process::Command::new("/bin/busybox")
        .args(["sleep", "60"])
        .spawn();
    let Ok(mut outside) = outside else { return };
    let id = outside.id();
    let said = stage.script(&format!(
        "kill -0 {id} && echo SEEN; kill -9 {id} && echo KILLED; ls /proc/{id} && echo LISTED\n\
         cat /proc/{id}/environ && echo READ; ls /proc/{id}/root && echo ENTERED; ls /proc/{id}/ns && echo JOINED\n\
         ls -d /proc/[0-9]* | wc -l\nkill -9 -1\necho alone\n"
    ));
    let alive = outside.try_wait().unwrap().is_none();
    outside.kill().unwrap();
    outside.wait().unwrap();
    assert!(alive, "{said}");
    for word in ["SEEN", "KILLED", "LISTED", "READ", "ENTERED", "JOINED"] {
        assert!(!said.contains(word), "{said}");
    }
}

#[test]
fn the_files_of_the_machine_are_not_behind_any_door_of_proc() {
    let Some(stage) = Stage::new() else { return };
    let victim = stage.victim();
    let file = victim.path.display();
    let said = stage.script(&format!(
        "for root in / /proc/1/root /proc/self/root /proc/1/cwd /proc/self/cwd /proc/1/task/1/root /proc/thread-self/root \
         /dev/fd/0/.. /proc/self/fd/3 /proc/self/fd/4 /proc/1/fd/3 /proc/1/fd/4; do cat $root{file} && echo READ; done\n\
         for up in ../../../../../../../../../../../../../../..; do cat $up{file} && echo READ; done\n\
         mkdir /a; cd /a; chroot /a /bin/true; cat ../../../../../..{file} && echo READ\n\
         cat /proc/1/mountinfo; ls -la /proc/1/fd /proc/self/fd; ls -l /proc/1/exe\n"
    ));
    assert!(
        !said.contains("READ") && !said.contains(Victim::CONTENT),
        "{said}"
    );
    victim.is_untouched();
}

#[test]
fn the_workers_program_cannot_be_changed_from_a_step() {
    let Some(stage) = Stage::new() else { return };
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_stagewright"));
    let before = fs::metadata(program).unwrap();
    // The way of CVE-2019-5736: what runs at the moment, by the kernel's own name for it.
    let said = stage.script(
        "for exe in /proc/1/exe /proc/self/exe /proc/*/exe; do (echo evil > $exe) && echo WROTE $exe; done\n\
         for fd in /proc/1/fd/* /proc/self/fd/*; do [ -f $fd ] && [ $fd -ef /attack.sh ] || ([ -f $fd ] && echo FILE $fd); done\ntrue\n",
    );
    assert!(!said.contains("WROTE") && !said.contains("FILE"), "{said}");
    let after = fs::metadata(program).unwrap();
    assert_eq!(
        (after.len(), after.modified().unwrap()),
        (before.len(), before.modified().unwrap())
    );
}

#[test]
fn set_user_id_and_other_rights_end_at_the_steps_own_edge() {
    let Some(stage) = Stage::new() else { return };
    let said = stage.script(
        "grep -E '^Cap(Eff|Bnd)' /proc/self/status\n\
         mknod /disk b 8 0 && dd if=/disk of=/dev/null bs=1 count=1 && echo OPENED\n\
         mknod /dev/mem2 c 1 1 && dd if=/dev/mem2 of=/dev/null bs=1 count=1 && echo OPENED\n\
         ls /dev\nhostname evil && echo NAMED\nip link set lo down; ip link add evil type dummy && echo LINKED\n\
         iptables -F 2>/dev/null && echo FLUSHED; swapoff -a && echo SWAPPED\n\
         date -s 2000-01-01 >/dev/null; [ $(date +%Y) = 2000 ] && echo DATED\nnice -n -20 true; chroot / /bin/mount -t proc none /proc && echo MOUNTED\n\
         insmod /bin/busybox && echo LOADED; rmmod loop && echo LOADED; losetup /dev/loop0 /bin/busybox && echo LOOPED\n",
    );
    for word in [
        "OPENED", "NAMED", "LINKED", "FLUSHED", "SWAPPED", "DATED", "MOUNTED", "LOADED", "LOOPED",
    ] {
        assert!(!said.contains(word), "{said}");
    }
    // Docker's default set.
    assert!(said.contains("CapBnd:\t00000000a80425fb"), "{said}");
    for device in ["mem", "kmsg", "sda", "vda", "loop0", "kvm", "fuse", "net"] {
        assert!(
            !said
                .lines()
                .any(|line| line.split_whitespace().any(|name| name == device)),
            "{said}"
        );
    }
}

#[test]
fn what_the_owner_did_not_allow_is_refused_before_anything_runs() {
    let Some(stage) = Stage::new() else { return };
    for lines in [
        "RUN --security=insecure true",
        "RUN --network=host true",
        "# a frontend of somebody's\nRUN --device=vendor.com/gpu=all,required true",
    ] {
        let (ended, _) = stage.build(lines, &[]);
        assert_ne!(ended.code, Some(0), "{lines}: {}", ended.err);
    }
}
