//! Running a process: `RUN`.

mod agent;
mod caches;
mod ground;
mod mask;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use stagewright_core::llb::{ExecOp, Meta, NetMode, SecurityMode};

use super::super::flight::Ticket;
use super::super::layer::{Made, finish};
use super::super::progress::News;
use super::super::rootfs::{self, Rootfs};
use super::{StepFailure, blocking};
use crate::backend::timestamp;
use crate::sandbox::{
    ExitStatus, Limits, Network, Output, ProcessSpec, Sandbox, SandboxError, Stream, Ulimit,
};
use crate::snapshot::SnapshotStore;

pub(crate) use caches::Caches;
pub(crate) use ground::Given;
use ground::Ground;
use mask::Mask;

/// With no more bytes than this a disk is full, for a step that failed.
const LITTLE_ROOM: u64 = 1 << 20;

/// Runs processes.
pub(crate) struct Executor {
    /// Where they run.
    pub(crate) sandbox: Sandbox,
    /// Where their files are.
    pub(crate) snapshots: SnapshotStore,
    /// What each may use up.
    pub(crate) limits: Limits,
    /// What outlives builds.
    pub(crate) caches: Caches,
    /// A directory of its own, for what is gone with a step.
    pub(crate) passing: PathBuf,
    /// Names what is in it.
    pub(crate) next: AtomicU64,
}

impl Executor {
    /// Runs `op`, and gives the layer it made.
    pub(crate) async fn run(
        &self,
        op: &ExecOp,
        given: &Given<'_>,
        ticket: &Ticket,
    ) -> Result<Made, StepFailure> {
        let meta = op
            .meta
            .as_ref()
            .ok_or_else(|| StepFailure::new("an exec op without a process"))?;
        let root = op.mounts.iter().find(|mount| mount.dest == "/");
        let root = root.ok_or_else(|| StepFailure::new("an exec op without a root"))?;
        let base = files(root.input, given.inputs)?;
        let ground = Ground::prepare(self, op, given, ticket).await?;
        let (active, files) = {
            let (snapshots, base) = (self.snapshots.clone(), base.clone());
            let begin = move || {
                let active = snapshots.begin(&base.snapshots())?;
                let files = active.root()?;
                Ok((active, files))
            };
            blocking(begin).await?
        };
        let mut spec = ProcessSpec::new(files, meta.args.clone());
        spec.env = environment(meta);
        spec.secret_env.clone_from(&ground.variables);
        spec.cwd.clone_from(&meta.cwd);
        spec.user.clone_from(&meta.user);
        spec.readonly_root = root.readonly;
        spec.mounts.clone_from(&ground.specs);
        let limits = given.extras.limits.or(self.limits);
        spec.limits = limits;
        spec.ulimits = ulimits(meta)?;
        if !meta.hostname.is_empty() {
            spec.hostname.clone_from(&meta.hostname);
        }
        // Whether the step may have the machine's network, or do without confinement, was decided when the build began.
        spec.network = match NetMode::try_from(op.network) {
            Ok(NetMode::Unset) => Network::Default,
            Ok(NetMode::Host) => Network::Host,
            Ok(NetMode::None) | Err(_) => Network::None,
        };
        spec.insecure = op.security == SecurityMode::Insecure as i32;
        for host in &meta.extra_hosts {
            let address = host.ip.parse().map_err(|_| {
                StepFailure::new(format!(
                    "{:?} is not an address that {:?} could have",
                    host.ip, host.host
                ))
            })?;
            spec.extra_hosts.push((address, host.host.clone()));
        }
        let (output, mut heard) = tokio::sync::mpsc::channel(64);
        let hear = async {
            let mut tail = Tail::default();
            let mut tell = |stream: Stream, data: Vec<u8>| {
                if data.is_empty() {
                    return;
                }
                tail.push(&data);
                let stream = match stream {
                    Stream::Stdout => 1,
                    Stream::Stderr => 2,
                };
                ticket.tell(News::Log {
                    stream,
                    data,
                    timestamp: timestamp(),
                });
            };
            let mut out = Mask::new(&ground.secrets);
            let mut err = out.clone();
            while let Some(Output { stream, data }) = heard.recv().await {
                let mask = match stream {
                    Stream::Stdout => &mut out,
                    Stream::Stderr => &mut err,
                };
                tell(stream, mask.push(data));
            }
            tell(Stream::Stdout, out.finish());
            tell(Stream::Stderr, err.finish());
            tail
        };
        let (status, tail) = tokio::join!(self.sandbox.run(spec, output, ticket.cancel.clone()), hear);
        drop(ground);
        verdict(status, meta, &limits, &tail.text()).map_err(|failure| self.short_of_room(failure))?;
        let snapshots = self.snapshots.clone();
        blocking(move || finish(&snapshots, active, &base)).await
    }

    /// Programs seldom say that it was the disk that failed them.
    fn short_of_room(&self, failure: StepFailure) -> StepFailure {
        if failure.cancelled || self.snapshots.free_space().is_none_or(|free| free > LITTLE_ROOM) {
            return failure;
        }
        let message = format!(
            "{}\nThe disk that the worker keeps its state on is full: `stagewright prune` makes room",
            failure.message
        );
        StepFailure { message, ..failure }
    }

    /// A path that nobody else uses, for something that is gone with a step.
    fn scratch(&self) -> PathBuf {
        self.passing
            .join(self.next.fetch_add(1, Ordering::Relaxed).to_string())
    }
}

fn files(input: i64, inputs: &[rootfs::Output]) -> Result<Rootfs, StepFailure> {
    let Ok(index) = usize::try_from(input) else {
        return Ok(Rootfs::default());
    };
    match inputs.get(index) {
        Some(input) => Ok(input.files()?.clone()),
        None => Err(StepFailure::new(
            "the step runs on an input that it does not have",
        )),
    }
}

/// The limits that the process asks for.
fn ulimits(meta: &Meta) -> Result<Vec<Ulimit>, StepFailure> {
    let read = |limit: &stagewright_core::llb::Ulimit| {
        let (name, soft, hard) = (limit.name.as_str(), limit.soft, limit.hard);
        if hard >= 0 && (soft < 0 || soft > hard) {
            return Err(StepFailure::new(format!(
                "the limit {name}={soft}:{hard} cannot be: the second number is how far the first may be raised"
            )));
        }
        Ulimit::named(name, soft, hard).ok_or_else(|| {
            StepFailure::new(format!(
                "there is no limit called {name:?}: nofile, nproc, core and the like are some"
            ))
        })
    };
    meta.ulimit.iter().map(read).collect()
}

/// The variables of the process, and the proxies that apply while it runs.
fn environment(meta: &Meta) -> Vec<String> {
    let mut variables = meta.env.clone();
    if let Some(proxy) = &meta.proxy_env {
        for (name, value) in [
            ("HTTP_PROXY", &proxy.http_proxy),
            ("HTTPS_PROXY", &proxy.https_proxy),
            ("FTP_PROXY", &proxy.ftp_proxy),
            ("NO_PROXY", &proxy.no_proxy),
            ("ALL_PROXY", &proxy.all_proxy),
        ] {
            if !value.is_empty() {
                variables.push(format!("{name}={value}"));
                variables.push(format!("{}={value}", name.to_lowercase()));
            }
        }
    }
    variables
}

fn verdict(
    status: Result<ExitStatus, SandboxError>,
    meta: &Meta,
    limits: &Limits,
    tail: &str,
) -> Result<(), StepFailure> {
    let failed = |what: String, exit_code| {
        let message = if tail.is_empty() {
            what
        } else {
            format!("{what}. Its last lines:\n{tail}")
        };
        Err(StepFailure {
            exit_code,
            ..StepFailure::new(message)
        })
    };
    match status {
        Ok(ExitStatus::Exited(code)) if meta.valid_exit_codes.is_empty() && code == 0 => Ok(()),
        Ok(ExitStatus::Exited(code)) if meta.valid_exit_codes.contains(&code) => Ok(()),
        Ok(ExitStatus::Exited(code)) => {
            let hint = match code {
                127 => " (the shell says so when a command is not in the image)",
                126 => " (the shell says so when a file cannot be executed)",
                _ => "",
            };
            failed(format!("the command exited with code {code}{hint}"), Some(code))
        }
        Ok(ExitStatus::Signaled(signal)) => failed(
            format!("the command was ended by signal {signal}"),
            Some(128 + signal),
        ),
        Ok(ExitStatus::TimedOut) => {
            let time = limits.wall_time.unwrap_or_default().as_secs();
            failed(
                format!("the command ran longer than the {time} seconds that this worker gives a step"),
                None,
            )
        }
        Ok(ExitStatus::OutOfMemory) => {
            let memory = limits.memory.unwrap_or_default() >> 20;
            failed(
                format!(
                    "the command used more than the {memory} MiB of memory that this worker gives a step"
                ),
                None,
            )
        }
        Ok(ExitStatus::Cancelled) => Err(StepFailure::cancelled()),
        Err(error) => Err(StepFailure::new(error.to_string())),
    }
}

/// The last lines that a process printed.
#[derive(Default)]
struct Tail(Vec<u8>);

impl Tail {
    const BYTES: usize = 4096;
    const LINES: usize = 12;

    fn push(&mut self, data: &[u8]) {
        self.0.extend_from_slice(data);
        if self.0.len() > 2 * Self::BYTES {
            self.0.drain(..self.0.len() - Self::BYTES);
        }
    }

    fn text(&self) -> String {
        let text = String::from_utf8_lossy(
            self.0
                .get(self.0.len().saturating_sub(Self::BYTES)..)
                .unwrap_or_default(),
        );
        let lines: Vec<&str> = text.lines().collect();
        lines
            .get(lines.len().saturating_sub(Self::LINES)..)
            .unwrap_or_default()
            .join("\n")
            .trim_end()
            .to_owned()
    }
}
