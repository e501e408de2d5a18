//! Which stage or image each name means.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::diagnostic::{Diagnostic, Problem, Severity, closest};
use crate::instruction::Instruction;
use crate::platform::Platform;
use crate::shell::{Lexer, NoVariables};
use crate::span::{LineRange, Span};

use super::{Globals, Program, Statement};

/// The stages of a file, and one more for every image that is copied or mounted from.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    pub(crate) nodes: Vec<Node>,
    names: BTreeMap<String, usize>,
    /// The escape character.
    escape: char,
    /// Whether steps are named after their stage; a stage all by itself is not.
    pub(crate) named_steps: bool,
}

/// A stage, or an image in the place of one.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is true or not whatever the others are"
)]
pub(crate) struct Node {
    pub(crate) origin: Origin,
    /// What it starts from, with variables worked out; empty where that failed.
    pub(crate) base_name: String,
    /// The stage it starts from.
    pub(crate) base: Option<usize>,
    pub(crate) platform: Option<Platform>,
    /// What its steps are named after.
    pub(crate) label: Rc<str>,
    pub(crate) commands: Vec<Command>,
    /// What it copies and mounts from, in the order of its instructions.
    pub(crate) dependencies: Vec<Dependency>,
    /// Whether it is a mount that needs it, in the place of a stage.
    pub(crate) mounted: bool,
    /// Whether a named context stands in its place.
    pub(crate) replaced: bool,
    /// Whether something in it is wrong.
    pub(crate) broken: bool,
    /// Whether it needs itself in a circle.
    pub(crate) in_cycle: bool,
    /// The words that name the base.
    pub(crate) base_span: Span,
    pub(crate) lines: LineRange,
}

/// Where a [`Node`] comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It is a stage of the file, by index.
    Written(usize),
    /// It is an image that something copies or mounts from.
    Hidden,
}

/// An instruction of a stage, and what it takes files from.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    pub(crate) statement: Rc<Statement>,
    /// Its place in the file's stage; `None` for what a base left behind.
    pub(crate) step: Option<usize>,
    /// For COPY the one node it copies from; for RUN one for each of its mounts. `None` is the context.
    pub(crate) sources: Vec<Option<usize>>,
}

/// That a stage needs another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dependency {
    /// The other.
    pub(crate) on: usize,
    pub(crate) kind: &'static str,
    /// What says so.
    pub(crate) span: Span,
    pub(crate) lines: LineRange,
}

/// Finds out what each name means.
///
/// `is_context` says which names are those of contexts that come from outside: they stand in the place of stages of
/// that name.
pub(crate) fn resolve(
    program: &Program,
    globals: &Globals,
    is_context: &dyn Fn(&str, Option<&Platform>) -> bool,
    diagnostics: &mut Vec<Diagnostic>,
) -> Resolved {
    let escape = program.escape.unwrap_or('\\');
    let mut resolved = Resolved {
        escape,
        ..Resolved::default()
    };
    let lexer = Lexer::new(escape);
    resolved.nodes.reserve(program.stages.len());
    for (index, source) in program.stages.iter().enumerate() {
        let mut node = Node::new(Origin::Written(index), source.span, source.lines);
        node.broken = source
            .statements
            .iter()
            .any(|statement| statement.instruction.is_none());
        let name = source
            .from
            .as_ref()
            .and_then(|from| from.name.as_ref())
            .map(|name| name.text.clone());
        node.label = match &name {
            Some(name) => name.as_str().into(),
            None => format!("stage-{index}").into(),
        };
        if let Some(from) = &source.from {
            node.base_span = from.base.span;
            if let Err(problem) = node.start(from, lexer, globals) {
                node.broken = true;
                diagnostics.push(problem.into_diagnostic(Severity::Error, source.span, source.lines));
            }
        } else {
            node.broken = true;
        }
        node.replaced = name
            .as_ref()
            .is_some_and(|name| is_context(name, node.platform.as_ref()));
        let replaced = node.replaced;
        let index = resolved.add(node, name);
        if replaced && let Some(node) = resolved.nodes.get_mut(index) {
            node.base = None;
        }
    }
    for (index, source) in program.stages.iter().enumerate() {
        let commands = source.statements.iter().enumerate();
        if let Some(node) = resolved.nodes.get_mut(index) {
            node.commands.reserve_exact(source.statements.len());
        }
        for (step, statement) in commands {
            resolved.add_command(
                index,
                Rc::clone(statement),
                Some(step),
                Severity::Error,
                diagnostics,
            );
        }
    }
    resolved.named_steps = resolved.nodes.len() > 1;
    resolved.doubt_names(is_context, diagnostics);
    resolved
}

impl Node {
    fn new(origin: Origin, span: Span, lines: LineRange) -> Self {
        Self {
            origin,
            base_name: String::new(),
            base: None,
            platform: None,
            label: Rc::default(),
            commands: Vec::new(),
            dependencies: Vec::new(),
            mounted: false,
            replaced: false,
            broken: false,
            in_cycle: false,
            base_span: span,
            lines,
        }
    }

    /// Works out what `FROM` says.
    fn start(
        &mut self,
        from: &crate::instruction::from::From,
        lexer: Lexer,
        globals: &Globals,
    ) -> Result<(), Problem> {
        let bad = |error: crate::shell::ExpandError, span| {
            Problem::new("bad-expansion", error.to_string()).at(span)
        };
        let (base, base_unset) = lexer
            .with_unset(&from.base.text, globals)
            .map_err(|error| bad(error, from.base.span))?;
        if base.is_empty() {
            return Err(unset(
                "There is no image here once variables are worked out.",
                &base_unset,
                globals,
            )
            .at(from.base.span));
        }
        if let Some(written) = &from.platform {
            let (platform, platform_unset) = lexer
                .with_unset(&written.text, globals)
                .map_err(|error| bad(error, written.span))?;
            if platform.is_empty() {
                let message = "There is no platform here once variables are worked out.";
                return Err(unset(message, &platform_unset, globals).at(written.span));
            }
            let parsed = platform
                .parse()
                .map_err(|error: crate::platform::InvalidPlatform| {
                    unset_or(
                        Problem::new("bad-platform", format!("{error}.")),
                        &platform_unset,
                        globals,
                    )
                    .at(written.span)
                })?;
            self.platform = Some(parsed);
        }
        self.base_name = base.into_owned();
        Ok(())
    }

    /// The node that a name which is no stage stands for.
    fn hidden(name: &str, span: Span, lines: LineRange) -> Self {
        Self {
            base_name: name.to_owned(),
            ..Self::new(Origin::Hidden, span, lines)
        }
    }
}

fn unset(message: &str, names: &std::collections::BTreeSet<String>, globals: &Globals) -> Problem {
    let hint = match names.iter().next() {
        Some(name) => {
            format!("{name} is not set: give it a default in an ARG before the first FROM, or a --build-arg.")
        }
        None => "Name an image.".into(),
    };
    unset_or(Problem::new("blank-base", message).hint(hint), names, globals)
}

fn unset_or(problem: Problem, names: &std::collections::BTreeSet<String>, globals: &Globals) -> Problem {
    match names.iter().next() {
        Some(name) => problem.suggest(name, globals.candidates()),
        None => problem,
    }
}

impl Resolved {
    /// Adds a node. What it starts from is looked for among the stages before it, as it is written.
    fn add(&mut self, mut node: Node, name: Option<String>) -> usize {
        let index = self.nodes.len();
        node.base = self.names.get(&node.base_name).copied();
        self.nodes.push(node);
        if let Some(name) = name {
            self.names.insert(name, index);
        }
        index
    }

    /// The stage of that name, in any case; the last one where there are several.
    pub(crate) fn by_name(&self, name: &str) -> Option<usize> {
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return self.names.get(&name.to_ascii_lowercase()).copied();
        }
        self.names.get(name).copied()
    }

    /// What stages are called.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.nodes
            .iter()
            .filter(|node| node.origin != Origin::Hidden)
            .map(|node| &*node.label)
    }

    /// A name that is no stage is an image's, as in the reference; one that is a letter or two away from a stage's
    /// name was likely meant to be that.
    fn doubt_names(
        &self,
        is_context: &dyn Fn(&str, Option<&Platform>) -> bool,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let names: Vec<&str> = self.names.keys().map(String::as_str).collect();
        // The same few images are named again and again, and few are near any stage: each name is compared with all
        // of them once, and more closely only where one of them is near.
        let mut near: BTreeMap<String, bool> = BTreeMap::new();
        let mut doubt = |name: &str, span: Span, lines: LineRange, known: &[&str]| {
            let near = near
                .entry(name.to_owned())
                .or_insert_with(|| closest(name, names.iter().copied()).is_some() && !is_context(name, None));
            if !*near {
                return None;
            }
            let problem = Problem::new(
                "unknown-stage",
                format!("There is no stage {name}, so it is taken for an image."),
            );
            let problem = problem.suggest(name, known.iter().copied());
            problem
                .hint
                .is_some()
                .then(|| problem.into_diagnostic(Severity::Warning, span, lines))
        };
        let mut before = Vec::new();
        for node in &self.nodes {
            let Origin::Written(_) = node.origin else { continue };
            if node.base.is_none() && node.base_name != "scratch" {
                diagnostics.extend(doubt(&node.base_name, node.base_span, node.lines, &before));
            }
            before.push(&*node.label);
            for dependency in &node.dependencies {
                let image = self.nodes.get(dependency.on);
                if let Some(image) = image.filter(|image| matches!(image.origin, Origin::Hidden)) {
                    diagnostics.extend(doubt(&image.base_name, dependency.span, dependency.lines, &names));
                }
            }
        }
    }

    /// Adds an instruction to the end of a stage and finds out what it takes files from.
    /// True where it takes them from another stage or an image.
    pub(crate) fn add_command(
        &mut self,
        index: usize,
        statement: Rc<Statement>,
        step: Option<usize>,
        severity: Severity,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> bool {
        let (sources, kind) = match &statement.instruction {
            Some(Instruction::Copy(copy)) => match &copy.from {
                Some(from) => match self.copy_source(&from.text, from.span, statement.lines) {
                    Ok(source) => (vec![(Some(source), from.span)], "copies from"),
                    Err(problem) => {
                        let problem = problem.at(from.span);
                        diagnostics.push(problem.into_diagnostic(severity, statement.span, statement.lines));
                        if let Some(node) = self.nodes.get_mut(index) {
                            node.broken = true;
                        }
                        (vec![(None, from.span)], "")
                    }
                },
                None => (Vec::new(), ""),
            },
            Some(Instruction::Run(run)) => {
                let source = |mount: &crate::instruction::run::MountSource| {
                    // A mount without a source has a node of its own all the same, as in the reference: it makes
                    // a stage one of several, which shows in the names of steps.
                    let name = mount.from.as_deref().unwrap_or("scratch");
                    let found = self.by_name(name);
                    let span = mount.text.span;
                    let node = found.unwrap_or_else(|| {
                        let hidden = Node::hidden(name, span, statement.lines);
                        self.add(
                            Node {
                                mounted: true,
                                ..hidden
                            },
                            None,
                        )
                    });
                    (Some(node), span)
                };
                (run.mounts.iter().map(source).collect(), "mounts files of")
            }
            _ => (Vec::new(), ""),
        };
        let Some(node) = self.nodes.get_mut(index) else {
            return false;
        };
        for &(source, span) in &sources {
            let Some(on) = source else { continue };
            node.dependencies.push(Dependency {
                on,
                kind,
                span,
                lines: statement.lines,
            });
        }
        let found = !sources.is_empty();
        let sources = sources.into_iter().map(|(source, _)| source).collect();
        node.commands.push(Command {
            statement,
            step,
            sources,
        });
        found
    }

    /// A number is an index, a name is a stage in any case, and everything else is an image.
    fn copy_source(&mut self, from: &str, span: Span, lines: LineRange) -> Result<usize, Problem> {
        let expanded = Lexer::new(self.escape)
            .word(from, &NoVariables)
            .map_err(|error| Problem::new("bad-expansion", error.to_string()))?;
        if expanded != from {
            return Err(Problem::new(
                "variable-in-from",
                "The source of a COPY cannot come from a variable.",
            )
            .hint("Name it by a stage of its own: FROM $image AS name, then COPY --from=name."));
        }
        if let Ok(number) = from.parse::<i64>() {
            return match usize::try_from(number)
                .ok()
                .filter(|&number| number < self.nodes.len())
            {
                Some(number) => Ok(number),
                None => Err(
                    Problem::new("unknown-stage", format!("There is no stage {number}."))
                        .hint("Stages are counted from 0, in the order of the file."),
                ),
            };
        }
        match self.by_name(from) {
            Some(stage) => Ok(stage),
            None => Ok(self.add(Node::hidden(from, span, lines), None)),
        }
    }

    /// What `target` needs, itself included.
    pub(crate) fn reachable(&self, target: usize) -> Vec<bool> {
        let mut reached = vec![false; self.nodes.len()];
        let mut open = vec![target];
        while let Some(index) = open.pop() {
            let (Some(mark), Some(node)) = (reached.get_mut(index), self.nodes.get(index)) else {
                continue;
            };
            if std::mem::replace(mark, true) {
                continue;
            }
            open.extend(node.base);
            open.extend(node.dependencies.iter().map(|dependency| dependency.on));
        }
        reached
    }

    /// Puts the instructions that a base left behind before those of the stage itself.
    pub(crate) fn triggers_first(&mut self, index: usize, from: usize) {
        if let Some(node) = self.nodes.get_mut(index)
            && from <= node.commands.len()
        {
            let triggers = node.commands.len() - from;
            node.commands.rotate_right(triggers);
        }
    }
}
