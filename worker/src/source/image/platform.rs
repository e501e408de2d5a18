//! Which of an image's platforms serves a build.
//!
//! The rules are containerd's (`platforms.Only`): a processor also runs what was made for its predecessors, and the
//! closest one is taken.

use stagewright_core::platform::Platform;

/// The platform in its usual spelling: `x86_64` is `amd64`, `arm64/v8` is `arm64`, `arm` is `arm/v7`.
pub(super) fn normalize(platform: &Platform) -> Platform {
    let os = match platform.os.to_ascii_lowercase().as_str() {
        "macos" => "darwin".to_owned(),
        other => other.to_owned(),
    };
    let architecture = platform.architecture.to_ascii_lowercase();
    let variant = platform.variant.to_ascii_lowercase();
    let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
        ("i386", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
        ("x86_64" | "x86-64", other) => ("amd64", other),
        ("aarch64" | "arm64", "8" | "v8") => ("arm64", ""),
        ("aarch64", other) => ("arm64", other),
        ("armhf", _) | ("arm", "" | "7") => ("arm", "v7"),
        ("armel", _) | ("arm", "6") => ("arm", "v6"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "8") => ("arm", "v8"),
        (other, variant) => (other, variant),
    };
    Platform {
        os,
        architecture: architecture.to_owned(),
        variant: variant.to_owned(),
        // Which version of Windows runs which is not looked at.
        os_version: String::new(),
    }
}

/// How well an image for `offered` serves a build for `wanted`: 0 is best, `None` is not at all.
pub(super) fn rank(wanted: &Platform, offered: &Platform) -> Option<usize> {
    let offered = normalize(offered);
    served_by(&normalize(wanted))
        .iter()
        .position(|platform| *platform == offered)
}

/// What a machine of platform `wanted` runs, the best first.
fn served_by(wanted: &Platform) -> Vec<Platform> {
    let with = |architecture: &str, variant: &str| Platform {
        os: wanted.os.clone(),
        architecture: architecture.to_owned(),
        variant: variant.to_owned(),
        os_version: String::new(),
    };
    let version = wanted
        .variant
        .strip_prefix('v')
        .and_then(|number| number.parse::<u32>().ok());
    let mut served = vec![wanted.clone()];
    match wanted.architecture.as_str() {
        "amd64" => {
            let lower = (2..version.unwrap_or(1).min(16)).rev();
            served.extend(lower.map(|number| with("amd64", &format!("v{number}"))));
            if version.is_some_and(|version| version > 1) {
                served.push(with("amd64", ""));
            }
            served.push(with("386", ""));
        }
        "arm" => {
            let lower = (5..version.unwrap_or(7).min(16)).rev();
            served.extend(lower.map(|number| with("arm", &format!("v{number}"))));
        }
        "arm64" => {
            if !wanted.variant.is_empty() {
                served.push(with("arm64", ""));
            }
            served.extend((5..=8).rev().map(|number| with("arm", &format!("v{number}"))));
        }
        _ => {}
    }
    served
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        let mut parts = text.split('/').map(str::to_owned);
        let mut next = || parts.next().unwrap_or_default();
        Platform {
            os: next(),
            architecture: next(),
            variant: next(),
            os_version: String::new(),
        }
    }

    fn best<'a>(wanted: &str, offered: &[&'a str]) -> Option<&'a str> {
        let ranked = offered
            .iter()
            .filter_map(|text| Some((rank(&platform(wanted), &platform(text))?, *text)));
        ranked.min().map(|(_, text)| text)
    }

    #[test]
    fn closest_variant_wins() {
        for (wanted, offered, expected) in [
            (
                "linux/amd64",
                &["linux/arm64", "linux/amd64"][..],
                Some("linux/amd64"),
            ),
            ("linux/amd64", &["linux/amd64/v3", "linux/386"], Some("linux/386")),
            (
                "linux/amd64/v3",
                &["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"],
                Some("linux/amd64/v2"),
            ),
            (
                "linux/arm/v7",
                &["linux/arm/v5", "linux/arm/v6", "linux/arm/v8"],
                Some("linux/arm/v6"),
            ),
            (
                "linux/arm",
                &["linux/arm/v6", "linux/arm/v7"],
                Some("linux/arm/v7"),
            ),
            (
                "linux/arm64",
                &["linux/arm/v7", "linux/arm64/v8"],
                Some("linux/arm64/v8"),
            ),
            ("linux/aarch64", &["linux/arm64"], Some("linux/arm64")),
            ("linux/arm64", &["linux/arm/v7"], Some("linux/arm/v7")),
            ("linux/amd64", &["windows/amd64", "unknown/unknown"], None),
            ("linux/s390x", &["linux/amd64"], None),
        ] {
            assert_eq!(best(wanted, offered), expected, "{wanted} of {offered:?}");
        }
    }
}
