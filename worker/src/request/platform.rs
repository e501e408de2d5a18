//! The platforms to build for.

use stagewright_core::platform::Platform;

use crate::backend::embedded::machine_platform;

/// Reads `OS/ARCH[/VARIANT]`, or one of `OS` and `ARCH` alone, in any of its spellings; the error completes a sentence that
/// names what was read.
pub(crate) fn platform(text: &str) -> Result<Platform, String> {
    let read = text.parse::<Platform>().map(|platform| platform.normalized());
    read.map_err(|_| "a platform is written os/architecture, such as linux/arm64 or linux/arm/v7".into())
}

/// The same for a flag, where `local` is the platform of this machine.
pub(crate) fn platform_or_local(text: &str) -> Result<Platform, String> {
    if text.eq_ignore_ascii_case("local") {
        return Ok(machine_platform());
    }
    platform(text)
}

/// Each of them once, and the usual one where none is named.
pub(crate) fn settled(given: &[Platform]) -> Vec<Platform> {
    let mut platforms: Vec<Platform> = Vec::new();
    for platform in given {
        let platform = platform.normalized();
        if !platforms.contains(&platform) {
            platforms.push(platform);
        }
    }
    if platforms.is_empty() {
        platforms.push(Platform::default());
    }
    platforms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platform_is_written_in_up_to_three_parts_or_as_what_is_known_of_it() {
        for (text, meant) in [
            ("linux/ARM/v7", "linux/arm/v7"),
            ("linux", "linux/amd64"),
            ("amd64", "linux/amd64"),
            ("x86_64", "linux/amd64"),
            ("linux/aarch64", "linux/arm64"),
            ("arm64", "linux/arm64"),
        ] {
            assert_eq!(platform(text).unwrap().to_string(), meant, "{text}");
        }
        for bad in [
            "",
            "local",
            "lunix",
            "linux/",
            "/amd64",
            "linux/arm/",
            "a/b/c/d",
            "linux/*",
        ] {
            assert!(platform(bad).is_err(), "{bad}");
        }
        assert_eq!(platform_or_local("Local").unwrap(), machine_platform());
        assert_eq!(
            platform_or_local("arm64").unwrap(),
            platform("linux/arm64").unwrap()
        );
    }
}
