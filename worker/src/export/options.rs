//! What whoever builds an image may choose of how it is put together.

use std::collections::BTreeMap;

/// How an image is put together. Left alone, it comes out as it always does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageOptions {
    /// The annotations of its manifest.
    pub annotations: BTreeMap<String, String>,
}
