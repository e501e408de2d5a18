//! The definition as it is handed to the daemon.
//!
//! It is the plan's, op by op and byte by byte, but for build contexts. A daemon takes steps of one digest that run at the
//! same time for one step, whoever asked for them. The plan's digests name a context and not what is in it, so two builds
//! of one Dockerfile with different files would get each other's. Therefore a context's op says here which content it is
//! of (`local.unique`), which gives it and the ops above it other digests; what the daemon tells of them is told under the
//! plan's.

use std::collections::{BTreeMap, BTreeSet};

use bollard_buildkit_proto::pb;
use stagewright_core::digest::Digest;
use stagewright_core::llb::{Attr, Op, OpKind, SourceOp, decode, marshal};

use crate::backend::graph::Graph;

/// A context's name for who tells it from others.
const UNIQUE: &str = "local.unique";

/// A definition that is ready to be sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Sent {
    /// What the daemon gets.
    pub(super) definition: pb::Definition,
    /// The daemon's digest of an op -> the plan's.
    pub(super) names: BTreeMap<String, Digest>,
}

/// Which steps run although there is a result of theirs.
pub(super) enum Afresh<'a> {
    All,
    Some(&'a BTreeSet<Digest>),
}

/// Makes the definition of `graph`, whose contexts have the content that `contexts` names.
pub(super) fn sent(graph: &Graph, contexts: &BTreeMap<String, Digest>, afresh: &Afresh<'_>) -> Sent {
    let mut sent = Sent::default();
    // The plan's digest -> the daemon's, where that is another.
    let mut moved: BTreeMap<Digest, Digest> = BTreeMap::new();
    for vertex in &graph.vertices {
        let op = changed(&vertex.op, contexts, &moved);
        let bytes = op.as_ref().map_or_else(|| vertex.bytes.clone(), marshal);
        let digest = if op.is_some() {
            let digest = Digest::of(&bytes);
            moved.insert(vertex.digest.clone(), digest.clone());
            digest
        } else {
            vertex.digest.clone()
        };
        let ignore_cache = match afresh {
            Afresh::All => true,
            Afresh::Some(some) => some.contains(&vertex.digest),
        };
        let metadata = pb::OpMetadata {
            ignore_cache,
            description: BTreeMap::from([("llb.customname".to_owned(), vertex.name.clone())]),
            // A daemon that lacks one of them says so, rather than taking the op for another.
            caps: vertex
                .op
                .caps()
                .into_iter()
                .map(|cap| (cap.to_owned(), true))
                .collect(),
            ..pb::OpMetadata::default()
        };
        sent.definition.def.push(bytes);
        sent.definition.metadata.insert(digest.to_string(), metadata);
        sent.names.insert(digest.to_string(), vertex.digest.clone());
    }
    if !graph.terminal.is_empty() {
        let terminal = decode(&graph.terminal).ok();
        let terminal = terminal.and_then(|op| changed(&op, contexts, &moved));
        let bytes = terminal.as_ref().map_or_else(|| graph.terminal.clone(), marshal);
        let mut caps = BTreeMap::from([("constraints".to_owned(), true)]);
        caps.insert("platform".to_owned(), true);
        let metadata = pb::OpMetadata {
            caps,
            ..pb::OpMetadata::default()
        };
        sent.definition
            .metadata
            .insert(Digest::of(&bytes).to_string(), metadata);
        sent.definition.def.push(bytes);
    }
    sent
}

/// The op as the daemon is to have it, where that is otherwise than in the plan.
fn changed(op: &Op, contexts: &BTreeMap<String, Digest>, moved: &BTreeMap<Digest, Digest>) -> Option<Op> {
    let mut changed = None;
    if let Some(OpKind::Source(source)) = &op.kind
        && let Some(name) = source.identifier.strip_prefix("local://")
        && let Some(content) = contexts.get(name)
    {
        let mut attrs: Vec<Attr> = source
            .attrs
            .iter()
            .filter(|attr| attr.key != UNIQUE)
            .cloned()
            .collect();
        attrs.push(Attr::new(UNIQUE, content.hex()));
        let source = SourceOp::new(source.identifier.clone(), attrs);
        changed.get_or_insert_with(|| op.clone()).kind = Some(OpKind::Source(source));
    }
    if op.inputs.iter().any(|input| moved.contains_key(&input.digest)) {
        for input in &mut changed.get_or_insert_with(|| op.clone()).inputs {
            if let Some(digest) = moved.get(&input.digest) {
                input.digest = digest.clone();
            }
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use stagewright_core::llb::{ExecOp, Input, Meta, Mount};
    use stagewright_core::protocol::WireOp;

    fn op(kind: Option<OpKind>, inputs: &[&WireOp], name: &str) -> WireOp {
        let input = |op: &&WireOp| Input {
            digest: Digest::of(&op.bytes),
            index: 0,
        };
        let op = Op {
            inputs: inputs.iter().map(input).collect(),
            kind,
            ..Op::default()
        };
        WireOp {
            bytes: marshal(&op),
            name: name.to_owned(),
        }
    }

    fn source(identifier: &str) -> WireOp {
        let attrs = vec![
            Attr::new(UNIQUE, "stagewright"),
            Attr::new("local.followpaths", "[\"a\"]"),
        ];
        let attrs = if identifier.starts_with("local") {
            attrs
        } else {
            Vec::new()
        };
        op(
            Some(OpKind::Source(SourceOp::new(identifier.to_owned(), attrs))),
            &[],
            identifier,
        )
    }

    /// A step on an image, and one on it and the context.
    fn graph() -> Graph {
        let (image, context) = (source("docker-image://a"), source("local://context"));
        let exec = || {
            let meta = Meta {
                args: vec!["true".into()],
                cwd: "/".into(),
                ..Meta::default()
            };
            let mount = Mount {
                dest: "/".into(),
                ..Mount::default()
            };
            Some(OpKind::Exec(ExecOp {
                meta: Some(meta),
                mounts: vec![mount],
                ..ExecOp::default()
            }))
        };
        let step = op(exec(), &[&image], "step");
        let copy = op(exec(), &[&step, &context], "copy");
        let end = op(None, &[&copy], "");
        let ops = vec![image, step, context, copy, end];
        let digests: Vec<String> = ops.iter().map(|op| Digest::of(&op.bytes).to_string()).collect();
        Graph::read(ops, &Digest::of(digests.join("\n").as_bytes())).unwrap()
    }

    fn sent_with(content: Option<&[u8]>) -> Sent {
        let contexts = content.map(|content| ("context".to_owned(), Digest::of(content)));
        sent(
            &graph(),
            &contexts.into_iter().collect(),
            &Afresh::Some(&BTreeSet::new()),
        )
    }

    #[test]
    fn what_no_context_goes_into_is_the_plan_s_to_the_byte() {
        let (graph, sent) = (graph(), sent_with(None));
        let mut ops: Vec<&Vec<u8>> = graph.vertices.iter().map(|vertex| &vertex.bytes).collect();
        ops.push(&graph.terminal);
        assert_eq!(sent.definition.def.iter().collect::<Vec<_>>(), ops);
        assert!(
            sent.names
                .iter()
                .all(|(theirs, ours)| *theirs == ours.to_string())
        );
        for digest in sent.names.keys() {
            let metadata = &sent.definition.metadata[digest];
            assert!(!metadata.ignore_cache && !metadata.description["llb.customname"].is_empty());
        }
    }

    #[test]
    fn content_of_a_context_tells_its_steps_from_those_of_another_and_all_are_told_as_planned() {
        let graph = graph();
        let (one, same, other) = (
            sent_with(Some(b"1")),
            sent_with(Some(b"1")),
            sent_with(Some(b"2")),
        );
        assert_eq!(one.definition, same.definition);
        let planned: BTreeSet<String> = graph
            .vertices
            .iter()
            .map(|vertex| vertex.digest.to_string())
            .collect();
        for sent in [&one, &other] {
            let told: BTreeSet<String> = sent.names.values().map(Digest::to_string).collect();
            assert_eq!(told, planned);
            for (bytes, digest) in sent
                .definition
                .def
                .iter()
                .map(|bytes| (bytes, Digest::of(bytes).to_string()))
            {
                assert!(sent.definition.metadata.contains_key(&digest), "{bytes:?}");
            }
        }
        let kept: BTreeSet<&String> = one
            .names
            .keys()
            .filter(|digest| planned.contains(*digest))
            .collect();
        assert_eq!(kept.len(), 2, "the image and the step on it alone");
        let shared = one
            .names
            .keys()
            .filter(|digest| other.names.contains_key(*digest))
            .count();
        assert_eq!(shared, 2);
        // What else the op says stays.
        let context = one
            .definition
            .def
            .iter()
            .filter_map(|bytes| decode(bytes).ok())
            .find_map(|op| match op.kind {
                Some(OpKind::Source(source)) if source.identifier == "local://context" => Some(source),
                _ => None,
            });
        let context = context.unwrap();
        assert_eq!(context.attr("local.followpaths"), Some("[\"a\"]"));
        assert_eq!(context.attr(UNIQUE), Some(Digest::of(b"1").hex()));
    }

    #[test]
    fn steps_that_are_to_run_again_are_marked() {
        let graph = graph();
        let step = BTreeSet::from([graph.vertices[1].digest.clone()]);
        let marked = |afresh: &Afresh<'_>| {
            let sent = sent(&graph, &BTreeMap::new(), afresh);
            sent.definition
                .metadata
                .values()
                .filter(|metadata| metadata.ignore_cache)
                .count()
        };
        assert_eq!(marked(&Afresh::All), 4);
        assert_eq!(marked(&Afresh::Some(&step)), 1);
    }
}
