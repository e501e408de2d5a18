//! The stand-in for `debian:bookworm`: a whole Debian root file system, made by debootstrap from the mirror that this machine
//! uses. It stands in a layout of its own, since it takes a while to make and nothing but the tests wants it.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::layout::{Image, Layout, Owners};
use super::rootfs::Rootfs;
use super::{StandIn, configuration, remove};
use crate::place::Place;
use crate::problem::{About as _, Outcome};
use crate::process;
use crate::report::{Done, Line, Report};
use crate::stamp::{self, Inputs};

const RELEASE: &str = "bookworm";

/// Where packages come from where this machine's own sources have none of that release.
const MIRROR: &str = "http://deb.debian.org/debian";

/// Makes the image and a configuration of the worker that names it, unless they are there.
pub(crate) fn prepare(place: &Place, report: &mut Report) -> Outcome<()> {
    report.step("a Debian root file system, by debootstrap", |line| {
        let left = |reason: &str| Ok(Done::Left(format!("{reason}; tests that build on it say so")));
        if !process::on_path("debootstrap") {
            return left("this machine has no debootstrap");
        }
        if process::output(Command::new("id").arg("-u"))?.trim() != "0" {
            return left("only root can make one");
        }
        let folder = place.debian();
        let inputs = Inputs::new().files(&place.root.join("xtask/src/images"))?;
        let made = stamp::unless_fresh(place, "debian", &folder.join("stagewright.toml"), inputs, || {
            let fresh = place.target.join("debian.new");
            let scratch = place.target.join("debian.scratch");
            for old in [&fresh, &scratch] {
                remove(old)?;
                fs::create_dir_all(old).about(old)?;
            }
            write(place, line, &fresh, &scratch)?;
            remove(&scratch)?;
            remove(&folder)?;
            fs::rename(&fresh, &folder).about(&folder)
        })?;
        Ok(if made { Done::Made } else { Done::UpToDate })
    })
}

fn write(place: &Place, line: &mut Line, folder: &Path, scratch: &Path) -> Outcome<()> {
    let root = scratch.join("root");
    let mut debootstrap = Command::new("debootstrap");
    debootstrap
        .args(["--variant=minbase", RELEASE])
        .arg(&root)
        .arg(mirror());
    process::quiet(&mut debootstrap, line, &place.logs())?;
    for made_again in ["var/cache/apt", "var/lib/apt/lists", "var/log"] {
        empty(&root.join(made_again))?;
    }
    line.news("writing its layer");
    let mut layout = Layout::create(&folder.join("layout"), scratch)?;
    let rootfs = Rootfs::create(&root)?;
    let architecture = process::output(Command::new("dpkg").arg("--print-architecture"))?;
    let layer = layout.layer_with(&rootfs, Owners::AsTheyAre)?;
    let history = format!("debootstrap --variant=minbase {RELEASE}");
    let manifest = layout.image(&Image {
        architecture: architecture.trim(),
        layers: &[layer],
        config: json!({
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "Cmd": ["bash"],
        }),
        history: &format!("stand-in made by {history}"),
    })?;
    let stand_in = StandIn {
        reference: "docker.io/library/debian:bookworm",
        tag: "debian-bookworm",
        note: format!("stand-in for debian:bookworm, made by {history}"),
        manifest,
    };
    layout.tag(stand_in.tag, &stand_in.manifest);
    layout.finish()?;
    let config = folder.join("stagewright.toml");
    fs::write(&config, configuration(&[stand_in])).about(&config)
}

/// The mirror that apt on this machine has the release from.
fn mirror() -> String {
    let known = process::output(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(REPO_URI) $(RELEASE)",
        "Created-By: Packages",
    ]));
    let known = known.unwrap_or_default();
    let mut known = known.lines().filter_map(|line| line.split_once(' '));
    let found = known.find(|(_, release)| *release == RELEASE);
    found.map_or(MIRROR, |(mirror, _)| mirror).to_owned()
}

/// Removes everything in a folder.
fn empty(folder: &Path) -> Outcome<()> {
    remove(folder)?;
    fs::create_dir_all(folder).about(folder)
}
