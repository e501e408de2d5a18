//! The layers of a build as directories, put on top of each other by the kernel's overlay filesystem.
//!
//! A layer at rest is `layers/<id>/fs`: what one step or one image layer changed, in overlay's own form (a removed name is a
//! character device 0:0, a replaced directory carries the *opaque* attribute; where the file system takes these from nobody, a
//! socket that nobody may use stands for either, see `marks`). A layer in the making is `active/<n>`.
//!
//! - [`SnapshotStore`] holds them, [`Active`] is one being written, [`Mounted`] is a merged view of several.
//! - [`unpack`] turns an image layer (a tar) into that form, [`diff`](diff()) turns that form into a tar again.
//! - Where the kernel mounts no layers (the directory is on an overlay file system itself, say), they are copied instead
//!   ([`Way`]): `copy` puts them together, `seal` makes the same layer of what was changed.
//! - [`tar`] reads and writes the archives, byte-exactly.
//!
//! **Invariant:** a layer in `layers/` is whole. It gets there by one rename, and one that a power failure may have torn is
//! thrown away when the store is next opened.

mod attribute;
mod confine;
mod copy;
mod diff;
mod durable;
mod error;
mod id;
mod marks;
mod overlay;
mod remove;
mod seal;
mod stack;
mod store;
pub mod tar;
mod unpack;
mod way;

#[cfg(test)]
mod tests;

pub(crate) use attribute::is_overlay as is_overlay_attribute;
pub(crate) use confine::descriptor_path;
pub use confine::{Confined, Created, DirAttributes};
pub use diff::{DiffOptions, DiffStats, diff};
pub use error::SnapshotError;
pub use id::SnapshotId;
pub(crate) use marks::{is_opaque, is_whiteout, whiteout};
pub(crate) use overlay::mount_detached;
pub use overlay::{Files, MAX_LAYERS, Mounted, OverlaySpec, Writable};
pub(crate) use remove::{remove_all, remove_in};
pub use store::{Active, SnapshotStore};
pub(crate) use store::{directory_size, layer_size};
pub use unpack::{UnpackOptions, Unpacked};
pub use way::Way;
