//! The network through which the steps of an ordinary user's worker go out.
//!
//! An ordinary user can change no network of the machine, but has networks of its own. One of them is made to stand where the
//! machine's stands for root: steps are tied to it in the same way, and the same rules hold in it. `pasta` (of the package passt)
//! ties it to the world: it takes packets off an interface in there and sends what they carry by sockets, as any program of the
//! user would.
//!
//! To `pasta` the machine's own addresses are like any other, so the gateway has routes that lead nowhere for all of them. Its
//! loopback is not the machine's, and `pasta` is told to stand in for none of what listens there.

use std::fs::{self, File};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{Receiver, SendError, TryRecvError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::mount::{UnmountFlags, mount_bind, unmount};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use super::netlink::Netlink;
use crate::rootless::find;

/// How long `pasta` may take to set its interface up.
const PATIENCE: Duration = Duration::from_secs(5);

/// No address translation back to the machine, no ports either way, and no IPv6, which steps do not have.
const ARGUMENTS: [&str; 16] = [
    "--config-net",
    "--no-map-gw",
    "--ipv4-only",
    "--netns-only",
    "--no-netns-quit",
    "--foreground",
    "--quiet",
    "-t",
    "none",
    "-u",
    "none",
    "-T",
    "none",
    "-U",
    "none",
    "--netns",
];

/// Addresses that have so many of their first bits in common.
type Range = (Ipv4Addr, u8);

/// A network with a way out that this process owns.
pub(super) struct Gateway {
    namespace: OwnedFd,
    /// `pasta`, which ends with this value, and with the worker, however that ends.
    pasta: OwnedFd,
    /// The machine's addresses that lead nowhere already.
    closed: Mutex<Vec<Range>>,
}

/// Whether this process may change the network that it is in.
pub(super) fn is_own_network() -> bool {
    let own = |name: &str| File::open(Path::new("/proc/self/ns").join(name));
    let owner = |namespace: File| crate::sandbox::syscall::owner_of(namespace.as_fd()).map(File::from);
    let identity = |file: &File| {
        use std::os::unix::fs::MetadataExt as _;
        file.metadata().map(|found| (found.dev(), found.ino())).ok()
    };
    match (own("net").ok().and_then(|net| owner(net).ok()), own("user")) {
        (Some(owner), Ok(user)) => identity(&owner).is_some() && identity(&owner) == identity(&user),
        // What belongs to a namespace around this one is not shown.
        _ => false,
    }
}

/// What a gateway takes, where it is here: cheap to ask, and not yet a promise.
pub(super) fn available() -> Result<PathBuf, String> {
    let pasta =
        find("pasta").ok_or("the program pasta is missing: install it (Debian's package is passt)")?;
    let tun = "/dev/net/tun";
    File::options()
        .read(true)
        .write(true)
        .open(tun)
        .map_err(|error| format!("pasta needs {tun}, which cannot be opened ({error})"))?;
    Ok(pasta)
}

impl Gateway {
    /// Makes the network and connects it. `place` is a directory of its own, which is empty again afterwards.
    pub(super) fn open(place: &Path) -> Result<Self, String> {
        let pasta = available()?;
        let point = place.join("namespace");
        let refused = |what: &'static str| move |error: io::Error| format!("{what} ({error})");
        File::create(&point).map_err(refused("the worker cannot write to its state folder"))?;
        let namespace = on_a_thread(|| make(&point)).map_err(refused("a network cannot be made"))?;
        let connected = connect(&pasta, &point, namespace);
        // It has its own handle by now.
        if let Err(error) = unmount(&point, UnmountFlags::DETACH) {
            tracing::debug!(%error, "a network stays visible in the state folder");
        }
        _ = fs::remove_file(&point);
        connected
    }

    /// Does something where the gateway is the network, on a thread that ends with it.
    pub(super) fn within<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        on_a_thread(|| {
            move_into_link_name_space(self.namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            work()
        })
    }

    /// Lets the machine's own addresses lead nowhere. They may have changed since this was last done.
    pub(super) fn close_machine(&self) -> io::Result<()> {
        let table = fs::read_to_string("/proc/net/fib_trie")?;
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        let open: Vec<Range> = addresses(&table)
            .filter(|range| !range.0.is_loopback() && !closed.contains(range))
            .collect();
        if open.is_empty() {
            return Ok(());
        }
        self.within(|| {
            let mut netlink = Netlink::open()?;
            open.iter()
                .try_for_each(|(address, prefix)| netlink.add_dead_end(*address, *prefix))
        })?;
        closed.extend(open);
        Ok(())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already.
        _ = pidfd_send_signal(&self.pasta, Signal::KILL);
    }
}

/// Does something on a thread that ends with it, whatever network it is in by then.
pub(super) fn on_a_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("network".to_owned())
            .spawn_scoped(scope, work)?
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread that makes networks panicked")))
    })
}

/// Makes the namespace and shows it at `point`: `pasta` gives up the rights by which it could open it anywhere else.
fn make(point: &Path) -> io::Result<OwnedFd> {
    #[expect(
        unsafe_code,
        reason = "unshare is unsafe for flags that split the file descriptor table"
    )]
    // SAFETY: this flag splits no descriptor table; the thread ends with what it is for.
    unsafe {
        rustix::thread::unshare_unsafe(UnshareFlags::NEWNET)?;
    }
    let own = "/proc/thread-self/ns/net";
    mount_bind(own, point)?;
    Ok(File::open(own)?.into())
}

/// Starts `pasta` and waits until its interface is there.
fn connect(pasta: &Path, point: &Path, namespace: OwnedFd) -> Result<Gateway, String> {
    let mut command = Command::new(pasta);
    command
        .args(ARGUMENTS)
        .arg(point)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let (started, ended) = start(command);
    let pasta = match started.recv() {
        Ok(Ok(pasta)) => pasta,
        Ok(Err(error)) => return Err(format!("pasta cannot be started ({error})")),
        Err(_) => return Err("pasta cannot be started".to_owned()),
    };
    let gateway = Gateway {
        namespace,
        pasta,
        closed: Mutex::default(),
    };
    let begun = Instant::now();
    loop {
        let routes = gateway.within(|| fs::read_to_string("/proc/thread-self/net/route"));
        if routes.is_ok_and(|routes| has_default(&routes)) {
            return Ok(gateway);
        }
        match ended.try_recv() {
            Ok(output) => return Err(said(&output)),
            Err(TryRecvError::Disconnected) => return Err("pasta ended".to_owned()),
            Err(TryRecvError::Empty) if begun.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(TryRecvError::Empty) => {
                return Err("pasta set up no network within five seconds".to_owned());
            }
        }
    }
}

/// Starts the program on a thread that lives as long as it does: it is killed when that thread ends, which is when the worker
/// does. Gives its handle, and what it said when it has ended.
fn start(mut command: Command) -> (Receiver<io::Result<OwnedFd>>, Receiver<io::Result<Output>>) {
    let (tell_started, started) = channel();
    let (tell_ended, ended) = channel();
    let run = move || {
        #[expect(unsafe_code, reason = "what runs between fork and exec is unsafe to choose")]
        // SAFETY: it is one system call, which allocates nothing and takes no lock.
        unsafe {
            command.pre_exec(|| {
                Ok(rustix::process::set_parent_process_death_signal(Some(
                    Signal::KILL,
                ))?)
            });
        }
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                _ = tell_started.send(Err(error));
                return;
            }
        };
        match pidfd_open(Pid::from_child(&child), PidfdFlags::empty()) {
            Ok(handle) => _ = tell_started.send(Ok(handle)),
            Err(error) => {
                _ = child.kill();
                _ = tell_started.send(Err(error.into()));
            }
        }
        let ended = child.wait_with_output();
        // Nobody waits for it any more: it ended while it was needed, unless the worker itself ended it.
        if let Err(SendError(Ok(output))) = tell_ended.send(ended)
            && output.status.code().is_some()
        {
            tracing::warn!(
                "steps have no way out to the network any more: {}",
                said(&Ok(output))
            );
        }
    };
    // Where no thread can be started, nothing is sent.
    _ = std::thread::Builder::new().name("pasta".to_owned()).spawn(run);
    (started, ended)
}

/// Why `pasta` ended, in its own words.
fn said(output: &io::Result<Output>) -> String {
    let text = match output {
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    // Where there is no system log, it tells that first.
    let line = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.ends_with("to syslog"));
    format!("pasta ended: {}", line.unwrap_or("it said nothing"))
}

fn has_default(routes: &str) -> bool {
    routes.lines().skip(1).any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next() == Some("00000000") && fields.next() != Some("00000000")
    })
}

/// The addresses of the machine itself, as its routing tables have them: single ones, and whole ranges that were declared its own.
fn addresses(tables: &str) -> impl Iterator<Item = Range> + '_ {
    let mut last = None;
    let mut is_for_all = true;
    tables.lines().filter_map(move |line| {
        if !line.starts_with(' ') {
            is_for_all = matches!(line, "Main:" | "Local:");
            return None;
        }
        let line = line.trim();
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse().ok();
            return None;
        }
        let (prefix, rest) = line.strip_prefix('/')?.split_once(' ')?;
        if !rest.starts_with("host LOCAL") {
            return None;
        }
        let prefix = prefix.parse().ok()?;
        // In a table of its own, for packets that bear its mark, this is how a transparent proxy gets to see them.
        let is_a_proxys = prefix == 0 && !is_for_all;
        Some((last?, prefix)).filter(|_| !is_a_proxys)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_addresses_are_read_from_its_table() {
        let table = "\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     |-- 192.0.2.0
        /24 link UNICAST
Local:
     +-- 127.0.0.0/8 2 0 2
        +-- 127.0.0.0/31 1 0 0
           |-- 127.0.0.0
              /8 host LOCAL
           |-- 127.0.0.1
              /32 host LOCAL
        |-- 127.255.255.255
           /32 link BROADCAST
     |-- 10.9.0.0
        /16 host LOCAL
        /24 link UNICAST
        /32 host LOCAL
     |-- 192.0.2.2
        /32 host LOCAL
     |-- 192.0.2.255
        /32 link BROADCAST
Id 100:
     |-- 0.0.0.0
        /0 host LOCAL
     |-- 198.51.100.0
        /24 host LOCAL
";
        let found: Vec<Range> = addresses(table).collect();
        assert_eq!(
            found,
            [
                (Ipv4Addr::new(127, 0, 0, 0), 8),
                (Ipv4Addr::LOCALHOST, 32),
                (Ipv4Addr::new(10, 9, 0, 0), 16),
                (Ipv4Addr::new(10, 9, 0, 0), 32),
                (Ipv4Addr::new(192, 0, 2, 2), 32),
                (Ipv4Addr::new(198, 51, 100, 0), 24),
            ]
        );
        let all: Vec<Range> = addresses("Local:\n     |-- 0.0.0.0\n        /0 host LOCAL\n").collect();
        assert_eq!(all, [(Ipv4Addr::UNSPECIFIED, 0)], "everything is the machine's");
    }

    #[test]
    fn an_interface_is_ready_when_it_has_a_default_route() {
        let heading = "Iface\tDestination\tGateway \tFlags\n";
        assert!(!has_default(heading));
        assert!(!has_default(&format!(
            "{heading}eth0\t000200C0\t00000000\t0001\n"
        )));
        assert!(has_default(&format!("{heading}eth0\t00000000\t010200C0\t0003\n")));
    }

    #[test]
    fn what_a_missing_log_does_to_pastas_words_is_left_out() {
        let output = Command::new("sh")
            .args([
                "-c",
                "echo 'Failed to send 5 bytes to syslog' >&2; echo 'no route' >&2",
            ])
            .output();
        assert_eq!(said(&output), "pasta ended: no route");
    }
}
