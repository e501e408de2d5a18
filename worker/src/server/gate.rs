//! Who may talk to this worker at all: by the address they used, and by the page that made them.
//!
//! A web page may make its visitor's browser send requests to loopback, and by rebinding a name it owns to
//! 127.0.0.1 it may even make them same-origin. So every request has to name this worker by one of the worker's own
//! addresses (`Host`), and where it was made by a page (`Origin`), that page has to be on a list. The two lists are
//! fixed when the worker starts; one is never derived from the other header. Addresses are parsed and compared as a
//! whole.
//!
//! A WebSocket handshake without `Origin` is let through: browsers always send one (RFC 6455, section 4.1), so it
//! comes from another program, and that still needs a token or a session.
//!
//! A worker that others can reach is known by the names that its owner gave it (`--host`), and by the address that it
//! listens on.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::App;
use super::problem::Problem;

/// An address as `Host` gives it, its port filled in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Authority {
    host: Host,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Host {
    Ip(IpAddr),
    Name(String),
}

impl Authority {
    fn parse(text: &str, default_port: u16) -> Option<Self> {
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (address, port) = rest.split_once(']')?;
            let port = if port.is_empty() {
                None
            } else {
                Some(port.strip_prefix(':')?)
            };
            (Host::Ip(address.parse::<Ipv6Addr>().ok()?.into()), port)
        } else {
            let (host, port) = match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            };
            match host.parse::<Ipv4Addr>() {
                Ok(address) => (Host::Ip(address.into()), port),
                Err(_) => (Host::Name(name(host)?), port),
            }
        };
        let port = match port {
            None => default_port,
            // `u16::from_str` also takes a sign, which no address has.
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok()?,
            Some(_) => return None,
        };
        Some(Self { host, port })
    }
}

fn name(text: &str) -> Option<String> {
    let fits = !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    fits.then(|| text.to_ascii_lowercase())
}

/// A name by which clients know a worker: `builder.example.org`, or with a port where that is another than the one it
/// listens on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostName {
    host: Host,
    port: Option<u16>,
}

/// The text is not a host's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a host; write a name or an address, and a port where it is another, such as builder.example.org:443"
)]
pub struct InvalidHost(String);

impl FromStr for HostName {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // No port can be 0, so that it stands for none.
        match Authority::parse(text, 0) {
            Some(Authority { host, port }) => Ok(Self {
                host,
                port: (port != 0).then_some(port),
            }),
            None => Err(InvalidHost(text.to_owned())),
        }
    }
}

/// Where a page comes from: scheme, host and port, as a browser's `Origin` names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    secure: bool,
    authority: Authority,
}

/// The text is not an origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an origin; write scheme, host and port only, such as https://docs.example.org")]
pub struct InvalidOrigin(String);

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (scheme, rest) = text.split_once("://")?;
            let secure = match scheme.to_ascii_lowercase().as_str() {
                "http" => false,
                "https" => true,
                _ => return None,
            };
            Some(Self {
                secure,
                authority: Authority::parse(rest, if secure { 443 } else { 80 })?,
            })
        };
        parse().ok_or_else(|| InvalidOrigin(text.to_owned()))
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(IpAddr::V6(address)) => write!(formatter, "[{address}]:{}", self.port),
            Host::Ip(IpAddr::V4(address)) => write!(formatter, "{address}:{}", self.port),
            Host::Name(name) => write!(formatter, "{name}:{}", self.port),
        }
    }
}

/// The two lists.
#[derive(Debug)]
pub(super) struct Gate {
    hosts: BTreeSet<Authority>,
    origins: BTreeSet<Origin>,
    /// Whether it is reached by TLS.
    secure: bool,
    /// The address that people are told.
    shown: String,
}

impl Gate {
    /// For a worker that listens on `address` and has these names besides: its own origins, and those that its owner
    /// allowed.
    pub(super) fn new(address: SocketAddr, names: &[HostName], secure: bool, allowed: &[Origin]) -> Self {
        let own = [
            Host::Ip(Ipv4Addr::LOCALHOST.into()),
            Host::Ip(Ipv6Addr::LOCALHOST.into()),
            Host::Name("localhost".into()),
        ];
        let listening = Authority {
            host: Host::Ip(address.ip()),
            port: address.port(),
        };
        let given: Vec<Authority> = names
            .iter()
            .map(|name| Authority {
                host: name.host.clone(),
                port: name.port.unwrap_or(address.port()),
            })
            .collect();
        let shown = given.first().unwrap_or(&listening).to_string();
        let hosts: BTreeSet<Authority> = own
            .into_iter()
            .map(|host| Authority {
                host,
                port: address.port(),
            })
            .chain([listening])
            .chain(given)
            // "Any address of this machine" is a place to listen, and nobody's name.
            .filter(|authority| !matches!(authority.host, Host::Ip(address) if address.is_unspecified()))
            .collect();
        let own = hosts.iter().map(|authority| Origin {
            secure,
            authority: authority.clone(),
        });
        let origins = own.chain(allowed.iter().cloned()).collect();
        Self {
            hosts,
            origins,
            secure,
            shown,
        }
    }

    /// The address of the page, as people are told it.
    pub(super) fn url(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}", self.shown)
    }

    /// `ws` or `wss`.
    pub(super) fn socket_scheme(&self) -> &'static str {
        if self.secure { "wss" } else { "ws" }
    }

    /// The worker's own addresses that a Content-Security-Policy can express: its grammar has no IPv6 addresses.
    pub(super) fn policy_hosts(&self) -> impl Iterator<Item = String> {
        self.hosts
            .iter()
            .filter(|authority| !matches!(authority.host, Host::Ip(IpAddr::V6(_))))
            .map(ToString::to_string)
    }

    fn check(&self, request: &Request) -> Result<(), Problem> {
        self.check_host(request)?;
        match single(request.headers(), header::ORIGIN) {
            Field::Absent => Ok(()),
            Field::One(text) if text.parse().is_ok_and(|origin| self.origins.contains(&origin)) => Ok(()),
            Field::One(text) => {
                tracing::info!(origin = text, "refused a foreign origin");
                Err(Problem::new(
                    StatusCode::FORBIDDEN,
                    format!(
                        "A page from {text} may not use this worker. Open the playground from the address that \
                         the worker printed, or start the worker with --allow-origin {text}"
                    ),
                ))
            }
            Field::Unreadable => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "The request's Origin header cannot be read.",
            )),
        }
    }

    fn check_host(&self, request: &Request) -> Result<(), Problem> {
        let refuse = |text: &str| {
            tracing::info!(host = text, "refused a foreign host");
            let own: Vec<String> = self.hosts.iter().map(ToString::to_string).collect();
            Problem::new(
                StatusCode::MISDIRECTED_REQUEST,
                format!(
                    "This worker is not {text}. It answers to {} only.",
                    own.join(", ")
                ),
            )
        };
        let port = if self.secure { 443 } else { 80 };
        let known = |text: &str| Authority::parse(text, port).is_some_and(|host| self.hosts.contains(&host));
        // A request line with a whole URL in it (RFC 9112, section 3.2.2) overrides Host: both have to be ours.
        if let Some(authority) = request.uri().authority()
            && !known(authority.as_str())
        {
            return Err(refuse(authority.as_str()));
        }
        match single(request.headers(), header::HOST) {
            Field::One(text) if known(text) => Ok(()),
            Field::One(text) => Err(refuse(text)),
            Field::Absent | Field::Unreadable => Err(refuse("named by the request's Host header")),
        }
    }
}

enum Field<'a> {
    Absent,
    One(&'a str),
    /// There several times, or not ASCII.
    Unreadable,
}

fn single(headers: &HeaderMap, name: HeaderName) -> Field<'_> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Field::Absent,
        (Some(value), None) => value.to_str().map_or(Field::Unreadable, Field::One),
        (Some(_), Some(_)) => Field::Unreadable,
    }
}

/// Lets a request through, or refuses it before anything else has looked at it.
pub(super) async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    match app.gate.check(&request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn gate() -> Gate {
        let allowed = ["https://docs.example.org".parse().unwrap()];
        Gate::new("127.0.0.1:7070".parse().unwrap(), &[], false, &allowed)
    }

    fn status(headers: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder().uri("/v1/ws");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        gate()
            .check(&request.body(Body::empty()).unwrap())
            .map_or_else(|problem| problem.into_response().status().as_u16(), |()| 200)
    }

    #[test]
    fn only_own_addresses_are_hosts() {
        for good in [
            "127.0.0.1:7070",
            "localhost:7070",
            "LocalHost:7070",
            "[::1]:7070",
            "[0:0::1]:7070",
        ] {
            assert_eq!(status(&[("host", good)]), 200, "{good}");
        }
        for bad in [
            "",
            "evil.example",
            "127.0.0.1",
            "127.0.0.1:80",
            "127.0.0.1:17070",
            "127.0.0.1:+7070",
            "127.0.0.1:",
            "127.0.0.1.evil.example:7070",
            "localhost.evil.example:7070",
            "localhost.:7070",
            "user@localhost:7070",
            "localhost:7070:7070",
            "[::1",
            "[::1]7070",
            "[::ffff:127.0.0.1]:7070",
            "0.0.0.0:7070",
            "127.1:7070",
            "localhost:7070/",
            "2130706433:7070",
        ] {
            assert_eq!(status(&[("host", bad)]), 421, "{bad}");
        }
        assert_eq!(status(&[]), 421);
        assert_eq!(
            status(&[("host", "localhost:7070"), ("host", "localhost:7070")]),
            421
        );
    }

    #[test]
    fn only_listed_origins_pass_even_when_they_equal_the_host() {
        for good in [
            "http://127.0.0.1:7070",
            "http://localhost:7070",
            "https://docs.example.org",
            "https://DOCS.example.org:443",
        ] {
            assert_eq!(
                status(&[("host", "localhost:7070"), ("origin", good)]),
                200,
                "{good}"
            );
        }
        for bad in [
            "null",
            "",
            "http://localhost",
            "https://localhost:7070",
            "http://docs.example.org",
            "https://docs.example.org.evil.example",
            "https://evil.example",
            "file://",
            "http://localhost:7070/",
            "http://127.0.0.1:7071",
        ] {
            assert_eq!(
                status(&[("host", "localhost:7070"), ("origin", bad)]),
                403,
                "{bad}"
            );
        }
        assert_eq!(
            status(&[
                ("host", "evil.example:7070"),
                ("origin", "http://evil.example:7070")
            ]),
            421
        );
    }

    #[test]
    fn absolute_request_target_has_to_be_ours_too() {
        let request = Request::builder()
            .uri("http://evil.example/v1/version")
            .header("host", "localhost:7070")
            .body(Body::empty())
            .unwrap();
        assert!(gate().check(&request).is_err());
    }

    #[test]
    fn origin_with_a_path_is_no_origin() {
        for bad in [
            "https://docs.example.org/",
            "docs.example.org",
            "ftp://docs.example.org",
            "https://",
            "*",
        ] {
            assert!(bad.parse::<Origin>().is_err(), "{bad}");
        }
    }

    #[test]
    fn names_that_the_owner_gave_are_hosts_and_origins_by_tls() {
        let names = ["Builder.example.org", "front.example.org:443"].map(|name| name.parse().unwrap());
        let gate = Gate::new("0.0.0.0:7070".parse().unwrap(), &names, true, &[]);
        assert_eq!(gate.url(), "https://builder.example.org:7070");
        let status = |host: &str, origin: &str| {
            let request = Request::builder()
                .uri("/v1/builds")
                .header("host", host)
                .header("origin", origin)
                .body(Body::empty())
                .unwrap();
            gate.check(&request)
                .map_or_else(|problem| problem.into_response().status().as_u16(), |()| 200)
        };
        for (host, origin, expected) in [
            (
                "builder.example.org:7070",
                "https://builder.example.org:7070",
                200,
            ),
            ("front.example.org", "https://front.example.org", 200),
            ("localhost:7070", "https://localhost:7070", 200),
            ("builder.example.org:7070", "http://builder.example.org:7070", 403),
            ("builder.example.org", "https://builder.example.org", 421),
            ("0.0.0.0:7070", "https://builder.example.org:7070", 421),
        ] {
            assert_eq!(status(host, origin), expected, "{host} {origin}");
        }
    }

    #[test]
    fn a_hosts_name_is_a_name_and_perhaps_a_port() {
        for bad in ["", "https://a", "a/b", "a:b", "a b", "[::1", "a:70000"] {
            assert!(bad.parse::<HostName>().is_err(), "{bad}");
        }
        for good in ["a", "a.example:443", "192.0.2.1", "[2001:db8::1]:7070"] {
            assert!(good.parse::<HostName>().is_ok(), "{good}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_but_the_own_names_is_ever_let_through(host in "[a-z0-9.:@\\[\\]/%-]{0,30}") {
            let own = ["127.0.0.1:7070", "localhost:7070", "[::1]:7070"];
            if !own.contains(&host.as_str()) && host.parse::<SocketAddr>().is_err() {
                proptest::prop_assert_eq!(status(&[("host", &host)]), 421);
            }
        }
    }
}
