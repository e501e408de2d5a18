//! Which step made which layer of an image. The daemon does not say; it follows from the definition.

use std::collections::BTreeSet;

use stagewright_core::digest::Digest;
use stagewright_core::llb::{Edge, ExecOp, FileOp, OpKind};

use crate::backend::graph::Graph;

/// Steps whose layers may lie in one image; more are not told apart.
const MOST: usize = 100_000;

/// Where layers of a result come from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    /// One layer, by this step.
    Step(Digest),
    /// Any number, of this source's image.
    Image(Digest),
}

/// The step behind each of an image's `count` layers, lowest first; for layers of a base image the source. `None` where
/// it cannot be told.
pub(super) fn steps(graph: &Graph, count: usize) -> Vec<Option<Digest>> {
    let origins = graph.head.map(|head| origins(graph, head)).unwrap_or_default();
    let images = origins
        .iter()
        .filter(|origin| matches!(origin, Origin::Image(_)))
        .count();
    let steps = origins.len() - images;
    let unknown = vec![None; count];
    let Some(of_images) = count.checked_sub(steps) else {
        return unknown;
    };
    let told: Vec<Option<Digest>> = match images {
        0 if of_images == 0 => origins.into_iter().map(|origin| Some(origin.vertex())).collect(),
        1 => origins
            .into_iter()
            .flat_map(|origin| {
                let times = if matches!(origin, Origin::Image(_)) {
                    of_images
                } else {
                    1
                };
                std::iter::repeat_n(Some(origin.vertex()), times)
            })
            .collect(),
        // How many are of the one and how many of the other is not known. Those above the last are.
        _ => {
            let above = origins
                .iter()
                .rev()
                .take_while(|origin| matches!(origin, Origin::Step(_)))
                .count();
            let mut told = vec![None; count - above];
            let steps = origins.into_iter().rev().take(above).rev();
            told.extend(steps.map(|origin| Some(origin.vertex())));
            told
        }
    };
    if told.len() == count { told } else { unknown }
}

/// The steps among all of these that make layers of their own, whose layers are new rather than a base image's.
pub(super) fn makers(graph: &Graph) -> BTreeSet<Digest> {
    let makes = |kind: &OpKind| match kind {
        OpKind::Source(source) => !is_image(&source.identifier),
        OpKind::Exec(_) | OpKind::File(_) | OpKind::Merge(_) | OpKind::Diff(_) => true,
        OpKind::Build(_) | OpKind::Passthrough(_) => false,
    };
    let vertices = graph
        .vertices
        .iter()
        .filter(|vertex| vertex.op.kind.as_ref().is_some_and(makes));
    vertices.map(|vertex| vertex.digest.clone()).collect()
}

impl Origin {
    fn vertex(self) -> Digest {
        match self {
            Self::Step(vertex) | Self::Image(vertex) => vertex,
        }
    }
}

fn is_image(identifier: &str) -> bool {
    ["docker-image://", "oci-layout://"]
        .iter()
        .any(|scheme| identifier.starts_with(scheme))
}

/// What lies below an output of a step, lowest first.
fn origins(graph: &Graph, head: Edge) -> Vec<Origin> {
    let mut origins = Vec::new();
    // From the top down; of several that lie on each other the topmost comes first.
    let mut pending = vec![head];
    while let Some(edge) = pending.pop() {
        let Some(vertex) = graph.vertices.get(edge.vertex) else {
            continue;
        };
        if origins.len() > MOST {
            return Vec::new();
        }
        let step = Origin::Step(vertex.digest.clone());
        let input = |index: i64| {
            usize::try_from(index)
                .ok()
                .and_then(|index| vertex.inputs.get(index))
                .copied()
        };
        match &vertex.op.kind {
            Some(OpKind::Source(source)) if is_image(&source.identifier) => {
                origins.push(Origin::Image(vertex.digest.clone()));
            }
            Some(OpKind::Merge(merge)) => {
                pending.extend(merge.inputs.iter().filter_map(|part| input(part.input)));
            }
            Some(OpKind::Exec(exec)) => {
                origins.push(step);
                pending.extend(base_of_exec(exec, edge.output).and_then(input));
            }
            Some(OpKind::File(file)) => {
                origins.push(step);
                pending.extend(base_of_file(file, edge.output, vertex.inputs.len()).and_then(input));
            }
            Some(OpKind::Source(_) | OpKind::Diff(_) | OpKind::Build(_) | OpKind::Passthrough(_)) | None => {
                origins.push(step);
            }
        }
    }
    origins.reverse();
    origins
}

fn base_of_exec(exec: &ExecOp, output: u32) -> Option<i64> {
    let mount = exec.mounts.iter().find(|mount| mount.output == i64::from(output));
    mount.map(|mount| mount.input)
}

/// The input that an output of a file op lies on, after all actions before it.
fn base_of_file(file: &FileOp, output: u32, inputs: usize) -> Option<i64> {
    let mut index = file
        .actions
        .iter()
        .position(|action| action.output == i64::from(output))?;
    loop {
        let input = file.actions.get(index)?.input;
        let earlier = usize::try_from(input)
            .ok()
            .and_then(|input| input.checked_sub(inputs));
        match earlier {
            // An action works on inputs and on what actions before it made.
            Some(earlier) if earlier < index => index = earlier,
            Some(_) => return None,
            None => return Some(input),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stagewright_core::llb::{
        Action, FileAction, FileActionRm, Input, MergeInput, MergeOp, Meta, Mount, Op, SourceOp, marshal,
    };
    use stagewright_core::protocol::WireOp;

    #[derive(Default)]
    struct Plan(Vec<WireOp>);

    impl Plan {
        fn add(&mut self, kind: Option<OpKind>, inputs: &[(&Digest, u32)]) -> Digest {
            let inputs = inputs.iter().map(|(digest, index)| Input {
                digest: (*digest).clone(),
                index: *index,
            });
            let op = Op {
                inputs: inputs.collect(),
                kind,
                ..Op::default()
            };
            let bytes = marshal(&op);
            let digest = Digest::of(&bytes);
            self.0.push(WireOp {
                bytes,
                name: String::new(),
            });
            digest
        }

        fn source(&mut self, identifier: &str) -> Digest {
            let source = SourceOp::new(identifier.to_owned(), Vec::new());
            self.add(Some(OpKind::Source(source)), &[])
        }

        /// A step on an input's files; its name tells it from others.
        fn exec(&mut self, on: &Digest, name: &str) -> Digest {
            let meta = Meta {
                args: vec![name.to_owned()],
                cwd: "/".to_owned(),
                ..Meta::default()
            };
            let mount = Mount {
                dest: "/".to_owned(),
                ..Mount::default()
            };
            let exec = ExecOp {
                meta: Some(meta),
                mounts: vec![mount],
                ..ExecOp::default()
            };
            self.add(Some(OpKind::Exec(exec)), &[(on, 0)])
        }

        /// Two actions, of which the second works on what the first made of `input`.
        fn file(&mut self, input: i64, inputs: &[(&Digest, u32)]) -> Digest {
            let count = i64::try_from(inputs.len()).unwrap();
            let action = |input, output| FileAction {
                input,
                secondary_input: -1,
                output,
                action: Some(Action::Rm(FileActionRm {
                    path: "/a".to_owned(),
                    ..FileActionRm::default()
                })),
            };
            let file = FileOp {
                actions: vec![action(input, -1), action(count, 0)],
            };
            self.add(Some(OpKind::File(file)), inputs)
        }

        fn steps(mut self, head: &Digest, count: usize) -> Vec<Option<Digest>> {
            self.add(None, &[(head, 0)]);
            let digests: Vec<String> = self
                .0
                .iter()
                .map(|op| Digest::of(&op.bytes).to_string())
                .collect();
            let graph = Graph::read(self.0, &Digest::of(digests.join("\n").as_bytes())).unwrap();
            steps(&graph, count)
        }
    }

    #[test]
    fn layers_above_the_base_image_are_the_steps_own() {
        let mut plan = Plan::default();
        let (base, context) = (plan.source("docker-image://a"), plan.source("local://context"));
        let run = plan.exec(&base, "run");
        let copy = plan.file(0, &[(&run, 0), (&context, 0)]);
        let wanted = [&base, &base, &run, &copy].map(|digest| Some(digest.clone()));
        assert_eq!(plan.steps(&copy, 4), wanted);
    }

    #[test]
    fn what_is_copied_onto_nothing_and_laid_over_is_one_layer_each() {
        let mut plan = Plan::default();
        let (base, context) = (plan.source("docker-image://a"), plan.source("local://context"));
        let alone = plan.file(-1, &[(&context, 0)]);
        let parts = [0, 1].map(|input| MergeInput { input });
        let merge = OpKind::Merge(MergeOp {
            inputs: parts.to_vec(),
        });
        let merged = plan.add(Some(merge), &[(&base, 0), (&alone, 0)]);
        let run = plan.exec(&merged, "run");
        let wanted = [&base, &alone, &run].map(|digest| Some(digest.clone()));
        assert_eq!(plan.steps(&run, 3), wanted);
    }

    #[test]
    fn what_does_not_fit_is_not_guessed() {
        let mut plan = Plan::default();
        let base = plan.source("docker-image://a");
        let one = plan.exec(&base, "one");
        let run = plan.exec(&one, "two");
        assert_eq!(plan.steps(&run, 1), [None]);
        let graph = Graph::read(Vec::new(), &Digest::of(b"")).unwrap();
        assert_eq!(steps(&graph, 0), []);
        assert_eq!(steps(&graph, 1), [None]);
    }
}
