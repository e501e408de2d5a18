//! The worker: carries a planned build out, streams what happens, and serves the playground.
//!
//! ```text
//! cli ── server ── hook ── request ── build ── backend ── { sandbox, snapshot, content, source, export }
//! ```
//!
//! Planning itself is [`stagewright_core`]'s; here is everything that touches the machine. What arrives from a
//! client is untrusted: it is decoded, validated and confined again, whoever sent it.

pub mod backend;
pub mod build;
pub mod cli;
mod client;
pub mod config;
pub mod content;
pub mod export;
pub mod hook;
pub mod lease;
pub mod provenance;
pub mod request;
pub mod rootless;
mod said;
pub mod sandbox;
pub mod server;
pub mod sharing;
pub mod snapshot;
pub mod source;
mod stamp;
pub mod storage;
pub mod token;
mod trust;
mod whole_file;

#[cfg(test)]
#[path = "../tests/registry/mod.rs"]
#[allow(dead_code, reason = "shared with tests that use more of it")]
mod registry;
