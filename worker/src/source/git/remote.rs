//! A repository's address: who is asked, and who asks.

use std::net::SocketAddr;
use std::path::PathBuf;

use base64::Engine as _;
use percent_encoding::percent_decode_str;

use super::GitError;
use crate::source::address::Reach;
use crate::source::http::shown;
use crate::source::secret::Secret;

/// A repository elsewhere, and how to get at it.
#[derive(Debug, Clone, Default)]
pub struct Remote {
    /// What is asked for. A password may stand in it.
    pub url: String,
    /// A header that proves who asks.
    pub proof: Option<Secret>,
    /// The socket of an SSH agent.
    pub agent: Option<PathBuf>,
    /// Lines of a `known_hosts` file.
    pub known_hosts: Option<String>,
    /// How far its address may lead.
    pub reach: Reach,
    /// Whether it may be a folder of this machine (`file://`), which only its owner may name.
    pub here: bool,
}

impl Remote {
    /// The addresses that git may connect to: those that were checked. None where any will do.
    pub(super) async fn checked(&self) -> Result<Option<(Host, Vec<SocketAddr>)>, GitError> {
        if self.here && self.url.starts_with("file:///") {
            return Ok(None);
        }
        let host = self.host().ok_or_else(|| GitError::Address(shown(&self.url)))?;
        if matches!(self.reach, Reach::Anywhere) {
            return Ok(None);
        }
        if !self.reach.allows_host(&host.name) {
            return Err(GitError::Local(shown(&self.url)));
        }
        match self.reach.find(&host.name, host.port).await {
            Ok(found) if found.is_empty() => Err(GitError::Local(shown(&self.url))),
            Ok(found) => Ok(Some((host, found))),
            Err(error) => Err(GitError::Failed {
                what: "find the host of",
                url: shown(&self.url),
                said: error.to_string(),
            }),
        }
    }

    /// The address as git gets it: no password is in it. Who asks stays, where the protocol has no other place for it.
    pub(super) fn plain_url(&self) -> String {
        match reqwest::Url::parse(&self.url) {
            Ok(mut url) if url.scheme() == "ssh" && url.password().is_some() => {
                // Fails for addresses that have no host, and so no password either.
                _ = url.set_password(None);
                url.to_string()
            }
            Ok(url) if url.scheme() == "ssh" => self.url.clone(),
            _ => shown(&self.url),
        }
    }

    /// The header that proves who asks: one that was given, or of what stands in the address.
    pub(super) fn proof(&self) -> Option<Secret> {
        if self.proof.is_some() {
            return self.proof.clone();
        }
        let url = reqwest::Url::parse(&self.url).ok()?;
        if !matches!(url.scheme(), "http" | "https")
            || (url.username().is_empty() && url.password().is_none())
        {
            return None;
        }
        let pair: Vec<u8> = percent_decode_str(url.username())
            .chain([b':'])
            .chain(percent_decode_str(url.password().unwrap_or_default()))
            .collect();
        let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
        Some(Secret::new(format!("basic {encoded}").into_bytes()))
    }

    /// The host of `https://host/path`, or of `user@host:path`.
    pub(super) fn host(&self) -> Option<Host> {
        if let Some((scheme, rest)) = self.url.split_once("://") {
            if !matches!(scheme, "http" | "https" | "ssh" | "git") {
                return None;
            }
            let url = reqwest::Url::parse(&self.url).ok()?;
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
            // In these git reads another host than we do. It works out what is encoded before it looks for the host, except
            // where we take the user out of the address.
            let odd =
                self.url.contains('\\') || self.url.contains(|character: char| character.is_ascii_control());
            let encoded = host.contains('%') || (scheme == "git" && user.contains('%'));
            if odd || encoded || (scheme == "ssh" && moves_the_host(url.username())) {
                return None;
            }
            let (scheme, usual) = match url.scheme() {
                "http" => (Scheme::Web, 80),
                "https" => (Scheme::Web, 443),
                "ssh" => (Scheme::Ssh, 22),
                _ => (Scheme::Git, 9418),
            };
            return Some(Host {
                scheme,
                name: url.host_str()?.trim_matches(['[', ']']).to_owned(),
                port: url.port().unwrap_or(usual),
            });
        }
        // With two colons it is a program of git's that is asked for.
        let (before, _) = self
            .url
            .split_once(':')
            .filter(|(_, path)| !path.starts_with(':'))?;
        let host = before.rsplit('@').next()?;
        let plain = !host.is_empty() && !host.starts_with(['-', '[']) && !before.starts_with('-');
        plain.then(|| Host {
            scheme: Scheme::Ssh,
            name: host.to_owned(),
            port: 22,
        })
    }

    /// The error of a commit that is another than it has to be.
    pub fn differs(&self, found: &str, wanted: &str) -> GitError {
        GitError::Checksum {
            url: shown(&self.url),
            found: found.to_owned(),
            wanted: wanted.to_owned(),
        }
    }
}

/// Where git is to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) scheme: Scheme,
    pub(super) name: String,
    pub(super) port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Web,
    Ssh,
    Git,
}

/// Whether a user, once it is written without `%`, ends before it should, or is taken for something else.
fn moves_the_host(user: &str) -> bool {
    percent_decode_str(user).any(|byte| b"/?#:[]\\ ".contains(&byte) || byte.is_ascii_control())
        || percent_decode_str(user).next() == Some(b'-')
}
