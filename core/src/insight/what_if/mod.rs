//! What runs again after a change, what stays cached, and why.
//!
//! ```text
//! before, after   the two plans, of the input as it is and as it is changed
//!   -> pairs      which op of the one is which of the other: by steps, not by digests
//!   -> forecast   op by op from the sources up: is there a result for the same work on the same files?
//!   -> steps      the same by the lines of the file, with the reasons
//! ```
//!
//! It answers for a builder that keeps its results as this project's worker does, and whose cache holds just what the
//! build before the change left there: a step's result is found again where the step does the same to the same files.
//! What a step leaves behind is known only once it ran. So where a step reruns, what reads single files of it may find
//! them unchanged: that is said to be possible, and not certain.
//!
//! Three things are taken for granted: a file that changed has a content that it never had before, the sources of one
//! `COPY` do not overwrite each other, and links in the build context are not changed through.

mod forecast;
mod pairs;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::alignment::{Alignment, align};
use super::ops::Ops;
use super::work::Work;
use crate::analysis::{ImageFacts, Input};
use crate::reference::Reference;
use crate::span::LineRange;
use crate::{Analysis, analyze};

/// A change, or several at once. Whatever is left out stays as it is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Change {
    /// Paths of the build context that changed, appeared or went away, seen from its root. One that ends in `/` stands
    /// for anything in that folder.
    pub context: Vec<String>,
    /// The same for named contexts that are directories, by name.
    pub named_contexts: BTreeMap<String, Vec<String>>,
    /// Build arguments that are set, or, with `null`, not set any more.
    pub build_args: BTreeMap<String, Option<String>>,
    /// Images, by their names or references, that are others now; with `null` all that is known is that their files
    /// are others.
    pub images: BTreeMap<String, Option<ImageFacts>>,
    /// The Dockerfile's new text.
    pub source: Option<String>,
    /// The new text of the `.dockerignore` that counts.
    pub ignore: Option<String>,
    /// The stage that is built instead; an empty name stands for the last one.
    pub target: Option<String>,
    /// Nothing may come from the cache.
    pub no_cache: bool,
    /// Nothing of these stages may come from the cache.
    pub no_cache_stages: Vec<String>,
}

/// What a change brings about.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WhatIf {
    /// Whether the changed input can be built; where not, nothing is said of ops.
    pub planned: bool,
    /// Every op of the plan after the change in its order, the terminal one left out.
    pub ops: Vec<OpForecast>,
    /// Every step of the file after the change, and the images that stages start from, in the order of the file.
    pub steps: Vec<StepForecast>,
    /// Steps of the file before the change that are not there any more, in its order.
    pub gone: Vec<GoneStep>,
    /// How many steps there are of each outcome.
    pub totals: Totals,
}

/// What becomes of a step or an op.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// The target does not need it.
    Skipped,
    /// It changes the image's configuration only; nothing runs for it.
    Config,
    /// Its result is there already.
    Cached,
    /// It reruns if what it reads turns out to be others files; that shows only during the build.
    MayRerun,
    /// It reruns.
    Reruns,
    /// It was not there before, and runs.
    New,
    /// Nothing can be said, as the file cannot be built.
    Unknown,
}

/// What becomes of an op.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpForecast {
    /// Index into the ops of the plan after the change.
    pub op: usize,
    /// Index into the ops of the plan before it: the same step then.
    pub before: Option<usize>,
    /// What becomes of it.
    pub outcome: Outcome,
    /// Why; the strongest first. Empty where it stays cached.
    pub causes: Vec<Cause>,
}

/// One reason why an op reruns, or may.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// What kind of reason it is.
    pub kind: CauseKind,
    /// Whether it makes the op rerun in any case.
    pub certain: bool,
    /// The op that it comes from, by index into [`WhatIf::ops`]; `None` where the change itself is the reason.
    pub from: Option<usize>,
    /// Changed paths of the build context that are read (no more than 20 of them).
    pub paths: Vec<String>,
    /// The reason as a sentence.
    pub text: String,
}

/// What kind of reason a [`Cause`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CauseKind {
    /// It reads files of a build context that changed.
    Context,
    /// What it does is something else: its text, a variable it gets, its working directory.
    Instruction,
    /// It is an image, and another one.
    Image,
    /// It works on the files of a step that are others.
    Follows,
    /// It reads files of a step or an image that may be others.
    Reads,
    /// It was asked never to come from the cache.
    NoCache,
    /// It was not there before.
    New,
}

/// What becomes of a step of the file after the change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepForecast {
    /// Index of the stage.
    pub stage: usize,
    /// Index of the step; `None` for what the stage starts from.
    pub step: Option<usize>,
    /// The instruction on one line.
    pub text: String,
    /// Its lines in the file after the change.
    pub lines: LineRange,
    /// The step of the file before the change that it was, as stage and step.
    pub before: Option<(usize, usize)>,
    /// Its ops, by index into [`WhatIf::ops`].
    pub ops: Vec<usize>,
    /// The op that decides, by index into [`WhatIf::ops`]; [`WhatIf::chain`] tells the whole story of it.
    pub decides: Option<usize>,
    /// What becomes of it.
    pub outcome: Outcome,
    /// Why, as a sentence.
    pub reason: String,
}

/// A step of the file before the change that is not there any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GoneStep {
    /// Index of the stage before the change.
    pub stage: usize,
    /// What the stage was called.
    pub label: String,
    /// Index of the step before the change.
    pub step: usize,
    /// The instruction on one line.
    pub text: String,
    /// Its lines in the file before the change.
    pub lines: LineRange,
}

/// How many steps there are of each outcome.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Steps that stay cached.
    pub cached: usize,
    /// Steps that may rerun.
    pub may_rerun: usize,
    /// Steps that rerun.
    pub reruns: usize,
    /// Steps that are new.
    pub new: usize,
    /// Steps that the target does not need.
    pub skipped: usize,
    /// Steps that are not there any more.
    pub gone: usize,
}

impl Change {
    /// The input as it is after the change. What happens to files is no part of an input.
    #[must_use]
    pub fn apply(&self, input: &Input) -> Input {
        let mut input = input.clone();
        if let Some(source) = &self.source {
            input.source.clone_from(source);
        }
        if let Some(target) = &self.target {
            input.options.target = Some(target.clone()).filter(|target| !target.is_empty());
        }
        if let Some(ignore) = &self.ignore {
            input.options.ignore = Some(ignore.clone());
        }
        for (name, value) in &self.build_args {
            match value {
                Some(value) => input.options.build_args.insert(name.clone(), value.clone()),
                None => input.options.build_args.remove(name),
            };
        }
        for (name, facts) in &self.images {
            if let Some(facts) = facts {
                input.options.images.insert(full(name), facts.clone());
            }
        }
        input
    }
}

/// An image's reference in its full form.
fn full(name: &str) -> String {
    name.parse::<Reference>()
        .map_or_else(|_| name.to_owned(), |reference| reference.to_string())
}

impl WhatIf {
    /// The whole story of an op: what the change touched first, then step by step what followed from it.
    pub fn chain(&self, op: usize) -> Vec<&Cause> {
        let mut chain = Vec::new();
        let mut next = Some(op);
        while let Some(cause) = next.and_then(|op| self.ops.get(op)?.causes.first()) {
            chain.push(cause);
            // Causes come from ops that stand before; anything else would go round in circles.
            next = cause.from.filter(|from| next.is_some_and(|op| *from < op));
        }
        chain.reverse();
        chain
    }
}

/// What becomes of each step when `input` is changed.
pub fn what_if(input: &Input, change: &Change) -> WhatIf {
    let before = analyze(input);
    let changed = change.apply(input);
    let after = analyze(&changed);
    let alignment = align(&before, &after);
    let (old, new) = (Ops::of(&before), Ops::of(&after));
    let read = |ops: &Ops<'_>| -> Vec<Work> { ops.list.iter().map(Work::of).collect() };
    let (old_works, new_works) = (read(&old), read(&new));
    let partners = pairs::pair(
        (&before, &old),
        (&after, &new),
        &alignment,
        (&old_works, &new_works),
    );
    let names = names(&after, &new);
    let ops = forecast::forecast(&forecast::Question {
        change,
        before: forecast::Side {
            input,
            analysis: &before,
            ops: &old,
            works: &old_works,
        },
        after: forecast::Side {
            input: &changed,
            analysis: &after,
            ops: &new,
            works: &new_works,
        },
        partners: &partners,
        names: &names,
        old_names: &self::names(&before, &old),
    });
    let steps = steps(&after, &new, &new_works, &ops, &alignment);
    let gone = gone(&before, &alignment);
    let mut totals = Totals {
        gone: gone.len(),
        ..Totals::default()
    };
    for step in steps.iter().filter(|step| step.step.is_some()) {
        match step.outcome {
            Outcome::Cached => totals.cached += 1,
            Outcome::MayRerun => totals.may_rerun += 1,
            Outcome::Reruns => totals.reruns += 1,
            Outcome::New => totals.new += 1,
            Outcome::Skipped => totals.skipped += 1,
            Outcome::Config | Outcome::Unknown => {}
        }
    }
    WhatIf {
        planned: after.definition.is_some(),
        ops,
        steps,
        gone,
        totals,
    }
}

/// What to call each op in a sentence: its instruction, else the name that progress shows.
fn names(analysis: &Analysis, ops: &Ops<'_>) -> Vec<String> {
    let name = |(op, places): (&crate::analysis::PlannedOp, &Vec<super::ops::Place>)| {
        let written = places.iter().find_map(|(stage, step)| {
            let stage = analysis.stages.get(*stage)?;
            Some(stage.steps.get((*step)?)?.text.as_str())
        });
        let text = written.unwrap_or_else(|| match op.name.split_once("] ") {
            Some((place, rest)) if place.starts_with('[') => rest,
            _ => op.name.as_str(),
        });
        short(text)
    };
    ops.list.iter().zip(&ops.places).map(name).collect()
}

/// The beginning of a long instruction.
fn short(text: &str) -> String {
    const LONGEST: usize = 60;
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    let beginning: String = text.chars().take(LONGEST - 1).collect();
    format!("{}…", beginning.trim_end())
}

fn steps(
    after: &Analysis,
    ops: &Ops<'_>,
    works: &[Work],
    forecasts: &[OpForecast],
    alignment: &Alignment,
) -> Vec<StepForecast> {
    let mut placed: BTreeMap<super::ops::Place, Vec<usize>> = BTreeMap::new();
    for (op, places) in ops.places.iter().enumerate() {
        for place in places {
            placed.entry(*place).or_default().push(op);
        }
    }
    let mut steps = Vec::new();
    for stage in &after.stages {
        let base = std::iter::once((None, None));
        let written = stage.steps.iter().enumerate();
        for (step, found) in base.chain(written.map(|(step, found)| (Some(step), Some(found)))) {
            let own = placed.remove(&(stage.index, step)).unwrap_or_default();
            if found.is_none() && own.is_empty() {
                // It starts from another stage, or from nothing.
                continue;
            }
            // A merge lays finished layers over each other; what is copied is decided by the others.
            let decides = own
                .iter()
                .filter(|op| works.get(**op).is_some_and(Work::is_kept) || found.is_none())
                .filter_map(|op| forecasts.get(*op))
                .max_by_key(|forecast| forecast.outcome);
            let (outcome, reason) = match decides {
                Some(forecast) => (forecast.outcome, reason(forecast)),
                None if after.definition.is_none() => (
                    Outcome::Unknown,
                    "The file cannot be built as it stands.".to_owned(),
                ),
                None if !stage.needed => (Outcome::Skipped, stage.reason.clone()),
                None => (
                    Outcome::Config,
                    "It changes the image's configuration only; nothing runs for it.".to_owned(),
                ),
            };
            let partner =
                step.and_then(|step| alignment.steps.get(stage.index)?.get(step).copied().flatten());
            steps.push(StepForecast {
                stage: stage.index,
                step,
                text: found.map_or_else(
                    || {
                        own.first()
                            .and_then(|op| ops.list.get(*op))
                            .map(|op| op.name.clone())
                            .unwrap_or_default()
                    },
                    |found| found.text.clone(),
                ),
                lines: found.map_or(
                    LineRange {
                        start: stage.lines.start,
                        end: stage.lines.start,
                    },
                    |found| found.lines,
                ),
                before: partner.map(|partner| (partner.stage, partner.step)),
                decides: decides.map(|forecast| forecast.op),
                ops: own,
                outcome,
                reason,
            });
        }
    }
    steps
}

fn reason(forecast: &OpForecast) -> String {
    match forecast.causes.first() {
        Some(cause) => cause.text.clone(),
        None => "It does the same to the same files, so its result is there already.".into(),
    }
}

fn gone(before: &Analysis, alignment: &Alignment) -> Vec<GoneStep> {
    let kept: std::collections::BTreeSet<(usize, usize)> = alignment
        .steps
        .iter()
        .flatten()
        .flatten()
        .map(|partner| (partner.stage, partner.step))
        .collect();
    let mut gone = Vec::new();
    for stage in &before.stages {
        for (step, found) in stage.steps.iter().enumerate() {
            if !kept.contains(&(stage.index, step)) {
                gone.push(GoneStep {
                    stage: stage.index,
                    label: stage.label.clone(),
                    step,
                    text: found.text.clone(),
                    lines: found.lines,
                });
            }
        }
    }
    gone
}
