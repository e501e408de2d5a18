//! Where a build's files come from.

pub mod local;
