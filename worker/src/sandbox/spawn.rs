//! Making child processes, on one thread.
//!
//! A child is killed when the *thread* that made it ends, not the process. Worker threads of an async runtime come and go, so
//! children are made by a thread that lives as long as the sandbox does.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};

use rustix::io::Errno;
use tokio::sync::oneshot;

use super::child::{ChildPlan, NetworkPlan, enter};
use super::kernel::Linux;
use super::syscall::{self, Clone};

/// Asks the thread for a child. The thread begins with the first one, since a build that is all cached makes none, and ends with
/// this.
#[derive(Default)]
pub(super) struct Spawner {
    jobs: Mutex<Option<Sender<Job>>>,
}

struct Job {
    plan: ChildPlan,
    reply: oneshot::Sender<Result<OwnedFd, Errno>>,
}

impl Spawner {
    /// Makes the child and gives its process handle. Everything in `plan` is closed in the worker afterwards.
    pub(super) async fn spawn(&self, plan: ChildPlan) -> Result<OwnedFd, Errno> {
        let (reply, answer) = oneshot::channel();
        if self.thread()?.send(Job { plan, reply }).is_err() {
            return Err(Errno::SRCH);
        }
        answer.await.unwrap_or(Err(Errno::SRCH))
    }

    /// The way to the thread.
    fn thread(&self) -> Result<Sender<Job>, Errno> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(jobs) = &*jobs {
            return Ok(jobs.clone());
        }
        let (sender, inbox) = channel();
        std::thread::Builder::new()
            .name("spawner".to_owned())
            .spawn(move || serve(&inbox))
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::AGAIN))?;
        Ok(jobs.insert(sender).clone())
    }
}

fn serve(inbox: &Receiver<Job>) {
    for Job { plan, reply } in inbox {
        let child = spawn(&plan);
        drop(plan);
        if let Err(Ok(child)) = reply.send(child) {
            // Whoever asked is gone, so nobody would ever end it.
            let _ = rustix::process::pidfd_send_signal(&child, rustix::process::Signal::KILL);
            super::run::reap_in_background(child);
        }
    }
}

fn spawn(plan: &ChildPlan) -> Result<OwnedFd, Errno> {
    let mut flags = libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
    if matches!(plan.network, NetworkPlan::Isolated) {
        flags |= libc::CLONE_NEWNET;
    }
    // A signal handler of the worker's must not run in the child.
    let mask = syscall::block_signals();
    #[expect(unsafe_code, reason = "the one place where a process is made")]
    // SAFETY: the child's branch calls `enter`, which makes system calls on prepared data only, and never returns.
    let made = unsafe { syscall::clone_process(flags, plan.cgroups.birthplace.as_ref().map(AsFd::as_fd)) };
    match made {
        Ok(Clone::Child) => {
            let failure = enter(&Linux, plan);
            // A report that cannot be written is one that nobody waits for.
            let _ = rustix::io::write(&plan.report, &failure.to_bytes());
            syscall::exit_now(127)
        }
        Ok(Clone::Parent(child)) => {
            syscall::restore_signals(&mask);
            Ok(child)
        }
        Err(errno) => {
            syscall::restore_signals(&mask);
            Err(errno)
        }
    }
}
