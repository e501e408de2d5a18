//! Installs the Debian packages that the tests drive: these alone go onto the machine itself.

use std::path::Path;
use std::process::Command;

use crate::place::Place;
use crate::problem::{Outcome, Problem};
use crate::process;
use crate::report::{Done, Line};

/// A program, and the package it comes in.
const PROGRAMS: [(&str, &str); 13] = [
    ("busybox", "busybox-static"),
    ("chromium", "chromium"),
    // Makes the base image of the tests that build on a whole Debian.
    ("debootstrap", "debootstrap"),
    ("docker-registry", "docker-registry"),
    // Has a BuildKit in it, which the tests start on folders of their own.
    ("dockerd", "docker.io"),
    ("git", "git"),
    // By these three an ordinary user's worker has a network, and ids for others.
    ("iptables-restore", "iptables"),
    ("newuidmap", "uidmap"),
    ("pasta", "passt"),
    // It runs Schemathesis, in an environment that its own module makes.
    ("python3", "python3-venv"),
    ("skopeo", "skopeo"),
    ("openssl", "openssl"),
    ("umoci", "umoci"),
];

/// Where Chromium finds letters to draw.
const FONTS: (&str, &str) = ("/usr/share/fonts/truetype/dejavu", "fonts-dejavu-core");

/// Installs what is missing of what the tests need.
pub(crate) fn install(place: &Place, line: &mut Line) -> Outcome<Done> {
    let mut missing: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(program, _)| !process::on_path(program))
        .map(|&(_, package)| package)
        .collect();
    if !Path::new(FONTS.0).is_dir() {
        missing.push(FONTS.1);
    }
    if missing.is_empty() {
        return Ok(Done::UpToDate);
    }
    if !process::on_path("apt-get") {
        return Err(Problem::new(format!(
            "the tests need {} and this machine has no apt-get to install them by; install them yourself",
            missing.join(", ")
        )));
    }
    let by_hand = format!("install them yourself: apt-get install {}", missing.join(" "));
    let root = process::output(Command::new("id").arg("-u"))?.trim() == "0";
    if !root && !process::on_path("sudo") {
        return Err(Problem::new(format!(
            "the tests need packages that only root can install, and there is no sudo; {by_hand}"
        )));
    }
    let apt = |arguments: &[&str]| {
        let mut command = Command::new(if root { "apt-get" } else { "sudo" });
        if !root {
            command.arg("apt-get");
        }
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    let install = ["install", "--yes", "--no-install-recommends"];
    let install: Vec<&str> = install.iter().chain(&missing).copied().collect();
    process::quiet(&mut apt(&["update"]), line, &place.logs())
        .and_then(|()| process::quiet(&mut apt(&install), line, &place.logs()))
        .map_err(|problem| Problem::new(format!("{by_hand} ({problem})")))?;
    Ok(Done::MadeWith(missing.join(", ")))
}
