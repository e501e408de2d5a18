//! Platforms, as `--platform` and images name them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An operating system and processor architecture (OCI image index specification, `platform`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`, `windows`, …
    pub os: String,
    /// `amd64`, `arm64`, … in Go's names.
    pub architecture: String,
    /// `v7` in `linux/arm/v7`; empty where there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// `10.0.17763` in `windows(10.0.17763)/amd64`; empty where there is none.
    #[serde(rename = "osVersion", default, skip_serializing_if = "String::is_empty")]
    pub os_version: String,
}

impl Default for Platform {
    /// `linux/amd64`.
    fn default() -> Self {
        Self {
            os: "linux".into(),
            architecture: "amd64".into(),
            variant: String::new(),
            os_version: String::new(),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.os)?;
        if !self.os_version.is_empty() {
            write!(formatter, "({})", escaped(&self.os_version))?;
        }
        write!(formatter, "/{}", self.architecture)?;
        if !self.variant.is_empty() {
            write!(formatter, "/{}", self.variant)?;
        }
        Ok(())
    }
}

/// The text is not a platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a platform such as linux/amd64 or linux/arm/v7")]
pub struct InvalidPlatform(pub String);

impl FromStr for Platform {
    type Err = InvalidPlatform;

    /// Reads `os/arch[/variant]`, or one of `os` and `arch` alone, in any of the spellings that are in use, as
    /// containerd's `platforms.Parse` does: `arm` alone has no variant, `arm64` has one only where one was written.
    /// [`Platform::normalized`] makes one platform of these. Features of an operating system are passed over.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidPlatform(text.to_owned());
        let mut parts = text.split('/');
        let (first, second, third) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        if parts.next().is_some()
            || !is_os(first)
            || [second, third].into_iter().flatten().any(|part| !is_name(part))
        {
            return Err(invalid());
        }
        let (os, version) = first.split_once('(').unwrap_or((first, ""));
        let version = version.split(['+', ')']).next().unwrap_or_default();
        let os_version = unescaped(version).ok_or_else(invalid)?;
        let Some(architecture) = second else {
            let os_alone = normal_os(os);
            if is_known_os(&os_alone) {
                return Ok(Self {
                    os: os_alone,
                    os_version,
                    ..Self::default()
                });
            }
            let (architecture, variant) = unversioned(os);
            if is_known_architecture(&architecture) {
                return Ok(Self {
                    architecture,
                    variant,
                    os_version,
                    ..Self::default()
                });
            }
            return Err(invalid());
        };
        let (architecture, variant) = match third {
            None => unversioned(architecture),
            Some(third) => match normal_architecture(architecture, third) {
                // Who writes `arm64/v8` in full keeps it, and so do the ops.
                (arm64, none) if arm64 == "arm64" && none.is_empty() => (arm64, "v8".into()),
                other => other,
            },
        };
        Ok(Self {
            os: normal_os(os),
            architecture,
            variant,
            os_version,
        })
    }
}

impl Platform {
    /// The same platform in the spelling that everyone compares: `arm64/v8` is `arm64`, `x86_64` is `amd64`.
    #[must_use]
    pub fn normalized(&self) -> Self {
        let (architecture, variant) = normal_architecture(&self.architecture, &self.variant);
        Self {
            os: normal_os(&self.os),
            architecture,
            variant,
            os_version: self.os_version.clone(),
        }
    }

    /// The same without the version of the operating system.
    #[must_use]
    pub(crate) fn without_os_version(&self) -> Self {
        Self {
            os_version: String::new(),
            ..self.clone()
        }
    }
}

/// A version as it stands in brackets.
fn escaped(version: &str) -> String {
    let mut text = String::with_capacity(version.len());
    for letter in version.chars() {
        match letter {
            '%' => text.push_str("%25"),
            '+' => text.push_str("%2B"),
            '(' => text.push_str("%28"),
            ')' => text.push_str("%29"),
            '/' => text.push_str("%2F"),
            letter => text.push(letter),
        }
    }
    text
}

fn unescaped(version: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(version.len());
    let mut rest = version.bytes();
    while let Some(byte) = rest.next() {
        let byte = if byte == b'%' {
            let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
            let (high, low) = (digit(rest.next())?, digit(rest.next())?);
            u8::try_from(high * 16 + low).ok()?
        } else {
            byte
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok()
}

fn is_name(part: &str) -> bool {
    !part.is_empty()
        && part
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

/// `linux`, `windows(10.0.17763)`, `windows(10.0+feature)`.
fn is_os(part: &str) -> bool {
    let plain = |name: &str| !name.is_empty() && is_name(name) && !name.contains('.');
    match part.split_once('(') {
        None => plain(part),
        Some((name, version)) => {
            let inside = version.strip_suffix(')');
            plain(name)
                && inside.is_some_and(|text| {
                    let known = |part: &str| part.is_empty() || is_name(&part.replace('%', ""));
                    text.split('+').all(known)
                })
        }
    }
}

fn normal_os(os: &str) -> String {
    match os.to_ascii_lowercase() {
        empty if empty.is_empty() => "linux".into(),
        macos if macos == "macos" => "darwin".into(),
        other => other,
    }
}

fn normal_architecture(architecture: &str, variant: &str) -> (String, String) {
    let (architecture, variant) = (architecture.to_ascii_lowercase(), variant.to_ascii_lowercase());
    let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
        ("i386", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
        ("x86_64" | "x86-64", variant) => ("amd64", variant),
        ("aarch64" | "arm64", "8" | "v8" | "v8.0") => ("arm64", ""),
        ("aarch64", variant) => ("arm64", variant),
        ("arm64", "9" | "9.0" | "v9.0") => ("arm64", "v9"),
        ("armhf", _) | ("arm", "" | "7") => ("arm", "v7"),
        ("armel", _) | ("arm", "6") => ("arm", "v6"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "8") => ("arm", "v8"),
        same => same,
    };
    (architecture.to_owned(), variant.to_owned())
}

/// An architecture that is written without its variant. The usual one of `arm` then stays unsaid.
fn unversioned(architecture: &str) -> (String, String) {
    match normal_architecture(architecture, "") {
        (arm, usual) if arm == "arm" && usual == "v7" => (arm, String::new()),
        other => other,
    }
}

fn is_known_os(os: &str) -> bool {
    matches!(
        os,
        "aix"
            | "android"
            | "darwin"
            | "dragonfly"
            | "freebsd"
            | "hurd"
            | "illumos"
            | "ios"
            | "js"
            | "linux"
            | "nacl"
            | "netbsd"
            | "openbsd"
            | "plan9"
            | "solaris"
            | "windows"
            | "zos"
    )
}

fn is_known_architecture(architecture: &str) -> bool {
    matches!(
        architecture,
        "386"
            | "amd64"
            | "amd64p32"
            | "arm"
            | "armbe"
            | "arm64"
            | "arm64be"
            | "ppc64"
            | "ppc64le"
            | "loong64"
            | "mips"
            | "mipsle"
            | "mips64"
            | "mips64le"
            | "mips64p32"
            | "mips64p32le"
            | "ppc"
            | "riscv"
            | "riscv64"
            | "s390"
            | "s390x"
            | "sparc"
            | "sparc64"
            | "wasm"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_platform_are_one() {
        for (written, read) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("linux/arm64/v8", "linux/arm64/v8"),
            ("linux/arm64/v9.0", "linux/arm64/v9"),
            ("aarch64", "linux/arm64"),
            ("linux/arm", "linux/arm"),
            ("armhf", "linux/arm"),
            ("linux/arm/7", "linux/arm/v7"),
            ("windows", "windows/amd64"),
            ("windows(10.0.17763)/amd64", "windows(10.0.17763)/amd64"),
            ("windows(10.0%2B1+feature)", "windows(10.0%2B1)/amd64"),
        ] {
            assert_eq!(
                written.parse::<Platform>().unwrap().to_string(),
                read,
                "{written}"
            );
        }
    }

    #[test]
    fn normalized_platforms_compare() {
        for (written, normalized) in [
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/v7", "linux/arm/v7"),
        ] {
            let platform: Platform = written.parse().unwrap();
            assert_eq!(platform.normalized().to_string(), normalized, "{written}");
        }
    }

    #[test]
    fn what_is_not_a_platform_is_refused() {
        for bad in [
            "",
            "linux/",
            "li nux",
            "%s/amd64",
            "a/b/c/d",
            "nosuchthing",
            "linux//v7",
            "windows(10.0%2)/amd64",
        ] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }
}
