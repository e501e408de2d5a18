//! System calls that the `rustix` crate has no safe form of. All are plain calls into the kernel: none allocates or takes a
//! lock, so the child may make them.

#![expect(unsafe_code, reason = "this is where the raw system calls are")]

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use libc::{c_char, c_int, c_long, c_uint, sock_filter};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

/// The result of `libc::syscall` or of a call with the same convention.
fn check(result: c_long) -> Result<c_long, Errno> {
    if result >= 0 {
        return Ok(result);
    }
    // SAFETY: the C library gives a valid pointer to this thread's variable.
    let errno = unsafe { *libc::__errno_location() };
    Err(Errno::from_raw_os_error(errno))
}

/// A child in new namespaces.
pub(super) enum Clone {
    /// This is the child.
    Child,
    /// This is the parent, with a handle to the child.
    Parent(OwnedFd),
}

/// Makes a child process like `fork` does, in the namespaces that `flags` name, and in the version 2 cgroup `group`.
///
/// # Safety
/// In the child nothing may be done but system calls on memory that is already there: other threads' locks are copied as they
/// were, held forever. The child may not return from the function that calls this.
pub(super) unsafe fn clone_process(flags: c_int, group: Option<BorrowedFd<'_>>) -> Result<Clone, Errno> {
    let mut pidfd: c_int = -1;
    let into_group = group.map_or(0, |_| CLONE_INTO_CGROUP);
    let arguments = CloneArguments {
        flags: u64::from(flags.cast_unsigned())
            | u64::from(libc::CLONE_PIDFD.cast_unsigned())
            | CLONE_CLEAR_SIGHAND
            | into_group,
        pidfd: std::ptr::from_mut(&mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        cgroup: group.map_or(0, |group| u64::from(group.as_raw_fd().cast_unsigned())),
        ..CloneArguments::default()
    };
    // SAFETY: the structure is the kernel's and lives through the call; without CLONE_VM the child has its own copy of the
    // stack. What the caller does next is the caller's promise.
    let result = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw const arguments,
            size_of::<CloneArguments>(),
        )
    };
    match check(result)? {
        0 => Ok(Clone::Child),
        // SAFETY: the kernel put a new descriptor, owned by nobody else, there.
        _ => Ok(Clone::Parent(unsafe { OwnedFd::from_raw_fd(pidfd) })),
    }
}

/// Handlers of the worker's mean nothing in the child. (`CLONE_CLEAR_SIGHAND`, Linux 5.5)
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;

/// Begins in a cgroup instead of being moved there. (Linux 5.7)
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// `struct clone_args`, third version (Linux 5.7).
#[repr(C)]
#[derive(Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Ends this process at once, without running anything that was to be run at its end.
pub(super) fn exit_now(code: c_int) -> ! {
    // SAFETY: the call takes a number and does not return.
    unsafe { libc::_exit(code) }
}

/// Blocks every signal in this thread and gives the former mask back.
pub(super) fn block_signals() -> libc::sigset_t {
    // SAFETY: all-zero is a valid signal set, and both pointers are to live sets.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut former: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut former);
        former
    }
}

/// Puts a mask from [`block_signals`] back.
pub(super) fn restore_signals(mask: &libc::sigset_t) {
    // SAFETY: the pointer is to a live set; the former mask is not wanted.
    unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, std::ptr::from_ref(mask), std::ptr::null_mut());
    }
}

/// Default reactions to all signals, none blocked. Rust ignores SIGPIPE, and ignoring would be inherited by the program.
pub(super) fn reset_signals() {
    // SAFETY: resetting a reaction and setting an empty mask touch nothing but this process's signal state.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// Makes descriptor `number` the same file as `from`.
pub(super) fn duplicate_to(from: RawFd, number: c_int) -> Result<(), Errno> {
    // SAFETY: the call takes numbers; `number` is a standard stream, which no value in this process owns.
    check(unsafe { libc::syscall(libc::SYS_dup3, from, number, 0) }).map(drop)
}

/// Closes every descriptor from `first` on but those `kept`. For a child that is about to become a program: whatever owns them
/// here is never used again.
pub(super) fn close_all_but(mut kept: [c_int; 2], first: c_uint) -> Result<(), Errno> {
    let close = |from: c_uint, to: c_uint| {
        if from > to {
            return Ok(());
        }
        // SAFETY: the call takes numbers; this child is alone with its table of descriptors.
        check(unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) }).map(drop)
    };
    kept.sort_unstable();
    let mut from = first;
    for kept in kept.map(c_int::cast_unsigned) {
        if kept >= from {
            close(from, kept.saturating_sub(1))?;
            from = kept.saturating_add(1);
        }
    }
    close(from, c_uint::MAX)
}

/// Replaces this process by the program that `file` is; returns only if that fails. Both lists end with a null pointer.
pub(super) fn execute(
    file: BorrowedFd<'_>,
    arguments: &[*const c_char],
    environment: &[*const c_char],
) -> Errno {
    // SAFETY: `Strings`, the only maker of these lists, ends them with null and keeps the texts alive.
    let result = unsafe {
        libc::syscall(
            libc::SYS_execveat,
            file.as_raw_fd(),
            c"".as_ptr(),
            arguments.as_ptr(),
            environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    match check(result) {
        Ok(_) => Errno::INVAL,
        Err(errno) => errno,
    }
}

const SECCOMP_SET_MODE_FILTER: c_int = 1;

/// Adds a system call filter. Without `no_new_privs` this needs `SYS_ADMIN`.
pub(super) fn install_filter(filter: &[sock_filter]) -> Result<(), Errno> {
    let length = u16::try_from(filter.len()).map_err(|_| Errno::INVAL)?;
    let program = libc::sock_fprog {
        len: length,
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel only reads the program, whose memory lives through the call.
    check(unsafe { libc::syscall(libc::SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &raw const program) })
        .map(drop)
}

/// Leaves the inherited session keyring for a new, empty one.
pub(super) fn join_new_session_keyring() -> Result<(), Errno> {
    const KEYCTL_JOIN_SESSION_KEYRING: c_int = 1;
    // SAFETY: a null name asks for an anonymous keyring.
    check(unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            KEYCTL_JOIN_SESSION_KEYRING,
            std::ptr::null::<c_char>(),
        )
    })
    .map(drop)
}

/// Switches the loopback interface of the present network namespace on.
pub(super) fn raise_loopback() -> Result<(), Errno> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: all-zero is a valid request; the name is shorter than its field.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(b"lo") {
        *place = byte.cast_signed() as c_char;
    }
    request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_UP | libc::IFF_RUNNING).unwrap_or_default();
    // SAFETY: the request lives through the call and is the structure that SIOCSIFFLAGS reads.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) }.into())
        .map(drop)
}

/// Sets attributes of a mount (and with `recursive` of those below it).
pub(crate) fn set_mount_attributes(
    mount: BorrowedFd<'_>,
    set: MountAttrFlags,
    recursive: bool,
) -> Result<(), Errno> {
    change_mount_attributes(mount, set, MountAttrFlags::empty(), recursive)
}

/// Takes attributes of a mount away.
pub(super) fn clear_mount_attributes(mount: BorrowedFd<'_>, clear: MountAttrFlags) -> Result<(), Errno> {
    change_mount_attributes(mount, MountAttrFlags::empty(), clear, false)
}

fn change_mount_attributes(
    mount: BorrowedFd<'_>,
    set: MountAttrFlags,
    clear: MountAttrFlags,
    recursive: bool,
) -> Result<(), Errno> {
    #[repr(C)]
    struct Attributes {
        set: u64,
        clear: u64,
        propagation: u64,
        user_namespace: u64,
    }
    let attributes = Attributes {
        set: set.bits().into(),
        clear: clear.bits().into(),
        propagation: 0,
        user_namespace: 0,
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a text, and the structure is the kernel's first version and lives through the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<Attributes>(),
        )
    };
    check(result).map(drop)
}

/// The user namespace that another namespace belongs to. It is shown only where it is this process's or one inside of that.
pub(super) fn owner_of(namespace: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    // `_IO(0xb7, 1)`
    const NS_GET_USERNS: libc::c_ulong = 0xb701;
    // SAFETY: the request takes no argument, and gives a new descriptor that is owned by nobody else.
    unsafe {
        let result = libc::syscall(libc::SYS_ioctl, namespace.as_raw_fd(), NS_GET_USERNS);
        let number = RawFd::try_from(check(result)?).map_err(|_| Errno::BADF)?;
        Ok(OwnedFd::from_raw_fd(number))
    }
}
