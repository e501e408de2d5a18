//! The stand-in for `nginx:latest`: its configuration, for examples that copy from it. It holds no server.

use std::path::Path;

use serde_json::json;

use super::StandIn;
use super::debian::Packages;
use super::layout::{Image, Layer, Layout};
use super::rootfs::Rootfs;
use crate::problem::Outcome;

pub(crate) fn make(
    packages: &Packages,
    layout: &mut Layout,
    base: &Layer,
    scratch: &Path,
) -> Outcome<StandIn> {
    let rootfs = Rootfs::create(scratch)?;
    rootfs.take(&packages.folder("nginx-common")?.join("etc/nginx"), "etc/nginx")?;
    let history = packages.title("nginx-common")?;
    let layer = layout.layer(&rootfs)?;
    let manifest = layout.image(&Image {
        architecture: &packages.architecture,
        layers: &[base.clone(), layer],
        config: json!({
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "Cmd": ["/bin/sh"],
        }),
        history: &format!("stand-in made of {history}"),
    })?;
    let note = format!("stand-in for nginx:latest, its configuration only, from Debian packages ({history})");
    Ok(StandIn {
        reference: "docker.io/library/nginx:latest",
        tag: "nginx-latest",
        note,
        manifest,
    })
}
