//! The system calls of the child, behind one trait.
//!
//! Between clone3 and execve only these happen. [`Linux`] makes them; tests record them instead.

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use libc::sock_filter;
use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::{Errno, FdFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    UnmountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount,
    mount_bind_recursive, mount_change, mount_remount, move_mount, unmount,
};
use rustix::process::{Gid, Resource, Rlimit, Signal, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets, LinkNameSpaceType, UnshareFlags};

pub(super) type Call<T = ()> = Result<T, Errno>;

/// A file system that belongs to the child's own namespaces, so that the worker cannot prepare it.
#[derive(Debug, Clone)]
pub(super) struct OwnFileSystem {
    /// `proc`, `sysfs`, `mqueue` or `cgroup2`.
    pub(super) kind: CString,
    /// Options without a value.
    pub(super) flags: Vec<CString>,
    /// Options with one.
    pub(super) options: Vec<(CString, CString)>,
    pub(super) attributes: MountAttrFlags,
}

/// What the child asks of the system, in the words of this project. Nothing here allocates.
pub(super) trait Kernel {
    /// The child is to be killed when the thread that made it ends; fails when it has ended already.
    fn die_with_parent(&self, report: BorrowedFd<'_>) -> Call;
    /// Enters a cgroup of version 1 by its opened `tasks`.
    fn join_cgroup(&self, tasks: BorrowedFd<'_>) -> Call;
    /// Makes the present cgroups the root of what can be seen.
    fn hide_cgroups(&self) -> Call;
    fn join_network(&self, namespace: BorrowedFd<'_>) -> Call;
    fn raise_loopback(&self) -> Call;
    fn set_hostname(&self, name: &CStr) -> Call;
    /// Keeps everything mounted from now on to this mount namespace.
    fn make_mounts_private(&self) -> Call;
    /// Puts a detached mount on a directory of the worker's.
    fn attach_root(&self, mount: BorrowedFd<'_>, place: &CStr) -> Call;
    /// Finds a mount point below `root`, with `root` as `/`.
    fn find(&self, root: BorrowedFd<'_>, path: &CStr) -> Call<OwnedFd>;
    fn attach(&self, mount: BorrowedFd<'_>, point: BorrowedFd<'_>) -> Call;
    fn make_file_system(&self, file_system: &OwnFileSystem) -> Call<OwnedFd>;
    /// Makes `root` the root directory and gives the old one up.
    fn pivot(&self, root: BorrowedFd<'_>) -> Call;
    /// Covers a file or directory with an empty one. A path that is not there is fine.
    fn mask(&self, path: &CStr) -> Call;
    /// Makes a directory read-only. A path that is not there is fine.
    fn protect(&self, path: &CStr) -> Call;
    fn change_dir(&self, path: &CStr) -> Call;
    fn start_session(&self) -> Call;
    fn set_stream(&self, number: i32, stream: BorrowedFd<'_>) -> Call;
    fn set_umask(&self, mask: u32);
    fn set_limit(&self, resource: Resource, limit: Rlimit) -> Call;
    /// Gives up the worker's keys.
    fn forget_keys(&self);
    fn install_filter(&self, filter: &[sock_filter]) -> Call;
    /// Gives a capability up for good, for this process and its children.
    fn drop_capability(&self, capability: u32) -> Call;
    fn clear_ambient_capabilities(&self) -> Call;
    /// Becoming another user is not to take the capabilities away.
    fn keep_capabilities(&self) -> Call;
    /// Lets the program have all capabilities that this process has, whoever runs it.
    fn raise_capabilities(&self) -> Call;
    fn set_groups(&self, groups: &[Gid]) -> Call;
    fn set_group(&self, gid: Gid) -> Call;
    fn set_user(&self, uid: Uid) -> Call;
    fn set_capabilities(&self, capabilities: CapabilitySet) -> Call;
    /// Closes every descriptor above standard error but these.
    fn close_descriptors(&self, kept: [BorrowedFd<'_>; 2]) -> Call;
    fn reset_signals(&self);
    /// Whether this is a file that may be executed.
    fn may_execute(&self, program: &CStr) -> Call;
    /// Leaves it to the launcher to become a program, and to report if that fails. Only returns if the launcher cannot start.
    fn launch(
        &self,
        launcher: BorrowedFd<'_>,
        report: BorrowedFd<'_>,
        arguments: &Strings,
        environment: &Strings,
    ) -> Errno;
}

/// Texts in the form execve takes.
pub(super) struct Strings {
    // Owned only so that the pointers stay valid.
    _texts: Vec<Arc<CStr>>,
    pointers: Vec<*const libc::c_char>,
}

impl Strings {
    pub(super) fn new(texts: impl IntoIterator<Item = Arc<CStr>>) -> Self {
        let texts: Vec<_> = texts.into_iter().collect();
        // The texts' own memory does not move when the vector does.
        let pointers = texts
            .iter()
            .map(|text| text.as_ptr())
            .chain([std::ptr::null()])
            .collect();
        Self {
            _texts: texts,
            pointers,
        }
    }
}

#[expect(unsafe_code, reason = "raw pointers make the type neither Send nor Sync")]
// SAFETY: the pointers point into `_texts`, which live as long as this value and which nobody changes.
unsafe impl Send for Strings {}

/// The real system.
pub(super) struct Linux;

impl Kernel for Linux {
    fn die_with_parent(&self, report: BorrowedFd<'_>) -> Call {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // Had the worker died before that call, nobody would hold the other end of the pipe.
        let mut pipe = [rustix::event::PollFd::from_borrowed_fd(
            report,
            rustix::event::PollFlags::empty(),
        )];
        let now = rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        match rustix::event::poll(&mut pipe, Some(&now))? {
            0 => Ok(()),
            _ => Err(Errno::SRCH),
        }
    }

    fn join_cgroup(&self, tasks: BorrowedFd<'_>) -> Call {
        rustix::io::write(tasks, b"0").map(drop)
    }

    fn hide_cgroups(&self) -> Call {
        #[expect(
            unsafe_code,
            reason = "unshare is unsafe for flags that split the file descriptor table"
        )]
        // SAFETY: this flag splits no descriptor table.
        unsafe {
            rustix::thread::unshare_unsafe(UnshareFlags::NEWCGROUP)
        }
    }

    fn join_network(&self, namespace: BorrowedFd<'_>) -> Call {
        rustix::thread::move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))
    }

    fn raise_loopback(&self) -> Call {
        super::syscall::raise_loopback()
    }

    fn set_hostname(&self, name: &CStr) -> Call {
        rustix::system::sethostname(name.to_bytes())
    }

    fn make_mounts_private(&self) -> Call {
        mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
    }

    fn attach_root(&self, mount: BorrowedFd<'_>, place: &CStr) -> Call {
        move_mount(mount, c"", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
    }

    fn find(&self, root: BorrowedFd<'_>, path: &CStr) -> Call<OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        loop {
            match openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                result => return result,
            }
        }
    }

    fn attach(&self, mount: BorrowedFd<'_>, point: BorrowedFd<'_>) -> Call {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(mount, c"", point, c"", flags)
    }

    fn make_file_system(&self, file_system: &OwnFileSystem) -> Call<OwnedFd> {
        let context = fsopen(file_system.kind.as_c_str(), FsOpenFlags::FSOPEN_CLOEXEC)?;
        for flag in &file_system.flags {
            fsconfig_set_flag(&context, flag.as_c_str())?;
        }
        for (name, value) in &file_system.options {
            fsconfig_set_string(&context, name.as_c_str(), value.as_c_str())?;
        }
        fsconfig_create(&context)?;
        fsmount(
            std::os::fd::AsFd::as_fd(&context),
            FsMountFlags::FSMOUNT_CLOEXEC,
            file_system.attributes,
        )
    }

    fn pivot(&self, root: BorrowedFd<'_>) -> Call {
        rustix::process::fchdir(root)?;
        // The old root is put on top of the new one and then taken away: no directory is needed for it.
        rustix::process::pivot_root(c".", c".")?;
        unmount(c".", UnmountFlags::DETACH)?;
        rustix::process::chdir(c"/")
    }

    fn mask(&self, path: &CStr) -> Call {
        match rustix::mount::mount_bind(c"/dev/null", path) {
            Err(Errno::NOENT) => Ok(()),
            Err(Errno::NOTDIR) => {
                let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
                mount(c"tmpfs", path, c"tmpfs", flags, Some(c"size=0"))
            }
            result => result,
        }
    }

    fn protect(&self, path: &CStr) -> Call {
        match mount_bind_recursive(path, path) {
            Err(Errno::NOENT) => return Ok(()),
            result => result?,
        }
        let flags = MountFlags::BIND
            | MountFlags::RDONLY
            | MountFlags::NOSUID
            | MountFlags::NODEV
            | MountFlags::NOEXEC;
        mount_remount(path, flags, c"")
    }

    fn change_dir(&self, path: &CStr) -> Call {
        // The kernel's own links (/proc/<pid>/cwd, root and fd) lead to where no path of the root does.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS)?;
        rustix::process::fchdir(directory)
    }

    fn start_session(&self) -> Call {
        rustix::process::setsid().map(drop)
    }

    fn set_stream(&self, number: i32, stream: BorrowedFd<'_>) -> Call {
        super::syscall::duplicate_to(stream.as_raw_fd(), number)
    }

    fn set_limit(&self, resource: Resource, limit: Rlimit) -> Call {
        rustix::process::setrlimit(resource, limit)
    }

    fn set_umask(&self, mask: u32) {
        rustix::process::umask(Mode::from_raw_mode(mask));
    }

    fn forget_keys(&self) {
        // Kernels without keyrings have nothing to forget.
        let _ = super::syscall::join_new_session_keyring();
    }

    fn install_filter(&self, filter: &[sock_filter]) -> Call {
        super::syscall::install_filter(filter)
    }

    fn drop_capability(&self, capability: u32) -> Call {
        rustix::thread::remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << capability))
    }

    fn clear_ambient_capabilities(&self) -> Call {
        rustix::thread::clear_ambient_capability_set()
    }

    fn keep_capabilities(&self) -> Call {
        rustix::thread::set_keep_capabilities(true)
    }

    fn raise_capabilities(&self) -> Call {
        let all = rustix::thread::capabilities(None)?.permitted;
        let sets = CapabilitySets {
            effective: all,
            permitted: all,
            inheritable: all,
        };
        rustix::thread::set_capabilities(None, sets)?;
        for capability in all.iter() {
            rustix::thread::configure_capability_in_ambient_set(capability, true)?;
        }
        Ok(())
    }

    fn set_groups(&self, groups: &[Gid]) -> Call {
        rustix::thread::set_thread_groups(groups)
    }

    fn set_group(&self, gid: Gid) -> Call {
        rustix::thread::set_thread_res_gid(gid, gid, gid)
    }

    fn set_user(&self, uid: Uid) -> Call {
        rustix::thread::set_thread_res_uid(uid, uid, uid)
    }

    fn set_capabilities(&self, capabilities: CapabilitySet) -> Call {
        let sets = CapabilitySets {
            effective: capabilities,
            permitted: capabilities,
            inheritable: CapabilitySet::empty(),
        };
        rustix::thread::set_capabilities(None, sets)
    }

    fn close_descriptors(&self, kept: [BorrowedFd<'_>; 2]) -> Call {
        super::syscall::close_all_but(kept.map(|one| one.as_raw_fd()), 3)
    }

    fn reset_signals(&self) {
        super::syscall::reset_signals();
    }

    fn may_execute(&self, program: &CStr) -> Call {
        // As execve asks: for whom the process acts as.
        rustix::fs::accessat(CWD, program, Access::EXEC_OK, AtFlags::EACCESS)?;
        let mode = rustix::fs::stat(program)?.st_mode;
        match FileType::from_raw_mode(mode) {
            FileType::RegularFile => Ok(()),
            // What execve says of all others.
            _ => Err(Errno::ACCESS),
        }
    }

    fn launch(
        &self,
        launcher: BorrowedFd<'_>,
        report: BorrowedFd<'_>,
        arguments: &Strings,
        environment: &Strings,
    ) -> Errno {
        // The launcher closes it when it has become the program.
        match rustix::io::fcntl_setfd(report, FdFlags::empty()) {
            Ok(()) => super::syscall::execute(launcher, &arguments.pointers, &environment.pointers),
            Err(errno) => errno,
        }
    }
}
