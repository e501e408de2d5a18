//! Ctrl-C, SIGTERM, and the SIGHUP that comes where the terminal is closed.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::Failure;

/// How a shell reports a program that was interrupted: 128 + SIGINT.
pub(super) const INTERRUPTED: u8 = 130;

/// The signals that end a program, caught from when this is made.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// None where whoever started the program has it ignored, as `nohup` does.
    hangup: Option<Signal>,
}

impl Signals {
    pub(super) fn catch() -> Result<Self, Failure> {
        let catch = |kind| {
            signal(kind)
                .map_err(|error| Failure::new(Failure::PLACE, format!("signals cannot be caught: {error}")))
        };
        Ok(Self {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
            hangup: (!is_hangup_ignored())
                .then(|| catch(SignalKind::hangup()))
                .transpose()?,
        })
    }

    /// What the first one cancels; the second ends the program at once. Has to be called on a runtime.
    pub(super) fn stop() -> Result<CancellationToken, Failure> {
        let stop = CancellationToken::new();
        tokio::spawn(Self::catch()?.watch(stop.clone()));
        Ok(stop)
    }

    /// The first one asks for an end in order, the second ends the program at once. A terminal that is closed sends
    /// several by itself, so those ask once and for all.
    pub(super) async fn watch(mut self, stop: CancellationToken) {
        tokio::select! {
            () = hung_up(&mut self.hangup) => {}
            () = Self::pressed(&mut self.interrupt, &mut self.terminate) => {}
        }
        stop.cancel();
        Self::pressed(&mut self.interrupt, &mut self.terminate).await;
        std::process::exit(INTERRUPTED.into());
    }

    async fn pressed(interrupt: &mut Signal, terminate: &mut Signal) {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}

async fn hung_up(hangup: &mut Option<Signal>) {
    match hangup {
        Some(hangup) => {
            hangup.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Whether the program was started to outlive its terminal.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignores_hangup(&status)
}

/// Reads it from what the system says of a process: one bit a signal, the first for the first.
fn ignores_hangup(status: &str) -> bool {
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_to_outlive_its_terminal_is_known_by_what_it_ignores() {
        assert!(ignores_hangup(
            "Name:\tx\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n"
        ));
        assert!(!ignores_hangup("SigIgn:\t0000000000001000\n"));
        assert!(!ignores_hangup(""));
    }
}
