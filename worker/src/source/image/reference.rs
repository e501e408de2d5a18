//! Image references, taken apart for those who have to ask for the image.
//!
//! What a reference is, [`stagewright_core::reference`] says, for planner and worker alike. Here its registry has to be
//! one that can be connected to, besides.

use std::fmt;
use std::str::FromStr;

use stagewright_core::digest::Digest;

/// A reference in full. Its parts are checked, so that they may stand in a URL's path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// The text is no image reference, or one that nobody can be asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReference {
    /// It is no image reference.
    #[error(transparent)]
    Grammar(#[from] stagewright_core::reference::InvalidReference),
    /// Its registry cannot be connected to.
    #[error("{text:?} names the registry {registry:?}, which is no host name")]
    Registry {
        /// The reference.
        text: String,
        /// What stands in its registry's place.
        registry: String,
    },
}

const DOCKER_HUB: &str = "docker.io";

impl Reference {
    /// `docker.io/library/image:latest`: what an image is called that nobody gave a name.
    pub fn unnamed() -> Self {
        let repository = "library/image".to_owned();
        Self {
            registry: DOCKER_HUB.to_owned(),
            repository,
            tag: Some("latest".to_owned()),
            digest: None,
        }
    }

    /// The registry as references name it: `docker.io`, `127.0.0.1:5000`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository within the registry: `library/golang`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag. One of tag and digest is always there.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest it is pinned to.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same image, pinned.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self {
            digest: Some(digest),
            ..self.clone()
        }
    }

    /// Whether both name the same repository.
    pub fn same_repository(&self, other: &Self) -> bool {
        self.registry == other.registry && self.repository == other.repository
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(formatter, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(formatter, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let full: stagewright_core::reference::Reference = text.parse()?;
        let (registry, repository) = full.name().split_once('/').unwrap_or((DOCKER_HUB, full.name()));
        if !is_registry_name(registry) {
            let (text, registry) = (text.to_owned(), registry.to_owned());
            return Err(InvalidReference::Registry { text, registry });
        }
        Ok(Self {
            registry: registry.to_owned(),
            repository: repository.to_owned(),
            tag: full.tag().map(str::to_owned),
            digest: full.digest().cloned(),
        })
    }
}

/// Whether `text` is `host` or `host:port`, where a host is a name, an IPv4 address or an IPv6 one in brackets.
pub fn is_registry_name(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let good_port = port.is_none_or(|port| {
        (1..=5).contains(&port.len())
            && port.bytes().all(|byte| byte.is_ascii_digit())
            && port.parse::<u16>().is_ok()
    });
    let good_host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(|label| {
            let inner = label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            inner && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
        }),
    };
    good_port && good_host
}

/// Reads a name that an image may be given here; the error completes a sentence that names what was read.
pub(crate) fn name(text: &str) -> Result<Reference, String> {
    let reference: Reference = text
        .parse()
        .map_err(|error: InvalidReference| error.to_string())?;
    match reference.digest() {
        Some(_) => {
            Err("an image is given a name without a digest, which it has by itself: write NAME:TAG".into())
        }
        None => Ok(reference),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn what_is_read_is_written_the_same_and_fit_for_a_url(text in "([a-zA-Z0-9.:/_@\\-\\[\\]]{0,12}|\\PC{0,6}){0,3}") {
            if let Ok(reference) = text.parse::<Reference>() {
                let full = reference.to_string();
                proptest::prop_assert_eq!(full.parse::<Reference>(), Ok(reference));
                proptest::prop_assert!(full.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/:@[]".contains(&byte)));
                proptest::prop_assert!(!full.contains("..") && !full.contains("//"));
            }
        }
    }

    #[test]
    fn short_names_are_docker_hubs() {
        let digest = Digest::of(b"x");
        for (text, full) in [
            ("alpine", "docker.io/library/alpine:latest".to_owned()),
            ("golang:1.7.3", "docker.io/library/golang:1.7.3".to_owned()),
            ("a/b", "docker.io/a/b:latest".to_owned()),
            ("index.docker.io/a", "docker.io/library/a:latest".to_owned()),
            ("localhost/a:1", "localhost/a:1".to_owned()),
            (
                "127.0.0.1:5000/a_b/c__d--e",
                "127.0.0.1:5000/a_b/c__d--e:latest".to_owned(),
            ),
            ("[::1]:5000/a", "[::1]:5000/a:latest".to_owned()),
            ("ghcr.io/a/b/c:v1.0-rc_1", "ghcr.io/a/b/c:v1.0-rc_1".to_owned()),
            (
                &format!("alpine@{digest}"),
                format!("docker.io/library/alpine@{digest}"),
            ),
            (
                &format!("alpine:3@{digest}"),
                format!("docker.io/library/alpine:3@{digest}"),
            ),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), full);
            assert_eq!(full.parse::<Reference>().unwrap(), reference);
        }
    }

    #[test]
    fn what_could_mislead_a_url_is_refused() {
        for text in [
            "",
            ":",
            "@",
            "a:",
            "a:b:c",
            "A",
            "a//b",
            "/a",
            "a/",
            "../a",
            "a/../b",
            "a b",
            "a?b",
            "a#b",
            "a%2fb",
            "-a",
            "a-",
            "a___b",
            "a..b",
            "a:-x",
            "a@sha256:00",
            "a@md5:0",
            "x.y:99999/a",
            "x.y:/a",
            "u@h.z/a",
            "h.z:80:80/a",
            "[::zz]/a",
            "é",
            "a:é",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
        assert!("a".repeat(256).parse::<Reference>().is_err());
        assert!(format!("a:{}", "t".repeat(129)).parse::<Reference>().is_err());
    }
}
