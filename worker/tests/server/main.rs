//! The server as a client meets it: real sockets, a real record of builds, and a backend that does what a test says.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "these are tests"
)]

mod admission;
mod attach;
mod backend;
mod calls;
mod client;
mod content;
mod downloads;
mod page;
mod shutdown;
mod tls;
mod v1;
mod worker;
