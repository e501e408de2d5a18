//! Where a worker is, and what proves to it who asks.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;
use zeroize::Zeroizing;

/// A worker's address. Over a network it is one with TLS: a token that others can read is worth nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address(Url);

/// A text is no address of a worker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidAddress {
    /// It is not written as one.
    #[error("{0:?} is no address of a worker; write https://HOST[:PORT]")]
    Unreadable(String),
    /// It says more than where the worker is.
    #[error("{0} belongs in STAGEWRIGHT_TOKEN, and not in the worker's address, which others get to see")]
    Credentials(&'static str),
    /// Others could read what is said.
    #[error("{0} is not on this machine, so the token would travel for everyone to read; write https://")]
    Readable(String),
}

impl Address {
    /// Reads `https://HOST[:PORT][/PREFIX]`; without TLS only where it is this machine.
    pub(crate) fn read(text: &str) -> Result<Self, InvalidAddress> {
        let unreadable = || InvalidAddress::Unreadable(text.to_owned());
        let mut url = Url::parse(text.trim()).map_err(|_| unreadable())?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidAddress::Credentials("a user or password"));
        }
        if url.fragment().is_some_and(|fragment| fragment.contains("token=")) {
            return Err(InvalidAddress::Credentials("a token"));
        }
        let host = url.host_str().ok_or_else(unreadable)?.to_owned();
        match url.scheme() {
            "https" => {}
            "http" if is_here(&host) => {}
            "http" => return Err(InvalidAddress::Readable(host)),
            _ => return Err(unreadable()),
        }
        url.set_query(None);
        url.set_fragment(None);
        let path = format!("{}/", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Ok(Self(url))
    }

    /// The address of something that the worker has, with each part of its path written so that it stays one.
    pub(super) fn of(&self, parts: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.0.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push("v1").extend(parts);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Whether a proxy of the environment may stand between.
    pub(super) fn is_here(&self) -> bool {
        self.0.host_str().is_some_and(is_here)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

/// Whether that is this machine. A name might be anybody's; `localhost` is not.
fn is_here(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// What proves who asks. It is not printed, and its memory is wiped.
#[derive(Clone)]
pub(crate) struct Token(Zeroizing<String>);

impl Token {
    pub(crate) fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.trim().to_owned()))
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lead_to_the_api_wherever_it_is() {
        for (text, wanted) in [
            (
                "https://builds.example",
                "https://builds.example/v1/builds/a%2Fb?since=3",
            ),
            (
                "https://example.com:8443/worker/",
                "https://example.com:8443/worker/v1/builds/a%2Fb?since=3",
            ),
            (
                "http://127.0.0.1:7777",
                "http://127.0.0.1:7777/v1/builds/a%2Fb?since=3",
            ),
            (
                "http://[::1]:7777/#x",
                "http://[::1]:7777/v1/builds/a%2Fb?since=3",
            ),
        ] {
            let address = Address::read(text).unwrap();
            assert_eq!(address.of(&["builds", "a/b"], &[("since", "3")]).as_str(), wanted);
        }
        assert_eq!(Address::read("https://h/").unwrap().to_string(), "https://h");
    }

    #[test]
    fn a_token_never_travels_where_others_can_read_it() {
        for (text, said) in [
            ("http://builds.example", "https://"),
            ("http://localhost.example", "https://"),
            ("http://127.0.0.1.example", "https://"),
            ("https://me:word@builds.example", "STAGEWRIGHT_TOKEN"),
            ("http://127.0.0.1:7777/#token=abc", "STAGEWRIGHT_TOKEN"),
            ("builds.example", "no address"),
            ("ssh://builds.example", "no address"),
            ("", "no address"),
        ] {
            let error = Address::read(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
        assert_eq!(format!("{:?}", Token::new(" sw_1\n")), "Token");
    }
}
