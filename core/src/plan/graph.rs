//! The graph of what would be done: vertices that become ops, before their digests are known.

use std::rc::Rc;

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::llb::{Action, ExecOp, Mount, Platform, SourceOp};
use crate::span::LineRange;
use crate::stage::Statement;

/// The graph. Edges lead from what is used to what uses it.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    pub(crate) vertices: DiGraph<Vertex, ()>,
    context: Option<NodeIndex>,
    /// Room for the inputs of the vertex that is added.
    inputs: Vec<Output>,
}

/// The files that a vertex makes. Dockerfiles need the first output of an op only.
pub(crate) type Output = NodeIndex;

/// One op to be, and where it came from.
#[derive(Debug)]
pub(crate) struct Vertex {
    pub(crate) work: Work,
    /// What progress shows.
    pub(crate) name: String,
    /// The stage it was written in, by index in the file.
    pub(crate) stage: Option<usize>,
    /// The step of that stage; triggers of a base have none.
    pub(crate) step: Option<usize>,
    /// Whether it is asked never to come from the cache.
    pub(crate) ignore_cache: bool,
    pub(crate) written: Written,
}

/// Where a vertex was written.
#[derive(Debug)]
pub(crate) enum Written {
    /// Nowhere as such: something needs it.
    Nowhere,
    /// Not in the file: it is a named context.
    Context,
    /// It is what an instruction does.
    Statement(Rc<Statement>),
    /// It is what a stage starts from, or something copies or mounts from; no lines where a mount does.
    From(Option<LineRange>),
}

/// What a vertex does.
#[derive(Debug)]
pub(crate) enum Work {
    /// The build context. Which of its paths are needed is known only when all is planned.
    Context,
    /// Files from elsewhere.
    Source(SourceOp, Option<Platform>),
    /// A process, with mounts that count no inputs yet.
    Exec(Box<ExecPlan>),
    /// Actions on files, one after the other.
    File {
        base: Option<Output>,
        actions: Vec<ActionPlan>,
    },
    /// Layers, from the bottom up.
    Merge(Vec<Output>),
}

/// A process.
#[derive(Debug)]
pub(crate) struct ExecPlan {
    /// The process, written already: it names no inputs.
    pub(crate) process: Vec<u8>,
    /// Without process and mounts.
    pub(crate) op: ExecOp,
    pub(crate) platform: Rc<Platform>,
    /// Mounts of files, sorted by destination.
    pub(crate) mounts: Vec<MountPlan>,
    /// Mounts of secrets and agents, which stand behind.
    pub(crate) extra: Vec<Mount>,
}

/// A mount, and what is mounted.
#[derive(Debug)]
pub(crate) struct MountPlan {
    pub(crate) source: Option<Output>,
    /// Input and output are filled in later; an output of -1 stays.
    pub(crate) mount: Mount,
}

/// An action, and what it reads.
#[derive(Debug)]
pub(crate) struct ActionPlan {
    /// Inputs that name an owner are filled in later.
    pub(crate) action: Action,
    pub(crate) source: Option<Output>,
}

impl Graph {
    /// A graph that is going to have about so many vertices.
    pub(crate) fn with_room(vertices: usize) -> Self {
        Self {
            vertices: DiGraph::with_capacity(vertices, vertices),
            ..Self::default()
        }
    }

    /// Adds a vertex.
    pub(crate) fn add(&mut self, vertex: Vertex) -> Output {
        vertex.work.each_input(|input| self.inputs.push(input));
        let index = self.vertices.add_node(vertex);
        // The last edge is the first that a vertex tells of.
        while let Some(input) = self.inputs.pop() {
            // What is used twice has two edges: to look for the first would take longer with every use.
            self.vertices.add_edge(input, index, ());
        }
        index
    }

    /// What a vertex uses, in the order of [`Work::each_input`].
    pub(crate) fn inputs(&self, vertex: Output) -> impl Iterator<Item = Output> {
        self.vertices.neighbors_directed(vertex, Direction::Incoming)
    }

    /// The build context, which is one vertex however often it is used.
    pub(crate) fn context(&mut self) -> Output {
        if let Some(index) = self.context {
            return index;
        }
        let name = "[internal] load build context".to_owned();
        let index = self.add(Vertex {
            work: Work::Context,
            name,
            stage: None,
            step: None,
            ignore_cache: false,
            written: Written::Nowhere,
        });
        self.context = Some(index);
        index
    }
}

impl Work {
    /// What it uses, in the order in which a definition visits it: the reference walks the sources of a file op from
    /// the last action to the first.
    fn each_input(&self, visit: impl FnMut(Output)) {
        match self {
            Self::Context | Self::Source(..) => {}
            Self::Exec(exec) => exec
                .mounts
                .iter()
                .filter_map(|mount| mount.source)
                .for_each(visit),
            Self::File { base, actions } => {
                let sources = actions.iter().rev().filter_map(|action| action.source);
                base.iter().copied().chain(sources).for_each(visit);
            }
            Self::Merge(layers) => layers.iter().copied().for_each(visit),
        }
    }
}
