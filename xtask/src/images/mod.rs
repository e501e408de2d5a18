//! Stand-ins for the base images of the examples, for machines that reach no registry.
//!
//! They are made of Debian packages, which are unpacked into folders of the target folder and never installed. They
//! stand in an OCI image layout, and a configuration of the worker maps the images' names to them, each with a note
//! that says so: page and log show it. The worker knows nothing of them.

mod alpine;
mod base;
mod debian;
pub(crate) mod debootstrap;
mod golang;
mod layout;
mod nginx;
mod rootfs;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::place::Place;
use crate::problem::{About as _, Outcome};
use crate::report::{Done, Report};
use crate::stamp::{self, Inputs};
use debian::Packages;
use layout::{Layout, Manifest};

/// One stand-in: what it stands for, and what to tell people about it.
struct StandIn {
    reference: &'static str,
    tag: &'static str,
    note: String,
    manifest: Manifest,
}

/// Makes the images and the worker's configuration, unless they are there.
pub(crate) fn prepare(place: &Place, report: &mut Report) -> Outcome<()> {
    report.step("stand-in images from Debian packages", |line| {
        if !debian::is_here() {
            return Ok(Done::Left(
                "they are made of Debian packages and this machine has no apt-get and dpkg-deb; \
                 the worker asks the registries themselves"
                    .to_owned(),
            ));
        }
        let folder = place.images();
        let inputs = Inputs::new().files(&place.root.join("xtask/src/images"))?;
        let made = stamp::unless_fresh(place, "images", &folder.join("stagewright.toml"), inputs, || {
            let packages = Packages::download(place, line)?;
            line.news("writing layers");
            let fresh = place.target.join("images.new");
            let scratch = place.target.join("images.scratch");
            for old in [&fresh, &scratch] {
                remove(old)?;
                fs::create_dir_all(old).about(old)?;
            }
            write(&packages, &fresh, &scratch)?;
            remove(&scratch)?;
            remove(&folder)?;
            fs::rename(&fresh, &folder).about(&folder)
        })?;
        Ok(if made { Done::Made } else { Done::UpToDate })
    })
}

fn write(packages: &Packages, folder: &Path, scratch: &Path) -> Outcome<()> {
    let mut layout = Layout::create(&folder.join("layout"), scratch)?;
    let base = layout.layer(&base::rootfs(packages, &scratch.join("base"))?)?;
    let stand_ins = [
        golang::make(packages, &mut layout, &base, &scratch.join("golang"))?,
        alpine::make(packages, &mut layout, &base, &scratch.join("alpine"))?,
        nginx::make(packages, &mut layout, &base, &scratch.join("nginx"))?,
    ];
    for stand_in in &stand_ins {
        layout.tag(stand_in.tag, &stand_in.manifest);
    }
    layout.finish()?;
    let config = folder.join("stagewright.toml");
    fs::write(&config, configuration(&stand_ins)).about(&config)
}

fn configuration(stand_ins: &[StandIn]) -> String {
    let mut text = "# Written by `cargo xtask images`. Paths are relative to this file.\n".to_owned();
    for StandIn {
        reference, tag, note, ..
    } in stand_ins
    {
        let _ = write!(
            text,
            "\n[[substitute]]\nimage = \"{reference}\"\nfrom = \"oci-layout://layout:{tag}\"\nnote = \"{note}\"\n"
        );
    }
    text
}

fn remove(folder: &Path) -> Outcome<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).about(folder)
    } else {
        Ok(())
    }
}
