//! A file as rules look at it: instruction by instruction, each as written and as understood.

use std::collections::BTreeMap;

use crate::instruction::{Instruction, from};
use crate::plan::Declared;
use crate::stage::Statement;
use crate::study::Study;
use crate::syntax::{Keyword, Node};

use super::{Found, Place};

/// Which stages are looked at, by rules that look into stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Those that the target needs: what a build says.
    Target,
    /// All of them: what a check of the file says.
    All,
}

/// A file.
pub(super) struct File<'f> {
    pub(super) study: &'f Study<'f>,
    pub(super) stages: Vec<Stage<'f>>,
    /// The `ARG`s of stages, by place.
    pub(super) args: BTreeMap<usize, &'f Declared>,
}

/// A stage that is looked at or not.
pub(super) struct Stage<'f> {
    /// Its place in the file.
    pub(super) index: usize,
    /// Whether it is in the scope.
    pub(super) looked_at: bool,
    /// Its `FROM`, as written.
    pub(super) node: &'f Node<'f>,
    /// Its `FROM`, as understood.
    pub(super) from: Option<&'f from::From>,
    pub(super) steps: Vec<Step<'f>>,
}

/// An instruction of a stage.
pub(super) struct Step<'f> {
    pub(super) node: &'f Node<'f>,
    statement: &'f Statement,
}

impl<'f> Step<'f> {
    /// What it says; `None` where it cannot be read.
    pub(super) fn instruction(&self) -> Option<&'f Instruction> {
        self.statement.instruction.as_ref()
    }
}

impl<'f> File<'f> {
    pub(super) fn new(study: &'f Study<'f>, scope: Scope) -> Self {
        let mut nodes = study.tree.nodes.iter().peekable();
        let mut stages = Vec::new();
        for (index, source) in study.program.stages.iter().enumerate() {
            let Some(node) = nodes.by_ref().find(|node| node.keyword == Some(Keyword::From)) else {
                break;
            };
            let own = std::iter::from_fn(|| nodes.next_if(|node| node.keyword != Some(Keyword::From)));
            let steps = own
                .zip(&source.statements)
                .map(|(node, statement)| Step { node, statement });
            stages.push(Stage {
                index,
                looked_at: scope == Scope::All || study.plan.needed.get(index) == Some(&true),
                node,
                from: source.from.as_ref(),
                steps: steps.collect(),
            });
        }
        let args = study.plan.args.iter().filter(|arg| arg.stage.is_some());
        Self {
            study,
            stages,
            args: args.map(|arg| (arg.span.start, arg)).collect(),
        }
    }

    /// The stages in the scope.
    pub(super) fn looked_at(&self) -> impl Iterator<Item = &Stage<'f>> {
        self.stages.iter().filter(|stage| stage.looked_at)
    }

    /// The instructions of the stages in the scope.
    pub(super) fn steps(&self) -> impl Iterator<Item = &Step<'f>> {
        self.looked_at().flat_map(|stage| &stage.steps)
    }
}

/// A finding about an instruction, which the comments above it may leave out.
pub(super) fn at(node: &Node<'_>, message: String) -> Found {
    let comments = node.comments.iter().map(|&comment| comment.to_owned()).collect();
    Found {
        place: Place {
            comments,
            ..whole(node)
        },
        message,
    }
}

/// A finding about an instruction that only the whole file may leave out.
pub(super) fn of_file(node: &Node<'_>, message: String) -> Found {
    Found {
        place: whole(node),
        message,
    }
}

fn whole(node: &Node<'_>) -> Place {
    Place {
        span: node.span,
        lines: node.lines,
        comments: Vec::new(),
    }
}

/// The words of an instruction behind its name and flags, as written.
pub(super) fn words<'n>(node: &'n Node<'_>) -> impl Iterator<Item = &'n str> {
    let words = node.code().split_whitespace().skip(1);
    words.skip_while(|word| word.starts_with("--"))
}
