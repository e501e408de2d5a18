//! Mounting layers on top of each other.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree, unmount,
};

use super::SnapshotError;
use super::confine::descriptor_path;
use crate::rootless::Ids;
use crate::sandbox::set_mount_attributes;

/// The kernel stacks no more lower layers than this (`OVL_MAX_STACK`).
pub const MAX_LAYERS: usize = 500;

/// `fsconfig` takes strings up to this many bytes, the final NUL included.
const MAX_OPTION: usize = 256;

/// The files that a step runs on.
#[derive(Debug, Clone)]
pub enum Files {
    /// To be mounted on top of each other.
    Layers(OverlaySpec),
    /// A directory that has all of them, and is written to.
    Copy(PathBuf),
}

impl From<OverlaySpec> for Files {
    fn from(layers: OverlaySpec) -> Self {
        Self::Layers(layers)
    }
}

/// Which directories make up a root file system.
#[derive(Debug, Clone)]
pub struct OverlaySpec {
    /// The layers that are only read, **the bottom one first**.
    pub lowers: Vec<PathBuf>,
    /// Where changes go; `None` makes the whole thing read-only.
    pub writable: Option<Writable>,
}

/// The two directories of a layer being written. They must be on one file system.
#[derive(Debug, Clone)]
pub struct Writable {
    /// Receives the changes.
    pub upper: PathBuf,
    /// The kernel's own; its content is thrown away at every mount.
    pub work: PathBuf,
}

/// A directory tree that is there as long as this value.
#[derive(Debug)]
pub struct Mounted {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// A directory that belongs to someone else.
    Plain,
    /// A mount point of ours, to be taken away with its directory.
    Mount,
    /// An empty directory of ours.
    Scratch,
    /// A copy that is mounted on itself. It goes too, with the directory that it is in, where it is only for looking at.
    Copy { is_view: bool },
}

impl Mounted {
    /// Where the tree can be seen. What is in it comes from strangers: use [`Confined`](super::Confined) to walk it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn plain(path: PathBuf) -> Self {
        Self {
            path,
            kind: Kind::Plain,
        }
    }

    pub(super) fn scratch(path: PathBuf) -> Self {
        Self {
            path,
            kind: Kind::Scratch,
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        match self.kind {
            Kind::Plain => return,
            Kind::Mount | Kind::Copy { .. } => {
                // Detached: files that are still open in it keep working, and it cannot fail as busy.
                if let Err(error) = unmount(&self.path, UnmountFlags::DETACH) {
                    tracing::warn!(path = %self.path.display(), %error, "a view of layers could not be unmounted");
                    return;
                }
            }
            Kind::Scratch => {}
        }
        if let Kind::Copy { is_view } = self.kind {
            if let (true, Some(all)) = (is_view, self.path.parent())
                && let Err(error) = super::remove_all(all)
            {
                tracing::warn!(path = %all.display(), %error, "a copy of layers could not be removed");
            }
            return;
        }
        let _ = fs::remove_dir(&self.path);
    }
}

/// Mounts `spec` on the directory `target`, which is removed with the mount.
pub(super) fn mount_at(spec: &OverlaySpec, target: PathBuf) -> Result<Mounted, SnapshotError> {
    let mount = stack(spec, None, MountAttrFlags::MOUNT_ATTR_NOSUID)?;
    attach(&mount, &target)?;
    Ok(Mounted {
        path: target,
        kind: Kind::Mount,
    })
}

/// Shows the copy of layers in the directory `copy`, in which no device can be opened. A view is removed with the value, and
/// the directory that it is in.
pub(super) fn show(copy: PathBuf, is_view: bool) -> Result<Mounted, SnapshotError> {
    let mount = share(&copy, MountAttrFlags::MOUNT_ATTR_NOSUID)?;
    attach(&mount, &copy)?;
    Ok(Mounted {
        path: copy,
        kind: Kind::Copy { is_view },
    })
}

fn attach(mount: &OwnedFd, target: &Path) -> Result<(), SnapshotError> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(mount.as_fd(), "", CWD, target, flags)
        .map_err(|error| refused("attaching it to a directory", error, None))
}

/// The directory `copy` as a mount of its own, not attached anywhere.
fn share(copy: &Path, attributes: MountAttrFlags) -> Result<OwnedFd, SnapshotError> {
    let failed = |error| refused("showing a copy of them", error, None);
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let mount = open_tree(CWD, copy, flags).map_err(failed)?;
    let attributes = attributes | MountAttrFlags::MOUNT_ATTR_NODEV;
    set_mount_attributes(mount.as_fd(), attributes, false).map_err(failed)?;
    Ok(mount)
}

/// Mounts `files` without attaching them anywhere: it lives as long as the handle, or is attached in another mount namespace.
///
/// `floor` is a directory put below all layers. What is in none of them shows through: mount points that an image lacks are
/// there without being made in the layer. A copy has no floor.
///
/// Devices in it cannot be opened, whatever `attributes` say.
pub(crate) fn mount_detached(
    files: &Files,
    floor: Option<&Path>,
    attributes: MountAttrFlags,
) -> Result<OwnedFd, SnapshotError> {
    match files {
        Files::Layers(spec) => stack(spec, floor, attributes),
        Files::Copy(copy) => share(copy, attributes),
    }
}

fn stack(
    spec: &OverlaySpec,
    floor: Option<&Path>,
    attributes: MountAttrFlags,
) -> Result<OwnedFd, SnapshotError> {
    let context = file_system(spec, floor)?;
    let attributes = attributes | MountAttrFlags::MOUNT_ATTR_NODEV;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        .map_err(|error| refused("mounting the layers", error, Some(&context)))
}

/// The file system itself, which is mounted nowhere yet.
pub(super) fn file_system(spec: &OverlaySpec, floor: Option<&Path>) -> Result<OwnedFd, SnapshotError> {
    if spec.lowers.len() > MAX_LAYERS {
        return Err(SnapshotError::TooManyLayers(spec.lowers.len()));
    }
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)
        .map_err(|error| refused("opening the overlay file system", error, None))?;
    let configure = |result: rustix::io::Result<()>| {
        result.map_err(|error| refused("setting an overlay option", error, Some(&context)))
    };
    // From the top down, as the option wants them.
    for lower in spec.lowers.iter().rev().map(PathBuf::as_path).chain(floor) {
        set_path(&context, "lowerdir+", lower)?;
    }
    if let Some(Writable { upper, work }) = &spec.writable {
        reset_work(work)?;
        set_path(&context, "upperdir", upper)?;
        set_path(&context, "workdir", work)?;
        // Nothing is synced at unmount: what is committed is synced by the store, and a torn workdir is never reused.
        configure(fsconfig_set_flag(&context, "volatile"))?;
    }
    // Marks in attributes that others than the machine's root may set.
    if !Ids::here().are_the_machines() {
        configure(fsconfig_set_flag(&context, "userxattr"))?;
    }
    // Layers must mean the same anywhere, so features that put references between them into attributes stay off. `nofollow`
    // because plain `off` would still obey a redirect that a foreign layer brings along.
    for (option, value) in [
        ("redirect_dir", "nofollow"),
        ("metacopy", "off"),
        ("index", "off"),
    ] {
        configure(fsconfig_set_string(&context, option, value))?;
    }
    fsconfig_create(&context).map_err(|error| refused("stacking the layers", error, Some(&context)))?;
    Ok(context)
}

fn set_path(context: &OwnedFd, option: &str, path: &Path) -> Result<(), SnapshotError> {
    let set = |path: &Path| {
        fsconfig_set_string(context, option, path)
            .map_err(|error| refused("naming a layer", error, Some(context)))
    };
    if path.as_os_str().as_bytes().len() < MAX_OPTION {
        return set(path);
    }
    let handle = openat(
        CWD,
        path,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(SnapshotError::io("open the layer", path))?;
    set(&descriptor_path(handle.as_fd()))
}

/// Empties the work directory. A volatile mount leaves a mark there that forbids the next one.
fn reset_work(work: &Path) -> Result<(), SnapshotError> {
    let used = work.join("work");
    super::remove::remove_if_there(&used).map_err(SnapshotError::io("clear", &used))
}

/// A sentence on why the kernel said no, with what the kernel itself noted and what to do.
fn refused(doing: &str, error: Errno, context: Option<&OwnedFd>) -> SnapshotError {
    let note = context.map(kernel_note).unwrap_or_default();
    let advice = match error {
        Errno::NODEV => "this kernel has no overlay file system; load it with `modprobe overlay`",
        Errno::NOSYS => "this kernel is too old for it; Linux 6.8 or newer is needed",
        Errno::PERM | Errno::ACCESS if Ids::here().are_the_machines() => {
            "it is not permitted; run the worker as root, in a container with the SYS_ADMIN capability"
        }
        Errno::PERM | Errno::ACCESS => {
            "this kernel does not let ordinary users mount layers; run the worker as root, or use a kernel that does (since \
             Linux 5.11, where no security module forbids it)"
        }
        Errno::INVAL => {
            "the state directory's file system may not be able to hold layers (it must support extended attributes and not be \
             an overlay itself), or this kernel is older than Linux 6.8; choose another state directory"
        }
        _ => "see the kernel log for more",
    };
    SnapshotError::OverlayRefused(format!("{doing} failed ({error}){note}: {advice}"), error)
}

/// What the kernel wrote about a failed mount, in brackets.
fn kernel_note(context: &OwnedFd) -> String {
    let mut buffer = [0; 512];
    let mut notes = Vec::new();
    while let Ok(length @ 1..) = rustix::io::read(context, &mut buffer) {
        notes.push(
            String::from_utf8_lossy(buffer.get(..length).unwrap_or_default())
                .trim()
                .to_owned(),
        );
    }
    if notes.is_empty() {
        String::new()
    } else {
        format!(" [{}]", notes.join("; "))
    }
}
