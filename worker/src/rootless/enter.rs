//! Entering the user namespace in which an ordinary user is root.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use rustix::io::Errno;
use rustix::thread::UnshareFlags;

use super::{find, subordinate};

/// As whom this process works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The root that it was started as, of the machine or of a container.
    Root,
    /// An ordinary user with ids for others, in a user namespace.
    User,
    /// An ordinary user in a user namespace with no id but its own. Why, and what to do about it.
    Alone(String),
    /// An ordinary user and nothing more: the machine gives it no user namespace. Why, and what to do about it.
    Refused(String),
}

static STANDING: OnceLock<Standing> = OnceLock::new();

/// Makes an ordinary user's process root in a user namespace of its own. To be called before the first thread is started: a
/// process with threads cannot change its user namespace. Root stays what it is, and a second call changes nothing.
pub fn enter() -> &'static Standing {
    STANDING.get_or_init(|| {
        if rustix::process::geteuid().is_root() {
            Standing::Root
        } else {
            attempt()
        }
    })
}

/// What [`enter`] came to. Where nobody called it, this is an ordinary user or root, as it was started.
pub fn standing() -> Standing {
    STANDING.get().cloned().unwrap_or_else(|| {
        if rustix::process::geteuid().is_root() {
            Standing::Root
        } else {
            Standing::Refused(
                "The worker is an ordinary user and did not make itself a user namespace.".to_owned(),
            )
        }
    })
}

fn attempt() -> Standing {
    let (uid, gid) = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    // It waits outside, where the programs that may give ids away are what they are: once inside, nothing of the machine's
    // root can be run any more.
    let mapper = Mapper::ready(uid, gid);
    #[expect(
        unsafe_code,
        reason = "unshare is unsafe for flags that split the file descriptor table"
    )]
    // SAFETY: this flag splits no descriptor table.
    let entered = unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER) };
    if let Err(errno) = entered {
        return Standing::Refused(refused(errno));
    }
    let standing = match mapper.and_then(Mapper::map) {
        Ok(()) => Standing::User,
        Err(reason) => match map_self(uid, gid) {
            Ok(()) => Standing::Alone(reason),
            Err(error) => {
                return Standing::Refused(format!(
                    "The kernel does not let the worker be root in a user namespace ({error}): {ADVICE}."
                ));
            }
        },
    };
    // Security modules may let a user have the namespace and nothing that it is for.
    #[expect(
        unsafe_code,
        reason = "unshare is unsafe for flags that split the file descriptor table"
    )]
    // SAFETY: this flag splits no descriptor table.
    match unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) } {
        Ok(()) => standing,
        Err(errno) => Standing::Refused(refused(errno)),
    }
}

const ADVICE: &str =
    "run it as root, or let ordinary users have user namespaces; plans and checks work without";

/// Why there is no user namespace, and whose setting it is.
fn refused(errno: Errno) -> String {
    let read = |setting: &str| fs::read_to_string(Path::new("/proc/sys").join(setting)).unwrap_or_default();
    let is = |setting: &str, value: &str| read(setting).trim() == value;
    if is("user/max_user_namespaces", "0") {
        return "User namespaces are switched off on this machine, so only root can run build steps: set the sysctl \
                user.max_user_namespaces to 10000 or so."
            .to_owned();
    }
    if is("kernel/unprivileged_userns_clone", "0") {
        return "User namespaces are for root only on this machine: set the sysctl kernel.unprivileged_userns_clone to 1."
            .to_owned();
    }
    if is("kernel/apparmor_restrict_unprivileged_userns", "1") {
        return "AppArmor lets ordinary users do nothing in user namespaces on this machine: give the program a profile with \
                `userns,`, or set the sysctl kernel.apparmor_restrict_unprivileged_userns to 0."
            .to_owned();
    }
    match errno {
        Errno::NOSPC | Errno::USERS => {
            "There are as many user namespaces as this machine allows: raise the sysctl \
                user.max_user_namespaces."
                .to_owned()
        }
        Errno::NOSYS | Errno::INVAL => {
            format!("This kernel is without user namespaces ({errno}), so only root can run build steps.")
        }
        _ => format!("The machine gives the worker no user namespace ({errno}): {ADVICE}."),
    }
}

/// Makes the user root, and nobody else.
fn map_self(uid: u32, gid: u32) -> io::Result<()> {
    // What a former attempt has set cannot be set again, and is fine as it is.
    let write = |file: &str, text: &str| {
        let path = Path::new("/proc/self").join(file);
        match fs::read_to_string(&path) {
            Ok(there) if file != "setgroups" && !there.trim().is_empty() => Ok(()),
            _ => fs::write(&path, text),
        }
    };
    write("uid_map", &format!("0 {uid} 1"))?;
    // Who could leave groups could get at files that are closed to them; with no group but its own there is no need to.
    write("setgroups", "deny")?;
    write("gid_map", &format!("0 {gid} 1"))
}

/// A process outside that will ask the machine for this process's ids.
struct Mapper(Child);

impl Mapper {
    fn ready(uid: u32, gid: u32) -> Result<Self, String> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let passwd = read("/etc/passwd");
        let name = subordinate::name(&passwd, uid);
        let who = name.map_or_else(|| uid.to_string(), ToOwned::to_owned);
        let mut commands = String::new();
        for (program, file, own) in [
            ("newuidmap", "/etc/subuid", uid),
            ("newgidmap", "/etc/subgid", gid),
        ] {
            let given = subordinate::given(&read(file), name, uid);
            if given.is_empty() {
                return Err(format!(
                    "{file} gives no ids to {who}: add the line {who}:100000:65536 to /etc/subuid and to /etc/subgid"
                ));
            }
            // It stands in a shell's text, between quotes.
            let found = find(program).filter(|file| file.to_str().is_some_and(|text| !text.contains('\'')));
            let program = found.ok_or_else(|| {
                format!("the program {program} is missing: install it (Debian's package is uidmap)")
            })?;
            let map = subordinate::map(own, &given);
            let pid = std::process::id();
            _ = write!(commands, " && '{}' {pid} {map}", program.display());
        }
        Command::new("/bin/sh")
            .arg("-c")
            .arg(format!("read -r _{commands}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map(Self)
            .map_err(|error| format!("/bin/sh cannot be started ({error})"))
    }

    fn map(mut self) -> Result<(), String> {
        if let Some(mut input) = self.0.stdin.take() {
            input
                .write_all(b"\n")
                .map_err(|error| format!("newuidmap cannot be reached ({error})"))?;
        }
        let mut said = Vec::new();
        let mut listen = || {
            if let Some(mut output) = self.0.stderr.take() {
                output.read_to_end(&mut said)?;
            }
            self.0.wait()
        };
        let ended = listen().map_err(|error| format!("newuidmap cannot be waited for ({error})"))?;
        if ended.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&said);
        let said = said.lines().next().unwrap_or("it said nothing").trim();
        Err(format!(
            "newuidmap or newgidmap refused ({said}): see that both belong to root and have the setuid bit, and that the worker \
             was not started with no_new_privs"
        ))
    }
}

impl Drop for Mapper {
    fn drop(&mut self) {
        // A shell that was told nothing ends when nobody can tell it anything any more.
        drop(self.0.stdin.take());
        _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapper_that_is_not_needed_leaves_no_process() {
        let shell = Command::new("/bin/sh")
            .args(["-c", "read -r _ && exit 0"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let process = Path::new("/proc").join(shell.id().to_string());
        assert!(process.exists());
        drop(Mapper(shell));
        assert!(!process.exists());
    }
}
