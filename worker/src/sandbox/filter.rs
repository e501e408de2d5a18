//! Which system calls a step may make: Docker's default profile, for a process without `SYS_ADMIN`.
//!
//! The list is what that profile allows with Docker's default capabilities. A forbidden call fails with EPERM, but `clone3`,
//! whose flags a filter cannot see, fails with ENOSYS, so that C libraries fall back to `clone`.
//!
//! The kernel runs the filter for every call number once when it is installed, and translates it to machine code, for every
//! step anew. So it is a search tree over ranges of numbers rather than a list of all of them.

use std::collections::BTreeMap;

use libc::{c_long, sock_filter};

/// What is answered to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Allow,
    /// Fails with this error.
    Fail(i32),
    /// Allowed unless the first argument has one of these bits.
    UnlessBits(u32),
    /// Allowed unless the first argument is this.
    Unless(u32),
    /// Allowed if the first argument is one of these.
    OneOf(&'static [u32]),
}

/// All flags by which `clone` makes namespaces: they would give the step capabilities over something.
const NAMESPACES: u32 = 0x7e02_0000;

/// `AF_VSOCK` reaches the hypervisor, past the network namespace.
const VSOCK: u32 = 40;

/// Linux, 32-bit Linux, both again without address randomisation, and "tell me".
const PERSONALITIES: [u32; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// The filter program; `None` on a processor whose numbers of system calls are not known here.
pub(super) fn filter() -> Option<Vec<sock_filter>> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => 0xc000_003e,
        "aarch64" => 0xc000_00b7,
        _ => return None,
    };
    let ranges = ranges();
    // Another architecture's numbers mean other calls: a 32-bit program on a 64-bit machine is ended.
    let mut program = vec![
        load(ARCHITECTURE),
        jump(libc::BPF_JEQ, architecture, 1, 0),
        give(libc::SECCOMP_RET_KILL_PROCESS),
    ];
    program.push(load(NUMBER));
    program.extend(tree(&ranges));
    Some(program)
}

/// The first number of every range of calls with one answer; it reaches to the next one.
fn ranges() -> Vec<(u32, Answer)> {
    let mut answers: BTreeMap<u32, Answer> = BTreeMap::new();
    let allowed = COMMON
        .iter()
        .chain(OF_THIS_MACHINE)
        .chain(RECENT)
        .chain([&IO_PGETEVENTS]);
    let special = [
        (libc::SYS_clone, Answer::UnlessBits(NAMESPACES)),
        (libc::SYS_clone3, Answer::Fail(libc::ENOSYS)),
        (libc::SYS_socket, Answer::Unless(VSOCK)),
        (libc::SYS_personality, Answer::OneOf(&PERSONALITIES)),
    ];
    for (number, answer) in allowed.map(|number| (*number, Answer::Allow)).chain(special) {
        answers.insert(u32::try_from(number).unwrap_or(u32::MAX), answer);
    }
    let forbidden = Answer::Fail(libc::EPERM);
    let mut ranges = vec![(0, forbidden)];
    let mut add = |start: u32, answer| match ranges.last_mut() {
        Some((_, last)) if *last == answer => {}
        Some((last_start, last)) if *last_start == start => *last = answer,
        _ => ranges.push((start, answer)),
    };
    let mut next = 0;
    for (number, answer) in answers {
        if number > next {
            add(next, forbidden);
        }
        add(number, answer);
        next = number.saturating_add(1);
    }
    add(next, forbidden);
    ranges
}

/// A search for the range that the loaded number is in.
fn tree(ranges: &[(u32, Answer)]) -> Vec<sock_filter> {
    let (low, high) = ranges.split_at(ranges.len() / 2);
    let (Some((_, answer)), Some((start, _))) = (ranges.first(), high.first()) else {
        return Vec::new();
    };
    if low.is_empty() {
        return leaf(*answer);
    }
    let (low, high) = (tree(low), tree(high));
    // Conditional jumps reach 255 instructions only; unconditional ones reach everywhere.
    let over_low = u32::try_from(low.len()).unwrap_or(u32::MAX);
    let mut program = vec![
        jump(libc::BPF_JGE, *start, 0, 1),
        instruction(libc::BPF_JMP | libc::BPF_JA, over_low, 0, 0),
    ];
    program.extend(low);
    program.extend(high);
    program
}

fn leaf(answer: Answer) -> Vec<sock_filter> {
    let allow = give(libc::SECCOMP_RET_ALLOW);
    let fail = |errno: i32| give(libc::SECCOMP_RET_ERRNO | errno.unsigned_abs());
    let forbid = fail(libc::EPERM);
    match answer {
        Answer::Allow => vec![allow],
        Answer::Fail(errno) => vec![fail(errno)],
        Answer::UnlessBits(bits) => vec![
            load(FIRST_ARGUMENT),
            jump(libc::BPF_JSET, bits, 0, 1),
            forbid,
            allow,
        ],
        Answer::Unless(value) => vec![
            load(FIRST_ARGUMENT),
            jump(libc::BPF_JEQ, value, 0, 1),
            forbid,
            allow,
        ],
        Answer::OneOf(values) => {
            let mut program = vec![load(FIRST_ARGUMENT)];
            program.extend(
                values
                    .iter()
                    .flat_map(|value| [jump(libc::BPF_JEQ, *value, 0, 1), allow]),
            );
            program.push(forbid);
            program
        }
    }
}

// Offsets into `struct seccomp_data`. Of the argument it is the half with the lower bits, on little-endian machines; the calls
// in question take 32-bit values and ignore the other half.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const FIRST_ARGUMENT: u32 = 16;

fn load(offset: u32) -> sock_filter {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset, 0, 0)
}

fn jump(condition: u32, value: u32, if_true: u8, if_false: u8) -> sock_filter {
    instruction(libc::BPF_JMP | condition | libc::BPF_K, value, if_true, if_false)
}

fn give(action: u32) -> sock_filter {
    instruction(libc::BPF_RET | libc::BPF_K, action, 0, 0)
}

fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    // All operation codes fit into a byte.
    sock_filter {
        code: u16::try_from(code).unwrap_or_default(),
        jt,
        jf,
        k,
    }
}

/// Generates the list of call numbers from the calls' names.
macro_rules! calls {
    ($($name:ident)*) => { &[$(libc::$name),*] };
}

#[rustfmt::skip]
const COMMON: &[c_long] = calls![
    SYS_accept SYS_accept4 SYS_adjtimex SYS_bind SYS_brk SYS_capget SYS_capset SYS_chdir SYS_clock_adjtime SYS_clock_getres
    SYS_clock_gettime SYS_clock_nanosleep SYS_close SYS_close_range SYS_connect SYS_copy_file_range SYS_dup SYS_dup3
    SYS_epoll_create1 SYS_epoll_ctl SYS_epoll_pwait SYS_epoll_pwait2 SYS_eventfd2 SYS_execve SYS_execveat SYS_exit
    SYS_exit_group SYS_faccessat SYS_faccessat2 SYS_fadvise64 SYS_fallocate SYS_fanotify_mark SYS_fchdir SYS_fchmod
    SYS_fchmodat SYS_fchown SYS_fchownat SYS_fcntl SYS_fdatasync SYS_fgetxattr SYS_flistxattr SYS_flock SYS_fremovexattr
    SYS_fsetxattr SYS_fstat SYS_fstatfs SYS_fsync SYS_ftruncate SYS_futex SYS_futex_waitv SYS_getcpu SYS_getcwd
    SYS_getdents64 SYS_getegid SYS_geteuid SYS_getgid SYS_getgroups SYS_getitimer SYS_getpeername SYS_getpgid SYS_getpid
    SYS_getppid SYS_getpriority SYS_getrandom SYS_getresgid SYS_getresuid SYS_get_robust_list SYS_getrusage SYS_getsid
    SYS_getsockname SYS_getsockopt SYS_gettid SYS_gettimeofday SYS_getuid SYS_getxattr SYS_inotify_add_watch
    SYS_inotify_init1 SYS_inotify_rm_watch SYS_io_cancel SYS_ioctl SYS_io_destroy SYS_io_getevents
    SYS_ioprio_get SYS_ioprio_set SYS_io_setup SYS_io_submit SYS_kill SYS_landlock_add_rule SYS_landlock_create_ruleset
    SYS_landlock_restrict_self SYS_lgetxattr SYS_linkat SYS_listen SYS_listxattr SYS_llistxattr SYS_lremovexattr SYS_lseek
    SYS_lsetxattr SYS_madvise SYS_membarrier SYS_memfd_create SYS_mincore SYS_mkdirat SYS_mknodat SYS_mlock SYS_mlock2
    SYS_mlockall SYS_mmap SYS_mprotect SYS_mq_getsetattr SYS_mq_notify SYS_mq_open SYS_mq_timedreceive SYS_mq_timedsend
    SYS_mq_unlink SYS_mremap SYS_msgctl SYS_msgget SYS_msgrcv SYS_msgsnd SYS_msync SYS_munlock SYS_munlockall SYS_munmap
    SYS_name_to_handle_at SYS_nanosleep SYS_newfstatat SYS_openat SYS_openat2 SYS_pidfd_open SYS_pidfd_send_signal
    SYS_pipe2 SYS_pkey_alloc SYS_pkey_free SYS_pkey_mprotect SYS_ppoll SYS_prctl SYS_pread64 SYS_preadv SYS_preadv2
    SYS_prlimit64 SYS_process_mrelease SYS_process_vm_readv SYS_process_vm_writev SYS_pselect6 SYS_ptrace SYS_pwrite64
    SYS_pwritev SYS_pwritev2 SYS_read SYS_readahead SYS_readlinkat SYS_readv SYS_recvfrom SYS_recvmmsg SYS_recvmsg
    SYS_remap_file_pages SYS_removexattr SYS_renameat2 SYS_restart_syscall SYS_rseq SYS_rt_sigaction SYS_rt_sigpending
    SYS_rt_sigprocmask SYS_rt_sigqueueinfo SYS_rt_sigreturn SYS_rt_sigsuspend SYS_rt_sigtimedwait SYS_rt_tgsigqueueinfo
    SYS_sched_getaffinity SYS_sched_getattr SYS_sched_getparam SYS_sched_get_priority_max SYS_sched_get_priority_min
    SYS_sched_getscheduler SYS_sched_rr_get_interval SYS_sched_setaffinity SYS_sched_setattr SYS_sched_setparam
    SYS_sched_setscheduler SYS_sched_yield SYS_seccomp SYS_semctl SYS_semget SYS_semop SYS_semtimedop SYS_sendfile
    SYS_sendmmsg SYS_sendmsg SYS_sendto SYS_setfsgid SYS_setfsuid SYS_setgid SYS_setgroups SYS_setitimer SYS_setpgid
    SYS_setpriority SYS_setregid SYS_setresgid SYS_setresuid SYS_setreuid SYS_set_robust_list SYS_setsid SYS_setsockopt
    SYS_set_tid_address SYS_setuid SYS_setxattr SYS_shmat SYS_shmctl SYS_shmdt SYS_shmget SYS_shutdown SYS_sigaltstack
    SYS_signalfd4 SYS_socketpair SYS_splice SYS_statfs SYS_statx SYS_symlinkat SYS_sync SYS_sync_file_range SYS_syncfs
    SYS_sysinfo SYS_tee SYS_tgkill SYS_timer_create SYS_timer_delete SYS_timer_getoverrun SYS_timer_gettime
    SYS_timer_settime SYS_timerfd_create SYS_timerfd_gettime SYS_timerfd_settime SYS_times SYS_tkill SYS_truncate
    SYS_umask SYS_uname SYS_unlinkat SYS_utimensat SYS_vmsplice SYS_wait4 SYS_waitid SYS_write SYS_writev
    // By the `SYS_CHROOT` capability, which steps have.
    SYS_chroot
];

/// Calls that are younger than the C library's list, by number, which all machines share: `memfd_secret`, `cachestat`,
/// `fchmodat2`, `map_shadow_stack`, `futex_wake`, `futex_wait`, `futex_requeue`, `mseal`, and the four of `setxattrat`.
const RECENT: &[c_long] = &[447, 451, 452, 453, 454, 455, 456, 462, 463, 464, 465, 466];

/// Missing from the C library's list.
const IO_PGETEVENTS: c_long = if cfg!(target_arch = "x86_64") { 333 } else { 292 };

#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const OF_THIS_MACHINE: &[c_long] = calls![
    SYS_access SYS_alarm SYS_arch_prctl SYS_chmod SYS_chown SYS_creat SYS_dup2 SYS_epoll_create SYS_epoll_ctl_old
    SYS_epoll_wait SYS_epoll_wait_old SYS_eventfd SYS_fork SYS_futimesat SYS_getdents SYS_getpgrp SYS_getrlimit
    SYS_get_thread_area SYS_inotify_init SYS_lchown SYS_link SYS_lstat SYS_mkdir SYS_mknod SYS_modify_ldt SYS_open
    SYS_pause SYS_pipe SYS_poll SYS_readlink SYS_rename SYS_renameat SYS_rmdir SYS_select SYS_setrlimit SYS_set_thread_area
    SYS_signalfd SYS_stat SYS_symlink SYS_time SYS_unlink SYS_utime SYS_utimes SYS_vfork
];

#[cfg(not(target_arch = "x86_64"))]
const OF_THIS_MACHINE: &[c_long] = calls![SYS_renameat SYS_getrlimit SYS_setrlimit];

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the filter as the kernel would.
    fn answer(number: c_long, argument: u32) -> u32 {
        let program = filter().unwrap();
        let architecture = program[1].k;
        let (mut at, mut accumulator) = (0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = program[at];
            at += 1;
            let branch = |condition: bool| usize::from(if condition { jt } else { jf });
            match u32::from(code) {
                code if code == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS => {
                    accumulator = match k {
                        0 => u32::try_from(number).unwrap(),
                        4 => architecture,
                        16 => argument,
                        other => panic!("offset {other}"),
                    };
                }
                code if code == libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K => at += branch(accumulator == k),
                code if code == libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K => at += branch(accumulator >= k),
                code if code == libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K => {
                    at += branch(accumulator & k != 0);
                }
                code if code == libc::BPF_JMP | libc::BPF_JA => at += usize::try_from(k).unwrap(),
                code if code == libc::BPF_RET | libc::BPF_K => return k,
                other => panic!("instruction {other}"),
            }
        }
    }

    const ALLOWED: u32 = libc::SECCOMP_RET_ALLOW;
    const FORBIDDEN: u32 = libc::SECCOMP_RET_ERRNO | 1;

    #[test]
    fn every_number_is_answered_as_the_lists_say() {
        let lists = [COMMON, OF_THIS_MACHINE, RECENT, &[IO_PGETEVENTS]].concat();
        let special = [
            libc::SYS_clone,
            libc::SYS_clone3,
            libc::SYS_socket,
            libc::SYS_personality,
        ];
        for number in (0..1000).filter(|number| !special.contains(number)) {
            let expected = if lists.contains(&number) {
                ALLOWED
            } else {
                FORBIDDEN
            };
            assert_eq!(answer(number, 0), expected, "{number}");
        }
        // The second numbering of this machine's calls, for programs with short pointers.
        assert_eq!(answer(0x4000_0000, 0), FORBIDDEN);
    }

    #[test]
    fn some_calls_are_answered_by_their_argument() {
        assert_eq!(answer(libc::SYS_clone, libc::SIGCHLD.cast_unsigned()), ALLOWED);
        for flag in [
            libc::CLONE_NEWUSER,
            libc::CLONE_NEWNS,
            libc::CLONE_NEWNET,
            libc::CLONE_NEWCGROUP,
            libc::CLONE_NEWPID,
        ] {
            assert_eq!(answer(libc::SYS_clone, flag.cast_unsigned()), FORBIDDEN);
        }
        assert_eq!(
            answer(libc::SYS_clone3, 0),
            libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs()
        );
        assert_eq!(answer(libc::SYS_socket, libc::AF_INET.cast_unsigned()), ALLOWED);
        assert_eq!(
            answer(libc::SYS_socket, libc::AF_VSOCK.cast_unsigned()),
            FORBIDDEN
        );
        assert_eq!(answer(libc::SYS_personality, 0xffff_ffff), ALLOWED);
        assert_eq!(answer(libc::SYS_personality, 0x40_0000), FORBIDDEN);
    }

    #[rustfmt::skip]
    #[test]
    fn what_reaches_beyond_the_container_is_refused() {
        for call in [
            libc::SYS_mount, libc::SYS_umount2, libc::SYS_unshare, libc::SYS_setns, libc::SYS_keyctl, libc::SYS_add_key,
            libc::SYS_request_key, libc::SYS_bpf, libc::SYS_perf_event_open, libc::SYS_open_by_handle_at, libc::SYS_reboot,
            libc::SYS_kexec_load, libc::SYS_init_module, libc::SYS_userfaultfd, libc::SYS_pivot_root, libc::SYS_swapon,
            libc::SYS_move_mount, libc::SYS_fsopen, libc::SYS_io_uring_setup, libc::SYS_clock_settime, libc::SYS_syslog,
        ] {
            assert_eq!(answer(call, 0), FORBIDDEN, "{call}");
        }
    }

    #[test]
    fn the_filter_is_small() {
        assert!(filter().unwrap().len() < 400, "{}", filter().unwrap().len());
    }
}
