//! When BuildKit comes to what a rule finds. Its linter is part of its conversion, which ends at the first error: what
//! would have been found later is not said.

use std::collections::BTreeSet;

use crate::diagnostic::Severity;
use crate::instruction::Instruction;
use crate::platform::Platform;
use crate::syntax::{Arguments, Keyword, Line, Node};

use super::file::File;
use super::variables::expanded;

/// A moment of a conversion; earlier ones are smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(u8, usize, usize);

impl Moment {
    /// The text was split into lines.
    pub(super) const TEXT: Self = Self(0, 0, 0);
    /// All instructions were read; names are looked at.
    pub(super) const NAMES: Self = Self(2, 0, 0);
    /// The arguments before the first stage are worked out.
    const GLOBALS: Self = Self(3, 0, 0);
    /// It is found out which stage needs which.
    const GRAPH: Self = Self(5, 0, 0);
    /// Images were looked up.
    pub(super) const IMAGES: Self = Self(6, 0, 0);
    /// Triggers of these images are read.
    const TRIGGERS: Self = Self(7, 0, 0);

    /// The instruction at `offset` is read.
    pub(super) const fn reading(offset: usize) -> Self {
        Self(1, offset, 0)
    }

    /// The instruction at `offset` was read.
    pub(super) const fn read(offset: usize) -> Self {
        Self(1, offset, 1)
    }

    /// The base of a stage is worked out.
    pub(super) const fn base(stage: usize) -> Self {
        Self(4, stage, 0)
    }

    /// Its platform is worked out.
    pub(super) const fn platform(stage: usize) -> Self {
        Self(4, stage, 1)
    }

    /// An instruction of a stage is carried out; triggers count.
    pub(super) const fn doing(stage: usize, step: usize) -> Self {
        Self(8, stage, 2 * step)
    }

    /// Right after it.
    pub(super) const fn after(self) -> Self {
        Self(self.0, self.1, self.2 + 1)
    }
}

/// The first moment that BuildKit does not come to, where an error stands in its way.
pub(super) fn stop(file: &File<'_>) -> Option<Moment> {
    let study = file.study;
    let unread = unread(file);
    if study.broken || unread.iter().any(|node| is_no_line(node, study.tree.escape)) {
        return Some(Moment::TEXT);
    }
    let mut stops = BTreeSet::new();
    stops.extend(unread.iter().map(|node| Moment::read(node.span.start)));
    for stage in &file.stages {
        let Some(from) = stage.from else { continue };
        if expanded(file, &from.base.text).is_none_or(|word| word.text.is_empty()) {
            stops.insert(Moment::base(stage.index).after());
        } else if let Some(platform) = &from.platform
            && expanded(file, &platform.text).is_none_or(|word| word.text.parse::<Platform>().is_err())
        {
            stops.insert(Moment::platform(stage.index).after());
        }
        for step in stage.steps.iter().filter(|_| stage.looked_at) {
            if step.worked.failed.is_some() {
                stops.insert(step.when.after());
            }
        }
    }
    for finding in &study.diagnostics {
        let place = file.place_of(finding.span.start);
        stops.extend(match finding.code.as_str() {
            "bad-check" | "bad-heredoc" | "unterminated-heredoc" => Some(Moment::TEXT),
            "no-stages" => Some(Moment::NAMES),
            "bad-epoch" => Some(Moment::GLOBALS),
            "unknown-target" | "cycle" => Some(Moment::GRAPH),
            "bad-image-name" | "bad-image-config" | "bad-trigger" => Some(Moment::TRIGGERS),
            // That a command is missing shows only when ops are marshalled, when all has been looked at.
            "NoEmptyContinuation" | "empty-command" => None,
            // A name that is no stage's is an image's; only a number is wrong.
            "unknown-stage" if finding.severity == Severity::Warning => None,
            "unknown-stage" | "variable-in-from" => Some(match place {
                Some((_, Some(_))) => Moment::GRAPH,
                _ => Moment::TRIGGERS,
            }),
            code => match place {
                None if code == "bad-expansion" => Some(Moment::GLOBALS),
                None => None,
                Some((stage, step)) => {
                    let stage = file.stages.get(stage).filter(|stage| stage.looked_at);
                    stage.and_then(|stage| match step {
                        // What is wrong with the words of FROM was found above.
                        None if matches!(code, "bad-expansion" | "blank-base" | "bad-platform") => None,
                        None => Some(Moment::doing(stage.index, 0).after()),
                        Some(step) => {
                            let step = stage.steps.get(step)?;
                            match step.instruction() {
                                Some(Instruction::Copy(copy))
                                    if copy.from.as_ref().is_some_and(|from| from.span == finding.span) =>
                                {
                                    Some(if code == "bad-expansion" {
                                        Moment::GRAPH
                                    } else {
                                        step.when.after()
                                    })
                                }
                                _ => Some(step.when.after()),
                            }
                        }
                    })
                }
            },
        });
    }
    stops.first().copied()
}

/// The instructions that cannot be read, or stand where they may not.
fn unread<'f>(file: &'f File<'_>) -> Vec<&'f Node<'f>> {
    let study = file.study;
    let first = file
        .stages
        .first()
        .map_or(usize::MAX, |stage| stage.node.span.start);
    let globals: BTreeSet<usize> = study.program.globals.iter().map(|arg| arg.span.start).collect();
    let before = study
        .tree
        .nodes
        .iter()
        .take_while(|node| node.span.start < first)
        .filter(|node| node.keyword != Some(Keyword::Arg) || !globals.contains(&node.span.start));
    let mut unread: Vec<&Node<'_>> = before.collect();
    for stage in &file.stages {
        if stage.from.is_none() {
            unread.push(stage.node);
        }
        let steps = stage.steps.iter().filter(|step| !step.trigger);
        unread.extend(
            steps
                .filter(|step| step.instruction().is_none())
                .map(|step| &*step.node),
        );
    }
    unread
}

/// Whether BuildKit does not even take the instruction for a line, which keeps it from reading any.
fn is_no_line(node: &Node<'_>, escape: char) -> bool {
    match Node::read(node.line.clone(), escape).arguments {
        Err(_) => true,
        Ok(Arguments::Trigger(range)) => {
            let inner = node.line.text().get(range).unwrap_or_default();
            Node::read(Line::new(inner, 0), escape).arguments.is_err()
        }
        Ok(_) => false,
    }
}
