//! Where a build's files come from.

pub mod address;
pub mod git;
pub mod http;
pub mod image;
pub mod local;
pub mod secret;
