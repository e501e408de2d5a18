//! Variables and their values at a place of a file, in the build that is planned.

use std::collections::BTreeMap;

use crate::analysis::Base;
use crate::instruction::Instruction;
use crate::shell::{Lexer, Variables};
use crate::span::Span;
use crate::study::Study;

/// The variables that can be used at a place, by name.
#[derive(Debug, Default)]
pub(super) struct Visible(BTreeMap<String, Variable>);

/// A variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variable {
    /// Its value; `None` where it has none.
    pub(super) value: Option<String>,
    pub(super) origin: Origin,
}

/// Where a variable comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Every build has it.
    Build,
    /// The image that the stage starts from.
    Image,
    /// An ARG.
    Arg(Span),
    /// An ENV.
    Env(Span),
}

impl Variables for Visible {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.value.as_deref()
    }
}

impl Visible {
    /// What a stage can use before `offset`, with all that it has from those it starts from; what FROM can use, where
    /// there is no stage.
    pub(super) fn before(study: &Study<'_>, stage: Option<usize>, offset: usize) -> Self {
        let mut visible = Self::default();
        let Some(stage) = stage else {
            visible.take_globals(study, offset);
            return visible;
        };
        // The plan knows them even where a FROM names its stage by a variable.
        let base = |stage: &usize| study.plan.resolved.nodes.get(*stage)?.base;
        let mut chain: Vec<usize> = std::iter::successors(Some(stage), base).collect();
        chain.reverse();
        if let Some(first) = chain.first() {
            visible.take_image(study, *first);
        }
        let args: BTreeMap<usize, Option<&str>> = study
            .plan
            .args
            .iter()
            .map(|arg| (arg.span.start, arg.value.as_deref()))
            .collect();
        for stage in chain {
            let statements = study
                .program
                .stages
                .get(stage)
                .map(|stage| stage.statements.as_slice());
            for statement in statements.unwrap_or_default() {
                if statement.span.start >= offset {
                    break;
                }
                visible.take(study, statement.instruction.as_ref(), &args);
            }
        }
        visible
    }

    /// The variable of that name.
    pub(super) fn named(&self, name: &str) -> Option<&Variable> {
        self.0.get(name)
    }

    /// All of them, by name.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &Variable)> {
        self.0.iter().map(|(name, variable)| (name.as_str(), variable))
    }

    fn set(&mut self, name: &str, value: Option<String>, origin: Origin) {
        self.0.insert(name.to_owned(), Variable { value, origin });
    }

    fn take_globals(&mut self, study: &Study<'_>, offset: usize) {
        let globals = &study.plan.globals;
        for name in globals.names() {
            self.set(name, globals.get(name).map(str::to_owned), Origin::Build);
        }
        let declared = study
            .program
            .globals
            .iter()
            .flat_map(|arg| &arg.value.declarations);
        for declaration in declared {
            let name = &declaration.name;
            if declaration.span.start < offset {
                self.set(
                    name,
                    globals.get(name).map(str::to_owned),
                    Origin::Arg(declaration.span),
                );
            } else if matches!(self.named(name), Some(found) if found.origin == Origin::Build)
                && super::predefined::argument(name).is_none()
            {
                self.0.remove(name);
            }
        }
    }

    fn take_image(&mut self, study: &Study<'_>, stage: usize) {
        let image = match study.plan.bases.get(stage) {
            Some(Base::Image(image)) => study.plan.images.get(*image),
            _ => None,
        };
        let facts = image.and_then(|image| study.options.images.get(&image.reference));
        let env = facts.and_then(|facts| facts.config.pointer("/config/Env")?.as_array());
        let pairs = env
            .into_iter()
            .flatten()
            .filter_map(|pair| pair.as_str()?.split_once('='));
        for (name, value) in pairs {
            self.set(name, Some(value.to_owned()), Origin::Image);
        }
        if self.named("PATH").is_none() {
            self.set("PATH", None, Origin::Image);
        }
    }

    fn take(
        &mut self,
        study: &Study<'_>,
        instruction: Option<&Instruction>,
        args: &BTreeMap<usize, Option<&str>>,
    ) {
        match instruction {
            Some(Instruction::Arg(arg)) => {
                for declaration in &arg.declarations {
                    let value = args.get(&declaration.span.start).copied().flatten();
                    self.set(
                        &declaration.name,
                        value.map(str::to_owned),
                        Origin::Arg(declaration.span),
                    );
                }
            }
            Some(Instruction::Env(env)) => {
                let lexer = Lexer::new(study.tree.escape);
                let values = env.pairs.iter().map(|pair| lexer.word(&pair.value, self).ok());
                let values: Vec<Option<String>> = values.collect();
                for (pair, value) in env.pairs.iter().zip(values) {
                    self.set(&pair.key, value, Origin::Env(pair.span));
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::Input;
    use crate::study::study;

    fn value(source: &str, stage: Option<usize>, name: &str) -> Option<Variable> {
        let input = Input {
            source: source.into(),
            ..Input::default()
        };
        let study = study(&input);
        Visible::before(&study, stage, source.len()).named(name).cloned()
    }

    #[test]
    fn a_stage_has_the_variables_of_those_it_starts_from() {
        let source = "ARG B=b\nARG G=1\nFROM a AS b\nARG G H=2\nENV E=$H-$G\nFROM $B\nENV F=${E}x\n";
        let env = |stage, name| value(source, stage, name).and_then(|found| found.value);
        assert_eq!(env(Some(1), "F").as_deref(), Some("2-1x"));
        assert_eq!(env(Some(1), "G").as_deref(), Some("1"));
        assert_eq!(value(source, Some(0), "F"), None);
        assert_eq!(env(None, "G").as_deref(), Some("1"));
        assert_eq!(value(source, None, "E"), None);
        assert_eq!(value(source, None, "TARGETARCH").unwrap().origin, Origin::Build);
    }
}
