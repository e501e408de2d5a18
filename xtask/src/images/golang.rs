//! The stand-in for `golang:1.7.3`: a newer Go from Debian, set to the GOPATH way of working, with the packages of
//! `golang.org/x` that examples use already in place, so that `go get` finds them without a network.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::StandIn;
use super::debian::Packages;
use super::layout::{Image, Layer, Layout};
use super::rootfs::{Rootfs, find, must_find};
use crate::problem::{About as _, Outcome, Problem};

/// What the `go` program loads: it is linked to the C library for name look-ups.
const LIBRARIES: [&str; 5] = [
    "libc.so.6",
    "libpthread.so.0",
    "libresolv.so.2",
    "libnss_dns.so.2",
    "libnss_files.so.2",
];

const GOROOT: &str = "usr/local/go";

pub(crate) fn make(
    packages: &Packages,
    layout: &mut Layout,
    base: &Layer,
    scratch: &Path,
) -> Outcome<StandIn> {
    let toolchain = toolchain(packages, &scratch.join("toolchain"))?;
    let libraries = libraries(packages, &scratch.join("libraries"))?;
    let layers = [base.clone(), layout.layer(&toolchain)?, layout.layer(&libraries)?];
    let go = packages.title(&format!("golang-{}-go", packages.go))?;
    let history = format!(
        "{go}, {}, {}",
        packages.title("golang-golang-x-net-dev")?,
        packages.title("golang-golang-x-text-dev")?
    );
    let manifest = layout.image(&Image {
        architecture: &packages.architecture,
        layers: &layers,
        config: json!({
            "Env": [
                "PATH=/go/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                format!("GOLANG_VERSION={}", packages.go),
                "GOROOT=/usr/local/go",
                "GOPATH=/go",
                "GO111MODULE=off",
                // Where it would be anyway; said, so that no sandbox needs to set HOME.
                "GOCACHE=/root/.cache/go-build",
            ],
            "WorkingDir": "/go",
            "Cmd": ["/bin/sh"],
        }),
        history: &format!("stand-in made of {history}"),
    })?;
    let note = format!(
        "stand-in for golang:1.7.3: Go {} from Debian packages ({go})",
        packages.go
    );
    Ok(StandIn {
        reference: "docker.io/library/golang:1.7.3",
        tag: "golang-1.7.3",
        note,
        manifest,
    })
}

/// GOROOT without its tests, its documentation and the parts only the toolchain's own authors rebuild.
fn toolchain(packages: &Packages, folder: &Path) -> Outcome<Rootfs> {
    let rootfs = Rootfs::create(folder)?;
    let (go, version) = (
        packages.folder(&format!("golang-{}-go", packages.go))?,
        packages.go,
    );
    let source = packages.folder(&format!("golang-{version}-src"))?;
    let lib = go.join(format!("usr/lib/go-{version}"));
    for part in ["VERSION", "bin", "pkg"] {
        rootfs.take(&lib.join(part), &format!("{GOROOT}/{part}"))?;
    }
    // The packages keep what does not depend on the machine elsewhere and link to it; and the sources that the
    // toolchain's own build wrote come with the programs.
    rootfs.without(&format!("{GOROOT}/pkg"), |path| {
        path.is_symlink() || path.ends_with("cmd")
    })?;
    for package in [source, go] {
        for part in ["pkg", "src"] {
            let shared = package.join(format!("usr/share/go-{version}/{part}"));
            if shared.is_dir() {
                rootfs.take(&shared, &format!("{GOROOT}/{part}"))?;
            }
        }
    }
    rootfs.without(&format!("{GOROOT}/src"), |path| {
        is_test(path) || path.ends_with("src/cmd")
    })?;
    Ok(rootfs)
}

/// The C library and GOPATH.
fn libraries(packages: &Packages, folder: &Path) -> Outcome<Rootfs> {
    let rootfs = Rootfs::create(folder)?;
    let libc = packages.folder("libc6")?;
    for library in LIBRARIES {
        if let Some(found) = find(libc, library)? {
            rootfs.take(&found, &format!("lib/{library}"))?;
        }
    }
    let (folder, loader) = match packages.architecture.as_str() {
        "amd64" => ("lib64", "ld-linux-x86-64.so.2"),
        "arm64" => ("lib", "ld-linux-aarch64.so.1"),
        other => {
            return Err(Problem::new(format!(
                "there are no stand-in images for {other}, only for amd64 and arm64"
            )));
        }
    };
    rootfs.take(&must_find(libc, loader)?, &format!("{folder}/{loader}"))?;
    for (package, name) in [
        ("golang-golang-x-net-dev", "net"),
        ("golang-golang-x-text-dev", "text"),
    ] {
        let source = packages
            .folder(package)?
            .join("usr/share/gocode/src/golang.org/x")
            .join(name);
        rootfs.take(&source, &format!("go/src/golang.org/x/{name}"))?;
    }
    rootfs.without("go/src", is_test)?;
    rootfs.directory("go/bin", 0o777)?;
    rootfs.directory("etc/ssl/certs", 0o755)?;
    rootfs.file(
        "etc/ssl/certs/ca-certificates.crt",
        &certificates(packages)?,
        0o644,
    )?;
    Ok(rootfs)
}

fn certificates(packages: &Packages) -> Outcome<String> {
    let mut bundle = String::new();
    for file in crate::stamp::walk(
        &packages
            .folder("ca-certificates")?
            .join("usr/share/ca-certificates"),
    )? {
        bundle.push_str(&fs::read_to_string(&file).about(&file)?);
    }
    Ok(bundle)
}

fn is_test(path: &Path) -> bool {
    path.ends_with("testdata") || path.to_string_lossy().ends_with("_test.go")
}
