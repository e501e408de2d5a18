//! The platforms to build for.

use stagewright_core::platform::Platform;

/// Reads `OS/ARCH[/VARIANT]`; the error completes a sentence that names what was read.
pub(crate) fn platform(text: &str) -> Result<Platform, String> {
    let mut parts = text.split('/').map(str::to_ascii_lowercase);
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(os), Some(architecture), variant, None)
            if !os.is_empty() && !architecture.is_empty() && variant.as_deref() != Some("") =>
        {
            Ok(Platform {
                os,
                architecture,
                variant: variant.unwrap_or_default(),
                ..Platform::default()
            })
        }
        _ => Err("a platform is written os/architecture, such as linux/arm64 or linux/arm/v7".into()),
    }
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
    fn platform_needs_two_or_three_parts() {
        assert_eq!(platform("linux/ARM/v7").unwrap().to_string(), "linux/arm/v7");
        for bad in ["", "linux", "linux/", "/amd64", "linux/arm/", "a/b/c/d"] {
            assert!(platform(bad).is_err(), "{bad}");
        }
    }
}
