//! Debian packages: fetched by apt, unpacked by dpkg-deb, installed nowhere.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::place::Place;
use crate::problem::{About as _, Outcome, Problem};
use crate::process;
use crate::report::Line;

/// Go toolchains that still know a GOPATH (`go get` without a module), best first.
const GO_VERSIONS: [&str; 4] = ["1.19", "1.21", "1.20", "1.18"];

/// What the images are made of, beside Go itself.
const NAMES: [&str; 6] = [
    "busybox-static",
    "ca-certificates",
    "golang-golang-x-net-dev",
    "golang-golang-x-text-dev",
    "libc6",
    "nginx-common",
];

/// Packages that were unpacked, by name.
pub(crate) struct Packages {
    unpacked: BTreeMap<String, Unpacked>,
    pub(crate) architecture: String,
    /// `1.19`.
    pub(crate) go: &'static str,
}

struct Unpacked {
    folder: PathBuf,
    version: String,
}

/// Whether this machine has what this takes.
pub(crate) fn is_here() -> bool {
    process::on_path("apt-get") && process::on_path("dpkg-deb")
}

impl Packages {
    pub(crate) fn download(place: &Place, line: &mut Line) -> Outcome<Self> {
        let folder = place.tools().join("debs");
        fs::create_dir_all(&folder).about(&folder)?;
        let mut apt = Apt {
            place,
            own_lists: false,
        };
        let mut go = apt.newest_go();
        if go.is_none() {
            apt.update(line)?;
            go = apt.newest_go();
        }
        let go = go.ok_or_else(|| {
            Problem::new(format!(
                "apt knows none of the packages golang-{{{}}}-go, which the stand-in for golang is made of; \
                 is there a Debian mirror in /etc/apt/sources.list?",
                GO_VERSIONS.join(",")
            ))
        })?;
        let mut names: Vec<String> = NAMES.iter().map(|&name| name.to_owned()).collect();
        names.extend([format!("golang-{go}-go"), format!("golang-{go}-src")]);
        if apt.download(&names, &folder, line).is_err() {
            // The lists on this machine may name versions that the mirror has replaced.
            apt.update(line)?;
            apt.download(&names, &folder, line)?;
        }
        let mut unpacked = BTreeMap::new();
        for name in names {
            line.news(&format!("unpacking {name}"));
            unpacked.insert(name.clone(), unpack(&name, &folder)?);
        }
        let architecture = process::output(Command::new("dpkg").arg("--print-architecture"))?
            .trim()
            .to_owned();
        Ok(Self {
            unpacked,
            architecture,
            go,
        })
    }

    /// The folder a package was unpacked into.
    pub(crate) fn folder(&self, name: &str) -> Outcome<&Path> {
        self.get(name).map(|package| package.folder.as_path())
    }

    /// `name version`, to tell people.
    pub(crate) fn title(&self, name: &str) -> Outcome<String> {
        self.get(name)
            .map(|package| format!("{name} {}", package.version))
    }

    fn get(&self, name: &str) -> Outcome<&Unpacked> {
        self.unpacked
            .get(name)
            .ok_or_else(|| Problem::new(format!("the package {name} was not unpacked")))
    }
}

/// apt-get, with the machine's package lists or, where those are missing or old and cannot be written, with our own.
struct Apt<'a> {
    place: &'a Place,
    own_lists: bool,
}

impl Apt<'_> {
    fn newest_go(&self) -> Option<&'static str> {
        GO_VERSIONS.into_iter().find(|version| {
            let shown = process::output(
                self.command("apt-cache")
                    .args(["show", &format!("golang-{version}-src")]),
            );
            shown.is_ok_and(|text| text.contains("Package: "))
        })
    }

    fn update(&mut self, line: &mut Line) -> Outcome<()> {
        self.own_lists = true;
        let lists = self.lists();
        fs::create_dir_all(lists.join("partial")).about(&lists)?;
        process::quiet(self.command("apt-get").arg("update"), line, &self.place.logs())
            .map_err(|problem| Problem::new(format!("apt cannot fetch its package lists: {problem}")))
    }

    fn download(&self, names: &[String], folder: &Path, line: &mut Line) -> Outcome<()> {
        // One version of each: the folder may hold those of an earlier run.
        for entry in fs::read_dir(folder).about(folder)?.flatten() {
            if entry
                .path()
                .extension()
                .is_some_and(|extension| extension == "deb")
            {
                fs::remove_file(entry.path()).about(&entry.path())?;
            }
        }
        process::quiet(
            self.command("apt-get")
                .args(["--quiet", "download"])
                .args(names)
                .current_dir(folder),
            line,
            &self.place.logs(),
        )
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        // apt would hand the download to a user of its own, who may not write into the target folder.
        command.args(["-o", "APT::Sandbox::User=root"]).env("LC_ALL", "C");
        if self.own_lists {
            let caches = self.place.tools().join("apt");
            for (key, value) in [
                ("Dir::State::lists", self.lists()),
                ("Dir::Cache::pkgcache", caches.join("pkgcache.bin")),
                ("Dir::Cache::srcpkgcache", caches.join("srcpkgcache.bin")),
            ] {
                command.args(["-o".to_owned(), format!("{key}={}", value.display())]);
            }
        }
        command
    }

    fn lists(&self) -> PathBuf {
        self.place.tools().join("apt/lists")
    }
}

fn unpack(name: &str, folder: &Path) -> Outcome<Unpacked> {
    let prefix = format!("{name}_");
    let deb = fs::read_dir(folder)
        .about(folder)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| {
            path.file_name()
                .is_some_and(|file| file.to_string_lossy().starts_with(&prefix))
        })
        .ok_or_else(|| {
            Problem::new(format!(
                "apt-get fetched {name}, but it is not in {}",
                folder.display()
            ))
        })?;
    let version = process::output(Command::new("dpkg-deb").arg("--field").arg(&deb).arg("Version"))?
        .trim()
        .to_owned();
    let into = folder.join(name);
    if into.exists() {
        fs::remove_dir_all(&into).about(&into)?;
    }
    process::output(Command::new("dpkg-deb").arg("--extract").arg(&deb).arg(&into))?;
    Ok(Unpacked {
        folder: into,
        version,
    })
}
