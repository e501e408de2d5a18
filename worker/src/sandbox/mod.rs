//! What a `RUN` step may see and do.
//!
//! One process, the step's, becomes the first of a PID namespace of its own, on a root file system made of the layers below it,
//! with the capabilities, system calls, devices and masked files that people know from Docker, and no way to the worker.
//!
//! ```text
//! prepare   everything that may allocate, fail with a sentence, or take time: mounts, users, texts, filters    (worker)
//! spawn     clone3, on one thread that lives as long as the worker                                              (worker)
//! child     attach, pivot, drop: system calls on prepared data and nothing else                                 (child)
//! launcher  execve of the step's program, from a file that is not the worker's                                  (child)
//! run       output, limits, cancellation, the verdict                                                           (worker)
//! ```
//!
//! **Invariants.** Between clone3 and execve no memory is allocated and no lock taken: the worker has other threads, and the
//! child has copies of whatever they held. Every system call of the child goes through [`kernel::Kernel`], so the order of the
//! steps is tested without root. A step that failed to start has changed nothing in its layer.

mod cgroup;
mod child;
mod emulation;
mod error;
mod filter;
mod floor;
mod isolate;
mod kernel;
mod launcher;
mod network;
mod prepare;
mod probe;
mod run;
mod secret;
mod spawn;
mod spec;
mod syscall;
mod user;

#[cfg(test)]
#[path = "../../tests/ordinary/mod.rs"]
#[allow(dead_code, reason = "shared with tests that use more of it")]
mod ordinary;
#[cfg(test)]
mod tests;

pub(crate) use emulation::emulated;
pub use error::SandboxError;
pub use isolate::isolate_mounts;
pub use probe::{Capability, Report, obstacles, probe};
pub use run::{Sandbox, SandboxConfig};
pub use spec::{ExitStatus, Limits, MountSource, MountSpec, Network, Output, ProcessSpec, Stream, Ulimit};
pub(crate) use syscall::set_mount_attributes;
