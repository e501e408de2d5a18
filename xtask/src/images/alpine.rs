//! The stand-in for `alpine:latest`: busybox, and an `apk` that really installs the one package examples ask it for.

use std::path::Path;

use serde_json::json;

use super::StandIn;
use super::debian::Packages;
use super::layout::{Image, Layer, Layout};
use super::rootfs::Rootfs;
use crate::problem::Outcome;

/// Where the content of the packages waits that `apk` can install.
const PACKAGES: &str = "usr/share/stand-in/packages";

pub(crate) fn make(
    packages: &Packages,
    layout: &mut Layout,
    base: &Layer,
    scratch: &Path,
) -> Outcome<StandIn> {
    let rootfs = Rootfs::create(scratch)?;
    rootfs.file("sbin/apk", include_str!("files/apk.sh"), 0o755)?;
    let certificates = packages.folder("ca-certificates")?;
    rootfs.take(
        &certificates.join("usr/share/ca-certificates"),
        &format!("{PACKAGES}/ca-certificates"),
    )?;
    let history = format!(
        "{} and {}",
        packages.title("busybox-static")?,
        packages.title("ca-certificates")?
    );
    let manifest = {
        let layer = layout.layer(&rootfs)?;
        layout.image(&Image {
            architecture: &packages.architecture,
            layers: &[base.clone(), layer],
            config: json!({
                "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
                "Cmd": ["/bin/sh"],
                "WorkingDir": "/",
            }),
            history: &format!("stand-in made of {history}"),
        })?
    };
    let note = format!("stand-in for alpine:latest, from Debian packages ({history})");
    Ok(StandIn {
        reference: "docker.io/library/alpine:latest",
        tag: "alpine-latest",
        note,
        manifest,
    })
}
