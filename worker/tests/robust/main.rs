//! What becomes of a state folder when things go wrong: workers that are killed, disks that are full, files that are
//! damaged.
//!
//! The worker is a process here, so that it can be killed. Builds start from scratch and the machine's busybox, so
//! nothing has to be fetched. Where the machine cannot run builds, the tests say so and end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "these are tests"
)]

mod damage;
mod disk;
mod ground;
mod kill;
mod overlay;
mod pushed;
#[path = "../registry/mod.rs"]
#[allow(dead_code, reason = "shared with tests that use more of it")]
mod registry;
mod verify;
