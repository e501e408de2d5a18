//! Which addresses files may be fetched from, and for whom.
//!
//! A Dockerfile names addresses, and it may be a stranger's: then what answers only on this machine, or in the network
//! around it, has to stay out of reach. A name is looked up once, and only what was found and checked then is connected
//! to: one that leads elsewhere a moment later (DNS rebinding) gains nothing.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

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
                !is_private(address) || networks.iter().any(|network| network.contains(address))
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
    let [.., a, b] = six.segments();
    let last = Ipv4Addr::from((u32::from(a) << 16) | u32::from(b));
    match six.segments() {
        // Mapped and compatible addresses, and those of NAT64.
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] if !six.is_loopback() && !six.is_unspecified() => last.into(),
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => last.into(),
        // 6to4.
        [0x2002, a, b, ..] => Ipv4Addr::from((u32::from(a) << 16) | u32::from(b)).into(),
        _ => address,
    }
}

/// Whether an address is of this machine, or of a network that is not everybody's: what is meant for private use
/// (RFC 1918, RFC 4193), for carriers (RFC 6598), for a link, for benchmarks, for several receivers, or for later.
fn is_private(address: IpAddr) -> bool {
    let reserved = match address {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || matches!((a, b, c), (0 | 224.., ..) | (192, 0, 0) | (198, 18 | 19, _))
                || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(address) => {
            let [first, second, ..] = address.segments();
            address.is_loopback()
                || address.is_unspecified()
                || address.is_multicast()
                // Unique local, link-local, and what was site-local once; and Teredo, which hides an IPv4 address.
                || matches!(first, 0xfc00..=0xfdff | 0xfe80..=0xfeff)
                || (first, second) == (0x2001, 0)
        }
    };
    reserved || is_own(address)
}

/// Whether an address is one of this machine's: only then can it be listened on.
fn is_own(address: IpAddr) -> bool {
    std::net::UdpSocket::bind((address, 0)).is_ok()
}

/// Addresses that begin alike: `10.1.0.0/16`, `fd00::/8`, or one alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                (own.to_bits() ^ other.to_bits()) & mask == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                (own.to_bits() ^ other.to_bits()) & mask == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| ())?;
        let most = match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        let bits = bits.map_or(Ok(most), |bits| bits.parse().map_err(|_| ()))?;
        if bits > most {
            return Err(());
        }
        let network = Self { address, bits };
        // Bits behind the mask would be a network that its writer did not mean.
        let first = match address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
            }
        };
        (first == address).then_some(network).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(networks: &[&str]) -> Reach {
        Reach::Public(networks.iter().map(|network| network.parse().unwrap()).collect())
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
            "64:ff9b::10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:a00:1::",
            "2002:c0a8:101::1",
        ] {
            assert!(!Reach::default().allows_host(host), "{host}");
            assert!(Reach::Anywhere.allows_host(host), "{host}");
        }
        for host in [
            "example.com",
            "localhost.example.com",
            "192.0.2.1",
            "100.63.0.1",
            "100.128.0.1",
            "172.32.0.1",
            "8.8.8.8",
            "2001:db8::1",
            "2002:c000:201::1",
            "64:ff9b::192.0.2.1",
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
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn of_a_name_only_the_addresses_that_were_checked_are_given() {
        assert_eq!(Reach::default().find("localhost", 1).await.unwrap(), []);
        assert!(!Reach::Anywhere.find("localhost", 1).await.unwrap().is_empty());
    }

    #[test]
    fn this_machine_is_told_from_its_network() {
        for host in ["localhost", "127.0.0.1", "[::1]", "0.0.0.0"] {
            assert!(is_this_machine(host), "{host}");
        }
        assert!(!is_this_machine("example.com"));
    }
}
