//! The whole worker, as a process, on real images: planned with core, handed over as the page does it, executed.
//!
//! `STAGEWRIGHT_TEST_CONFIG` names a configuration that resolves `alpine:latest` (`cargo xtask images` writes one).
//! `STAGEWRIGHT_TEST_DEBIAN` names one that resolves `debian:bookworm` to a whole Debian, made by the same command.
//! Without them, or where the machine cannot run builds, the tests say so and end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "these are tests"
)]

mod bench;
mod builder_pattern;
mod builds;
mod cache;
#[path = "../server/client.rs"]
#[allow(dead_code, reason = "shared with the server's tests, which use more of it")]
mod client;
mod crowd;
mod debian;
mod image;
#[path = "../line/mod.rs"]
#[allow(dead_code, reason = "shared with tests that use more of it")]
mod line;
mod ordinary;
mod outputs;
mod process;
#[path = "../registry/mod.rs"]
#[allow(dead_code, reason = "shared with tests that use more of it")]
mod registry;
mod remote;
#[path = "../ordinary/mod.rs"]
mod user;
