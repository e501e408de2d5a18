//! See the files: what always holds, and what the examples look like.

mod pictures;
mod properties;
mod shapes;
pub(crate) mod sketch;
