//! What all stand-ins share: busybox under each of its names, and the few files programs expect of a root.

use std::path::Path;
use std::process::Command;

use super::debian::Packages;
use super::rootfs::Rootfs;
use crate::problem::{Outcome, Problem};
use crate::process;

const PASSWD: &str = "\
root:x:0:0:root:/root:/bin/sh
daemon:x:2:2:daemon:/sbin:/sbin/nologin
nobody:x:65534:65534:nobody:/:/sbin/nologin
";

const GROUP: &str = "\
root:x:0:root
daemon:x:2:root,daemon
tty:x:5:
nobody:x:65534:
";

const OS_RELEASE: &str = "\
NAME=\"Stagewright stand-in\"
ID=stagewright-stand-in
PRETTY_NAME=\"Stagewright stand-in made of Debian packages\"
";

const PROFILE: &str = "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n";

pub(crate) fn rootfs(packages: &Packages, folder: &Path) -> Outcome<Rootfs> {
    let rootfs = Rootfs::create(folder)?;
    for path in [
        "bin",
        "dev",
        "etc",
        "home",
        "mnt",
        "opt",
        "proc",
        "run",
        "sbin",
        "srv",
        "sys",
        "usr/bin",
        "usr/local/bin",
        "usr/sbin",
        "var/log",
    ] {
        rootfs.directory(path, 0o755)?;
    }
    rootfs.directory("root", 0o700)?;
    rootfs.directory("tmp", 0o1777)?;
    rootfs.directory("var/tmp", 0o1777)?;
    rootfs.file("etc/passwd", PASSWD, 0o644)?;
    rootfs.file("etc/group", GROUP, 0o644)?;
    rootfs.file("etc/shadow", "root:*::0:::::\nnobody:!::0:::::\n", 0o640)?;
    rootfs.file("etc/hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost\n", 0o644)?;
    rootfs.file("etc/hostname", "localhost\n", 0o644)?;
    rootfs.file("etc/shells", "/bin/sh\n/bin/ash\n", 0o644)?;
    rootfs.file("etc/profile", PROFILE, 0o644)?;
    rootfs.file("etc/os-release", OS_RELEASE, 0o644)?;
    busybox(packages, &rootfs)?;
    Ok(rootfs)
}

fn busybox(packages: &Packages, rootfs: &Rootfs) -> Outcome<()> {
    // Newer releases keep it in /usr/bin; its name alone is not enough, a hook of initramfs has the same.
    let folder = packages.folder("busybox-static")?;
    let program = ["bin/busybox", "usr/bin/busybox"].map(|path| folder.join(path));
    let program = program.iter().find(|path| path.is_file());
    let program = program.ok_or_else(|| Problem::new("the package busybox-static holds no busybox"))?;
    rootfs.take(program, "bin/busybox")?;
    // It knows itself under which names it goes.
    for path in process::output(Command::new(program).arg("--list-full"))?.lines() {
        if path != "bin/busybox" && !path.is_empty() {
            rootfs.link(path, "/bin/busybox")?;
        }
    }
    Ok(())
}
