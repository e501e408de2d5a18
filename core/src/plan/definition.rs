//! From the graph to the definition: the order of ops, their bytes and digests.

use std::collections::BTreeMap;

use crate::analysis::{Definition, Options, PlannedOp};
use crate::digest::Digest;
use crate::ignore;
use crate::llb::{
    self, Action, Attr, ChownOpt, ExecOp, FileAction, FileOp, Input, MergeInput, MergeOp, Mount, MountType,
    Op, OpKind, SourceOp, User, UserOpt, WorkerConstraints,
};

use super::graph::{ActionPlan, ExecPlan, Graph, MountPlan, Output, Work};

/// A definition, and which op each vertex of the graph became.
pub(crate) struct Marshalled {
    pub(crate) definition: Definition,
    /// Index of the op, by vertex.
    places: Vec<Option<usize>>,
}

impl Marshalled {
    /// The op that a vertex became; `None` where the target does not need it.
    pub(crate) fn digest(&self, vertex: Output) -> Option<&Digest> {
        let place = self.places.get(vertex.index()).copied().flatten()?;
        self.definition.ops.get(place).map(|op| &op.digest)
    }
}

/// Makes the definition of what `head` makes; without it, that of an image with nothing in it.
pub(crate) fn marshal(graph: Graph, head: Option<Output>, local: SourceOp) -> Marshalled {
    let count = graph.vertices.node_count();
    let mut run = Run {
        graph,
        local,
        ops: Vec::with_capacity(count + 1),
        known: BTreeMap::new(),
        places: vec![None; count],
    };
    if let Some(head) = head {
        for vertex in order(&run.graph, head) {
            run.finish(vertex);
        }
        let inputs = run.input(head).into_iter().collect();
        let terminal = Op {
            inputs,
            ..Op::default()
        };
        run.push(llb::marshal(&terminal), terminal.inputs, Origin::default());
    }
    let mut text = String::with_capacity(run.ops.len() * 72);
    for op in &run.ops {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(op.digest.as_str());
    }
    let digest = Digest::of(text.as_bytes());
    let head = head.and_then(|head| run.digest(head).cloned());
    Marshalled {
        definition: Definition {
            ops: run.ops,
            head,
            digest,
        },
        places: run.places,
    }
}

/// The op of the build context, of which the target needs `paths`.
pub(crate) fn local_source(options: &Options, paths: &[String]) -> SourceOp {
    let mut attrs = vec![Attr::new("local.sharedkeyhint", "context")];
    if !paths.is_empty() {
        attrs.push(Attr::new("local.followpaths", go_json(paths)));
    }
    let ignored = options
        .ignore
        .as_deref()
        .map(ignore::patterns)
        .unwrap_or_default();
    if !ignored.is_empty() {
        attrs.push(Attr::new("local.excludepatterns", go_json(&ignored)));
    }
    attrs.push(options.local.attr());
    SourceOp::new("local://context".into(), attrs)
}

/// A JSON array as Go writes it: `<`, `>`, `&` and the two line separators are escaped.
pub(super) fn go_json(paths: &[String]) -> String {
    let mut json = String::from("[");
    for (index, path) in paths.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        // A string cannot fail to be written.
        let quoted = serde_json::to_string(path).unwrap_or_default();
        for letter in quoted.chars() {
            match letter {
                '<' => json.push_str("\\u003c"),
                '>' => json.push_str("\\u003e"),
                '&' => json.push_str("\\u0026"),
                '\u{2028}' => json.push_str("\\u2028"),
                '\u{2029}' => json.push_str("\\u2029"),
                letter => json.push(letter),
            }
        }
    }
    json.push(']');
    json
}

/// The vertices that `head` needs, depth first: each stands after all that it uses. The walk keeps its own stack, for
/// files are of any length.
pub(crate) fn order(graph: &Graph, head: Output) -> Vec<Output> {
    let mut done = vec![false; graph.vertices.node_count()];
    let mut order = Vec::with_capacity(done.len());
    let mut open = vec![(head, graph.inputs(head))];
    while let Some((vertex, rest)) = open.last_mut() {
        match rest.next() {
            Some(input) if done.get(input.index()) == Some(&true) => {}
            Some(input) => open.push((input, graph.inputs(input))),
            None => {
                if let Some(done) = done.get_mut(vertex.index()) {
                    *done = true;
                }
                order.push(*vertex);
                open.pop();
            }
        }
    }
    order
}

/// Where an op comes from.
#[derive(Default)]
struct Origin {
    name: String,
    stage: Option<usize>,
    step: Option<usize>,
    ignore_cache: bool,
}

struct Run {
    graph: Graph,
    local: SourceOp,
    ops: Vec<PlannedOp>,
    /// Where the op of a digest stands: equal ops of different stages are one.
    known: BTreeMap<Digest, usize>,
    /// The same by vertex.
    places: Vec<Option<usize>>,
}

impl Run {
    fn digest(&self, vertex: Output) -> Option<&Digest> {
        let place = self.places.get(vertex.index()).copied().flatten()?;
        self.ops.get(place).map(|op| &op.digest)
    }

    fn input(&self, vertex: Output) -> Option<Input> {
        self.digest(vertex).map(|digest| Input {
            digest: digest.clone(),
            index: 0,
        })
    }

    fn finish(&mut self, index: Output) {
        // A vertex is finished once, so that it can be taken apart.
        let Some(vertex) = self.graph.vertices.node_weight_mut(index) else {
            return;
        };
        let work = std::mem::replace(&mut vertex.work, Work::Context);
        let origin = Origin {
            name: std::mem::take(&mut vertex.name),
            stage: vertex.stage,
            step: vertex.step,
            ignore_cache: vertex.ignore_cache,
        };
        let mut op = Op {
            constraints: Some(WorkerConstraints::default()),
            ..Op::default()
        };
        op.kind = Some(match work {
            Work::Context => OpKind::Source(self.local.clone()),
            Work::Source(source, platform) => {
                op.platform = platform;
                OpKind::Source(source)
            }
            Work::Exec(plan) => {
                let ExecPlan {
                    process,
                    op: mut exec,
                    platform,
                    mounts,
                    extra,
                } = *plan;
                self.mounts(&mut exec, &mut op.inputs, mounts, extra);
                let bytes = llb::marshal_process(&op.inputs, &platform, &process, &exec);
                let place = self.push(bytes, op.inputs, origin);
                self.place(index, place);
                return;
            }
            Work::File { base, actions } => OpKind::File(self.actions(&mut op.inputs, base, actions)),
            Work::Merge(layers) => {
                op.inputs = layers.iter().filter_map(|&layer| self.input(layer)).collect();
                let inputs = (0..)
                    .take(op.inputs.len())
                    .map(|input| MergeInput { input })
                    .collect();
                OpKind::Merge(MergeOp { inputs })
            }
        });
        let place = self.push(llb::marshal(&op), op.inputs, origin);
        self.place(index, place);
    }

    fn place(&mut self, vertex: Output, place: usize) {
        if let Some(known) = self.places.get_mut(vertex.index()) {
            *known = Some(place);
        }
    }

    fn push(&mut self, bytes: Vec<u8>, inputs: Vec<Input>, origin: Origin) -> usize {
        let Origin {
            name,
            stage,
            step,
            ignore_cache,
        } = origin;
        let digest = Digest::of(&bytes);
        if let Some(&place) = self.known.get(&digest) {
            if let Some(known) = self.ops.get_mut(place) {
                // What is visited later has the say over the name, as in the reference.
                (known.name, known.stage, known.step) = (name, stage, step);
                known.ignore_cache |= ignore_cache;
            }
            return place;
        }
        let place = self.ops.len();
        self.known.insert(digest.clone(), place);
        let inputs = inputs.into_iter().map(|input| input.digest).collect();
        self.ops.push(PlannedOp {
            digest,
            bytes,
            name,
            inputs,
            stage,
            step,
            ignore_cache,
        });
        place
    }

    /// The index of an input; equal ones are one. -1 where there is nothing.
    fn enter(&self, inputs: &mut Vec<Input>, source: Option<Output>) -> i64 {
        let Some(input) = source.and_then(|source| self.input(source)) else {
            return -1;
        };
        let place = inputs
            .iter()
            .position(|known| *known == input)
            .unwrap_or_else(|| {
                inputs.push(input);
                inputs.len() - 1
            });
        i64::try_from(place).unwrap_or(-1)
    }

    fn mounts(&self, exec: &mut ExecOp, inputs: &mut Vec<Input>, mounts: Vec<MountPlan>, extra: Vec<Mount>) {
        let mut outputs = 0;
        exec.mounts.reserve_exact(mounts.len() + extra.len());
        inputs.reserve_exact(mounts.len());
        for MountPlan { source, mut mount } in mounts {
            mount.input = self.enter(inputs, source);
            let held = mount.readonly || matches!(mount.mount_type(), MountType::Cache | MountType::Tmpfs);
            if held {
                mount.output = -1;
            } else if mount.output != -1 {
                mount.output = outputs;
                outputs += 1;
            }
            exec.mounts.push(mount);
        }
        exec.mounts.extend(extra);
    }

    fn actions(&self, inputs: &mut Vec<Input>, base: Option<Output>, actions: Vec<ActionPlan>) -> FileOp {
        let mut base_index = -1;
        let sources: Vec<i64> = actions
            .iter()
            .map(|action| {
                base_index = self.enter(inputs, base);
                self.enter(inputs, action.source)
            })
            .collect();
        let count = i64::try_from(inputs.len()).unwrap_or(-1);
        let mut made: Vec<FileAction> = (0..)
            .zip(actions.into_iter().zip(sources))
            .map(|(index, (plan, secondary_input))| {
                let mut action = plan.action;
                fill_owner(&mut action, base_index);
                // Every action but the first goes on where the one before it ended.
                let input = if index == 0 { base_index } else { count + index - 1 };
                FileAction {
                    input,
                    secondary_input,
                    output: -1,
                    action: Some(action),
                }
            })
            .collect();
        if let Some(last) = made.last_mut() {
            last.output = 0;
        }
        FileOp { actions: made }
    }
}

/// Owners are looked up by name in the files that are changed.
fn fill_owner(action: &mut Action, base: i64) {
    let owner: Option<&mut ChownOpt> = match action {
        Action::Copy(copy) => copy.owner.as_mut(),
        Action::MkFile(file) => file.owner.as_mut(),
        Action::MkDir(dir) => dir.owner.as_mut(),
        Action::Symlink(link) => link.owner.as_mut(),
        Action::Rm(_) => None,
    };
    let Some(ChownOpt { user, group }) = owner else {
        return;
    };
    for UserOpt { user } in [user, group].into_iter().flatten() {
        if let Some(User::ByName(named)) = user {
            named.input = base;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::LocalIdentity;

    #[test]
    fn followed_paths_are_escaped_as_go_escapes_them() {
        let paths = ["a&b".to_owned(), "<\"\u{2028}>".to_owned()];
        assert_eq!(go_json(&paths), "[\"a\\u0026b\",\"\\u003c\\\"\\u2028\\u003e\"]");
    }

    #[test]
    fn session_takes_the_place_of_the_unique_id() {
        let options = Options {
            local: LocalIdentity::Session("s".into()),
            ..Options::default()
        };
        let source = local_source(&options, &[]);
        assert_eq!(
            (source.attr("local.session"), source.attr("local.unique")),
            (Some("s"), None)
        );
    }

    #[test]
    fn patterns_of_the_ignore_file_are_named_in_its_order() {
        let options = Options {
            ignore: Some("# none\nb&c\n! /a/\n".into()),
            ..Options::default()
        };
        let source = local_source(&options, &[]);
        assert_eq!(
            source.attr("local.excludepatterns"),
            Some("[\"b\\u0026c\",\"!a\"]")
        );
    }
}
