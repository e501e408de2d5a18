//! Why a process could not be started.

use std::io;

use rustix::io::Errno;

use super::child::Step;
use crate::rootless::Ids;
use crate::snapshot::SnapshotError;

/// A process did not start, or could not be watched. A process that ran and failed is an
/// [`ExitStatus`](super::ExitStatus).
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The spec cannot be carried out by anyone: the Dockerfile has to change.
    #[error("{0}")]
    Unusable(String),
    /// The program cannot be started in this image: the Dockerfile or its base image has to change.
    #[error("{0}")]
    Program(String),
    /// The root file system could not be put together.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The system refused something to the worker.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused something to the child before it became the program.
    #[error("the step could not be isolated: {} failed ({errno}){}", .step.describe(), advice(*.errno))]
    Isolation {
        /// What was tried.
        step: Step,
        /// What the system said.
        errno: Errno,
    },
    /// A mount's target is hidden by the image's own layers. Handled inside of the sandbox.
    #[error("the mount point {0} is missing")]
    MissingTarget(String),
}

impl SandboxError {
    /// For `map_err`: names the operation.
    pub(super) fn system<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |source| Self::System {
            what,
            source: source.into(),
        }
    }

    /// Whether the Dockerfile or the image is at fault rather than the machine.
    pub fn is_users_fault(&self) -> bool {
        matches!(self, Self::Unusable(_) | Self::Program(_))
    }
}

fn advice(errno: Errno) -> &'static str {
    match errno {
        Errno::PERM | Errno::ACCESS if Ids::here().are_the_machines() => {
            "; the worker must run as root with the SYS_ADMIN capability"
        }
        Errno::PERM | Errno::ACCESS => "; the machine does not allow it to an ordinary user",
        Errno::NOSYS => "; Linux 6.8 or newer is needed",
        Errno::NOSPC | Errno::MFILE | Errno::NFILE | Errno::NOMEM => "; the machine is out of that resource",
        _ => "",
    }
}
