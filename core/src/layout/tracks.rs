//! The order of vertical pieces in the channel between two columns.
//!
//! Every net that changes its height in a channel does so once, on a track of its own or on one it shares with nets
//! it never meets. Tracks are ordered for few crossings, and so that no line runs into the end of another.

use super::graph::count;
use super::sort::{index, sort};

/// Lines nearer than this look like one.
const NEAR: f64 = 7.0;
/// Above this many nets in a channel their order is a guess by direction; looking at all pairs would take long.
const MOST_COMPARED: usize = 240;

/// A net in a channel: where it comes in on the left and where it goes out on the right.
pub(super) struct Run {
    /// Its segments.
    pub(super) segments: Vec<usize>,
    pub(super) start: f64,
    pub(super) ends: Vec<f64>,
}

impl Run {
    fn low(&self) -> f64 {
        self.ends.iter().copied().fold(self.start, f64::min)
    }

    fn high(&self) -> f64 {
        self.ends.iter().copied().fold(self.start, f64::max)
    }

    /// Whether it goes straight through, without a vertical piece.
    pub(super) fn is_level(&self) -> bool {
        self.high() - self.low() < 0.5
    }

    fn covers(&self, height: f64) -> bool {
        self.low() + 0.5 < height && height < self.high() - 0.5
    }

    fn meets(&self, other: &Self) -> bool {
        self.low() - NEAR < other.high() && other.low() - NEAR < self.high()
    }

    /// Lowest on the left among those that go down, highest on the left among those that go up: then runs that go the
    /// same way do not cross.
    fn key(&self) -> (bool, f64) {
        let mean = self.ends.iter().sum::<f64>() / count(self.ends.len().max(1));
        if mean >= self.start {
            (true, -self.start)
        } else {
            (false, self.start)
        }
    }

    /// Whether this one's way out and the other's way in would lie on top of each other with `self` on the left.
    fn collides(&self, right: &Self) -> bool {
        self.ends.iter().any(|end| (end - right.start).abs() < NEAR)
    }

    /// What it costs to have `self` to the left of `right`.
    fn cost(&self, right: &Self) -> usize {
        let crossings = self.ends.iter().filter(|end| right.covers(**end)).count();
        usize::from(self.covers(right.start)) + crossings + if self.collides(right) { 20 } else { 0 }
    }
}

/// The runs with a vertical piece, from left to right, each with its track; and how many tracks there are.
pub(super) fn assign(runs: Vec<Run>) -> (Vec<(Run, usize)>, usize) {
    let mut runs: Vec<Option<Run>> = runs.into_iter().filter(|run| !run.is_level()).map(Some).collect();
    let key = |(at, run): (usize, &Option<Run>)| {
        let (down, key) = run.as_ref().map_or((false, 0.0), Run::key);
        [f64::from(u8::from(down)), key, count(at), 0.0]
    };
    let mut keys: Vec<[f64; 4]> = runs.iter().enumerate().map(key).collect();
    sort(&mut keys);
    let mut runs: Vec<Run> = keys.iter().filter_map(|key| runs[index(key[2])].take()).collect();
    if runs.len() <= MOST_COMPARED {
        settle(&mut runs);
    }
    let mut assigned: Vec<(Run, usize)> = Vec::with_capacity(runs.len());
    let mut tracks = 0;
    for run in runs {
        let after = assigned
            .iter()
            .filter(|(left, _)| left.meets(&run) || left.collides(&run));
        let track = after.map(|(_, track)| track + 1).max().unwrap_or(0);
        tracks = tracks.max(track + 1);
        assigned.push((run, track));
    }
    (assigned, tracks)
}

/// Moves every run to the cheapest place among the others, a few times over.
fn settle(runs: &mut Vec<Run>) {
    for _ in 0..3 {
        let mut moved = false;
        for at in 0..runs.len() {
            let run = runs.remove(at);
            // With the run at place p, those before p are on its left: start with all of them on its right.
            let mut cost: usize = runs.iter().map(|other| run.cost(other)).sum();
            let (mut best, mut cheapest) = (0, cost);
            let mut here = cost;
            for (place, other) in runs.iter().enumerate() {
                cost = cost - run.cost(other) + other.cost(&run);
                if place + 1 == at {
                    here = cost;
                }
                if cost < cheapest {
                    (best, cheapest) = (place + 1, cost);
                }
            }
            let place = if cheapest < here { best } else { at };
            moved |= place != at;
            runs.insert(place, run);
        }
        if !moved {
            break;
        }
    }
}
