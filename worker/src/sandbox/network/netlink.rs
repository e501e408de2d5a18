//! The few requests to the kernel's network configuration that a way out takes (rtnetlink).

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

// Address families, in the widths that messages have them in.
const INET: u8 = 2;
const INET6: u16 = 10;

/// A connection to the network configuration of the namespace that the thread was in when it was opened.
pub(super) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    pub(super) fn open() -> io::Result<Self> {
        // Protocol zero is the network configuration.
        let socket = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            None,
        )?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Makes two interfaces that are the ends of one wire: `name` here, `peer` in `namespace`.
    pub(super) fn add_pair(&mut self, name: &str, peer: &str, namespace: BorrowedFd<'_>) -> io::Result<()> {
        let mut message = Message::new(libc::RTM_NEWLINK, libc::NLM_F_CREATE | libc::NLM_F_EXCL);
        message.link_header(0, 0);
        message.text(libc::IFLA_IFNAME, name);
        message.nest(libc::IFLA_LINKINFO, |message| {
            message.bytes(libc::IFLA_INFO_KIND, b"veth");
            message.nest(libc::IFLA_INFO_DATA, |message| {
                const VETH_INFO_PEER: u16 = 1;
                message.nest(VETH_INFO_PEER, |message| {
                    message.link_header(0, 0);
                    message.text(libc::IFLA_IFNAME, peer);
                    message.bytes(libc::IFLA_NET_NS_FD, &namespace.as_raw_fd().to_ne_bytes());
                });
            });
        });
        self.request(message).map(drop)
    }

    /// Gives an interface an address in a network of `prefix` bits.
    pub(super) fn add_address(&mut self, name: &str, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
        let index = self.index(name)?;
        let mut message = Message::new(libc::RTM_NEWADDR, libc::NLM_F_CREATE | libc::NLM_F_EXCL);
        // struct ifaddrmsg: family, prefix length, flags, scope, index.
        message.raw(&[INET, prefix, 0, 0]);
        message.raw(&index.to_ne_bytes());
        message.bytes(libc::IFA_LOCAL, &address.octets());
        message.bytes(libc::IFA_ADDRESS, &address.octets());
        self.request(message).map(drop)
    }

    /// Switches an interface on. It makes no IPv6 address for itself.
    pub(super) fn raise(&mut self, name: &str) -> io::Result<()> {
        let index = self.index(name)?;
        let up = libc::IFF_UP.cast_unsigned();
        let mut message = Message::new(libc::RTM_NEWLINK, 0);
        message.link_header(index, up);
        if name != "lo" {
            message.nest(libc::IFLA_AF_SPEC, |message| {
                message.nest(INET6, |message| {
                    const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
                    const IN6_ADDR_GEN_MODE_NONE: u8 = 1;
                    message.bytes(IFLA_INET6_ADDR_GEN_MODE, &[IN6_ADDR_GEN_MODE_NONE]);
                });
            });
        }
        match self.request(message) {
            Ok(_) => Ok(()),
            // A kernel without IPv6 knows nothing of its settings, and has nothing to switch off.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::AFNOSUPPORT) => {
                let mut message = Message::new(libc::RTM_NEWLINK, 0);
                message.link_header(index, up);
                self.request(message).map(drop)
            }
            Err(error) => Err(error),
        }
    }

    /// Sends what is for no nearer network to `gateway`.
    pub(super) fn add_default_route(&mut self, gateway: Ipv4Addr) -> io::Result<()> {
        let mut message = Message::new(libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_EXCL);
        // struct rtmsg: family, destination and source length, TOS, table, protocol, scope, type, flags.
        let (table, protocol, scope, kind) = (
            libc::RT_TABLE_MAIN,
            libc::RTPROT_STATIC,
            libc::RT_SCOPE_UNIVERSE,
            libc::RTN_UNICAST,
        );
        message.raw(&[INET, 0, 0, 0, table, protocol, scope, kind, 0, 0, 0, 0]);
        message.bytes(libc::RTA_GATEWAY, &gateway.octets());
        self.request(message).map(drop)
    }

    /// Lets packets lead nowhere that are for `address`, or for another that has the first `prefix` bits in common with it.
    pub(super) fn add_dead_end(&mut self, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
        let mut message = Message::new(libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_REPLACE);
        let (table, protocol, scope, kind) = (
            libc::RT_TABLE_MAIN,
            libc::RTPROT_STATIC,
            libc::RT_SCOPE_UNIVERSE,
            libc::RTN_BLACKHOLE,
        );
        message.raw(&[INET, prefix, 0, 0, table, protocol, scope, kind, 0, 0, 0, 0]);
        message.bytes(libc::RTA_DST, &address.octets());
        self.request(message).map(drop)
    }

    /// The number of an interface.
    fn index(&mut self, name: &str) -> io::Result<u32> {
        let mut message = Message::new(libc::RTM_GETLINK, 0);
        message.link_header(0, 0);
        message.text(libc::IFLA_IFNAME, name);
        let reply = self.request(message)?;
        // After the message header: family, padding, type, then the index.
        match reply.get(20..24) {
            Some(&[a, b, c, d]) => Ok(u32::from_ne_bytes([a, b, c, d])),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the kernel's answer about an interface is too short",
            )),
        }
    }

    /// Sends a request and reads the answer: a message, or the acknowledgement where there is none.
    fn request(&mut self, message: Message) -> io::Result<Vec<u8>> {
        self.sequence += 1;
        let request = message.finish(self.sequence);
        send(&self.socket, &request, SendFlags::empty())?;
        let mut found = Vec::new();
        loop {
            let mut buffer = vec![0; 32 * 1024];
            let (_, length) = recv(&self.socket, buffer.as_mut_slice(), RecvFlags::empty())?;
            buffer.truncate(length);
            let mut rest = buffer.as_slice();
            while let Some((header, _)) = rest.split_at_checked(16) {
                let number = |range: std::ops::Range<usize>| {
                    header
                        .get(range)
                        .and_then(|bytes| bytes.try_into().ok())
                        .map(u32::from_ne_bytes)
                        .unwrap_or_default()
                };
                let size = usize::try_from(number(0..4)).unwrap_or_default();
                let Some(one) = rest.get(..size).filter(|_| size >= 16) else {
                    break;
                };
                let kind = u16::from_ne_bytes([
                    header.get(4).copied().unwrap_or_default(),
                    header.get(5).copied().unwrap_or_default(),
                ]);
                if number(8..12) == self.sequence {
                    if i32::from(kind) == libc::NLMSG_ERROR {
                        let code = one
                            .get(16..20)
                            .and_then(|bytes| bytes.try_into().ok())
                            .map(i32::from_ne_bytes);
                        return match code {
                            Some(0) => Ok(found),
                            Some(code) => Err(io::Error::from_raw_os_error(-code)),
                            None => Err(io::ErrorKind::InvalidData.into()),
                        };
                    }
                    found = one.to_vec();
                }
                rest = rest.get(size.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }
}

/// A request being written.
struct Message(Vec<u8>);

impl Message {
    fn new(kind: u16, flags: libc::c_int) -> Self {
        let flags = u16::try_from(flags | libc::NLM_F_REQUEST | libc::NLM_F_ACK).unwrap_or_default();
        let mut bytes = vec![0; 4];
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        Self(bytes)
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// `struct ifinfomsg`: family, type, index, flags, and which flags are meant.
    fn link_header(&mut self, index: u32, flags: u32) {
        self.raw(&[0; 4]);
        self.raw(&index.to_ne_bytes());
        self.raw(&flags.to_ne_bytes());
        self.raw(&flags.to_ne_bytes());
    }

    fn text(&mut self, kind: u16, text: &str) {
        self.bytes(kind, &[text.as_bytes(), b"\0"].concat());
    }

    fn bytes(&mut self, kind: u16, bytes: &[u8]) {
        self.nest(kind, |message| message.raw(bytes));
    }

    /// An attribute with whatever `fill` writes in it.
    fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.0.len();
        self.raw(&[0, 0]);
        self.raw(&kind.to_ne_bytes());
        fill(self);
        let length = u16::try_from(self.0.len() - start).unwrap_or(u16::MAX);
        if let Some(place) = self.0.get_mut(start..start + 2) {
            place.copy_from_slice(&length.to_ne_bytes());
        }
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        for (place, value) in [(0, length), (8, sequence)] {
            if let Some(place) = self.0.get_mut(place..place + 4) {
                place.copy_from_slice(&value.to_ne_bytes());
            }
        }
        self.0
    }
}
