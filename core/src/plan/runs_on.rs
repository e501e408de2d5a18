//! How progress says which platform a step runs on, and which it makes something for.

use crate::platform::Platform;
use crate::shell::Variables as _;

use super::env::Env;

/// `linux/amd64 `, or `linux/amd64->arm64 ` where the variables of the stage name another target.
pub(super) fn shown(platform: &Platform, env: Option<&Env>) -> String {
    let target = env.and_then(|env| target(env, platform));
    match target.map(|target| target.normalized()) {
        Some(target) if target.os != platform.os => format!("{platform}->{target} "),
        Some(target) if target.architecture != platform.architecture => {
            let slash = if target.variant.is_empty() { "" } else { "/" };
            format!("{platform}->{}{slash}{} ", target.architecture, target.variant)
        }
        _ => format!("{platform} "),
    }
}

/// The platform that the variables name; what they leave out is as in `base`.
fn target(env: &Env, base: &Platform) -> Option<Platform> {
    if let Some(whole) = env.get("TARGETPLATFORM").and_then(|text| text.parse().ok()) {
        return Some(whole);
    }
    let part = |name: &str| env.get(name).map(str::to_owned);
    let (os, architecture, variant) = (part("TARGETOS"), part("TARGETARCH"), part("TARGETVARIANT"));
    if os.is_none() && architecture.is_none() && variant.is_none() {
        return None;
    }
    let given = |part: Option<String>, base: &str| {
        part.filter(|part| !part.is_empty())
            .unwrap_or_else(|| base.to_owned())
    };
    Some(Platform {
        os: given(os, &base.os),
        architecture: given(architecture, &base.architecture),
        variant: variant.unwrap_or_default(),
        os_version: String::new(),
    })
}
