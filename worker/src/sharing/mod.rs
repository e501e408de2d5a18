//! A cache that several machines share: in a registry, in a folder, or in an image itself.
//!
//! ```text
//! document   what is known of steps, as one JSON document; which blob holds which layer
//! place      where it is: a manifest whose configuration is the document and whose layers are the blobs
//! import     the caches that a build names, asked in their order
//! export     what a build has to share, gathered and written
//! ```
//!
//! The container is that of `BuildKit`'s caches (an image manifest), so that registries keep it as they keep images.
//! The document is our own: a key of ours holds what a step works on by its content alone, where one of `BuildKit`'s
//! holds how it came to be too, and neither can be worked out from the other. It has a media type of its own, so that
//! nobody takes the one for the other.
//!
//! **What is trusted.** Whoever names a cache takes its word that a step gives a layer. It is taken for that build
//! only: nothing of it goes into what the worker remembers. Blobs are compared with their digests and what is in them
//! with the layer's, so that what a layer is called is what it holds, whoever sent it. Everything has a longest length.

mod document;
mod export;
mod import;
mod place;

pub use document::{CacheDocument, IMAGE_KEY, SharedAnswer, SharedBlob, SharedRecord};
pub use export::{CacheExport, Written};
pub use import::{Cache, Imported};
pub use place::Place;

/// A cache could not be read or written: what happened, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SharingError(pub String);

impl SharingError {
    /// For the reason that an error of another kind gives.
    pub(crate) fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}
