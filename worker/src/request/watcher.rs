//! Who is told how a build goes beside its steps: what is done before them and after them, and what was found in its file.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use stagewright_core::diagnostic::Diagnostic;
use stagewright_core::protocol::{SolveStatus, Vertex};

use crate::backend::{self, timestamp};

/// How often somebody who shows a build is asked to show it anew: often enough for tenths of a second.
const TICK: Duration = Duration::from_millis(100);

/// Somebody who is told.
pub(crate) trait Watcher: Send {
    /// Something happened.
    fn status(&mut self, status: &SolveStatus);

    /// Something for people that is about no step.
    fn note(&mut self, text: &str);

    /// What was found in a file. `broken` is whether the build cannot go on for it.
    fn findings(&mut self, name: &str, source: &str, found: &[Diagnostic], broken: bool);

    /// What tells this build's tasks from those of others.
    fn build(&self) -> String;

    /// Time went by.
    fn tick(&mut self) {}
}

/// What to wait for between two ticks.
pub(crate) fn ticks() -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
}

/// Tells of something that is done before the build or once it is, as of a step of its own.
pub(crate) async fn task<T, E: Display>(
    watcher: &mut dyn Watcher,
    name: &str,
    work: impl Future<Output = Result<T, E>>,
    said: impl FnOnce(&T) -> String,
) -> Result<T, E> {
    let mut vertex = backend::task(name, &watcher.build());
    tell(watcher, &vertex);
    let mut work = std::pin::pin!(work);
    let mut ticks = ticks();
    let result = loop {
        tokio::select! {
            result = &mut work => break result,
            _ = ticks.tick() => watcher.tick(),
        }
    };
    vertex.completed = Some(timestamp());
    match &result {
        Ok(done) => vertex.reason = said(done),
        Err(error) => vertex.error = error.to_string(),
    }
    tell(watcher, &vertex);
    result
}

fn tell(watcher: &mut dyn Watcher, vertex: &Vertex) {
    watcher.status(&SolveStatus {
        vertexes: vec![vertex.clone()],
        ..SolveStatus::default()
    });
}
