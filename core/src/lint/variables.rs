//! Variables as lint sees them: what words use, what a stage has set at each of its instructions.

use std::collections::{BTreeMap, BTreeSet};

use crate::analysis::Base;
use crate::instruction::Instruction;
use crate::shell::{Lexer, Recorded, Variables};

use super::file::{File, Step};

/// A word with its variables worked out.
pub(super) struct Word {
    pub(super) text: String,
    /// Variables that it uses and that are set.
    pub(super) used: BTreeSet<String>,
    /// Variables that it uses and that are not.
    pub(super) unset: BTreeSet<String>,
}

/// Works out a word of `FROM`; `None` where that cannot be done, which is an error that others report.
pub(super) fn expanded(file: &File<'_>, text: &str) -> Option<Word> {
    let recorded = Recorded::new(&file.study.plan.globals);
    let lexer = Lexer::new(file.study.program.escape.unwrap_or('\\'));
    let expanded = lexer.expand(text, &recorded).ok()?;
    Some(Word {
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
        let own = |name: &str| declared().any(|arg| arg.name == name);
        let predefined = globals.names().filter(|name| !own(name));
        let values = predefined.filter_map(|name| Some((name.to_owned(), globals.get(name)?.to_owned())));
        let mut defaults = Self(values.collect());
        let lexer = Lexer::new(program.escape.unwrap_or('\\'));
        for declaration in declared() {
            if let Some(default) = &declaration.default {
                let value = lexer.word(default, &defaults).ok()?;
                defaults.0.insert(declaration.name.clone(), value);
            }
        }
        Some(defaults)
    }
}

impl File<'_> {
    /// The value of a global argument.
    pub(super) fn global(&self, name: &str) -> Option<&str> {
        self.study.plan.globals.get(name)
    }
}

/// The variables of a stage at the place that was reached.
#[derive(Debug, Clone, Default)]
pub(super) struct InStage {
    values: BTreeMap<String, String>,
    /// `ARG`s that were declared, with a value or without.
    declared: BTreeSet<String>,
}

impl Variables for InStage {
    fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }
}

impl InStage {
    /// What a stage has at its beginning, where `finished` are the stages before it at their end.
    pub(super) fn at_start(file: &File<'_>, index: usize, finished: &[Self]) -> Self {
        let plan = &file.study.plan;
        match plan.bases.get(index) {
            Some(Base::Stage(base)) => finished.get(*base).cloned().unwrap_or_default(),
            Some(Base::Image(image)) => {
                let image = plan.images.get(*image);
                let facts = image.and_then(|image| file.study.options.images.get(&image.reference));
                let env = facts.and_then(|facts| facts.config.pointer("/config/Env")?.as_array());
                let pairs = env
                    .into_iter()
                    .flatten()
                    .filter_map(|pair| pair.as_str()?.split_once('='));
                let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
                let mut start = Self::empty();
                start.values.extend(pairs);
                start
            }
            Some(Base::Scratch | Base::Unknown) | None => Self::empty(),
        }
    }

    /// What every image has.
    fn empty() -> Self {
        Self {
            values: BTreeMap::from([("PATH".to_owned(), String::new())]),
            declared: BTreeSet::new(),
        }
    }

    /// The variables that a word uses, and that are neither set nor declared.
    pub(super) fn undefined(&self, file: &File<'_>, word: &str, heredoc: bool) -> BTreeSet<String> {
        let mut lexer = Lexer::new(file.study.program.escape.unwrap_or('\\'));
        if heredoc {
            lexer = Lexer {
                ignore_quotes: true,
                ..Lexer::new('\\')
            };
        }
        let mut unset = lexer
            .expand(word, self)
            .map(|word| word.unset)
            .unwrap_or_default();
        unset.retain(|name| !self.declared.contains(name));
        unset
    }

    /// Takes up what an instruction sets.
    pub(super) fn take(&mut self, file: &File<'_>, step: &Step<'_>) {
        match step.instruction() {
            Some(Instruction::Arg(_)) => {
                for arg in file
                    .args
                    .range(step.node.span.start..step.node.span.end)
                    .map(|(_, arg)| arg)
                {
                    self.declared.insert(arg.name.clone());
                    self.values
                        .extend(arg.value.clone().map(|value| (arg.name.clone(), value)));
                }
            }
            Some(Instruction::Env(env)) => {
                let before = self.clone();
                for pair in &env.pairs {
                    let value = before.word(file, &pair.value).unwrap_or_default();
                    self.values.insert(pair.key.clone(), value);
                }
            }
            _ => {}
        }
    }

    /// A word with its variables worked out; `None` where that cannot be done.
    pub(super) fn word(&self, file: &File<'_>, text: &str) -> Option<String> {
        let lexer = Lexer::new(file.study.program.escape.unwrap_or('\\'));
        lexer.word(text, self).ok()
    }
}
