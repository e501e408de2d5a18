//! A file as rules look at it: instruction by instruction, each as written and as understood.

use std::borrow::Cow;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::analysis::{Base, ImageFacts};
use crate::instruction::{self, Instruction, from};
use crate::shell::Lexer;
use crate::span::Span;
use crate::stage::Statement;
use crate::study::Study;
use crate::syntax::{self, Keyword, Node, Word};

use super::moment::Moment;
use super::variables::{self, Worked};

/// Which stages are looked at, by rules that look into stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
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
}

/// A stage.
#[expect(clippy::struct_excessive_bools, reason = "each is asked for by itself")]
pub(super) struct Stage<'f> {
    /// Its place in the file.
    pub(super) index: usize,
    /// Whether it is in the scope.
    pub(super) looked_at: bool,
    /// Whether the target needs it.
    pub(super) needed: bool,
    /// Whether its layers are those of the result: the target is it, or starts from it.
    pub(super) ships: bool,
    /// Its `FROM`, as written.
    pub(super) node: &'f Node<'f>,
    /// Its `FROM`, as understood.
    pub(super) from: Option<&'f from::From>,
    /// The words behind `FROM` and its flags, as written.
    pub(super) words: Vec<Word>,
    /// The stage that it starts from, by index.
    pub(super) base: Option<usize>,
    /// The operating system that it is for.
    pub(super) os: String,
    /// Whether all is known of what it has from outside the file.
    pub(super) known: bool,
    /// Its instructions, those that a base left behind before its own.
    pub(super) steps: Vec<Step<'f>>,
}

/// An instruction of a stage.
pub(super) struct Step<'f> {
    pub(super) node: Cow<'f, Node<'f>>,
    statement: Rc<Statement>,
    /// Whether a base left it behind; its place is then that of the `FROM`.
    pub(super) trigger: bool,
    /// When it is carried out.
    pub(super) when: Moment,
    /// Its words with variables worked out.
    pub(super) worked: Worked,
}

impl Step<'_> {
    /// What it says; `None` where it cannot be read.
    pub(super) fn instruction(&self) -> Option<&Instruction> {
        self.statement.instruction.as_ref()
    }
}

impl<'f> File<'f> {
    pub(super) fn new(study: &'f Study<'f>, scope: Scope) -> Self {
        let mut file = Self {
            study,
            stages: Vec::new(),
        };
        let mut nodes = study.tree.nodes.iter().peekable();
        for (index, source) in study.program.stages.iter().enumerate() {
            let Some(node) = nodes.by_ref().find(|node| node.keyword == Some(Keyword::From)) else {
                break;
            };
            let own = std::iter::from_fn(|| nodes.next_if(|node| node.keyword != Some(Keyword::From)));
            let own = own.zip(&source.statements);
            let needed = study.plan.needed.get(index) == Some(&true);
            let mut steps = if needed {
                file.triggers(index, node)
            } else {
                Vec::new()
            };
            steps.extend(own.map(|(node, statement)| Step {
                node: Cow::Borrowed(node),
                statement: Rc::clone(statement),
                trigger: false,
                when: Moment::TEXT,
                worked: Worked::default(),
            }));
            for (place, step) in steps.iter_mut().enumerate() {
                step.when = Moment::doing(index, place);
            }
            let resolved = study.plan.resolved.nodes.get(index);
            let base = resolved.and_then(|node| node.base);
            // What stands in the place of a stage is built by nobody, whatever the file says.
            let replaced = resolved.is_some_and(|node| node.replaced);
            let (os, known) = file.origin(index, base);
            let arguments = Node::read(node.line.clone(), study.tree.escape).arguments;
            file.stages.push(Stage {
                index,
                looked_at: scope == Scope::All || needed && !replaced,
                needed,
                ships: false,
                node,
                from: source.from.as_ref(),
                words: arguments.map(syntax::Arguments::words).unwrap_or_default(),
                base,
                os,
                known,
                steps,
            });
        }
        let mut ships = study.plan.target;
        while let Some(stage) = ships.and_then(|index| file.stages.get_mut(index)) {
            stage.ships = true;
            // A base stands before what starts from it.
            ships = stage.base.filter(|base| *base < stage.index);
        }
        let worked = variables::work(&file);
        for (stage, worked) in file.stages.iter_mut().zip(worked) {
            for (step, worked) in stage.steps.iter_mut().zip(worked) {
                step.worked = worked;
            }
        }
        file
    }

    /// What the base of a stage left behind for it. What cannot be read, the planner says.
    fn triggers(&self, index: usize, node: &'f Node<'f>) -> Vec<Step<'f>> {
        let study = self.study;
        let base = study.plan.resolved.nodes.get(index).and_then(|node| node.base);
        let texts: Vec<&'f str> = if let Some(base) = base {
            let statements = study.program.stages.get(base).map(|base| &base.statements);
            let statements = statements.into_iter().flatten();
            let triggers = statements.filter_map(|statement| match &statement.instruction {
                Some(Instruction::Onbuild(onbuild)) => Some(onbuild.expression.as_str()),
                _ => None,
            });
            triggers.collect()
        } else {
            let image = match study.plan.bases.get(index) {
                Some(Base::Image(image)) => self.facts(*image),
                _ => None,
            };
            let triggers = image.and_then(|facts| facts.config.pointer("/config/OnBuild")?.as_array());
            triggers
                .into_iter()
                .flatten()
                .filter_map(|text| text.as_str())
                .collect()
        };
        let read = |text| {
            let mut node = syntax::parse_trigger(text, node.span, node.lines)?;
            let instruction = instruction::parse(&mut node).ok()?;
            let statement = Rc::new(Statement::new(&node, Some(instruction)));
            Some(Step {
                node: Cow::Owned(node),
                statement,
                trigger: true,
                when: Moment::TEXT,
                worked: Worked::default(),
            })
        };
        texts.into_iter().filter_map(read).collect()
    }

    /// The operating system of a stage, and whether all is known of what it starts from.
    fn origin(&self, index: usize, base: Option<usize>) -> (String, bool) {
        if let Some(base) = base.and_then(|base| self.stages.get(base)) {
            return (base.os.clone(), base.known);
        }
        let plan = &self.study.plan;
        if let Some(Base::Image(image)) = plan.bases.get(index) {
            let image = plan.images.get(*image);
            return image
                .map(|image| (image.platform.os.clone(), image.resolved))
                .unwrap_or_default();
        }
        let options = self.study.options;
        let platform = options.platform.as_ref().or(options.build_platform.as_ref());
        let os = platform.map_or_else(|| "linux".to_owned(), |platform| platform.normalized().os);
        (os, true)
    }

    /// What is known of an image.
    pub(super) fn facts(&self, image: usize) -> Option<&'f ImageFacts> {
        let image = self.study.plan.images.get(image)?;
        self.study.options.images.get(&image.reference)
    }

    /// How words of the file are read.
    pub(super) fn lexer(&self) -> Lexer {
        Lexer::new(self.study.tree.escape)
    }

    /// The lines that an instruction stands on, the last newline included.
    pub(super) fn whole_lines(&self, node: &Node<'_>) -> Span {
        let source = self.study.source;
        let before = source.get(..node.span.start).unwrap_or_default();
        let after = source.get(node.span.end..).unwrap_or_default();
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let end = after
            .find('\n')
            .map_or(source.len(), |newline| node.span.end + newline + 1);
        Span::new(start, end)
    }

    /// The stages in the scope.
    pub(super) fn looked_at(&self) -> impl Iterator<Item = &Stage<'f>> {
        self.stages.iter().filter(|stage| stage.looked_at)
    }

    /// The instructions of the stages in the scope.
    pub(super) fn steps(&self) -> impl Iterator<Item = &Step<'f>> {
        self.looked_at().flat_map(|stage| &stage.steps)
    }

    /// The stage that a place in the text belongs to.
    pub(super) fn stage_at(&self, offset: usize) -> Option<&Stage<'f>> {
        let behind = self
            .stages
            .partition_point(|stage| stage.node.span.start <= offset);
        self.stages.get(behind.checked_sub(1)?)
    }

    /// The stage and the instruction of it that stands at a place; no instruction where that is its `FROM`.
    pub(super) fn place_of(&self, offset: usize) -> Option<(usize, Option<usize>)> {
        let stage = self.stage_at(offset)?;
        if offset < stage.node.span.end {
            return Some((stage.index, None));
        }
        let triggers = stage.steps.partition_point(|step| step.trigger);
        let own = stage.steps.get(triggers..)?;
        let step = own.partition_point(|step| step.node.span.start <= offset);
        Some((stage.index, Some(triggers + step.checked_sub(1)?)))
    }
}
