//! From layers and a configuration to an image that other tools take.
//!
//! ```text
//! finish_config    the plan's configuration + what was built = the image's configuration
//! LayerIndex       a layer's tar -> its blob, once for each way of compressing
//! assemble         layers + configuration -> manifest in the content store
//! oci_archive      manifest -> a tar of an OCI image layout
//! docker_archive   manifest -> the tar that `docker load` reads
//! Attestation      a statement about an image -> a manifest beside it
//! assemble_index   manifests for several platforms, and statements about them -> one list
//! ```
//!
//! The same layers and configuration give the same bytes, whatever the machine and however many threads: nothing
//! here reads a clock or asks for the number of processors where it could be seen in the result.

mod ahead;
mod archive;
mod assemble;
mod attestation;
mod compress;
mod config;
mod layers;
mod name;
mod options;
mod place;
mod stored;

use std::io;

use crate::content::ContentError;

pub(crate) use self::place::{NewFile, check_folder};
pub use archive::{Naming, docker_archive, oci_archive, oci_layout};
pub(crate) use assemble::{CONFIG_TYPE, ImageManifest, Pointer};
pub use assemble::{ExportLayer, INDEX_TYPE, MANIFEST_TYPE, assemble, assemble_index};
pub use attestation::Attestation;
pub(crate) use attestation::EMPTY_TYPE;
pub use config::{LayerHistory, finish_config};
pub use layers::{CompressedLayer, LayerIndex};
pub use name::name_for;
pub use options::{Encoding, ImageOptions};
pub use stored::push_of;

/// An image could not be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The content store failed, or lacks a part of the image.
    #[error("the image cannot be exported: {0}")]
    Content(#[from] ContentError),
    /// A layer could not be read.
    #[error("the image cannot be exported: layer {layer} cannot be read: {source}")]
    Layer {
        /// The layer's diff id, in short.
        layer: String,
        /// What went wrong.
        source: io::Error,
    },
    /// The image itself is not as it should be.
    #[error("the image cannot be exported: {0}")]
    Malformed(String),
    /// What the export is written to does not take it; often a client that went away.
    #[error("the image could not be written: {0}")]
    Output(#[from] io::Error),
}
