//! What strangers try: archives, contexts, steps, addresses and images that mean harm, each as somebody would send it
//! to a real worker.
//!
//! ```text
//! archives    ADD of archives, image load, image layers: names, links, devices, bombs
//! context     build contexts, COPY, mounts and working directories that lead elsewhere
//! sandbox     what a step tries against the kernel and the machine around it
//! resources   steps that use up what there is
//! network     reaching the worker and its machine from a step
//! outputs     folders that are written to, and what is printed on a terminal
//! secrets     what is left of a secret afterwards: nothing, anywhere
//! ```
//!
//! Each test fails where its guard is taken away. The same attacks on single parts stand beside these parts: tar
//! (`snapshot::tar`), unpacking (`snapshot::tests`, `ops::file::archive`), `image load` (`storage::load`), offered
//! contexts (`source::local`), addresses (`source::{address,http,git}`), the system call filter (`sandbox::filter`), steps
//! (`sandbox::tests`), registries (`source::image::tests::hostile`), damaged blobs (`embedded::tests::damage`), and the
//! server's door (`tests/server/admission`). `docs/security.md` says which promise each of them keeps.
//!
//! Builds start from scratch and the machine's busybox, so nothing has to be fetched. Where the machine cannot run
//! builds, the tests say so and end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "these are tests"
)]

mod archives;
mod context;
#[path = "../robust/ground.rs"]
#[allow(
    dead_code,
    reason = "shared with the tests of robustness, which use more of it"
)]
mod ground;
mod network;
mod outputs;
mod program;
mod resources;
mod sandbox;
mod secrets;
mod site;
mod stage;
