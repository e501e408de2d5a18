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
}

impl Gate {
    /// For a worker that listens on `address`: its own origins, and those that its owner allowed.
    pub(super) fn new(address: SocketAddr, allowed: &[Origin]) -> Self {
        let hosts: BTreeSet<Authority> = [
            Host::Ip(address.ip()),
            Host::Ip(Ipv4Addr::LOCALHOST.into()),
            Host::Ip(Ipv6Addr::LOCALHOST.into()),
            Host::Name("localhost".into()),
        ]
        .into_iter()
        .map(|host| Authority {
            host,
            port: address.port(),
        })
        .collect();
        let own = hosts.iter().map(|authority| Origin {
            secure: false,
            authority: authority.clone(),
        });
        let origins = own.chain(allowed.iter().cloned()).collect();
        Self { hosts, origins }
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
        let known = |text: &str| Authority::parse(text, 80).is_some_and(|host| self.hosts.contains(&host));
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
        Gate::new("127.0.0.1:7070".parse().unwrap(), &allowed)
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
