//! A whole Debian as the base of a real build: packages are installed, a program is compiled in one stage and runs in another.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::image::tree;
use crate::user::{Machine, Ordinary, give};

const PROGRAM: &str = env!("CARGO_BIN_EXE_stagewright");

const DOCKERFILE: &str = "\
FROM debian:bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev make
WORKDIR /src
COPY hello.c Makefile ./
RUN make

FROM debian:bookworm
RUN useradd --system --no-create-home app && mkdir -m 2775 /srv/data && chown app:staff /srv/data
COPY --from=build --chown=app /src/hello /usr/local/bin/
USER app
RUN hello > /srv/data/said && id -un > /srv/data/who
";

const HELLO: &str = "\
#include <gnu/libc-version.h>
#include <stdio.h>
int main(void) { printf(\"compiled and linked, glibc %s\\n\", gnu_get_libc_version()); return 0; }
";

const MAKEFILE: &str = "hello: hello.c\n\tgcc -O2 -Wall -o $@ $<\n";

/// The configuration that knows the image; `None` with the reason printed.
fn config() -> Option<PathBuf> {
    let config = std::env::var_os("STAGEWRIGHT_TEST_DEBIAN").map(PathBuf::from);
    let config = config.filter(|config| config.exists());
    if config.is_none() {
        println!("skipped: STAGEWRIGHT_TEST_DEBIAN names no configuration with a Debian root file system");
    }
    config
}

/// Builds in `folder`, by `program`, and looks at what came of it.
fn build(mut program: Command, config: &Path, folder: &Path) {
    let archive = folder.join("image.tar");
    let output = program
        .args(["build", "--progress", "plain", "--state"])
        .arg(folder.join("state"))
        .arg("--config")
        .arg(config)
        .arg("--output")
        .arg(format!("type=oci,dest={}", archive.display()))
        .arg(folder.join("context"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let tree = tree(&fs::read(archive).unwrap());
    let text = |path: &str| String::from_utf8(tree[path].content.clone()).unwrap();
    assert!(
        text("srv/data/said").starts_with("compiled and linked, glibc 2."),
        "{said}"
    );
    assert_eq!(text("srv/data/who"), "app\n");
    let program = &tree["usr/local/bin/hello"];
    assert!(program.content.starts_with(b"\x7fELF") && program.mode & 0o777 == 0o755);
    // Owners that a Debian has by name, and those that it was given.
    let passwd = text("etc/passwd");
    let app = passwd
        .lines()
        .find_map(|line| line.strip_prefix("app:x:"))
        .unwrap();
    let app: u64 = app.split(':').next().unwrap().parse().unwrap();
    assert_eq!(program.owner.0, app);
    assert_eq!(
        (tree["srv/data"].mode, tree["srv/data"].owner),
        (0o2775, (app, 50))
    );
    assert_eq!(tree["srv/data/said"].owner, (app, 50));
    assert_eq!(
        (tree["etc/shadow"].mode, tree["etc/shadow"].owner),
        (0o640, (0, 42))
    );
    assert_eq!(
        (tree["usr/bin/passwd"].mode, tree["usr/bin/passwd"].owner),
        (0o4755, (0, 0))
    );
    assert!(
        !tree.contains_key("usr/bin/gcc"),
        "the compiler stays in its stage"
    );
}

fn context(folder: &Path) {
    let context = folder.join("context");
    fs::create_dir(&context).unwrap();
    for (name, text) in [
        ("Dockerfile", DOCKERFILE),
        ("hello.c", HELLO),
        ("Makefile", MAKEFILE),
    ] {
        fs::write(context.join(name), text).unwrap();
    }
}

/// Whether packages can be had, where builds run at all; says why not.
fn can_install(mut program: Command, state: &Path) -> bool {
    let output = program.arg("doctor").arg("--state").arg(state).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let lacking = said
        .lines()
        .find(|line| line.starts_with("no  ") || line.starts_with("--  network"));
    if let Some(lacking) = lacking {
        println!("skipped: {lacking}");
    }
    lacking.is_none()
}

#[test]
fn root_builds_on_a_whole_debian() {
    let Some(config) = config() else { return };
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    if !can_install(Command::new(PROGRAM), &folder.path().join("state")) {
        return;
    }
    context(folder.path());
    build(Command::new(PROGRAM), &config, folder.path());
}

#[test]
fn an_ordinary_user_builds_on_a_whole_debian() {
    let Some(config) = config() else { return };
    let user = match Ordinary::new(&[Path::new(PROGRAM), config.parent().unwrap()]) {
        Ok(user) => user,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let program = || user.command(Machine::Whole, Path::new(PROGRAM));
    if !can_install(program(), &user.home().join("state")) {
        return;
    }
    context(&user.home());
    give(&user.home());
    build(program(), &config, &user.home());
}
