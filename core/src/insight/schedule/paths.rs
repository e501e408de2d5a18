//! The longest paths through the graph, and those that avoid a step or an edge.
//!
//! Ops stand after their inputs, so their order is one of time too. A path that avoids an op either jumps over it by an
//! edge, or ends before it, or begins behind it; the longest of each kind is found for all ops in one sweep.

use std::collections::BinaryHeap;

use super::super::ops::Ops;

/// By op, in nanoseconds.
pub(super) struct Paths {
    lengths: Vec<u64>,
    /// The longest path that ends with the op, itself included.
    finish: Vec<u64>,
    /// The longest path that begins with the op, itself included.
    tail: Vec<u64>,
    /// The longest path that avoids the op.
    avoiding: Vec<u64>,
    /// The longest path of all.
    pub(super) makespan: u64,
}

impl Paths {
    pub(super) fn of(ops: &Ops<'_>, lengths: &[u64]) -> Self {
        let count = ops.len();
        let length = |op: usize| lengths.get(op).copied().unwrap_or(0);
        let mut finish: Vec<u64> = Vec::with_capacity(count);
        for op in 0..count {
            let start = ops.inputs(op).iter().filter_map(|input| finish.get(*input)).max();
            finish.push(start.copied().unwrap_or(0).saturating_add(length(op)));
        }
        let mut tail: Vec<u64> = (0..count).map(length).collect();
        for op in (0..count).rev() {
            let own = tail.get(op).copied().unwrap_or(0);
            for &input in ops.inputs(op) {
                if let Some(longest) = tail.get_mut(input) {
                    *longest = (*longest).max(length(input).saturating_add(own));
                }
            }
        }
        let makespan = finish.iter().copied().max().unwrap_or(0);
        let avoiding = avoiding(ops, &finish, &tail);
        Self {
            lengths: lengths.to_vec(),
            finish,
            tail,
            avoiding,
            makespan,
        }
    }

    fn length(&self, op: usize) -> u64 {
        self.lengths.get(op).copied().unwrap_or(0)
    }

    pub(super) fn finish(&self, op: usize) -> u64 {
        self.finish.get(op).copied().unwrap_or(0)
    }

    pub(super) fn start(&self, op: usize) -> u64 {
        self.finish(op).saturating_sub(self.length(op))
    }

    pub(super) fn tail(&self, op: usize) -> u64 {
        self.tail.get(op).copied().unwrap_or(0)
    }

    fn avoiding(&self, op: usize) -> u64 {
        self.avoiding.get(op).copied().unwrap_or(0)
    }

    pub(super) fn slack(&self, op: usize) -> u64 {
        self.makespan
            .saturating_sub(self.start(op).saturating_add(self.tail(op)))
    }

    /// How much shorter everything is where `op` takes no time.
    pub(super) fn saving(&self, op: usize) -> u64 {
        let through = self
            .start(op)
            .saturating_add(self.tail(op))
            .saturating_sub(self.length(op));
        self.makespan.saturating_sub(through.max(self.avoiding(op)))
    }

    /// How long everything takes where `op` does not wait for `input`.
    pub(super) fn without_edge(&self, ops: &Ops<'_>, input: usize, op: usize) -> u64 {
        let others = ops.inputs(op).iter().filter(|other| **other != input);
        let start = others.map(|other| self.finish(*other)).max().unwrap_or(0);
        self.avoiding(op).max(start.saturating_add(self.tail(op)))
    }

    /// How long everything takes where `op` begins where `input` does instead of after it.
    pub(super) fn beside(&self, ops: &Ops<'_>, input: usize, op: usize) -> u64 {
        self.without_edge(ops, input, op)
            .max(self.start(input).saturating_add(self.tail(op)))
            .max(self.finish(input))
    }

    /// One path that decides, first to last.
    pub(super) fn critical_path(&self, ops: &Ops<'_>) -> Vec<usize> {
        let last = (0..ops.len()).rev().find(|op| self.finish(*op) == self.makespan);
        let mut path = Vec::new();
        let mut next = last.filter(|_| self.makespan > 0);
        while let Some(op) = next {
            path.push(op);
            let start = self.start(op);
            // An input that ends when this begins; inputs stand before it, so this comes to an end.
            let inputs = ops.inputs(op).iter().copied();
            next = inputs
                .filter(|input| self.finish(*input) == start)
                .max_by_key(|input| self.finish(*input));
        }
        path.reverse();
        path
    }
}

/// By op, the longest path that avoids it.
fn avoiding(ops: &Ops<'_>, finish: &[u64], tail: &[u64]) -> Vec<u64> {
    let count = ops.len();
    let mut longest = vec![0u64; count];
    let note = |longest: &mut Vec<u64>, op: usize, length: u64| {
        if let Some(place) = longest.get_mut(op) {
            *place = (*place).max(length);
        }
    };
    // Paths that end before it, and paths that begin behind it.
    let mut most = 0;
    for op in 0..count {
        note(&mut longest, op, most);
        most = most.max(finish.get(op).copied().unwrap_or(0));
    }
    let mut most = 0;
    for op in (0..count).rev() {
        note(&mut longest, op, most);
        most = most.max(tail.get(op).copied().unwrap_or(0));
    }
    // Paths that jump over it. An edge is open from behind its input up to its user; the longest open one counts, and
    // those that are not open any more are thrown away when they come to the top.
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); count];
    for op in 0..count {
        for &input in ops.inputs(op) {
            if let Some(users) = users.get_mut(input) {
                users.push(op);
            }
        }
    }
    let mut open: BinaryHeap<(u64, usize)> = BinaryHeap::new();
    for op in 0..count {
        while open.peek().is_some_and(|(_, user)| *user <= op) {
            open.pop();
        }
        if let Some(&(length, _)) = open.peek() {
            note(&mut longest, op, length);
        }
        for &user in users.get(op).into_iter().flatten() {
            let through = finish.get(op).zip(tail.get(user));
            let length = through.map_or(0, |(finish, tail)| finish.saturating_add(*tail));
            open.push((length, user));
        }
    }
    longest
}
