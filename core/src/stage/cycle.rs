//! Stages that need each other.

use super::{Dependency, Node};

/// A chain of dependencies that leads back to where it began, if there is one.
///
/// Only copies and mounts can make one: a base stands before the stage that starts from it.
pub(crate) fn find_cycle(nodes: &[Node]) -> Option<Vec<(usize, Dependency)>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let mut marks = vec![Mark::New; nodes.len()];
    for start in 0..nodes.len() {
        let mut path: Vec<(usize, usize)> = vec![(start, 0)];
        while let Some((node, next)) = path.last_mut() {
            let node = *node;
            let Some(state) = nodes.get(node) else { break };
            if *next == 0 && marks.get(node) == Some(&Mark::Done) {
                path.pop();
                continue;
            }
            if let Some(mark) = marks.get_mut(node) {
                *mark = Mark::Open;
            }
            let Some(dependency) = state.dependencies.get(*next) else {
                if let Some(mark) = marks.get_mut(node) {
                    *mark = Mark::Done;
                }
                path.pop();
                continue;
            };
            *next += 1;
            let on = dependency.on;
            if marks.get(on) == Some(&Mark::Open) {
                // The cycle is the part of the path from the node it leads back to.
                let from = path.iter().position(|&(node, _)| node == on).unwrap_or(0);
                let chain = path.iter().skip(from).filter_map(|&(node, next)| {
                    let all = &nodes.get(node)?.dependencies;
                    let on = all.get(next.checked_sub(1)?)?.on;
                    // Where a stage is needed several times the last one is named, as BuildKit does.
                    let last = all.iter().rfind(|dependency| dependency.on == on)?;
                    Some((node, last.clone()))
                });
                return Some(chain.collect());
            }
            if marks.get(on) == Some(&Mark::New) {
                path.push((on, 0));
            }
        }
    }
    None
}
