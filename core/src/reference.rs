//! Image names, as people write them and in full.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;

/// An image name in full: `docker.io/library/alpine:latest`, with a digest where it was given
/// (distribution's reference grammar, with Docker Hub's defaults filled in).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    name: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// The text is not an image name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReference {
    /// It has letters or an order that image names cannot have.
    #[error("\"{0}\" is not an image name")]
    Format(String),
    /// Only the registry may have upper case letters.
    #[error("\"{0}\" is not an image name: a repository is written in lower case")]
    UpperCase(String),
    /// What follows the `@` is no digest of the only kind that is known here; BuildKit knows others.
    #[error("what pins \"{0}\" is not sha256: and 64 hex digits")]
    Digest(String),
    /// 64 hex digits alone could be an image id.
    #[error("\"{0}\" is an image id, not an image name")]
    Identifier(String),
}

impl Reference {
    /// Registry and repository: `docker.io/library/alpine`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The tag, where there is one.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, where there is one.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same without the `latest` that was filled in where `written` has no tag.
    #[must_use]
    pub(crate) fn untagged(mut self, written: &str) -> Self {
        if !written.rsplit('/').next().is_some_and(|name| name.contains(':')) {
            self.tag = None;
        }
        self
    }

    /// The same image, pinned to `digest`.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self {
            digest: Some(digest),
            ..self.clone()
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)?;
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

    /// Reads a name as people write it; `latest` is filled in where there is neither tag nor digest.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let format = || InvalidReference::Format(text.to_owned());
        if text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(InvalidReference::Identifier(text.to_owned()));
        }
        let (domain, remainder) = split_domain(text);
        let remote = remainder.split(':').next().unwrap_or_default();
        if remote.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(InvalidReference::UpperCase(text.to_owned()));
        }
        let (rest, digest) = match remainder.split_once('@') {
            Some((rest, digest)) => (
                rest,
                Some(
                    digest
                        .parse()
                        .map_err(|_| InvalidReference::Digest(text.to_owned()))?,
                ),
            ),
            None => (remainder.as_str(), None),
        };
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) if is_tag(tag) => (path, Some(tag.to_owned())),
            Some(_) => return Err(format()),
            None => (rest, None),
        };
        // A registry with an underscore is none, but the whole may still do as a path without a registry.
        let named = is_domain(domain) || domain.split('/').all(is_path_component);
        if !named || path.is_empty() || path.len() > 255 || !path.split('/').all(is_path_component) {
            return Err(format());
        }
        let tag = if digest.is_none() {
            tag.or_else(|| Some("latest".into()))
        } else {
            tag
        };
        Ok(Self {
            name: format!("{domain}/{path}"),
            tag,
            digest,
        })
    }
}

/// What stands before the first `/` is a registry if it looks like one; else the image is on Docker Hub.
fn split_domain(text: &str) -> (&str, String) {
    const HUB: &str = "docker.io";
    let (domain, remainder) = match text.split_once('/') {
        None => return (HUB, format!("library/{text}")),
        Some(("index.docker.io", rest)) => (HUB, rest),
        Some((first, rest))
            if first == "localhost"
                || first.contains(['.', ':'])
                || first.bytes().any(|byte| byte.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        Some(_) => (HUB, text),
    };
    if domain == HUB && !remainder.contains('/') {
        return (HUB, format!("library/{remainder}"));
    }
    (domain, remainder.to_owned())
}

fn is_domain(domain: &str) -> bool {
    let component = |part: &str| {
        !part.is_empty()
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let (host, port) = match domain.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest))
            if address
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit() || byte == b':') =>
        {
            return !address.is_empty() && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port));
        }
        Some(_) => return false,
        None => match domain.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (domain, None),
        },
    };
    host.split('.').all(component) && port.is_none_or(is_port)
}

fn is_port(port: &str) -> bool {
    !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= 128
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

/// Runs of lower case letters and digits, with one of `.`, `_`, `__` or any number of `-` between them.
fn is_path_component(component: &str) -> bool {
    let bytes = component.as_bytes();
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    if !alphanumeric(first) || !alphanumeric(last) {
        return false;
    }
    component
        .split(|letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit())
        .filter(|separator| !separator.is_empty())
        .all(|separator| matches!(separator, "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_in() {
        for (written, full) in [
            ("alpine", "docker.io/library/alpine:latest"),
            ("alpine:3", "docker.io/library/alpine:3"),
            ("foo/bar", "docker.io/foo/bar:latest"),
            ("index.docker.io/foo", "docker.io/library/foo:latest"),
            ("localhost/foo", "localhost/foo:latest"),
            ("localhost:5000/foo:x", "localhost:5000/foo:x"),
            ("gcr.io/a/b-c__d.e:1", "gcr.io/a/b-c__d.e:1"),
            ("my_registry.io/x", "my_registry.io/x:latest"),
        ] {
            assert_eq!(written.parse::<Reference>().unwrap().to_string(), full);
        }
    }

    #[test]
    fn digest_stands_without_a_tag() {
        let digest = Digest::of(b"x");
        let written = format!("alpine@{digest}");
        let reference: Reference = written.parse().unwrap();
        assert_eq!(reference.to_string(), format!("docker.io/library/{written}"));
        assert_eq!(reference.digest(), Some(&digest));
    }

    #[test]
    fn what_is_no_image_name_is_refused() {
        let id = "a".repeat(64);
        for bad in [
            "",
            ":",
            "a:",
            "a:b:c",
            "A/b:",
            "foo/Bar",
            "%s",
            "gcr.io//x",
            "a b",
            "a@sha256:12",
            "-a",
            id.as_str(),
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
    }
}
