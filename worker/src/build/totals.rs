//! What is counted of all builds together, for those who watch over a worker.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use stagewright_core::protocol::BuildState;

use super::tally::Figures;

/// Upper ends, in seconds, of the spans of time that builds are sorted into; longer ones are in none.
pub const BOUNDS: [u32; 10] = [1, 2, 5, 10, 30, 60, 120, 300, 900, 3600];

/// Builds that ended since the worker began. Nothing of it gets less, whatever is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Totals {
    done: u64,
    failed: u64,
    cancelled: u64,
    /// Steps whose results were there already.
    pub steps_cached: u64,
    /// Steps that ran well.
    pub steps_run: u64,
    /// Steps that failed.
    pub steps_failed: u64,
    /// Builds by how long they took, for each of [`BOUNDS`] those that took longer than the one before.
    pub durations: [u64; BOUNDS.len()],
    /// Builds in all.
    pub count: u64,
    /// How long they took together, in seconds.
    pub seconds: f64,
}

impl Totals {
    /// How many ended like that.
    pub fn ended(&self, state: BuildState) -> u64 {
        match state {
            BuildState::Done => self.done,
            BuildState::Failed => self.failed,
            BuildState::Cancelled => self.cancelled,
            BuildState::Queued | BuildState::Running | BuildState::Lost => 0,
        }
    }
}

/// Where it is counted.
#[derive(Debug, Default)]
pub(super) struct Counted(Mutex<Totals>);

impl Counted {
    /// Takes a build that ended into account.
    pub(super) fn count(&self, state: BuildState, figures: &Figures, took: Duration) {
        let mut totals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match state {
            BuildState::Done => totals.done += 1,
            BuildState::Failed => totals.failed += 1,
            BuildState::Cancelled => totals.cancelled += 1,
            BuildState::Queued | BuildState::Running | BuildState::Lost => {}
        }
        let run = figures.steps.saturating_sub(figures.cached + figures.failed);
        totals.steps_cached += figures.cached as u64;
        totals.steps_failed += figures.failed as u64;
        totals.steps_run += run as u64;
        let seconds = took.as_secs_f64();
        if let Some(place) = BOUNDS.iter().position(|bound| seconds <= f64::from(*bound))
            && let Some(count) = totals.durations.get_mut(place)
        {
            *count += 1;
        }
        totals.count += 1;
        totals.seconds += seconds;
    }

    pub(super) fn totals(&self) -> Totals {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_are_counted_by_how_they_ended_and_how_long_they_took() {
        let counted = Counted::default();
        let figures = Figures {
            steps: 5,
            cached: 2,
            failed: 1,
            ..Figures::default()
        };
        counted.count(BuildState::Failed, &figures, Duration::from_secs(5));
        counted.count(BuildState::Done, &figures, Duration::from_millis(5001));
        counted.count(BuildState::Done, &figures, Duration::from_hours(2));
        let totals = counted.totals();
        assert_eq!(
            (
                totals.ended(BuildState::Done),
                totals.ended(BuildState::Failed),
                totals.count
            ),
            (2, 1, 3)
        );
        assert_eq!(
            (totals.steps_cached, totals.steps_run, totals.steps_failed),
            (6, 6, 3)
        );
        assert_eq!(totals.durations, [0, 0, 1, 1, 0, 0, 0, 0, 0, 0]);
    }
}
