//! Workers of ordinary users.
//!
//! What a worker does to layers and steps takes root: mounting, giving files away, making namespaces. An ordinary user may do all
//! of it to what is its own, in a *user namespace*, where it is called root and further ids that the machine's owner set aside
//! for it (`/etc/subuid`, `/etc/subgid`) are everybody else. [`enter`] takes this process there, once and early; from then on the
//! rest of the worker works as it does for root, and looks at [`Ids`] where the two differ:
//!
//! - overlay keeps its marks in attributes called `user.overlay.…`, since `trusted.…` is for the machine's root;
//! - devices cannot be made, so those that an image brings are left out, as other rootless builders do;
//! - the machine's network cannot be changed, so the way out leads through a network of the worker's own;
//! - without further ids there is one owner of everything, which the worker says.

mod enter;
mod ids;
mod program;
mod subordinate;

pub use enter::{Standing, enter, standing};
pub use ids::Ids;
pub(crate) use program::find;
