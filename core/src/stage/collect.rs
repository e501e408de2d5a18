//! Instructions, stage by stage.

use std::borrow::Cow;
use std::rc::Rc;

use crate::diagnostic::{Diagnostic, Problem, Severity};
use crate::instruction::arg::Arg;
use crate::instruction::from::From;
use crate::instruction::{self, Instruction};
use crate::span::{LineRange, Span};
use crate::syntax::{Keyword, Node, Tree};

/// A file, stage by stage.
#[derive(Debug, Default)]
pub(crate) struct Program {
    /// `ARG`s before the first stage.
    pub(crate) globals: Vec<Placed<Arg>>,
    pub(crate) stages: Vec<StageSource>,
    /// The escape character.
    pub(crate) escape: Option<char>,
    /// Whether something before the first stage is wrong.
    pub(crate) broken: bool,
}

/// Something with its place.
#[derive(Debug, Clone)]
pub(crate) struct Placed<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
    pub(crate) lines: LineRange,
}

/// A `FROM`, and what follows it.
#[derive(Debug)]
pub(crate) struct StageSource {
    /// `None` where it cannot be read.
    pub(crate) from: Option<From>,
    /// The `FROM` alone.
    pub(crate) span: Span,
    pub(crate) lines: LineRange,
    /// Shared with the node of the stage.
    pub(crate) statements: Vec<Rc<Statement>>,
}

/// An instruction of a stage.
#[derive(Debug)]
pub(crate) struct Statement {
    /// `None` where it cannot be read.
    pub(crate) instruction: Option<Instruction>,
    /// Its name in upper case.
    pub(crate) name: Cow<'static, str>,
    /// Whether it changes files.
    pub(crate) changes_files: bool,
    /// The instruction on one line.
    pub(crate) code: String,
    pub(crate) span: Span,
    pub(crate) lines: LineRange,
}

impl Statement {
    pub(crate) fn new(node: &Node<'_>, instruction: Option<Instruction>) -> Self {
        Self {
            instruction,
            changes_files: node.keyword.is_some_and(Keyword::changes_files),
            name: node.keyword.map_or_else(
                || node.name().to_ascii_uppercase().into(),
                |keyword| keyword.name().into(),
            ),
            code: node.code().to_owned(),
            span: node.span,
            lines: node.lines,
        }
    }
}

/// Makes out all instructions of a file.
pub(crate) fn collect(tree: &mut Tree<'_>, diagnostics: &mut Vec<Diagnostic>) -> Program {
    let mut program = Program {
        escape: Some(tree.escape),
        ..Program::default()
    };
    for node in &mut tree.nodes {
        let instruction = instruction::parse(node);
        let node = &*node;
        let mut report = |problem: Problem| {
            diagnostics.push(problem.into_diagnostic(Severity::Error, node.span, node.lines));
        };
        let instruction = match instruction {
            Ok(instruction) => Some(instruction),
            Err(problem) => {
                report(problem);
                None
            }
        };
        match (instruction, program.stages.last_mut()) {
            (Some(Instruction::From(from)), _) => program.stages.push(stage(node, Some(from))),
            (None, _) if node.keyword == Some(Keyword::From) => program.stages.push(stage(node, None)),
            (instruction, Some(stage)) => stage.statements.push(Rc::new(Statement::new(node, instruction))),
            (Some(Instruction::Arg(value)), None) => {
                program.globals.push(Placed {
                    value,
                    span: node.span,
                    lines: node.lines,
                });
            }
            (None, None) => program.broken = true,
            (Some(_), None) => {
                program.broken = true;
                let name = node.keyword.map_or("This", Keyword::name);
                report(
                    Problem::new("no-stage", format!("{name} stands before the first FROM."))
                        .hint("Only ARG may stand there. Begin the stage with FROM."),
                );
            }
        }
    }
    program
}

fn stage(node: &Node<'_>, from: Option<From>) -> StageSource {
    StageSource {
        from,
        span: node.span,
        lines: node.lines,
        statements: Vec::new(),
    }
}
