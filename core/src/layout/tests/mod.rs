//! See the files: what always holds, and what the examples look like.

mod properties;
mod shapes;
mod sketch;
