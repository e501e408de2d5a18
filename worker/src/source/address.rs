//! Which addresses files may be fetched from, and for whom.
//!
//! A Dockerfile names addresses, and it may be a stranger's: then what answers only on this machine, or in the network
//! around it, has to stay out of reach. A name is looked up once, and only what was found and checked then is connected
//! to: one that leads elsewhere a moment later (DNS rebinding) gains nothing.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

pub use ipnet::IpNet as Network;

/// How far a build's addresses may lead.
#[derive(Debug, Clone)]
pub enum Reach {
    /// Anywhere, this machine included: its owner asks.
    Anywhere,
    /// To addresses of the public network, and to those of these networks, which the owner allowed.
    Public(Arc<[Network]>),
}

impl Default for Reach {
    fn default() -> Self {
        Self::Public(Arc::default())
    }
}

impl Reach {
    /// Whether files may come from an address.
    pub fn allows(&self, address: IpAddr) -> bool {
        match self {
            Self::Anywhere => true,
            Self::Public(networks) => {
                let address = plain(address);
                !is_private(address) || networks.iter().any(|network| network.contains(&address))
            }
        }
    }

    /// Whether a host may be asked as far as its name alone tells: the name of this machine, or an address.
    pub fn allows_host(&self, host: &str) -> bool {
        match named(host) {
            Some(address) => self.allows(address),
            None => true,
        }
    }

    /// Whether a host may be asked that somebody else looks up again, as a proxy does. What has no address here may have
    /// one there: then its name tells whether it is a private network's.
    pub async fn allows_name(&self, host: &str, port: u16) -> bool {
        if matches!(self, Self::Anywhere) {
            return true;
        }
        let by_name = self.allows_host(host);
        match self.find(host, port).await {
            Ok(found) => by_name && !found.is_empty(),
            Err(_) => by_name && !is_private_name(host),
        }
    }

    /// The addresses of a host that files may come from. None where it has others only.
    pub async fn find(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let found = tokio::net::lookup_host((host, port)).await?;
        Ok(found.filter(|address| self.allows(address.ip())).collect())
    }
}

/// Whether a host is this machine by its name alone, or by its address.
pub(super) fn is_this_machine(host: &str) -> bool {
    named(host).is_some_and(|address| {
        let address = plain(address);
        address.is_loopback() || address.is_unspecified() || is_own(address)
    })
}

/// Whether a name is one that no public server of names knows: a single word, or what ends as names within a house do
/// (RFC 6762, RFC 8375, and what was put aside for that by those who give names out).
fn is_private_name(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let last = host.rsplit('.').next().unwrap_or_default();
    !host.contains('.')
        || matches!(
            last,
            "local" | "internal" | "intranet" | "private" | "corp" | "home" | "lan"
        )
        || host.ends_with(".home.arpa")
}

/// The address that a host is, where it is one or a name for this machine.
fn named(host: &str) -> Option<IpAddr> {
    let host = host.trim_matches(['[', ']']);
    if let Ok(address) = host.parse() {
        return Some(address);
    }
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let local = host == "localhost" || host.ends_with(".localhost");
    local.then_some(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// An IPv4 address that is written as one of IPv6, or that a gateway would make of one, as itself.
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = address else { return address };
    let four = |a: u16, b: u16| Ipv4Addr::from((u32::from(a) << 16) | u32::from(b)).into();
    match six.segments() {
        // Mapped addresses, those of NAT64, and 6to4.
        [0, 0, 0, 0, 0, 0xffff, a, b] | [0x64, 0xff9b, 0, 0, 0, 0, a, b] | [0x2002, a, b, ..] => four(a, b),
        _ => address,
    }
}

/// Whether an address is of this machine, or of a network that is not everybody's. Of IPv4 those are known that are not:
/// what is meant for private use (RFC 1918), for carriers (RFC 6598), for a link, for benchmarks and examples, for several
/// receivers, or for later. Of IPv6 it is known where everybody's are (RFC 4291), and what of that is not: what its
/// registry keeps for protocols, Teredo among them, which hides an IPv4 address, and for examples.
fn is_private(address: IpAddr) -> bool {
    let reserved = match address {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_documentation()
                || matches!((a, b, c), (0 | 224.., ..) | (192, 0, 0) | (198, 18 | 19, _))
                || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(address) => {
            let [first, second, ..] = address.segments();
            !matches!(
                (first, second),
                (0x2000 | 0x2002..=0x3ffe, _) | (0x2001, 0x200..=0xdb7 | 0xdb9..) | (0x3fff, 0x1000..)
            )
        }
    };
    reserved || is_own(address)
}

/// Whether an address is one of this machine's: only then can it be listened on.
fn is_own(address: IpAddr) -> bool {
    std::net::UdpSocket::bind((address, 0)).is_ok()
}

/// Reads addresses that begin alike, `10.1.0.0/16` or `fd00::/8`, or one alone. Bits behind the mask would be a network
/// that its writer did not mean.
pub fn network(text: &str) -> Option<Network> {
    let alone = || text.parse().map(|address: IpAddr| address.into());
    let network: Network = text.parse().or_else(|_| alone()).ok()?;
    (network == network.trunc()).then_some(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(networks: &[&str]) -> Reach {
        Reach::Public(networks.iter().map(|text| network(text).unwrap()).collect())
    }

    #[test]
    fn strangers_reach_no_address_that_is_not_everybodys_however_it_is_written() {
        for host in [
            "127.0.0.1",
            "127.1.2.3",
            "localhost",
            "LocalHost.",
            "anything.localhost",
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.168.1.1",
            "198.19.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "[::1]",
            "::",
            "fe80::1",
            "fec0::1",
            "fd00::1",
            "fc12::1",
            "ff02::1",
            "2001:0:1::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::10.0.0.1",
            "::8.8.8.8",
            "64:ff9b::10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:a00:1::",
            "2002:c0a8:101::1",
            // What is for examples, and what nobody was given.
            "192.0.2.1",
            "198.51.100.1",
            "203.0.113.1",
            "64:ff9b::192.0.2.1",
            "2002:c000:201::1",
            "2001:db8::1",
            "3fff:fff::1",
            // What is kept for protocols: benchmarks, names of hosts that are no addresses.
            "2001:2::1",
            "2001:1ff::1",
            // Whatever lies beside what everybody's addresses begin with: a local NAT64, what is thrown away, routers' own.
            "64:ff9b:1::808:808",
            "100::1",
            "1fff::1",
            "4000::1",
            "5f00::1",
            "fbff::1",
            "fe00::1",
        ] {
            assert!(!Reach::default().allows_host(host), "{host}");
            assert!(Reach::Anywhere.allows_host(host), "{host}");
        }
        for host in [
            "example.com",
            "localhost.example.com",
            "100.63.0.1",
            "100.128.0.1",
            "172.32.0.1",
            "8.8.8.8",
            "2000::1",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "3fff:1000::1",
            "2002:808:808::1",
            "64:ff9b::8.8.8.8",
            "::ffff:8.8.8.8",
        ] {
            assert!(Reach::default().allows_host(host), "{host}");
        }
    }

    #[test]
    fn what_the_owner_allowed_can_be_reached_and_no_more() {
        let reach = reach(&["10.1.0.0/16", "fd00:1::/32", "127.0.0.1"]);
        for host in [
            "10.1.2.3",
            "::ffff:10.1.2.3",
            "fd00:1:2::3",
            "localhost",
            "8.8.8.8",
        ] {
            assert!(reach.allows_host(host), "{host}");
        }
        for host in ["10.2.0.1", "fd00:2::1", "127.0.0.2", "::1"] {
            assert!(!reach.allows_host(host), "{host}");
        }
        assert!(self::reach(&["0.0.0.0/0"]).allows_host("10.0.0.1"));
        assert!(self::reach(&["::/0"]).allows_host("fd00::1"));
    }

    #[test]
    fn networks_are_written_by_their_first_address() {
        for text in [
            "",
            "10",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/-1",
            "10.0.0.1/8",
            "fd00::1/8",
            "::/129",
            "localhost",
        ] {
            assert!(network(text).is_none(), "{text}");
        }
    }

    #[tokio::test]
    async fn of_a_name_only_the_addresses_that_were_checked_are_given() {
        assert_eq!(Reach::default().find("localhost", 1).await.unwrap(), []);
        assert!(!Reach::Anywhere.find("localhost", 1).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_name_without_an_address_here_is_not_asked_for_elsewhere_where_it_is_a_private_networks() {
        for host in [
            "stagewright-nobody",
            "stagewright-nobody.internal",
            "a.stagewright-nobody.HOME.arpa.",
            "stagewright-nobody.local.",
            "10.0.0.1",
            "localhost",
        ] {
            assert!(!Reach::default().allows_name(host, 1).await, "{host}");
            assert!(Reach::Anywhere.allows_name(host, 1).await, "{host}");
        }
        for host in ["internal.invalid", "stagewright-nobody.invalid", "8.8.8.8"] {
            assert!(Reach::default().allows_name(host, 1).await, "{host}");
        }
        assert!(reach(&["127.0.0.0/8", "::1"]).allows_name("localhost", 1).await);
    }

    #[test]
    fn this_machine_is_told_from_its_network() {
        for host in ["localhost", "127.0.0.1", "[::1]", "0.0.0.0"] {
            assert!(is_this_machine(host), "{host}");
        }
        assert!(!is_this_machine("example.com"));
    }
}
