//! A definition as a checked graph.

use std::collections::BTreeMap;

use stagewright_core::digest::Digest;
use stagewright_core::llb::{Edge, Op, Vertices};
use stagewright_core::protocol::WireOp;

use crate::source::http::told;

/// The ops of a build that its result needs: every op stands after its inputs.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    /// The ops, the terminal one left out.
    pub vertices: Vec<GraphVertex>,
    /// What the image is made of; `None` for an empty image.
    pub head: Option<Edge>,
    /// The marshalled terminal op, for a backend that takes the definition as it is; empty for an empty image.
    pub terminal: Vec<u8>,
}

/// One op of a [`Graph`].
#[derive(Debug, Clone)]
pub struct GraphVertex {
    /// sha256 of `bytes`: the op's identity, never a cache key.
    pub digest: Digest,
    /// What it is.
    pub op: Op,
    /// The bytes it was read from.
    pub bytes: Vec<u8>,
    /// The name progress shows.
    pub name: String,
    /// Its inputs, in the op's own order, as indices into [`Graph::vertices`].
    pub inputs: Vec<Edge>,
}

/// Why ops are no graph to run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// An op cannot be read, or the ops do not fit together.
    #[error("the plan cannot be read: {0}")]
    Decode(#[from] stagewright_core::llb::DecodeError),
    /// What arrived is not what the client said it sent.
    #[error(
        "the plan's digest is {actual}, but the request says {expected}: only the plan that was shown may run; \
         plan again and send that"
    )]
    Digest {
        /// As the request has it.
        expected: Digest,
        /// As computed from the ops.
        actual: Digest,
    },
}

impl Graph {
    /// Reads the ops of a definition, checks that it is the one named `expected`, and leaves out what its result
    /// does not need. The ops may come from anyone.
    pub fn read(ops: Vec<WireOp>, expected: &Digest) -> Result<Self, GraphError> {
        let bytes: Vec<&[u8]> = ops.iter().map(|op| op.bytes.as_slice()).collect();
        let digests: Vec<String> = bytes.iter().map(|bytes| Digest::of(bytes).to_string()).collect();
        let actual = Digest::of(digests.join("\n").as_bytes());
        if actual != *expected {
            return Err(GraphError::Digest {
                expected: expected.clone(),
                actual,
            });
        }
        let Vertices { ops: vertices, head } = Vertices::decode(&bytes)?;
        let mut ops = ops;
        let terminal = ops.pop().map(|op| op.bytes).unwrap_or_default();
        let all: Vec<GraphVertex> = vertices
            .into_iter()
            .zip(ops)
            .map(|(vertex, wire)| GraphVertex {
                digest: vertex.digest,
                op: vertex.op,
                bytes: wire.bytes,
                // It is shown, recorded, and becomes a part of the image's history.
                name: told(&wire.name),
                inputs: vertex.inputs,
            })
            .collect();
        Ok(Self::needed(all, head, terminal))
    }

    /// Keeps what `head` needs, and of identical ops the first.
    fn needed(all: Vec<GraphVertex>, head: Option<Edge>, terminal: Vec<u8>) -> Self {
        let mut wanted = vec![false; all.len()];
        let mut pending: Vec<usize> = head.iter().map(|edge| edge.vertex).collect();
        while let Some(index) = pending.pop() {
            let Some(seen) = wanted.get_mut(index) else {
                continue;
            };
            if !std::mem::replace(seen, true)
                && let Some(vertex) = all.get(index)
            {
                pending.extend(vertex.inputs.iter().map(|edge| edge.vertex));
            }
        }
        let mut places: BTreeMap<usize, usize> = BTreeMap::new();
        let mut vertices: Vec<GraphVertex> = Vec::new();
        for (index, (mut vertex, wanted)) in all.into_iter().zip(wanted).enumerate() {
            if wanted {
                vertex.inputs = vertex
                    .inputs
                    .iter()
                    .filter_map(|edge| moved(&places, *edge))
                    .collect();
                places.insert(index, vertices.len());
                vertices.push(vertex);
            }
        }
        let head = head.and_then(|edge| moved(&places, edge));
        Self {
            vertices,
            head,
            terminal,
        }
    }
}

/// An edge after the vertices have moved to `places`.
fn moved(places: &BTreeMap<usize, usize>, edge: Edge) -> Option<Edge> {
    places.get(&edge.vertex).map(|&vertex| Edge {
        vertex,
        output: edge.output,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use stagewright_core::llb::{Input, OpKind, SourceOp, marshal};

    fn wire(op: &Op, name: &str) -> WireOp {
        WireOp {
            bytes: marshal(op),
            name: name.into(),
        }
    }

    fn source(name: &str) -> WireOp {
        let source = SourceOp::new(format!("docker-image://{name}"), Vec::new());
        wire(
            &Op {
                kind: Some(OpKind::Source(source)),
                ..Op::default()
            },
            name,
        )
    }

    fn ending_at(op: &WireOp) -> WireOp {
        let input = Input {
            digest: Digest::of(&op.bytes),
            index: 0,
        };
        wire(
            &Op {
                inputs: vec![input],
                ..Op::default()
            },
            "",
        )
    }

    fn digest_of(ops: &[WireOp]) -> Digest {
        let digests: Vec<String> = ops.iter().map(|op| Digest::of(&op.bytes).to_string()).collect();
        Digest::of(digests.join("\n").as_bytes())
    }

    #[test]
    fn ops_that_the_result_does_not_need_are_left_out() {
        let ops = vec![source("unused"), source("used"), ending_at(&source("used"))];
        let digest = digest_of(&ops);
        let graph = Graph::read(ops, &digest).unwrap();
        assert_eq!(
            graph
                .vertices
                .iter()
                .map(|vertex| vertex.name.as_str())
                .collect::<Vec<_>>(),
            ["used"]
        );
        assert_eq!(graph.head, Some(Edge { vertex: 0, output: 0 }));
    }

    #[test]
    fn a_plan_other_than_the_one_shown_is_refused() {
        let ops = vec![source("a"), ending_at(&source("a"))];
        let shown = digest_of(&[source("b"), ending_at(&source("b"))]);
        assert!(matches!(Graph::read(ops, &shown), Err(GraphError::Digest { .. })));
    }

    #[test]
    fn no_ops_are_an_empty_image() {
        assert!(Graph::read(Vec::new(), &Digest::of(b"")).unwrap().head.is_none());
    }
}
