//! Which step runs when: each as soon as its inputs are there, the others at the same time.

use std::collections::BTreeMap;
use std::future::Future;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Runs every vertex of a graph after its inputs. `inputs` lists for each vertex the vertices it needs, all with
/// smaller numbers. `step` runs one: it gets the vertex, its inputs' results in order and a token to watch.
///
/// The first error cancels what is under way, waits for it and is returned with its vertex; nothing new is begun.
/// What went wrong because of the cancelling is not an error of its own.
pub(crate) async fn run<T, E, F>(
    inputs: &[Vec<usize>],
    cancel: &CancellationToken,
    step: impl Fn(usize, Vec<T>, CancellationToken) -> F,
) -> Result<Vec<T>, Stopped<E>>
where
    T: Clone + Send + 'static,
    E: Send + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
{
    let siblings = cancel.child_token();
    let mut waiting: Vec<usize> = inputs.iter().map(Vec::len).collect();
    let mut dependents: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (vertex, inputs) in inputs.iter().enumerate() {
        for input in inputs {
            dependents.entry(*input).or_default().push(vertex);
        }
    }
    let mut results: Vec<Option<T>> = inputs.iter().map(|_| None).collect();
    let mut tasks = JoinSet::new();
    let mut ready: Vec<usize> = (0..inputs.len())
        .filter(|vertex| waiting.get(*vertex) == Some(&0))
        .collect();
    let mut stopped: Option<Stopped<E>> = None;
    loop {
        if stopped.is_none() && cancel.is_cancelled() {
            stopped = Some(Stopped::Cancelled);
        }
        for vertex in ready.drain(..) {
            if stopped.is_some() {
                continue;
            }
            let needed = inputs.get(vertex).into_iter().flatten();
            let given: Vec<T> = needed
                .filter_map(|input| results.get(*input).cloned().flatten())
                .collect();
            let work = step(vertex, given, siblings.clone());
            tasks.spawn(async move { (vertex, work.await) });
        }
        match tasks.join_next().await {
            None => break,
            Some(Ok((vertex, Ok(result)))) => {
                if let Some(place) = results.get_mut(vertex) {
                    *place = Some(result);
                }
                for dependent in dependents.get(&vertex).into_iter().flatten() {
                    if let Some(count) = waiting.get_mut(*dependent) {
                        *count -= 1;
                        if *count == 0 {
                            ready.push(*dependent);
                        }
                    }
                }
            }
            Some(Ok((vertex, Err(error)))) => {
                if cancel.is_cancelled() {
                    stopped.get_or_insert(Stopped::Cancelled);
                } else {
                    stopped.get_or_insert(Stopped::Failed { vertex, error });
                }
                siblings.cancel();
            }
            Some(Err(fault)) => {
                stopped.get_or_insert(Stopped::Fault(fault.to_string()));
                siblings.cancel();
            }
        }
    }
    match stopped {
        Some(stopped) => Err(stopped),
        None => Ok(results.into_iter().flatten().collect()),
    }
}

/// Why not everything ran.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stopped<E> {
    /// A step failed.
    Failed {
        /// Which.
        vertex: usize,
        /// Why.
        error: E,
    },
    /// Someone cancelled.
    Cancelled,
    /// The worker has a fault: a step ended in a panic.
    Fault(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use tokio::sync::Barrier;

    /// 0 -> 1 and 2 -> 3.
    fn diamond() -> Vec<Vec<usize>> {
        vec![vec![], vec![0], vec![0], vec![1, 2]]
    }

    #[tokio::test]
    async fn independent_steps_run_at_the_same_time_and_get_their_inputs_in_order() {
        let both = Arc::new(Barrier::new(2));
        let (graph, cancel) = (diamond(), CancellationToken::new());
        let results = run(&graph, &cancel, |vertex, given: Vec<String>, _| {
            let both = Arc::clone(&both);
            async move {
                // Each of the two waits until the other runs too.
                if vertex == 1 || vertex == 2 {
                    both.wait().await;
                }
                Ok::<_, ()>(format!("{vertex}({})", given.join(",")))
            }
        });
        assert_eq!(
            results.await.unwrap(),
            ["0()", "1(0())", "2(0())", "3(1(0()),2(0()))"]
        );
    }

    #[tokio::test]
    async fn a_failing_step_cancels_its_siblings_and_nothing_new_begins() {
        let ran = Arc::new(Mutex::new(Vec::new()));
        let both = Arc::new(Barrier::new(2));
        let (graph, token) = (diamond(), CancellationToken::new());
        let result = run(&graph, &token, |vertex, _: Vec<()>, cancel| {
            let (ran, both) = (Arc::clone(&ran), Arc::clone(&both));
            async move {
                ran.lock().unwrap().push(vertex);
                match vertex {
                    1 => {
                        both.wait().await;
                        Err("broken")
                    }
                    2 => {
                        both.wait().await;
                        cancel.cancelled().await;
                        Err("stopped")
                    }
                    _ => Ok(()),
                }
            }
        });
        assert_eq!(
            result.await,
            Err(Stopped::Failed {
                vertex: 1,
                error: "broken"
            })
        );
        ran.lock().unwrap().sort_unstable();
        assert_eq!(*ran.lock().unwrap(), [0, 1, 2]);
    }

    #[tokio::test]
    async fn cancelling_stops_what_runs_and_is_no_failure() {
        let cancel = CancellationToken::new();
        let graph = diamond();
        let result = run(&graph, &cancel, |vertex, _: Vec<()>, token| {
            let cancel = cancel.clone();
            async move {
                if vertex == 0 {
                    return Ok(());
                }
                cancel.cancel();
                token.cancelled().await;
                Err("stopped")
            }
        });
        assert_eq!(result.await, Err(Stopped::Cancelled));
    }

    #[tokio::test]
    async fn a_panic_in_a_step_ends_the_build_and_not_the_worker() {
        let (graph, cancel) = ([vec![]], CancellationToken::new());
        let result = run(&graph, &cancel, |vertex, _: Vec<()>, _| async move {
            assert_ne!(vertex, 0, "a fault");
            Ok::<(), ()>(())
        });
        assert!(matches!(result.await, Err(Stopped::Fault(_))));
    }
}
