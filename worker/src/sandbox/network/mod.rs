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
//!
//! All this is root's to do to a network. The worker of an ordinary user does it to one of its own, the [`gateway`].

mod firewall;
mod gateway;
mod netlink;

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use firewall::Firewall;
use gateway::Gateway;
use netlink::Netlink;

use crate::rootless::Ids;

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
pub(super) struct Exits {
    /// A directory of its own.
    place: PathBuf,
    /// Where out leads, or why there is no way.
    way: OnceLock<Result<Way, String>>,
    idle: Arc<Mutex<Vec<OwnedFd>>>,
}

/// What all namespaces are tied to.
struct Way {
    /// The network whose addresses are given out.
    addresses: Ipv4Addr,
    /// `None` where it is the machine's own network.
    gateway: Option<Gateway>,
}

/// A namespace lent to one step.
pub(super) struct Exit {
    namespace: Option<OwnedFd>,
    idle: Arc<Mutex<Vec<OwnedFd>>>,
}

/// How steps of this worker would go out, or why they cannot. Cheap to ask, and leaves nothing behind.
pub(super) fn probe() -> Result<&'static str, String> {
    if stands_in_its_own() {
        Firewall::find()?;
        return Ok("steps reach the network around the machine, but not the machine");
    }
    gateway::available()?;
    Firewall::find_for_new()?;
    Ok("steps reach the network around the machine through pasta, but not the machine")
}

/// Whether the worker may tie steps to the network that it is in itself.
fn stands_in_its_own() -> bool {
    Ids::here().are_the_machines() || gateway::is_own_network()
}

impl Exits {
    /// None yet. `place` is a directory of its own.
    pub(super) fn new(place: PathBuf) -> Self {
        Self {
            place,
            way: OnceLock::new(),
            idle: Arc::default(),
        }
    }

    /// A namespace with a way out; `None` where the machine has none to give, which is said once.
    pub(super) fn lend(&self) -> Option<Exit> {
        let way = self.way.get_or_init(|| {
            let way = Way::open(&self.place);
            if let Err(reason) = &way {
                tracing::warn!("steps have no way out to the network: {reason}");
            }
            way
        });
        let way = way.as_ref().ok()?;
        if let Some(Err(error)) = way.gateway.as_ref().map(Gateway::close_machine) {
            tracing::warn!(%error, "a step has no way out to the network: it might lead into the machine");
            return None;
        }
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let namespace = match idle {
            Some(namespace) => namespace,
            None => match way.make() {
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

impl Way {
    /// Sets up what all namespaces share, and chooses their addresses.
    fn open(place: &Path) -> Result<Self, String> {
        let machines = fs::read_to_string("/proc/net/route").unwrap_or_default();
        if stands_in_its_own() {
            let addresses = free(&[&machines])?;
            Firewall::find()?.install(addresses, &NETWORKS)?;
            forward_packets()?;
            return Ok(Self {
                addresses,
                gateway: None,
            });
        }
        let gateway = Gateway::open(place)?;
        let set_up = gateway.within(|| {
            // Its interface may have addresses that the machine's has not.
            let own = fs::read_to_string("/proc/thread-self/net/route")?;
            let set_up = || {
                let addresses = free(&[&machines, &own])?;
                Firewall::install_in_new(addresses, place)?;
                forward_packets()?;
                Ok(addresses)
            };
            set_up().map_err(io::Error::other::<String>)
        });
        Ok(Self {
            addresses: set_up.map_err(|error| error.to_string())?,
            gateway: Some(gateway),
        })
    }

    /// Makes a namespace. On a thread of its own, because it has to enter it.
    fn make(&self) -> io::Result<OwnedFd> {
        let make = || make_here(self.addresses);
        match &self.gateway {
            Some(gateway) => gateway.within(make),
            None => gateway::on_a_thread(make),
        }
    }
}

/// The first network that nobody uses.
fn free(routes: &[&str]) -> Result<Ipv4Addr, String> {
    NETWORKS
        .into_iter()
        .find(|network| !routes.iter().any(|routes| is_used(routes, *network)))
        .ok_or_else(|| {
            "the machine uses all the private networks that steps could have addresses in".to_owned()
        })
}

/// Lets packets through the network that this thread is in.
fn forward_packets() -> Result<(), String> {
    let forward = "/proc/sys/net/ipv4/ip_forward";
    if fs::read_to_string(forward).unwrap_or_default().trim() != "1" {
        fs::write(forward, "1").map_err(|error| {
            format!("the machine does not forward packets and the worker may not switch that on ({error}); set net.ipv4.ip_forward=1")
        })?;
    }
    Ok(())
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

/// Makes a namespace that is tied to the network which this thread is in, and leaves the thread in that.
fn make_here(network: Ipv4Addr) -> io::Result<OwnedFd> {
    let here = OwnedFd::from(fs::File::open("/proc/thread-self/ns/net")?);
    let mut around = Netlink::open()?;
    #[expect(
        unsafe_code,
        reason = "unshare is unsafe for flags that split the file descriptor table"
    )]
    // SAFETY: this flag splits no descriptor table.
    unsafe {
        rustix::thread::unshare_unsafe(UnshareFlags::NEWNET)?;
    }
    let namespace = OwnedFd::from(fs::File::open("/proc/thread-self/ns/net")?);
    let mut inside = Netlink::open()?;
    let (name, number) = connect(&mut around, namespace.as_fd())?;
    let base = network.to_bits() + 4 * number;
    let (gateway, own) = (Ipv4Addr::from_bits(base + 1), Ipv4Addr::from_bits(base + 2));
    around.add_address(&name, gateway, 30)?;
    around.raise(&name)?;
    inside.raise("lo")?;
    inside.add_address("eth0", own, 30)?;
    inside.raise("eth0")?;
    inside.add_default_route(gateway)?;
    move_into_link_name_space(here.as_fd(), Some(LinkNameSpaceType::Network))?;
    // Without an address a step could still send IPv6 packets that it has put together by hand.
    match fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1") {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(namespace),
    }
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
