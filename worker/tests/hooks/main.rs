//! Pushes that become images, with a worker that is a process: a repository, a registry and whoever is called back are on this
//! machine. Where it lacks what that takes, the tests say so and end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "these are tests"
)]

mod callback;
mod place;
mod pushes;
mod refusals;
#[path = "../registry/mod.rs"]
#[allow(dead_code, reason = "shared with tests that use more of it")]
mod registry;
