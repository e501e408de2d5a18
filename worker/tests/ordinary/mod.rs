//! An ordinary user for tests that root runs.
//!
//! The machine's accounts stay as they are: the user is known in a mount namespace only, in which `/etc/passwd`, `/etc/subuid` and
//! `/etc/subgid` are others. What may give ids away, `newuidmap`, reads those.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, lchown};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Nobody's on any machine, nor are the ids set aside for it.
pub(crate) const ID: u32 = 61_234;
pub(crate) const FIRST_SUBORDINATE: u32 = 2_000_000_000;
const SUBORDINATES: u32 = 65_536;

/// What the tests change about the machine that the user sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Machine {
    /// It has all that a worker wants.
    Whole,
    /// No ids are set aside for the user.
    NoIds,
    /// A program is not there.
    Without(&'static str),
    /// `/dev/net/tun` cannot be opened.
    NoTun,
    /// A part of `/proc` is covered, as in containers.
    CoveredProc,
}

/// Someone to run programs as.
pub(crate) struct Ordinary {
    /// Holds the home directory, and the place where the namespace is made ready.
    folder: tempfile::TempDir,
    /// What the programs use, wherever it is: root's own directories are closed to others.
    needed: Vec<PathBuf>,
}

impl Ordinary {
    /// The user, who sees `needed` at the same paths; else why there is none here.
    pub(crate) fn new(needed: &[&Path]) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("only root can run tests as another user".to_owned());
        }
        for (program, package) in [
            ("unshare", "util-linux"),
            ("setpriv", "util-linux"),
            ("newuidmap", "uidmap"),
            ("newgidmap", "uidmap"),
            ("pasta", "passt"),
        ] {
            if !Path::new("/usr/bin").join(program).exists() {
                return Err(format!(
                    "/usr/bin/{program} is missing (Debian's package {package})"
                ));
            }
        }
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let this = Self {
            folder,
            needed: needed.iter().map(|path| path.canonicalize().unwrap()).collect(),
        };
        for part in ["home", "ground"] {
            fs::create_dir(this.folder.path().join(part)).unwrap();
        }
        give(&this.home());
        // Some machines let root do less than it seems.
        let tried = this
            .command(Machine::Whole, Path::new("/bin/true"))
            .output()
            .unwrap();
        if tried.status.success() {
            Ok(this)
        } else {
            Err(format!(
                "an ordinary user cannot be tried here: {}",
                String::from_utf8_lossy(&tried.stderr).trim()
            ))
        }
    }

    /// A directory of the user's.
    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// A program to be run by the user. The process that is started becomes the program.
    pub(crate) fn command(&self, machine: Machine, program: &Path) -> Command {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-euc", SCRIPT, "sh"])
            .arg(program)
            .env("HOME", self.home())
            .env("TMPDIR", self.home())
            .env_remove("XDG_STATE_HOME")
            .env("GROUND", self.folder.path().join("ground"))
            .env("ID", ID.to_string())
            .env("SHADOW", self.closed().unwrap_or_default())
            .env(
                "NEEDED",
                self.needed
                    .iter()
                    .map(|path| path.to_str().unwrap())
                    .collect::<Vec<_>>()
                    .join("\n"),
            )
            .env("TUN", if machine == Machine::NoTun { "600" } else { "666" })
            .env(
                "IDS",
                if machine == Machine::NoIds {
                    String::new()
                } else {
                    format!("{FIRST_SUBORDINATE}:{SUBORDINATES}")
                },
            )
            .env(
                "COVERED",
                if machine == Machine::CoveredProc {
                    "/proc/version"
                } else {
                    ""
                },
            )
            .env(
                "WITHOUT",
                match machine {
                    Machine::Without(program) => program,
                    _ => "",
                },
            );
        command
    }

    /// The uppermost directory on the way to what is needed that others than root cannot enter.
    fn closed(&self) -> Option<PathBuf> {
        let above = |path: &Path| path.ancestors().skip(1).map(Path::to_owned).collect::<Vec<_>>();
        let mut closed: Vec<PathBuf> = self
            .needed
            .iter()
            .flat_map(|path| above(path))
            .filter(|path| fs::metadata(path).unwrap().permissions().mode() & 0o001 == 0)
            .collect();
        closed.sort();
        closed.into_iter().next()
    }
}

/// Gives a directory and all in it to the user.
pub(crate) fn give(path: &Path) {
    let mode = fs::symlink_metadata(path).unwrap().permissions();
    lchown(path, Some(ID), Some(ID)).unwrap();
    if path.is_symlink() {
        return;
    }
    // Another owner takes the bits away by which programs run as it.
    fs::set_permissions(path, mode).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path());
        }
    }
}

/// Makes the namespace ready and runs `$@` in it as the user.
const SCRIPT: &str = r#"
mount -t tmpfs -o mode=755 tmpfs "$GROUND"
stand() { if [ -d "$1" ]; then mkdir -p "$2"; else mkdir -p "${2%/*}"; : > "$2"; fi; mount --rbind "$1" "$2"; }
number=0
IFS='
'
for path in $NEEDED; do number=$((number + 1)); stand "$path" "$GROUND/needed/$number"; done
if [ -n "$SHADOW" ]; then
    mount -t tmpfs -o mode=755 tmpfs "$SHADOW"
    number=0
    for path in $NEEDED; do number=$((number + 1)); stand "$GROUND/needed/$number" "$path"; done
fi
unset IFS
replace() { mount --bind "$GROUND/$1" "/etc/$1"; }
{ cat /etc/passwd; echo "ordinary:x:$ID:$ID::$HOME:/bin/sh"; } > "$GROUND/passwd"; replace passwd
{ cat /etc/group; echo "ordinary:x:$ID:"; } > "$GROUND/group"; replace group
for file in subuid subgid; do
    [ -z "$IDS" ] || echo "ordinary:$IDS" > "$GROUND/$file"
    [ -n "$IDS" ] || : > "$GROUND/$file"
    [ -e "/etc/$file" ] || : > "/etc/$file"
    replace "$file"
done
if [ -e /dev/net/tun ]; then
    mknod -m "$TUN" "$GROUND/tun" c 10 200
    mount --bind "$GROUND/tun" /dev/net/tun
fi
[ -z "$COVERED" ] || mount --bind /dev/null "$COVERED"
for program in $WITHOUT; do mount --bind /dev/null "/usr/bin/$program"; done
unset GROUND SHADOW NEEDED TUN IDS COVERED WITHOUT
exec setpriv --reuid="$ID" --regid="$ID" --clear-groups env -u ID PATH=/usr/local/bin:/usr/bin:/bin "$@"
"#;
