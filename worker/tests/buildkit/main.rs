//! Builds by a real `BuildKit`: the one in Docker's engine, as Debian has it, on a socket and in folders of the test's own.
//!
//! `STAGEWRIGHT_TEST_CONFIG` names a configuration with the images that the examples start from (`cargo xtask images` writes
//! one); the engine gets them from a registry that it takes for a mirror of Docker Hub. Where there is no `dockerd`, or it
//! does not start, this says why and ends.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "these are tests"
)]

#[path = "../builds/archive.rs"]
#[allow(dead_code, reason = "shared with tests that use more of it")]
mod archive;
#[path = "../builds/case.rs"]
#[allow(dead_code, reason = "shared with tests that use more of it")]
mod case;
mod command;
mod engine;
mod examples;
#[path = "../builds/image.rs"]
#[allow(dead_code, reason = "shared with tests that use more of it")]
mod image;
#[path = "../builds/notation.rs"]
#[allow(dead_code, reason = "shared with tests that use more of it")]
mod notation;
#[path = "../registry/mod.rs"]
#[allow(dead_code, reason = "shared with tests that use more of it")]
mod registry;
mod steps;
#[path = "../builds/tree.rs"]
mod tree;
