//! An image as a package URL (purl specification, type `docker`).

use std::fmt::Write as _;

use stagewright_core::platform::Platform;

use crate::source::image::reference::Reference;

/// `pkg:docker/alpine@3.20?platform=linux%2Famd64`. Where there is no tag its digest says which it is.
pub(super) fn url(name: &Reference, platform: Option<&Platform>) -> String {
    let repository = match name.registry() {
        "docker.io" => name
            .repository()
            .strip_prefix("library/")
            .unwrap_or(name.repository())
            .to_owned(),
        registry => format!("{registry}/{}", name.repository()),
    };
    let mut url = format!("pkg:docker/{}", encoded(&repository, b"-._~/:"));
    if let Some(tag) = name.tag() {
        _ = write!(url, "@{}", encoded(tag, b"-._~"));
    }
    let mut qualifiers = Vec::new();
    if let Some(digest) = name.digest().filter(|_| name.tag().is_none()) {
        qualifiers.push(("digest", digest.to_string()));
    }
    if let Some(platform) = platform {
        qualifiers.push(("platform", platform.to_string()));
    }
    for (index, (key, value)) in qualifiers.iter().enumerate() {
        let sign = if index == 0 { '?' } else { '&' };
        _ = write!(url, "{sign}{key}={}", encoded(value, b"-._~"));
    }
    url
}

/// Everything but letters, digits and `plain` as `%` and two digits.
fn encoded(text: &str, plain: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            out.push(char::from(byte));
        } else {
            _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_package_urls() {
        let platform = Platform::default();
        let of = |name: &str, platform| url(&name.parse().unwrap(), platform);
        assert_eq!(
            of("alpine:3.20", Some(&platform)),
            "pkg:docker/alpine@3.20?platform=linux%2Famd64"
        );
        assert_eq!(
            of("localhost:5000/team/app", None),
            "pkg:docker/localhost:5000/team/app@latest"
        );
        let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(of(&format!("user/app:1@{digest}"), None), "pkg:docker/user/app@1");
        assert_eq!(
            of(&format!("user/app@{digest}"), None),
            format!("pkg:docker/user/app?digest={}", digest.replace(':', "%3A"))
        );
    }
}
