//! A step from start to end.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};
use tokio::io::AsyncReadExt;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

use super::cgroup::Cgroups;
use super::child::{Failure, Step};
use super::network::Exits;
use super::prepare::{Prepared, Workshop, prepare, search_path};
use super::spawn::Spawner;
use super::{ExitStatus, Limits, Output, ProcessSpec, SandboxError, Stream, filter};
use crate::snapshot::{Confined, Created, Files, mount_detached};

/// Where the sandbox keeps its few files.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// A directory of its own.
    pub state_dir: PathBuf,
}

/// Runs processes in isolation. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct Sandbox {
    inner: Arc<Inner>,
}

struct Inner {
    shop: Workshop,
    spawner: Spawner,
}

impl Sandbox {
    /// Gets ready to run processes. Takes away what a killed worker left.
    pub fn new(config: &SandboxConfig) -> Result<Self, SandboxError> {
        let part = |name: &str| {
            let path = config.state_dir.join(name);
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(&path)
                .and_then(|()| path.canonicalize())
                .map_err(SandboxError::system(format!("{} cannot be made", path.display())))
        };
        let filter = filter::filter().ok_or_else(|| {
            SandboxError::Unusable(format!(
                "steps cannot be run on {}: its system calls are not known",
                std::env::consts::ARCH
            ))
        })?;
        let shop = Workshop {
            floors: part("floors")?,
            files: part("files")?,
            place: part("root")?,
            passing: part("passing")?,
            filter: filter.into(),
            cgroups: Cgroups::detect(),
            exits: Exits::new(part("network")?),
        };
        let spawner = Spawner::default();
        Ok(Self {
            inner: Arc::new(Inner { shop, spawner }),
        })
    }

    /// Runs one process to its end. Its output arrives at `output` as it is written; a receiver that is gone does not stop it.
    ///
    /// Dropping the future, or `cancel`, kills the process and everything it started.
    pub async fn run(
        &self,
        spec: ProcessSpec,
        output: Sender<Output>,
        cancel: CancellationToken,
    ) -> Result<ExitStatus, SandboxError> {
        let spec = Arc::new(spec);
        let mut stubs: Vec<Created> = Vec::new();
        // Each turn but the last makes one mount point that the image's layers hide.
        for _ in 0..=spec.mounts.len() + SYSTEM_MOUNTS {
            if cancel.is_cancelled() {
                return Ok(ExitStatus::Cancelled);
            }
            let mut prepared = self.prepare(&spec).await?;
            stubs.append(&mut prepared.made);
            let root = match &spec.root {
                Files::Layers(_) => prepared.root.root().try_clone_to_owned().map(Confined::from_fd),
                // The mount may be one that is only read.
                Files::Copy(copy) => Confined::open(copy),
            };
            let targets = prepared.targets.clone();
            let result = self.attempt(prepared, &spec, &output, &cancel).await;
            match result {
                Err(SandboxError::MissingTarget(target)) => {
                    // The former mount must be gone before the layer is mounted again.
                    drop(root);
                    let is_dir = targets
                        .iter()
                        .find(|(name, _)| *name == target)
                        .is_none_or(|(_, is_dir)| *is_dir);
                    let spec = spec.clone();
                    stubs.extend(blocking(move || make_stub(&spec, &target, is_dir)).await?);
                }
                result => {
                    if let (false, Ok(root)) = (stubs.is_empty(), root) {
                        undo(&stubs, &root);
                    }
                    return result;
                }
            }
        }
        Err(SandboxError::Unusable(
            "the mount points of this step cannot be made".to_owned(),
        ))
    }

    async fn prepare(&self, spec: &Arc<ProcessSpec>) -> Result<Prepared, SandboxError> {
        let (this, spec) = (self.clone(), spec.clone());
        blocking(move || prepare(&this.inner.shop, &spec)).await
    }

    async fn attempt(
        &self,
        prepared: Prepared,
        spec: &ProcessSpec,
        output: &Sender<Output>,
        cancel: &CancellationToken,
    ) -> Result<ExitStatus, SandboxError> {
        let Prepared {
            plan,
            root: _root,
            group,
            exit: _exit,
            stdout,
            stderr,
            report,
            targets,
            made: _,
        } = prepared;
        let failed = |what: &'static str| SandboxError::system(what);
        let reader = |fd: OwnedFd| {
            rustix::io::ioctl_fionbio(&fd, true)?;
            pipe::Receiver::from_owned_fd(fd)
        };
        let stdout = reader(stdout).map_err(failed("the output cannot be read"))?;
        let stderr = reader(stderr).map_err(failed("the output cannot be read"))?;
        let mut report = reader(report).map_err(failed("the child cannot be watched"))?;
        let child = self
            .inner
            .spawner
            .spawn(plan)
            .await
            .map_err(SandboxError::system("a process cannot be made"))?;
        let child = Child::new(child).map_err(failed("the child cannot be watched"))?;
        // The child is the only other holder of this pipe, and loses it by becoming the program.
        let mut failure = Vec::new();
        report
            .read_to_end(&mut failure)
            .await
            .map_err(failed("the child cannot be watched"))?;
        if let Some(failure) = Failure::from_bytes(&failure) {
            child
                .wait()
                .await
                .map_err(failed("the child cannot be waited for"))?;
            return Err(explain(failure, spec, &targets));
        }
        let budget = Budget::new(&spec.limits);
        let ended = CancellationToken::new();
        let watch = async {
            let status = watch(&child, &spec.limits, cancel).await;
            ended.cancel();
            status
        };
        let (status, (), ()) = tokio::join!(
            watch,
            forward(stdout, Stream::Stdout, &budget, output, cancel),
            forward(stderr, Stream::Stderr, &budget, output, cancel),
        );
        let status = status.map_err(failed("the child cannot be waited for"))?;
        let out_of_memory = !status.is_success()
            && matches!(status, ExitStatus::Exited(_) | ExitStatus::Signaled(_))
            && group.ran_out_of_memory();
        // A group may be busy for a moment after its end.
        tokio::task::spawn_blocking(move || drop(group));
        Ok(if out_of_memory {
            ExitStatus::OutOfMemory
        } else {
            status
        })
    }
}

/// As many mounts as every step has.
const SYSTEM_MOUNTS: usize = 16;

/// Runs something that may block for a moment where that is allowed.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SandboxError> + Send + 'static,
) -> Result<T, SandboxError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(SandboxError::System {
            what: "a step could not be prepared".to_owned(),
            source: std::io::Error::other(error),
        }),
    }
}

/// Makes a mount point in the layer itself, for the rare image that hides the one on the floor.
fn make_stub(spec: &ProcessSpec, target: &str, is_dir: bool) -> Result<Vec<Created>, SandboxError> {
    let root = Confined::from_fd(mount_detached(&spec.root, None, MountAttrFlags::empty())?);
    let path = std::path::Path::new(target);
    let made = if is_dir {
        root.make_dirs(path, crate::snapshot::DirAttributes::ROOT)
            .map(|(_, made)| made)
    } else {
        root.make_file(path)
    };
    made.map_err(|error| {
        SandboxError::Unusable(format!(
            "nothing can be mounted at {target} in this image ({error})"
        ))
    })
}

fn undo(stubs: &[Created], root: &Confined) {
    for stub in stubs.iter().rev() {
        if let Err(error) = stub.undo(root) {
            tracing::warn!(%error, "a mount point stays in the layer");
        }
    }
}

/// A running child. Dropping it kills it, and with it everything it started.
struct Child {
    handle: AsyncFd<OwnedFd>,
    reaped: AtomicBool,
}

impl Child {
    fn new(handle: OwnedFd) -> std::io::Result<Self> {
        #[expect(
            unsafe_code,
            reason = "the runtime asks that a registered descriptor stays open"
        )]
        // SAFETY: the handle is owned by the registration and closed after it.
        let registered = unsafe { AsyncFd::register_with_interest(handle, tokio::io::Interest::READABLE) };
        match registered {
            Ok(handle) => Ok(Self {
                handle,
                reaped: AtomicBool::new(false),
            }),
            Err(error) => {
                let (handle, error) = error.into_parts();
                let _ = pidfd_send_signal(&handle, Signal::KILL);
                reap_in_background(handle);
                Err(error)
            }
        }
    }

    fn kill(&self) {
        // It may have ended by itself just now.
        let _ = pidfd_send_signal(self.handle.get_ref(), Signal::KILL);
    }

    async fn wait(&self) -> std::io::Result<ExitStatus> {
        loop {
            let mut ready = self.handle.readable().await?;
            match reap(
                self.handle.get_ref(),
                WaitIdOptions::EXITED | WaitIdOptions::NOHANG,
            )? {
                Some(status) => {
                    self.reaped.store(true, Ordering::Relaxed);
                    return Ok(status);
                }
                None => ready.clear_ready(),
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.reaped.load(Ordering::Relaxed) {
            return;
        }
        self.kill();
        match self.handle.get_ref().try_clone() {
            Ok(handle) => reap_in_background(handle),
            Err(error) => tracing::warn!(%error, "a killed child could not be waited for"),
        }
    }
}

/// Waits for a killed child where waiting disturbs nobody.
pub(super) fn reap_in_background(child: OwnedFd) {
    let waiting = std::thread::Builder::new()
        .name("reaper".to_owned())
        .spawn(move || {
            let _ = reap(&child, WaitIdOptions::EXITED);
        });
    if let Err(error) = waiting {
        tracing::warn!(%error, "a killed child could not be waited for");
    }
}

fn reap(child: &OwnedFd, options: WaitIdOptions) -> std::io::Result<Option<ExitStatus>> {
    loop {
        match waitid(WaitId::PidFd(child.as_fd()), options) {
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(None) => return Ok(None),
            Ok(Some(status)) => {
                let exited = status.exit_status().map(ExitStatus::Exited);
                let signaled = status.terminating_signal().map(ExitStatus::Signaled);
                return Ok(exited.or(signaled));
            }
        }
    }
}

/// Waits for the end, and brings it about where the time is up or nobody wants the result.
async fn watch(child: &Child, limits: &Limits, cancel: &CancellationToken) -> std::io::Result<ExitStatus> {
    let time_is_up = async {
        match limits.wall_time {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    };
    let verdict = tokio::select! {
        biased;
        status = child.wait() => return status,
        () = cancel.cancelled() => ExitStatus::Cancelled,
        () = time_is_up => ExitStatus::TimedOut,
    };
    child.kill();
    child.wait().await?;
    Ok(verdict)
}

/// What may still be written to the log, over both streams.
struct Budget {
    left: AtomicU64,
    limit: Option<u64>,
    /// Whether it was said that some output is missing.
    told: AtomicBool,
}

impl Budget {
    fn new(limits: &Limits) -> Self {
        Self {
            left: AtomicU64::new(limits.log_bytes.unwrap_or(u64::MAX)),
            limit: limits.log_bytes,
            told: AtomicBool::new(false),
        }
    }

    /// Takes up to `wanted` bytes, and says whether these are the first that are not all there.
    fn take(&self, wanted: usize) -> (usize, bool) {
        if self.limit.is_none() {
            return (wanted, false);
        }
        let wanted = wanted as u64;
        let before = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                Some(left.saturating_sub(wanted))
            })
            .unwrap_or(0);
        let granted = before.min(wanted);
        (
            usize::try_from(granted).unwrap_or(usize::MAX),
            granted < wanted && !self.told.swap(true, Ordering::Relaxed),
        )
    }
}

/// Passes one stream on until its end. Output that nobody takes, or beyond the limit, is read and dropped: the step goes on.
async fn forward(
    mut source: pipe::Receiver,
    stream: Stream,
    budget: &Budget,
    output: &Sender<Output>,
    cancel: &CancellationToken,
) {
    let mut buffer = vec![0; 32 * 1024];
    loop {
        let length = match source.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(length) => length,
        };
        let (granted, clipped) = budget.take(length);
        let mut data = buffer.get(..granted).unwrap_or_default().to_vec();
        if clipped {
            let limit = budget.limit.unwrap_or_default();
            data.extend_from_slice(
                format!("\n[output clipped, log limit of {limit} bytes reached]\n").as_bytes(),
            );
        }
        if data.is_empty() {
            continue;
        }
        tokio::select! {
            biased;
            // A receiver that has gone is no reason to stop reading.
            _ = output.send(Output { stream, data }) => {}
            () = cancel.cancelled() => {}
        }
    }
}

/// A sentence for what the child reported.
fn explain(failure: Failure, spec: &ProcessSpec, targets: &[(String, bool)]) -> SandboxError {
    let Failure { step, index, errno } = failure;
    let target = || {
        targets
            .get(index as usize)
            .map(|(target, _)| target.clone())
            .unwrap_or_default()
    };
    match (step, errno) {
        (Step::MountPoint, Errno::NOENT) => SandboxError::MissingTarget(target()),
        (Step::MountPoint | Step::Mount, Errno::NOTDIR | Errno::LOOP) => SandboxError::Unusable(format!(
            "nothing can be mounted at {} in this image: the path is of another kind there ({errno})",
            target()
        )),
        (Step::Mount, _) => SandboxError::System {
            what: format!("the step could not be isolated: mounting at {} failed", target()),
            source: errno.into(),
        },
        (Step::WorkingDirectory, Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => SandboxError::Unusable(
            format!("the working directory {} cannot be entered ({errno})", spec.cwd),
        ),
        (Step::Execute | Step::Interpreter, _) => SandboxError::Program(explain_program(step, errno, spec)),
        _ => SandboxError::Isolation { step, errno },
    }
}

fn explain_program(step: Step, errno: Errno, spec: &ProcessSpec) -> String {
    let program = spec.args.first().map(String::as_str).unwrap_or_default();
    let user = if spec.user.is_empty() {
        "root"
    } else {
        spec.user.as_str()
    };
    match (step, errno) {
        (Step::Interpreter, _) => format!(
            "the program {program} is in the image, but what it needs to start is not: the interpreter of its #! line, or the \
             dynamic loader it was linked for"
        ),
        (_, Errno::NOENT) if program == "/bin/sh" => {
            "the program /bin/sh does not exist in the image: it has no shell, so only \
             the exec form can be used, as in RUN [\"/app\", \"--flag\"]"
                .to_owned()
        }
        (_, Errno::NOENT) if program.contains('/') => {
            format!("the program {program} does not exist in the image")
        }
        (_, Errno::NOENT) => {
            format!(
                "the program {program} does not exist in the image (PATH is {})",
                search_path(&spec.env)
            )
        }
        (_, Errno::ACCESS | Errno::PERM) => {
            format!("the program {program} may not be executed by the user {user}; is its mode executable?")
        }
        (_, Errno::NOEXEC) => format!(
            "the program {program} cannot be executed: it was built for another platform than {}, or is a script without a #! \
             line",
            std::env::consts::ARCH
        ),
        (_, Errno::TOOBIG) => {
            format!("the arguments and environment of {program} are longer than the system takes")
        }
        (_, errno) => format!("the program {program} cannot be executed ({errno})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_output_is_missing_is_said_once_wherever_reads_end() {
        let limits = Limits {
            log_bytes: Some(10),
            ..Limits::default()
        };
        for (reads, told) in [
            (&[10, 1, 1][..], &[(10, false), (0, true), (0, false)][..]),
            (&[4, 9, 9], &[(4, false), (6, true), (0, false)]),
            (&[10], &[(10, false)]),
        ] {
            let budget = Budget::new(&limits);
            let taken: Vec<_> = reads.iter().map(|&wanted| budget.take(wanted)).collect();
            assert_eq!(taken, told);
        }
    }
}
