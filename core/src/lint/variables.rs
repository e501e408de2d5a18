//! Variables as lint sees them: what words use, what a stage has set at each of its instructions.

use std::collections::{BTreeMap, BTreeSet};

use crate::analysis::Base;
use crate::instruction::{Instruction, Mount, Sources};
use crate::plan::stays_given;
use crate::shell::{Lexer, Recorded, Variables};
use crate::stage::Globals;
use crate::syntax::{Pair, Word};

use super::file::{File, Step};

/// A word of `FROM` with its variables worked out.
pub(super) struct Worded {
    pub(super) text: String,
    /// Variables that it uses and that are set.
    pub(super) used: BTreeSet<String>,
    /// Variables that it uses and that are not.
    pub(super) unset: BTreeSet<String>,
}

/// Works out a word of `FROM`; `None` where that cannot be done, which is an error that others report.
pub(super) fn expanded(file: &File<'_>, text: &str) -> Option<Worded> {
    let recorded = Recorded::new(&file.study.plan.globals);
    let expanded = file.lexer().expand(text, &recorded).ok()?;
    Some(Worded {
        text: expanded.text,
        used: recorded.used(),
        unset: expanded.unset,
    })
}

/// The global arguments as they are where a build sets none.
pub(super) struct Defaults(BTreeMap<String, String>);

impl Variables for Defaults {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl Defaults {
    /// `None` where a default cannot be worked out.
    pub(super) fn of(file: &File<'_>) -> Option<Self> {
        let program = &file.study.program;
        let declared = || program.globals.iter().flat_map(|arg| &arg.value.declarations);
        let globals = &file.study.plan.globals;
        let own: BTreeSet<&str> = declared().map(|arg| arg.name.as_str()).collect();
        let predefined = globals.names().filter(|name| !own.contains(name));
        let values = predefined.filter_map(|name| Some((name.to_owned(), globals.get(name)?.to_owned())));
        let mut defaults = Self(values.collect());
        let lexer = file.lexer();
        for declaration in declared() {
            if let Some(default) = &declaration.default {
                let value = lexer.word(default, &defaults).ok()?;
                defaults.0.insert(declaration.name.clone(), value);
            }
        }
        Some(defaults)
    }
}

/// What became of the words of an instruction.
#[derive(Debug, Clone, Default)]
pub(super) struct Worked {
    /// The variables that nobody sets, and whether BuildKit comes that far.
    pub(super) undefined: Vec<(String, bool)>,
    /// The word that cannot be worked out, counted from 0; BuildKit goes no further than that.
    pub(super) failed: Option<usize>,
    /// The words: paths of COPY, ADD and WORKDIR, names of ENV, ports of EXPOSE.
    pub(super) words: Vec<String>,
}

/// Works out the words of all instructions, in the order in which stages start from each other.
///
/// What a stage sets is taken back before the next one that does not start from it, so the cost is that of the file,
/// however many stages start from one.
pub(super) fn work(file: &File<'_>) -> Vec<Vec<Worked>> {
    let mut worked: Vec<Vec<Worked>> = vec![Vec::new(); file.stages.len()];
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); file.stages.len()];
    let mut open = Vec::new();
    for stage in file.stages.iter().rev() {
        match stage.base.and_then(|base| children.get_mut(base)) {
            Some(children) => children.push(stage.index),
            None => open.push(Visit::Enter(stage.index)),
        }
    }
    let mut variables = InStage::default();
    while let Some(visit) = open.pop() {
        let index = match visit {
            Visit::Leave(before) => {
                variables.take_back(before);
                continue;
            }
            Visit::Enter(index) => index,
        };
        open.push(Visit::Leave(variables.changes.len()));
        let Some(stage) = file.stages.get(index) else {
            continue;
        };
        if stage.base.is_none() {
            variables.start(file, index);
        }
        let steps = stage.steps.iter().map(|step| variables.step(file, step));
        let steps = steps.collect();
        if let Some(place) = worked.get_mut(index) {
            *place = steps;
        }
        let children = children.get(index).into_iter().flatten();
        open.extend(children.map(|&child| Visit::Enter(child)));
    }
    worked
}

enum Visit {
    Enter(usize),
    /// Takes back all but the first changes.
    Leave(usize),
}

/// The variables of a stage at the place that was reached.
#[derive(Debug, Default)]
struct InStage {
    values: BTreeMap<String, String>,
    /// `ARG`s that were declared, with a value or without.
    declared: BTreeSet<String>,
    changes: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    /// A variable was set; this is what it was before.
    Set(String, Option<String>),
    /// An `ARG` was declared for the first time.
    Declared(String),
}

impl Variables for InStage {
    fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }
}

/// Arguments that ask for something of BuildKit, and are no variables.
const NOT_VARIABLES: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

impl InStage {
    fn set(&mut self, name: &str, value: String) {
        let before = self.values.insert(name.to_owned(), value);
        self.changes.push(Change::Set(name.to_owned(), before));
    }

    fn declare(&mut self, name: &str) {
        if self.declared.insert(name.to_owned()) {
            self.changes.push(Change::Declared(name.to_owned()));
        }
    }

    fn take_back(&mut self, kept: usize) {
        for change in self.changes.drain(kept..).rev() {
            match change {
                Change::Set(name, Some(value)) => {
                    self.values.insert(name, value);
                }
                Change::Set(name, None) => {
                    self.values.remove(&name);
                }
                Change::Declared(name) => {
                    self.declared.remove(&name);
                }
            }
        }
    }

    /// What a stage has that starts from no other.
    fn start(&mut self, file: &File<'_>, index: usize) {
        let plan = &file.study.plan;
        if file.stages.get(index).is_none_or(|stage| stage.os != "windows") {
            self.set("PATH", String::new());
        }
        if let Some(Base::Image(image)) = plan.bases.get(index) {
            let facts = file.facts(*image);
            let env = facts.and_then(|facts| facts.config.pointer("/config/Env")?.as_array());
            for pair in env.into_iter().flatten().filter_map(|pair| pair.as_str()) {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                self.set(name, value.to_owned());
            }
        }
    }

    /// Works out the words of an instruction, and takes up what it sets.
    fn step(&mut self, file: &File<'_>, step: &Step<'_>) -> Worked {
        let mut worked = Worked::default();
        if let Some(Instruction::Arg(arg)) = step.instruction() {
            let globals: &Globals = &file.study.plan.globals;
            for (index, arg) in arg.declarations.iter().enumerate() {
                let given = file.study.options.build_args.get(&arg.name);
                let given = given.filter(|value| stays_given(&arg.name, value));
                let value = match (given, &arg.default) {
                    (Some(given), _) => Some(given.clone()),
                    (None, Some(default)) => Some(
                        worked
                            .expand(self, file.lexer(), default, index)
                            .unwrap_or_default(),
                    ),
                    (None, None) => globals.get(&arg.name).map(str::to_owned),
                };
                if let Some(value) = value.filter(|_| !NOT_VARIABLES.contains(&arg.name.as_str())) {
                    self.set(&arg.name, value);
                }
                self.declare(&arg.name);
            }
            return worked;
        }
        let mut words = Words {
            variables: self,
            lexer: file.lexer(),
            worked,
            index: 0,
        };
        match step.instruction() {
            Some(Instruction::Add(add)) => {
                words.unused([&add.chown, &add.chmod, &add.checksum]);
                words.sources(&add.sources);
            }
            Some(Instruction::Copy(copy)) => {
                words.unused([&copy.chown, &copy.chmod]);
                words.sources(&copy.sources);
            }
            Some(Instruction::Env(env)) => {
                let values = words.pairs(&env.pairs);
                let worked = words.worked;
                for (name, value) in worked.words.iter().zip(values) {
                    self.set(name, value);
                }
                return worked;
            }
            Some(Instruction::Label(label)) => drop(words.pairs(&label.pairs)),
            Some(Instruction::Expose(expose)) => {
                for port in &expose.ports {
                    // Nothing is said of a variable that is not set here.
                    match words.lexer.expand(&port.text, words.variables) {
                        Ok(ports) => words.worked.words.extend(ports.words),
                        Err(_) => drop(words.worked.failed.get_or_insert(0)),
                    }
                }
            }
            Some(Instruction::Run(run)) => {
                for mount in &run.mounts {
                    words.mount(&mount.text);
                }
            }
            Some(Instruction::Stopsignal(stopsignal)) => words.kept([&stopsignal.signal]),
            Some(Instruction::User(user)) => words.kept([&user.user]),
            Some(Instruction::Volume(volume)) => words.kept(&volume.paths),
            Some(Instruction::Workdir(workdir)) => words.kept([&workdir.path]),
            Some(
                Instruction::Arg(_)
                | Instruction::Cmd(_)
                | Instruction::Entrypoint(_)
                | Instruction::From(_)
                | Instruction::Healthcheck(_)
                | Instruction::Maintainer(_)
                | Instruction::Onbuild(_)
                | Instruction::Shell(_),
            )
            | None => {}
        }
        words.worked
    }
}

/// The words of an instruction on the way.
struct Words<'v> {
    variables: &'v InStage,
    lexer: Lexer,
    worked: Worked,
    index: usize,
}

impl Words<'_> {
    fn word(&mut self, text: &str) -> Option<String> {
        let index = self.index;
        self.index += 1;
        self.worked.expand(self.variables, self.lexer, text, index)
    }

    fn kept<'w>(&mut self, words: impl IntoIterator<Item = &'w Word>) {
        for word in words {
            let word = self.word(&word.text).unwrap_or_default();
            self.worked.words.push(word);
        }
    }

    fn unused<'w>(&mut self, words: impl IntoIterator<Item = &'w Option<Word>>) {
        for word in words.into_iter().flatten() {
            self.word(&word.text);
        }
    }

    fn sources(&mut self, sources: &Sources) {
        self.kept(sources.paths.iter().chain([&sources.destination]));
        self.lexer = Lexer {
            ignore_quotes: true,
            ..Lexer::new('\\')
        };
        for content in sources.contents.iter().filter(|content| content.expand) {
            self.word(&content.data);
        }
    }

    /// Keeps the names; gives the values.
    fn pairs(&mut self, pairs: &[Pair]) -> Vec<String> {
        let mut values = Vec::with_capacity(pairs.len());
        for pair in pairs {
            let name = self.word(&pair.key).unwrap_or_default();
            self.worked.words.push(name);
            values.push(self.word(&pair.value).unwrap_or_default());
        }
        values
    }

    /// What is wrong with a mount otherwise, the planner says.
    fn mount(&mut self, text: &Word) {
        let read = Mount::read(text, |value| Ok(self.word(value).unwrap_or_default()));
        if read.is_err() {
            self.worked.failed.get_or_insert(self.index);
        }
    }
}

impl Worked {
    /// A word with its variables worked out; `None` where that cannot be done.
    fn expand(&mut self, variables: &InStage, lexer: Lexer, text: &str, index: usize) -> Option<String> {
        let reached = self.failed.is_none();
        let (unset, result) = lexer.expand_far(text, variables);
        let unset = unset
            .into_iter()
            .filter(|name| !variables.declared.contains(name) && !NOT_VARIABLES.contains(&name.as_str()));
        self.undefined.extend(unset.map(|name| (name, reached)));
        if result.is_err() {
            self.failed.get_or_insert(index);
        }
        result.ok().map(|(text, _)| text)
    }
}
