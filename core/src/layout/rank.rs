//! Which column everything stands in: to the right of all it takes from.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::drawing::EdgeLook;
use super::graph::{Graph, Link};

/// The columns, and the links that cannot go from left to right.
pub(super) struct Ranks {
    /// By node.
    pub(super) rank: Vec<usize>,
    /// By link: whether it closes a circle, which a broken Dockerfile can.
    pub(super) backward: Vec<bool>,
    /// The nodes, each after all it takes from as far as circles allow, otherwise in the order of the file.
    pub(super) order: Vec<usize>,
}

/// Ranks the nodes of a graph by longest path, then draws them towards what they are needed by or need.
pub(super) fn rank(graph: &Graph) -> Ranks {
    let (order, backward) = order(graph);
    let mut links = Neighbours {
        incoming: vec![Vec::new(); order.len()],
        outgoing: vec![Vec::new(); order.len()],
    };
    for (link, back) in graph.links.iter().zip(&backward) {
        if !back {
            links.incoming[link.to].push(link);
            links.outgoing[link.from].push(link);
        }
    }
    let mut rank = vec![0; order.len()];
    for node in &order {
        rank[*node] = links.earliest(*node, &rank);
    }
    // Twice, as what moved makes room for what it takes from.
    for _ in 0..2 {
        for node in order.iter().rev() {
            if pull(&links.outgoing[*node]) > pull(&links.incoming[*node]) {
                rank[*node] = links.latest(*node, &rank).unwrap_or(rank[*node]);
            }
        }
        for node in &order {
            if pull(&links.incoming[*node]) > pull(&links.outgoing[*node]) {
                rank[*node] = links.earliest(*node, &rank);
            }
        }
    }
    close_gaps(&mut rank);
    Ranks {
        rank,
        backward,
        order,
    }
}

/// The links of every node, backward ones left out.
struct Neighbours<'graph> {
    incoming: Vec<Vec<&'graph Link>>,
    outgoing: Vec<Vec<&'graph Link>>,
}

impl Neighbours<'_> {
    fn earliest(&self, node: usize, rank: &[usize]) -> usize {
        self.incoming[node]
            .iter()
            .map(|link| rank[link.from] + 1)
            .max()
            .unwrap_or(0)
    }

    fn latest(&self, node: usize, rank: &[usize]) -> Option<usize> {
        self.outgoing[node]
            .iter()
            .map(|link| rank[link.to].saturating_sub(1))
            .min()
    }
}

/// How strongly links want to be short.
fn pull(links: &[&Link]) -> u32 {
    links
        .iter()
        .map(|link| match (link.dimmed, link.look) {
            (true, _) => 1,
            (false, EdgeLook::Copy) => 4,
            (false, EdgeLook::Base | EdgeLook::Mount | EdgeLook::Context) => 3,
        })
        .sum()
}

/// Kahn's order, lowest index first. Where a circle leaves nothing to take, the lowest index left is taken anyway,
/// and the links to it that are still open are the backward ones.
fn order(graph: &Graph) -> (Vec<usize>, Vec<bool>) {
    let mut waiting = vec![0_usize; graph.nodes.len()];
    let mut outgoing = vec![Vec::new(); graph.nodes.len()];
    for (index, link) in graph.links.iter().enumerate() {
        waiting[link.to] += 1;
        outgoing[link.from].push(index);
    }
    let nodes = 0..waiting.len();
    let mut ready: BinaryHeap<Reverse<usize>> = nodes
        .clone()
        .filter(|node| waiting[*node] == 0)
        .map(Reverse)
        .collect();
    let mut taken = vec![false; waiting.len()];
    let mut left = nodes;
    let mut order = Vec::with_capacity(waiting.len());
    let mut place = vec![0; waiting.len()];
    loop {
        let next = ready.pop().map(|Reverse(node)| node);
        let Some(node) = next.or_else(|| left.find(|node| !taken[*node])) else {
            break;
        };
        taken[node] = true;
        place[node] = order.len();
        order.push(node);
        for link in &outgoing[node] {
            let to = graph.links[*link].to;
            waiting[to] = waiting[to].saturating_sub(1);
            if waiting[to] == 0 && !taken[to] {
                ready.push(Reverse(to));
            }
        }
    }
    let backward = graph
        .links
        .iter()
        .map(|link| place[link.from] >= place[link.to])
        .collect();
    (order, backward)
}

/// Numbers the ranks in use from 0 without gaps.
fn close_gaps(rank: &mut [usize]) {
    let mut number = vec![0; rank.iter().max().map_or(0, |last| last + 1)];
    for rank in rank.iter() {
        number[*rank] = 1;
    }
    let mut next = 0;
    for number in &mut number {
        next += *number;
        *number = next;
    }
    for rank in rank {
        *rank = number[*rank] - 1;
    }
}
