//! Where a `BuildKit` listens, as people write it.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Where Docker's engine listens that nobody named.
const ENGINE: &str = "/var/run/docker.sock";

/// Where a `BuildKit` listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    place: Place,
    /// Whether Docker's engine listens there, and the `BuildKit` in it is meant.
    engine: bool,
}

/// What a connection is made to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A socket on this machine.
    Socket(PathBuf),
    /// A port of a machine, by its name or address.
    Port(String, u16),
}

impl Address {
    /// What to connect to.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Whether Docker's engine listens there.
    pub fn is_engine(&self) -> bool {
        self.engine
    }

    /// Whether what is sent there leaves the machine.
    pub fn leaves_the_machine(&self) -> bool {
        match &self.place {
            Place::Socket(_) => false,
            Place::Port(host, _) => {
                let host = host.trim_start_matches('[').trim_end_matches(']');
                host != "localhost" && !host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match (&self.place, self.engine) {
            (_, true) => "docker",
            (Place::Socket(_), false) => "unix",
            (Place::Port(..), false) => "tcp",
        };
        match &self.place {
            Place::Socket(path) => write!(formatter, "{scheme}://{}", path.display()),
            Place::Port(host, port) => write!(formatter, "{scheme}://{host}:{port}"),
        }
    }
}

impl FromStr for Address {
    type Err = String;

    /// Reads `unix://PATH`, `tcp://HOST:PORT` and `docker://[PATH|HOST:PORT]`; a path alone is a socket.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with('/') {
            return socket(text, false);
        }
        match text.split_once("://") {
            Some(("unix", path)) => socket(path, false),
            Some(("docker", "")) => socket(ENGINE, true),
            Some(("docker", path)) if path.starts_with('/') => socket(path, true),
            Some(("docker", port)) => listening(port, true),
            Some(("tcp", port)) => listening(port, false),
            _ => Err(format!(
                "{text:?} is no address of a BuildKit; write unix:///run/buildkit/buildkitd.sock, tcp://HOST:PORT, or \
                 docker:// for the one in Docker's engine"
            )),
        }
    }
}

fn socket(path: &str, engine: bool) -> Result<Address, String> {
    if !path.starts_with('/') {
        return Err(format!(
            "unix://{path} names no file: a socket's path begins with a slash, as in unix:///run/buildkit/buildkitd.sock"
        ));
    }
    let path = Path::new(path);
    // What listens under this name is the engine, whoever wrote it.
    let engine = engine || path.file_name().is_some_and(|name| name == "docker.sock");
    Ok(Address {
        place: Place::Socket(path.to_owned()),
        engine,
    })
}

fn listening(text: &str, engine: bool) -> Result<Address, String> {
    let text = text.trim_end_matches('/');
    let read = || {
        let (host, port) = text.rsplit_once(':')?;
        let port: u16 = port.parse().ok().filter(|port| *port > 0)?;
        let plain = |host: &str| !host.is_empty() && !host.contains([':', '/', '@', ' ']);
        let address = |host: &str| {
            let inner = host.strip_prefix('[')?.strip_suffix(']')?;
            inner.parse::<std::net::Ipv6Addr>().ok()
        };
        (plain(host) || address(host).is_some()).then(|| (host.to_owned(), port))
    };
    let (host, port) = read().ok_or_else(|| {
        format!("{text:?} is no machine and port of a BuildKit; write them as in tcp://builder.example:1234")
    })?;
    Ok(Address {
        place: Place::Port(host, port),
        engine,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them_and_told_in_full() {
        for (text, told, engine, leaves) in [
            ("unix:///run/b.sock", "unix:///run/b.sock", false, false),
            ("/run/b.sock", "unix:///run/b.sock", false, false),
            ("docker://", "docker:///var/run/docker.sock", true, false),
            ("docker:///a/b.sock", "docker:///a/b.sock", true, false),
            (
                "unix:///var/run/docker.sock",
                "docker:///var/run/docker.sock",
                true,
                false,
            ),
            ("tcp://builder:1234", "tcp://builder:1234", false, true),
            ("tcp://127.0.0.1:1234", "tcp://127.0.0.1:1234", false, false),
            ("tcp://localhost:1234", "tcp://localhost:1234", false, false),
            ("tcp://[::1]:1234", "tcp://[::1]:1234", false, false),
            ("docker://engine:2376", "docker://engine:2376", true, true),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), told, "{text}");
            assert_eq!(
                (address.is_engine(), address.leaves_the_machine()),
                (engine, leaves),
                "{text}"
            );
            assert_eq!(told.parse(), Ok(address), "{told}");
        }
    }

    #[test]
    fn what_is_no_address_says_how_one_is_written() {
        for (text, said) in [
            ("", "unix:///run/buildkit"),
            ("builder:1234", "tcp://HOST:PORT"),
            ("https://builder", "tcp://HOST:PORT"),
            ("unix://run/b.sock", "begins with a slash"),
            ("tcp://builder", "machine and port"),
            ("tcp://builder:0", "machine and port"),
            ("tcp://user@builder:1", "machine and port"),
            ("tcp://::1:1234", "machine and port"),
            ("docker://engine", "machine and port"),
        ] {
            let error = text.parse::<Address>().unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
