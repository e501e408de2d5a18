//! A definition's ops, read and linked.

use std::collections::BTreeMap;

use crate::digest::Digest;

use super::{DecodeError, Op, decode};

/// A definition that holds together: every op's inputs stand before it, so there are no cycles, and the last op is
/// the terminal one.
#[derive(Debug, Clone, PartialEq)]
pub struct Vertices {
    /// All ops but the terminal one, each after its inputs.
    pub ops: Vec<Vertex>,
    /// The result: what the terminal op points to. `None` for a definition without ops, which is an empty image.
    pub head: Option<Edge>,
}

/// An op of a definition.
#[derive(Debug, Clone, PartialEq)]
pub struct Vertex {
    /// sha256 of the bytes it was read from: what everyone else knows it by.
    pub digest: Digest,
    /// What it is.
    pub op: Op,
    /// Its inputs, in the order of [`Op::inputs`].
    pub inputs: Vec<Edge>,
}

/// An output of an op of a definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Edge {
    /// Index into [`Vertices::ops`].
    pub vertex: usize,
    /// Which of its outputs.
    pub output: u32,
}

impl Vertices {
    /// A definition may have no more ops than this.
    pub const LIMIT: usize = 100_000;

    /// Reads the ops of a definition, given in its order. They may come from anyone.
    pub fn decode<B: AsRef<[u8]>>(definition: &[B]) -> Result<Self, DecodeError> {
        if definition.len() > Self::LIMIT {
            return Err(DecodeError::TooLarge { limit: Self::LIMIT });
        }
        let Some((terminal, rest)) = definition.split_last() else {
            return Ok(Self {
                ops: Vec::new(),
                head: None,
            });
        };
        let mut known = BTreeMap::new();
        let mut ops = Vec::with_capacity(rest.len());
        for (index, bytes) in rest.iter().enumerate() {
            let op = decode(bytes.as_ref())?;
            if op.kind.is_none() {
                return Err(DecodeError::EarlyTerminal { op: index });
            }
            let inputs = link(&op, index, &known)?;
            let digest = Digest::of(bytes.as_ref());
            known.insert(digest.clone(), index);
            ops.push(Vertex { digest, op, inputs });
        }
        let terminal = decode(terminal.as_ref())?;
        let inputs = link(&terminal, rest.len(), &known)?;
        match (terminal.kind, inputs.as_slice()) {
            (None, &[head]) => Ok(Self {
                ops,
                head: Some(head),
            }),
            _ => Err(DecodeError::NoTerminal),
        }
    }
}

fn link(op: &Op, index: usize, known: &BTreeMap<Digest, usize>) -> Result<Vec<Edge>, DecodeError> {
    let edge = |input: &super::Input| match known.get(&input.digest) {
        Some(&vertex) => Ok(Edge {
            vertex,
            output: input.index,
        }),
        None => Err(DecodeError::UnknownInput {
            op: index,
            digest: input.digest.clone(),
        }),
    };
    op.inputs.iter().map(edge).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Input, MergeInput, MergeOp, OpKind, SourceOp, marshal};
    use super::*;

    fn source(identifier: &str) -> Vec<u8> {
        marshal(&Op {
            kind: Some(OpKind::Source(SourceOp::new(identifier.into(), Vec::new()))),
            ..Op::default()
        })
    }

    fn uses(bytes: &[u8]) -> Input {
        Input {
            digest: Digest::of(bytes),
            index: 0,
        }
    }

    fn terminal(bytes: &[u8]) -> Vec<u8> {
        marshal(&Op {
            inputs: vec![uses(bytes)],
            ..Op::default()
        })
    }

    #[test]
    fn inputs_are_linked_to_earlier_ops() {
        let (a, b) = (source("docker-image://a"), source("docker-image://b"));
        let layers = vec![MergeInput { input: 0 }, MergeInput { input: 1 }];
        let merge = marshal(&Op {
            inputs: vec![uses(&b), uses(&a)],
            kind: Some(OpKind::Merge(MergeOp { inputs: layers })),
            ..Op::default()
        });
        let definition = [a, b, merge.clone(), terminal(&merge)];
        let vertices = Vertices::decode(&definition).unwrap();
        assert_eq!(
            vertices.ops[2].inputs,
            [Edge { vertex: 1, output: 0 }, Edge { vertex: 0, output: 0 }]
        );
        assert_eq!(vertices.head, Some(Edge { vertex: 2, output: 0 }));
    }

    #[test]
    fn nothing_is_an_empty_image() {
        assert_eq!(Vertices::decode::<Vec<u8>>(&[]).unwrap().head, None);
    }

    #[test]
    fn ops_out_of_order_and_missing_terminals_are_refused() {
        let a = source("docker-image://a");
        assert!(matches!(
            Vertices::decode(&[terminal(&a), a.clone()]),
            Err(DecodeError::EarlyTerminal { .. } | DecodeError::UnknownInput { .. })
        ));
        assert_eq!(
            Vertices::decode(std::slice::from_ref(&a)),
            Err(DecodeError::NoTerminal)
        );
        assert_eq!(
            Vertices::decode(&[terminal(&a)]),
            Err(DecodeError::UnknownInput {
                op: 0,
                digest: Digest::of(&a)
            })
        );
    }
}
