//! A way out for steps: to the network around the machine, and not to the machine.
//!
//! Every step with [`Network::Default`](super::Network::Default) gets a network namespace that is tied to the machine by a pair
//! of virtual interfaces, with addresses that the machine translates. Nothing that comes in over such an interface is for the
//! machine itself: a step reaches the internet, but neither the worker nor any other service of the machine, nor another
//! step, nor the link-local addresses by which clouds hand out credentials. The rules are for IPv4; the interfaces have no IPv6
//! address, so there is no other way around.
//!
//! Namespaces are kept and used again, so only the first step waits for one. They vanish with the worker, however it ends,
//! because only its open handles hold them. The packet filter's rules stay; they speak of no one worker and are used again.

mod firewall;
mod netlink;

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustix::thread::UnshareFlags;

pub(super) use firewall::Firewall;
use netlink::Netlink;

/// Interfaces of steps are named so on the machine's side; the rules go by the name.
const PREFIX: &str = "sw-";

/// The networks that steps may have addresses in; the first that the machine does not use is taken.
const NETWORKS: [Ipv4Addr; 3] = [
    Ipv4Addr::new(10, 231, 0, 0),
    Ipv4Addr::new(172, 29, 0, 0),
    Ipv4Addr::new(192, 168, 0, 0),
];

/// How many namespaces of four addresses each fit into one of them.
const MAX_NAMESPACES: u32 = 1 << 14;

/// Makes and keeps namespaces with a way out.
#[derive(Default)]
pub(super) struct Exits {
    /// The network whose addresses are given out, or why there is no way out.
    network: OnceLock<Result<Ipv4Addr, String>>,
    idle: Arc<Mutex<Vec<OwnedFd>>>,
}

/// A namespace lent to one step.
pub(super) struct Exit {
    namespace: Option<OwnedFd>,
    idle: Arc<Mutex<Vec<OwnedFd>>>,
}

impl Exits {
    /// A namespace with a way out; `None` where the machine has none to give, which is said once.
    pub(super) fn lend(&self) -> Option<Exit> {
        let network = self.network.get_or_init(|| {
            let network = prepare_machine();
            if let Err(reason) = &network {
                tracing::warn!("steps have no way out to the network: {reason}");
            }
            network
        });
        let network = *network.as_ref().ok()?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let namespace = match idle {
            Some(namespace) => namespace,
            None => match make(network) {
                Ok(namespace) => namespace,
                Err(error) => {
                    tracing::warn!(%error, "a step has no way out to the network");
                    return None;
                }
            },
        };
        Some(Exit {
            namespace: Some(namespace),
            idle: self.idle.clone(),
        })
    }
}

impl Exit {
    /// The namespace, for the child to enter.
    pub(super) fn namespace(&self) -> io::Result<OwnedFd> {
        match &self.namespace {
            Some(namespace) => namespace.try_clone(),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl Drop for Exit {
    fn drop(&mut self) {
        // Sockets went with the step's processes; steps may not change a network's configuration, so none of it is theirs.
        if let Some(namespace) = self.namespace.take() {
            self.idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(namespace);
        }
    }
}

/// Sets up what all namespaces share, and chooses the network.
fn prepare_machine() -> Result<Ipv4Addr, String> {
    let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
    let network = NETWORKS
        .into_iter()
        .find(|network| !is_used(&routes, *network))
        .ok_or("the machine uses all the private networks that steps could have addresses in")?;
    Firewall::find()?.install(network, &NETWORKS)?;
    let forward = "/proc/sys/net/ipv4/ip_forward";
    if fs::read_to_string(forward).unwrap_or_default().trim() != "1" {
        fs::write(forward, "1").map_err(|error| {
            format!("the machine does not forward packets and the worker may not switch that on ({error}); set net.ipv4.ip_forward=1")
        })?;
    }
    Ok(network)
}

/// Whether the machine has a route, other than of steps, that overlaps `network` (16 bits of prefix).
fn is_used(routes: &str, network: Ipv4Addr) -> bool {
    routes.lines().skip(1).any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [interface, destination, _, _, _, _, _, mask, ..] = fields.as_slice() else {
            return false;
        };
        // The kernel prints the bytes of the address as one little-endian number.
        let number = |text: &str| u32::from_str_radix(text, 16).map(u32::swap_bytes);
        let (Ok(destination), Ok(mask)) = (number(destination), number(mask)) else {
            return false;
        };
        let common = mask & 0xffff_0000;
        !interface.starts_with(PREFIX) && mask != 0 && destination & common == network.to_bits() & common
    })
}

/// Makes a namespace. On a thread of its own, because it has to enter it.
fn make(network: Ipv4Addr) -> io::Result<OwnedFd> {
    let (namespace, interface) = std::thread::Builder::new()
        .name("network".to_owned())
        .spawn(move || make_here(network))?
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("the thread that makes networks panicked")))?;
    // Without an address a step could still send IPv6 packets that it has put together by hand.
    match fs::write(format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6"), "1") {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(namespace),
    }
}

fn make_here(network: Ipv4Addr) -> io::Result<(OwnedFd, String)> {
    let mut machine = Netlink::open()?;
    #[expect(
        unsafe_code,
        reason = "unshare is unsafe for flags that split the file descriptor table"
    )]
    // SAFETY: this flag splits no descriptor table; the thread ends with this function.
    unsafe {
        rustix::thread::unshare_unsafe(UnshareFlags::NEWNET)?;
    }
    let namespace = OwnedFd::from(fs::File::open("/proc/thread-self/ns/net")?);
    let mut inside = Netlink::open()?;
    let (name, number) = connect(&mut machine, namespace.as_fd())?;
    let base = network.to_bits() + 4 * number;
    let (gateway, own) = (Ipv4Addr::from_bits(base + 1), Ipv4Addr::from_bits(base + 2));
    machine.add_address(&name, gateway, 30)?;
    machine.raise(&name)?;
    inside.raise("lo")?;
    inside.add_address("eth0", own, 30)?;
    inside.raise("eth0")?;
    inside.add_default_route(gateway)?;
    Ok((namespace, name))
}

/// Makes the pair of interfaces under the first number that is free on this machine.
fn connect(machine: &mut Netlink, namespace: BorrowedFd<'_>) -> io::Result<(String, u32)> {
    for number in 0..MAX_NAMESPACES {
        let name = format!("{PREFIX}{number}");
        match machine.add_pair(&name, "eth0", namespace) {
            Ok(()) => return Ok((name, number)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("all numbers for networks of steps are taken"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = "\
Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
vpn\t0000E70A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
sw-0\t00001DAC\t00000000\t0001\t0\t0\t0\tFCFFFFFF\t0\t0\t0
";

    #[test]
    fn a_network_that_the_machine_uses_is_not_taken() {
        assert!(is_used(ROUTES, Ipv4Addr::new(10, 231, 0, 0)));
        assert!(is_used(ROUTES, Ipv4Addr::new(192, 0, 0, 0)));
        assert!(
            !is_used(ROUTES, Ipv4Addr::new(172, 29, 0, 0)),
            "only steps use it"
        );
        assert!(!is_used(ROUTES, Ipv4Addr::new(10, 0, 0, 0)));
        assert!(is_used(
            "h\nvpn\t0000000A\t0\t0\t0\t0\t0\t000000FF\t0\t0\t0\n",
            Ipv4Addr::new(10, 231, 0, 0)
        ));
    }
}
