//! Ctrl-C and SIGTERM.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::Failure;

/// How a shell reports a program that was interrupted: 128 + SIGINT.
pub(super) const INTERRUPTED: u8 = 130;

/// The signals that end a program, caught from when this is made.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
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
        })
    }

    /// What the first one cancels; the second ends the program at once. Has to be called on a runtime.
    pub(super) fn stop() -> Result<CancellationToken, Failure> {
        let stop = CancellationToken::new();
        tokio::spawn(Self::catch()?.watch(stop.clone()));
        Ok(stop)
    }

    /// The first one asks for an end in order, the second ends the program at once.
    pub(super) async fn watch(mut self, stop: CancellationToken) {
        self.next().await;
        stop.cancel();
        self.next().await;
        std::process::exit(INTERRUPTED.into());
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
