//! What a step tries against the kernel and the machine around it.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command};

use crate::program::{TEXT, call_of_another_architecture, one_call};
use crate::stage::{Stage, Victim, printed};

/// Those of the paths that this machine has. What it has not proves nothing, which is printed.
fn on_this_machine<'p>(paths: &[&'p str]) -> Vec<&'p str> {
    let (there, lacking): (Vec<_>, Vec<_>) = paths.iter().partition(|path| Path::new(path).exists());
    if !lacking.is_empty() {
        println!("not on this machine, so not tried: {lacking:?}");
    }
    there
}

#[test]
fn what_the_kernel_would_run_outside_cannot_be_set_from_a_step() {
    let Some(stage) = Stage::new() else { return };
    let settings = on_this_machine(&SETTINGS);
    assert!(
        settings.contains(&"/proc/sys/kernel/core_pattern"),
        "{settings:?}"
    );
    let read = || {
        settings
            .iter()
            .map(|path| fs::read(path).ok())
            .collect::<Vec<_>>()
    };
    let before = read();
    // They are opened for writing, and nothing is written: so nothing happens to the machine where the guard is gone.
    let opened: Vec<String> = settings
        .iter()
        .chain(&ROUNDABOUT)
        .map(|path| format!("(: > {path}) && echo OPENED {path}\n"))
        .collect();
    let hierarchies = ["memory", "rdma", "pids", "devices"];
    let mounts: Vec<String> = hierarchies
        .iter()
        .map(|hierarchy| format!("mount -t cgroup -o {hierarchy} cgroup /tmp/cg && echo MOUNTED\n"))
        .collect();
    let script = format!(
        "mkdir -p /tmp/cg; cd /\n{}{}\
         mount -t cgroup2 none /tmp/cg && echo MOUNTED\nmkdir /sys/fs/cgroup/x && echo MADE\n\
         [ -e /proc/sys/fs/binfmt_misc/register ] && echo REGISTER\n\
         echo \"$(find /sys/fs/cgroup -mindepth 1 | wc -l) control files\"\n",
        opened.concat(),
        mounts.concat(),
    );
    let said = stage.script(&script);
    for path in settings.iter().chain(&ROUNDABOUT) {
        // By the mount, and not because the step has another place there, or none.
        let refused = format!("can't create {path}: Read-only file system");
        assert!(said.contains(&refused), "{path}: {said}");
    }
    for word in ["OPENED", "MOUNTED", "MADE", "REGISTER"] {
        assert!(!said.contains(word), "{said}");
    }
    assert_eq!(
        said.matches("mount: permission denied").count(),
        hierarchies.len() + 1,
        "{said}"
    );
    assert!(said.contains("\n0 control files\n"), "{said}");
    assert_eq!(read(), before);
}

/// What names a program or switches something for the whole machine.
const SETTINGS: [&str; 10] = [
    "/proc/sysrq-trigger",
    "/proc/irq/default_smp_affinity",
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/hotplug",
    "/proc/sys/kernel/randomize_va_space",
    "/proc/sys/vm/overcommit_memory",
    "/sys/kernel/uevent_helper",
    "/sys/kernel/mm/ksm/run",
    "/sys/module/printk/parameters/time",
];
/// The same by other ways.
const ROUNDABOUT: [&str; 3] = [
    "/proc/self/../sys/kernel/core_pattern",
    "/proc/1/root/proc/sys/kernel/core_pattern",
    "/proc/self/cwd/proc/sys/kernel/core_pattern",
];

#[test]
fn what_the_kernel_tells_of_the_machine_is_masked() {
    let Some(stage) = Stage::new() else { return };
    let said = stage.script(&format!(
        "for p in {}; do [ -e $p ] && echo \"$p $(head -c 4096 $p | wc -c)\"; done\n\
         for p in {}; do [ -e $p ] && echo \"$p $(ls $p | wc -l)\"; done\n\
         (: < /proc/kmsg) && echo HEARD\ndmesg\n\
         echo \"$(grep -vc '^0000000000000000 ' /proc/kallsyms) addresses\"\n",
        MASKED_FILES.join(" "),
        MASKED_FOLDERS.join(" "),
    ));
    let mut compared = 0;
    for path in on_this_machine(&MASKED_FILES) {
        // What is empty outside as well tells nothing.
        let mut start = [0; 64];
        let outside = fs::File::open(path).and_then(|mut file| file.read(&mut start));
        if outside.is_ok_and(|length| length > 0) {
            assert!(said.contains(&format!("{path} 0\n")), "{path}: {said}");
            compared += 1;
        }
    }
    for path in on_this_machine(&MASKED_FOLDERS) {
        if fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some()) {
            assert!(said.contains(&format!("{path} 0\n")), "{path}: {said}");
            compared += 1;
        }
    }
    assert!(compared > 0, "nothing was compared");
    if !on_this_machine(&["/proc/kmsg"]).is_empty() {
        assert!(
            said.contains("can't open /proc/kmsg: Operation not permitted"),
            "{said}"
        );
        assert!(!said.contains("HEARD"), "{said}");
    }
    assert!(said.contains("dmesg: klogctl: Operation not permitted"), "{said}");
    // Whoever may not see the kernel's addresses sees zeros, unless the machine is set to show them to everybody.
    let level = fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap_or_default();
    if level.trim().parse::<i32>().is_ok_and(|level| level > 1) {
        assert!(said.contains("\n0 addresses\n"), "{said}");
    } else {
        println!("not tried: this machine shows the kernel's addresses to everybody");
    }
}

const MASKED_FILES: [&str; 6] = [
    "/proc/kcore",
    "/proc/keys",
    "/proc/timer_list",
    "/proc/sched_debug",
    "/proc/latency_stats",
    "/proc/interrupts",
];
const MASKED_FOLDERS: [&str; 4] = [
    "/sys/firmware",
    "/proc/acpi",
    "/proc/scsi",
    "/sys/devices/virtual/powercap",
];

/// Calls, with arguments under which they would fail in another way, or do no harm, where nobody forbade them.
#[cfg(target_arch = "x86_64")]
fn forbidden_calls() -> Vec<(&'static str, i64, [u64; 6], &'static [u8])> {
    let no = [0; 6];
    let bad = u64::MAX;
    vec![
        (
            "add_key",
            libc::SYS_add_key,
            [TEXT, TEXT, 0, 0, 1_u64.wrapping_neg(), 0],
            b"user",
        ),
        (
            "keyctl",
            libc::SYS_keyctl,
            [0, 3_u64.wrapping_neg(), 0, 0, 0, 0],
            b"",
        ),
        (
            "request_key",
            libc::SYS_request_key,
            [TEXT, TEXT, 0, 0, 0, 0],
            b"user",
        ),
        ("bpf", libc::SYS_bpf, [bad, 0, 0, 0, 0, 0], b""),
        ("userfaultfd", libc::SYS_userfaultfd, [bad, 0, 0, 0, 0, 0], b""),
        (
            "io_uring_setup",
            libc::SYS_io_uring_setup,
            [1, 0, 0, 0, 0, 0],
            b"",
        ),
        (
            "perf_event_open",
            libc::SYS_perf_event_open,
            [0, 0, 0, bad, 0, 0],
            b"",
        ),
        (
            "open_by_handle_at",
            libc::SYS_open_by_handle_at,
            [bad, 0, 0, 0, 0, 0],
            b"",
        ),
        ("mount", libc::SYS_mount, [TEXT, TEXT, TEXT, 0, 0, 0], b"/tmp"),
        (
            "move_mount",
            libc::SYS_move_mount,
            [bad, TEXT, bad, TEXT, bad, 0],
            b"/tmp",
        ),
        (
            "open_tree",
            libc::SYS_open_tree,
            [bad, TEXT, bad, 0, 0, 0],
            b"/tmp",
        ),
        ("fsopen", libc::SYS_fsopen, [TEXT, bad, 0, 0, 0, 0], b"nofs"),
        ("umount2", libc::SYS_umount2, [TEXT, bad, 0, 0, 0, 0], b"/nowhere"),
        (
            "pivot_root",
            libc::SYS_pivot_root,
            [TEXT, TEXT, 0, 0, 0, 0],
            b"/nowhere",
        ),
        ("setns", libc::SYS_setns, [bad, 0, 0, 0, 0, 0], b""),
        (
            "unshare a user namespace",
            libc::SYS_unshare,
            [0x1000_0000, 0, 0, 0, 0, 0],
            b"",
        ),
        (
            "unshare a mount namespace",
            libc::SYS_unshare,
            [0x2_0000, 0, 0, 0, 0, 0],
            b"",
        ),
        (
            "clone into a user namespace",
            libc::SYS_clone,
            [0x1000_0000, 0, 0, 0, 0, 0],
            b"",
        ),
        ("init_module", libc::SYS_init_module, [0, 0, TEXT, 0, 0, 0], b""),
        (
            "finit_module",
            libc::SYS_finit_module,
            [bad, TEXT, bad, 0, 0, 0],
            b"",
        ),
        (
            "delete_module",
            libc::SYS_delete_module,
            [TEXT, 0, 0, 0, 0, 0],
            b"nothing",
        ),
        ("kexec_load", libc::SYS_kexec_load, [0, 0, 0, bad, 0, 0], b""),
        ("reboot", libc::SYS_reboot, [1, 2, 3, 0, 0, 0], b""),
        ("swapon", libc::SYS_swapon, [TEXT, bad, 0, 0, 0, 0], b"/nowhere"),
        (
            "settimeofday",
            libc::SYS_settimeofday,
            [bad, bad, 0, 0, 0, 0],
            b"",
        ),
        ("acct", libc::SYS_acct, [TEXT, 0, 0, 0, 0, 0], b"/nowhere"),
        ("quotactl", libc::SYS_quotactl, [bad, 0, 0, 0, 0, 0], b""),
        ("syslog", libc::SYS_syslog, [bad, 0, 0, 0, 0, 0], b""),
        ("iopl", libc::SYS_iopl, [4, 0, 0, 0, 0, 0], b""),
        ("ioperm", libc::SYS_ioperm, [bad, 1, 1, 0, 0, 0], b""),
        ("kcmp", libc::SYS_kcmp, [bad, bad, bad, 0, 0, 0], b""),
        ("move_pages", libc::SYS_move_pages, [0, 0, 0, 0, 0, bad], b""),
        (
            "a socket to the hypervisor",
            libc::SYS_socket,
            [40, 1, 0, 0, 0, 0],
            b"",
        ),
        (
            "another personality",
            libc::SYS_personality,
            [0x40_0000, 0, 0, 0, 0, 0],
            b"",
        ),
        ("vhangup", libc::SYS_vhangup, no, b""),
    ]
}

#[cfg(target_arch = "x86_64")]
#[test]
fn calls_that_reach_beyond_a_step_are_not_permitted() {
    use libc::{ENOSYS, EPERM};
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
        one_call(libc::SYS_clone3, [TEXT, 88, 0, 0, 0, 0], &[0; 88]),
    );
    put("other", call_of_another_architecture());
    // A call that is allowed, so that a program that does not run at all is seen.
    put("ptrace", one_call(libc::SYS_ptrace, [0, 0, 0, 0, 0, 0], b""));
    let (ended, _) = stage.build(
        "COPY calls /calls\nRUN for p in /calls/*; do $p; echo $p $?.; done",
        &[],
    );
    let said = printed(&ended.well().err);
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
    let mut outside = Outside::start();
    let id = outside.0.id();
    let said = stage.script(&format!(
        "kill -0 {id} && echo SEEN; kill -9 {id} && echo KILLED; ls /proc/{id} && echo LISTED\n\
         cat /proc/{id}/environ && echo READ; ls /proc/{id}/root && echo ENTERED; ls /proc/{id}/ns && echo JOINED\n\
         sleep 60 & kill -0 $! && ls /proc/$!/root >/dev/null && kill -9 $! && echo ITS OWN\n\
         echo \"$(ls -d /proc/[0-9]* | wc -l) processes\"\nkill -9 -1\necho alone\n"
    ));
    assert!(outside.0.try_wait().unwrap().is_none(), "{said}");
    for word in ["SEEN", "KILLED", "LISTED", "READ", "ENTERED", "JOINED"] {
        assert!(!said.contains(word), "{said}");
    }
    // The same works on what is the step's, and that is all there is.
    assert!(said.contains("ITS OWN"), "{said}");
    let missing = format!("can't kill pid {id}: No such process");
    assert_eq!(said.matches(&missing).count(), 2, "{said}");
    let number = said
        .lines()
        .find_map(|line| line.strip_suffix(" processes"))
        .unwrap();
    assert!(number.parse::<usize>().unwrap() < 9, "{said}");
}

/// A process of the machine's, which ends with the test.
struct Outside(Child);

impl Outside {
    fn start() -> Self {
        let sleep = Command::new("/bin/busybox").args(["sleep", "600"]).spawn();
        Self(sleep.unwrap())
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

#[test]
fn the_files_of_the_machine_are_not_behind_any_door_of_proc() {
    let Some(stage) = Stage::new() else { return };
    let victim = stage.victim();
    let file = victim.path.display();
    let said = stage.script(&format!(
        "for root in / /proc/1/root /proc/self/root /proc/1/cwd /proc/self/cwd /proc/1/task/1/root /proc/thread-self/root \
         /dev/fd/0/.. /proc/self/fd/3 /proc/self/fd/4 /proc/1/fd/3 /proc/1/fd/4; do cat $root{file} && echo READ; [ -e $root/bin/busybox ] && echo OPEN $root; done\n\
         for up in ../../../../../../../../../../../../../../..; do cat $up{file} && echo READ; done\n\
         mkdir /a; cd /a; chroot /a /bin/true; cat ../../../../../..{file} && echo READ\n\
         cat /proc/1/mountinfo; ls -la /proc/1/fd /proc/self/fd; ls -l /proc/1/exe\n"
    ));
    assert!(
        !said.contains("READ") && !said.contains(Victim::CONTENT),
        "{said}"
    );
    // They are doors, and what is behind them is the step's own.
    for door in ["/", "/proc/1/root", "/proc/self/root", "/proc/thread-self/root"] {
        assert!(said.contains(&format!("OPEN {door}\n")), "{door}: {said}");
    }
    victim.is_untouched();
}

/// The way of CVE-2019-5736: a step's process was the worker's until its own program started, and an image said that this is
/// `/proc/self/exe`, and brought the loader that it starts with. That one opened what it was started for.
#[cfg(target_arch = "x86_64")]
#[test]
fn the_workers_program_is_never_started_in_a_step() {
    let Some(stage) = Stage::new() else { return };
    let program = Path::new(env!("CARGO_BIN_EXE_stagewright"));
    let Some(loader) = loader(&fs::read(program).unwrap()) else {
        return println!("skipped: the worker's program needs no loader, so none can be put in its place");
    };
    let flags = u64::from(libc::O_RDONLY.cast_unsigned());
    for path in ["/proc/self/exe", "/proc/thread-self/exe", "/proc/1/exe"] {
        let text = [path.as_bytes(), b"\0"].concat();
        stage.add(
            "loader",
            one_call(libc::SYS_open, [TEXT, flags, 0, 0, 0, 0], &text),
        );
        stage.add("script", format!("#!{path}\n"));
        for start in [path, "/script"] {
            let lines =
                format!("COPY --chmod=755 loader {loader}\nCOPY --chmod=755 script /\nRUN [\"{start}\"]");
            let (ended, _) = stage.build(&lines, &[]);
            // What starts programs was started, found that nothing was asked of it, and ended.
            assert!(
                ended.err.contains("exited with code 127 "),
                "{start} {path}: {}",
                ended.err
            );
        }
    }
    // Once the step's program runs, no process has the worker's any more, and no descriptor leads to a file of it.
    let said = stage.script(
        "for exe in /proc/[0-9]*/exe; do [ $exe -ef /bin/busybox ] && echo OWN || echo FOREIGN $exe; done\n\
         for fd in /proc/1/fd/* /proc/self/fd/*; do [ -f $fd ] && ! [ $fd -ef /attack.sh ] && echo FILE $fd; done\ntrue\n",
    );
    assert!(said.contains("OWN"), "{said}");
    assert!(!said.contains("FOREIGN") && !said.contains("FILE"), "{said}");
}

/// What a program names as its loader.
#[cfg(target_arch = "x86_64")]
fn loader(elf: &[u8]) -> Option<String> {
    let number = |at: usize, length: usize| {
        let bytes = &elf[at..at + length];
        bytes
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | usize::from(*byte))
    };
    let (table, length, count) = (number(32, 8), number(54, 2), number(56, 2));
    let entry = (0..count)
        .map(|index| table + index * length)
        .find(|entry| number(*entry, 4) == 3)?;
    let (from, size) = (number(entry + 8, 8), number(entry + 32, 8));
    Some(String::from_utf8(elf[from..from + size - 1].to_vec()).unwrap())
}

#[test]
fn set_user_id_and_other_rights_end_at_the_steps_own_edge() {
    let Some(stage) = Stage::new() else { return };
    // What a step may do, and what it says of what it may not. Devices that every machine has: to open them takes no more
    // than that a mount knows devices at all.
    let allowed = [
        "mknod /zero c 1 5",
        "mknod /dev/shm/zero c 1 5",
        "mknod /disk b 8 0",
        "chmod 4755 /bin/busybox",
    ];
    let refused = [
        ("dd if=/zero of=/dev/null bs=1 count=1", "Permission denied"),
        (
            "dd if=/dev/shm/zero of=/dev/null bs=1 count=1",
            "Permission denied",
        ),
        ("dd if=/disk of=/dev/null bs=1 count=1", "Permission denied"),
        ("hostname evil", "Operation not permitted"),
        ("ip link add evil type dummy", "Operation not permitted"),
        ("ip link set lo down", "Operation not permitted"),
        ("ip addr add 192.0.2.1/32 dev lo", "Operation not permitted"),
        (
            "date -s 2000-01-01 && [ $(date +%Y) = 2000 ]",
            "Operation not permitted",
        ),
        ("chroot / /bin/mount -t proc none /proc", "permission denied"),
        ("insmod /bin/busybox", "Operation not permitted"),
        ("unshare -m true", "Operation not permitted"),
        ("chroot /proc/1/root /bin/umount /proc", "not permitted"),
    ];
    let allow = |(number, command): (usize, &&str)| format!("{command} && echo \"{number} allowed\"\n");
    let refuse = |(number, (command, _)): (usize, &(&str, &str))| {
        format!("echo \"{number} said $( ({command}) 2>&1 && echo DONE)\" | tr '\\n' ' '; echo\n")
    };
    let said = stage.script(&format!(
        "grep -E '^Cap(Eff|Bnd)' /proc/self/status\n{}{}echo \"devices $(ls /dev | tr '\\n' ' ')\"\n",
        allowed.iter().enumerate().map(allow).collect::<String>(),
        refused.iter().enumerate().map(refuse).collect::<String>(),
    ));
    for (number, command) in allowed.iter().enumerate() {
        assert!(said.contains(&format!("{number} allowed\n")), "{command}: {said}");
    }
    for (number, (command, reason)) in refused.iter().enumerate() {
        let answer = format!("{number} said ");
        let answer = said.lines().find(|line| line.starts_with(&answer)).unwrap();
        assert!(
            answer.contains(reason) && !answer.contains("DONE"),
            "{command}: {answer}"
        );
    }
    // Docker's default set.
    assert!(said.contains("CapBnd:\t00000000a80425fb"), "{said}");
    assert!(said.contains("CapEff:\t00000000a80425fb"), "{said}");
    let devices = said
        .lines()
        .find_map(|line| line.strip_prefix("devices "))
        .unwrap();
    let mut devices: Vec<&str> = devices.split_whitespace().collect();
    devices.retain(|name| *name != "core");
    assert_eq!(
        devices,
        [
            "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout",
            "tty", "urandom", "zero"
        ]
    );
}

#[test]
fn what_the_owner_did_not_allow_is_refused_before_anything_runs() {
    let Some(stage) = Stage::new() else { return };
    for (line, reason) in [
        ("RUN --security=insecure true", "--allow security.insecure"),
        ("RUN --network=host true", "--allow network.host"),
        (
            "RUN --device=vendor.com/gpu=all,required true",
            "does not allow to builds",
        ),
    ] {
        // The same without it does run.
        for (line, code) in [("RUN true", 0), (line, 1)] {
            let (ended, _) = stage.build(&format!("RUN echo RAN\n{line}"), &["--no-cache"]);
            assert_eq!(ended.code, Some(code), "{line}: {}", ended.err);
            assert_eq!(
                printed(&ended.err).contains("RAN"),
                code == 0,
                "{line}: {}",
                ended.err
            );
            assert_eq!(ended.err.contains(reason), code == 1, "{line}: {}", ended.err);
        }
    }
}
