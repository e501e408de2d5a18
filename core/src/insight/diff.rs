//! In what two plans differ: stages, steps, edges, images, arguments, and the image's configuration.
//!
//! Stages and steps are matched as [`super::alignment`] does it, so a step that moved is not one that went and another
//! that came. What is the same is counted and not listed.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::alignment::{Alignment, Pairing, align, common, increasing};
use crate::Analysis;
use crate::analysis::{Base, Edge, EdgeKind, EdgeSource, ImageConfig};
use crate::span::LineRange;

/// In what two plans differ.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Diff {
    /// Whether the two plans are the same build: the same ops, in one order.
    pub same_build: bool,
    /// Stages that differ, those of the later plan first, in its order.
    pub stages: Vec<StageDiff>,
    /// Steps that differ, those of the later plan first, in its order.
    pub steps: Vec<StepDiff>,
    /// What flows from where to where, where that differs.
    pub edges: Vec<EdgeDiff>,
    /// Images that differ, by reference.
    pub images: Vec<ValueDiff>,
    /// Build arguments that differ, by name.
    pub args: Vec<ValueDiff>,
    /// What differs in the configuration of the resulting image, by path, such as `config.Env.PATH`.
    pub image_config: Vec<ValueDiff>,
    /// Steps that are the same.
    pub same_steps: usize,
}

/// What became of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fate {
    /// It is in the later plan only.
    Added,
    /// It is in the earlier plan only.
    Removed,
    /// It is in both, and differs.
    Changed,
    /// It is in both, and the same but for its place.
    Moved,
    /// It is in both, and the same but for its name.
    Renamed,
}

/// A stage that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageDiff {
    /// What became of it.
    pub fate: Fate,
    /// Its index in the earlier plan.
    pub before: Option<usize>,
    /// Its index in the later plan.
    pub after: Option<usize>,
    /// What it is called, in the later plan where it is there.
    pub label: String,
    /// What differs of it itself: `name`, `base`, `place`, `built`, `target`. Its steps are in [`Diff::steps`].
    pub changes: Vec<ValueDiff>,
    /// How many of its steps differ.
    pub steps: usize,
}

/// A step that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepDiff {
    /// What became of it.
    pub fate: Fate,
    /// Its place in the earlier plan.
    pub before: Option<StepPlace>,
    /// Its place in the later plan.
    pub after: Option<StepPlace>,
    /// The instruction's keyword in upper case.
    pub keyword: String,
    /// Flags that differ, by name, such as `--from`.
    pub flags: Vec<ValueDiff>,
    /// The two texts word by word, where they differ.
    pub words: Vec<WordDiff>,
}

/// Where a step stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepPlace {
    /// Index of the stage.
    pub stage: usize,
    /// What the stage is called.
    pub label: String,
    /// Index of the step.
    pub step: usize,
    /// The instruction on one line.
    pub text: String,
    /// Its lines.
    pub lines: LineRange,
}

/// A piece of two texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WordDiff {
    /// `None` where both have it.
    pub fate: Option<Fate>,
    /// Words, with one blank between them.
    pub text: String,
}

/// Something with a value before and after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ValueDiff {
    /// What it is.
    pub name: String,
    /// What became of it.
    pub fate: Fate,
    /// Its value in the earlier plan.
    pub before: Option<Value>,
    /// Its value in the later plan.
    pub after: Option<Value>,
}

/// A flow of files that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EdgeDiff {
    /// What became of it.
    pub fate: Fate,
    /// Index into [`Analysis::edges`] of the earlier plan.
    pub before: Option<usize>,
    /// Index into [`Analysis::edges`] of the later plan.
    pub after: Option<usize>,
    /// It as a sentence: `final copies /app from build.`
    pub text: String,
}

/// In what `after` differs from `before`.
pub fn diff(before: &Analysis, after: &Analysis) -> Diff {
    let alignment = align(before, after);
    let steps = steps(before, after, &alignment);
    let count = |analysis: &Analysis| {
        analysis
            .stages
            .iter()
            .map(|stage| stage.steps.len())
            .sum::<usize>()
    };
    let listed = steps.iter().filter(|step| step.after.is_some()).count();
    Diff {
        same_build: match (&before.definition, &after.definition) {
            (Some(before), Some(after)) => before.digest == after.digest,
            _ => false,
        },
        stages: stages(before, after, &alignment, &steps),
        edges: edges(before, after, &alignment),
        images: values(&images(before), &images(after)),
        args: values(&args(before), &args(after)),
        image_config: image_config(planned_config(before).as_ref(), planned_config(after).as_ref()),
        same_steps: count(after) - listed,
        steps,
    }
}

fn value(name: &str, before: Option<Value>, after: Option<Value>) -> Option<ValueDiff> {
    let fate = match (&before, &after) {
        (None, Some(_)) => Fate::Added,
        (Some(_), None) => Fate::Removed,
        (Some(old), Some(new)) if old != new => Fate::Changed,
        _ => return None,
    };
    Some(ValueDiff {
        name: name.to_owned(),
        fate,
        before,
        after,
    })
}

fn values(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) -> Vec<ValueDiff> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let found = names
        .into_iter()
        .filter_map(|name| value(name, before.get(name).cloned(), after.get(name).cloned()));
    found.collect()
}

fn images(analysis: &Analysis) -> BTreeMap<String, Value> {
    let image = |image: &crate::analysis::ExternalImage| {
        let mut value = serde_json::Map::new();
        value.insert("needed".into(), image.needed.into());
        value.insert("resolved".into(), image.resolved.into());
        // The op of an image holds its digest, so another op is another image of that name.
        if let Some(vertex) = &image.vertex {
            value.insert("vertex".into(), vertex.to_string().into());
        }
        (
            format!("{} ({})", image.reference, image.platform),
            Value::Object(value),
        )
    };
    analysis.images.iter().map(image).collect()
}

fn args(analysis: &Analysis) -> BTreeMap<String, Value> {
    let arg = |arg: &crate::analysis::ArgDeclaration| {
        (
            arg.name.clone(),
            arg.default.clone().map_or(Value::Null, Value::String),
        )
    };
    analysis.args.iter().map(arg).collect()
}

/// What a stage starts from, in the words of the later plan where it is a stage.
fn base(analysis: &Analysis, base: &Base, stages: &dyn Fn(usize) -> String) -> String {
    match base {
        Base::Scratch => "scratch".into(),
        Base::Stage(stage) => stages(*stage),
        Base::Image(image) => analysis
            .images
            .get(*image)
            .map_or_else(String::new, |image| image.reference.clone()),
        Base::Unknown => String::new(),
    }
}

fn label(analysis: &Analysis, stage: usize) -> String {
    analysis
        .stages
        .get(stage)
        .map_or_else(String::new, |stage| stage.label.clone())
}

/// What the stages of the earlier plan are called in the later, so that a new name alone changes nothing that uses it.
fn names_now(before: &Analysis, after: &Analysis, alignment: &Alignment) -> Vec<String> {
    let mut names: Vec<String> = (0..before.stages.len())
        .map(|stage| label(before, stage))
        .collect();
    for (new, old) in alignment.stages.iter().enumerate() {
        if let Some(name) = old.and_then(|old| names.get_mut(old)) {
            *name = label(after, new);
        }
    }
    names
}

fn stages(before: &Analysis, after: &Analysis, alignment: &Alignment, steps: &[StepDiff]) -> Vec<StageDiff> {
    let mut touched: BTreeMap<(bool, usize), usize> = BTreeMap::new();
    for step in steps {
        let place = match (&step.after, &step.before) {
            (Some(after), _) => (true, after.stage),
            (None, Some(before)) => (false, before.stage),
            (None, None) => continue,
        };
        *touched.entry(place).or_default() += 1;
    }
    // Stages keep their places as long as they come in one order; the fewest that do not have moved.
    let order: Vec<usize> = alignment.stages.iter().flatten().copied().collect();
    let in_order: BTreeSet<usize> = increasing(&order)
        .into_iter()
        .filter_map(|place| order.get(place).copied())
        .collect();
    let names = names_now(before, after, alignment);
    let mut found = Vec::new();
    for (new, old) in alignment.stages.iter().enumerate() {
        let Some(stage) = after.stages.get(new) else {
            continue;
        };
        let own = touched.get(&(true, new)).copied().unwrap_or(0);
        let Some(old_index) = *old else {
            found.push(StageDiff {
                fate: Fate::Added,
                before: None,
                after: Some(new),
                label: stage.label.clone(),
                changes: Vec::new(),
                steps: own,
            });
            continue;
        };
        let Some(old) = before.stages.get(old_index) else {
            continue;
        };
        let gone = touched.get(&(false, old_index)).copied().unwrap_or(0);
        let text = |text: &str| Some(Value::from(text));
        let name_of = |stage: &crate::analysis::Stage| stage.name.clone().map(Value::String);
        let now = |stage: usize| names.get(stage).cloned().unwrap_or_default();
        let (old_base, new_base) = (
            base(before, &old.base, &now),
            base(after, &stage.base, &|stage| label(after, stage)),
        );
        let mut changes = Vec::new();
        changes.extend(value("name", name_of(old), name_of(stage)));
        let renamed = !changes.is_empty();
        if !in_order.contains(&old_index) {
            changes.extend(value("place", Some(old_index.into()), Some(new.into())));
        }
        let moved = !in_order.contains(&old_index);
        let plain = changes.len();
        changes.extend(value("base", text(&old_base), text(&new_base)));
        changes.extend(value("built", Some(old.needed.into()), Some(stage.needed.into())));
        changes.extend(value("target", Some(old.ships.into()), Some(stage.ships.into())));
        let steps = own + gone;
        let fate = if changes.len() > plain || steps > 0 {
            Fate::Changed
        } else if renamed {
            Fate::Renamed
        } else if moved {
            Fate::Moved
        } else {
            continue;
        };
        found.push(StageDiff {
            fate,
            before: Some(old_index),
            after: Some(new),
            label: stage.label.clone(),
            changes,
            steps,
        });
    }
    let kept: BTreeSet<usize> = order.into_iter().collect();
    for (index, stage) in before.stages.iter().enumerate() {
        if !kept.contains(&index) {
            found.push(StageDiff {
                fate: Fate::Removed,
                before: Some(index),
                after: None,
                label: stage.label.clone(),
                changes: Vec::new(),
                steps: touched.get(&(false, index)).copied().unwrap_or(0),
            });
        }
    }
    found
}

fn place(analysis: &Analysis, stage: usize, step: usize) -> Option<StepPlace> {
    let found = analysis.stages.get(stage)?;
    let own = found.steps.get(step)?;
    Some(StepPlace {
        stage,
        label: found.label.clone(),
        step,
        text: own.text.clone(),
        lines: own.lines,
    })
}

fn steps(before: &Analysis, after: &Analysis, alignment: &Alignment) -> Vec<StepDiff> {
    let mut found = Vec::new();
    let mut kept: BTreeSet<(usize, usize)> = BTreeSet::new();
    for (stage, partners) in alignment.steps.iter().enumerate() {
        for (step, partner) in partners.iter().enumerate() {
            let Some(now) = place(after, stage, step) else {
                continue;
            };
            let keyword = after.stages.get(stage).and_then(|found| found.steps.get(step));
            let keyword = keyword.map_or_else(String::new, |step| step.keyword.to_string());
            let Some(partner) = partner else {
                found.push(StepDiff {
                    fate: Fate::Added,
                    before: None,
                    after: Some(now),
                    keyword,
                    flags: Vec::new(),
                    words: Vec::new(),
                });
                continue;
            };
            kept.insert((partner.stage, partner.step));
            let Some(was) = place(before, partner.stage, partner.step) else {
                continue;
            };
            let (fate, flags, words) = match partner.as_what {
                Pairing::Same => continue,
                Pairing::Moved => (Fate::Moved, Vec::new(), Vec::new()),
                Pairing::Changed => (
                    Fate::Changed,
                    values(&flags(&was.text), &flags(&now.text)),
                    words(&was.text, &now.text),
                ),
            };
            found.push(StepDiff {
                fate,
                before: Some(was),
                after: Some(now),
                keyword,
                flags,
                words,
            });
        }
    }
    for stage in &before.stages {
        for (step, own) in stage.steps.iter().enumerate() {
            if !kept.contains(&(stage.index, step)) {
                found.push(StepDiff {
                    fate: Fate::Removed,
                    before: place(before, stage.index, step),
                    after: None,
                    keyword: own.keyword.to_string(),
                    flags: Vec::new(),
                    words: Vec::new(),
                });
            }
        }
    }
    found
}

/// The flags of an instruction, which stand right behind its name.
fn flags(text: &str) -> BTreeMap<String, Value> {
    let words = text.split_whitespace().skip(1);
    let flags = words.take_while(|word| word.starts_with("--") && word.len() > 2);
    let mut found: BTreeMap<String, Value> = BTreeMap::new();
    for flag in flags {
        let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
        // Mounts and excluded patterns may be given several times.
        match found.get_mut(name) {
            Some(Value::String(known)) => {
                known.push(' ');
                known.push_str(value);
            }
            _ => {
                found.insert(name.to_owned(), value.into());
            }
        }
    }
    found
}

/// Two texts word by word.
fn words(before: &str, after: &str) -> Vec<WordDiff> {
    let (old, new): (Vec<&str>, Vec<&str>) = (
        before.split_whitespace().collect(),
        after.split_whitespace().collect(),
    );
    let mut pieces: Vec<WordDiff> = Vec::new();
    let mut add = |fate: Option<Fate>, words: &[&str]| {
        if words.is_empty() {
            return;
        }
        let text = words.join(" ");
        match pieces.last_mut() {
            Some(last) if last.fate == fate => {
                last.text.push(' ');
                last.text.push_str(&text);
            }
            _ => pieces.push(WordDiff { fate, text }),
        }
    };
    let mut next = (0, 0);
    for (left, right) in common(&old, &new) {
        add(Some(Fate::Removed), old.get(next.0..left).unwrap_or_default());
        add(Some(Fate::Added), new.get(next.1..right).unwrap_or_default());
        add(None, old.get(left..=left).unwrap_or_default());
        next = (left + 1, right + 1);
    }
    add(Some(Fate::Removed), old.get(next.0..).unwrap_or_default());
    add(Some(Fate::Added), new.get(next.1..).unwrap_or_default());
    pieces
}

/// Where an edge leads, in the coordinates of the later plan where that has the step.
type Destination = (u8, bool, usize, Option<usize>);

fn edges(before: &Analysis, after: &Analysis, alignment: &Alignment) -> Vec<EdgeDiff> {
    let mut stage_now: BTreeMap<usize, usize> = BTreeMap::new();
    for (new, old) in alignment.stages.iter().enumerate() {
        stage_now.extend(old.map(|old| (old, new)));
    }
    let mut step_now: BTreeMap<(usize, usize), (usize, usize)> = BTreeMap::new();
    for (stage, partners) in alignment.steps.iter().enumerate() {
        for (step, partner) in partners.iter().enumerate() {
            step_now.extend(partner.map(|old| ((old.stage, old.step), (stage, step))));
        }
    }
    let kind = |kind: EdgeKind| match kind {
        EdgeKind::Base => 0,
        EdgeKind::Copy => 1,
        EdgeKind::Mount => 2,
    };
    let names = names_now(before, after, alignment);
    let old_source = |edge: &Edge| {
        source(before, edge, &|stage| {
            names.get(stage).cloned().unwrap_or_default()
        })
    };
    let new_source = |edge: &Edge| source(after, edge, &|stage| label(after, stage));
    let destination = |edge: &Edge| -> Destination {
        let own = kind(edge.kind);
        let gone = (own, false, edge.to_stage, edge.to_step);
        match edge.to_step {
            None => stage_now
                .get(&edge.to_stage)
                .map_or(gone, |stage| (own, true, *stage, None)),
            Some(step) => step_now
                .get(&(edge.to_stage, step))
                .map_or(gone, |(stage, step)| (own, true, *stage, Some(*step))),
        }
    };
    // By where they lead; several mounts may lead to one step.
    let mut waiting: BTreeMap<Destination, Vec<usize>> = BTreeMap::new();
    for (index, edge) in before.edges.iter().enumerate() {
        waiting.entry(destination(edge)).or_default().push(index);
    }
    let mut found = Vec::new();
    for (index, edge) in after.edges.iter().enumerate() {
        let own: Destination = (kind(edge.kind), true, edge.to_stage, edge.to_step);
        let there = waiting.entry(own).or_default();
        let is_same = |old: &usize| {
            before
                .edges
                .get(*old)
                .is_some_and(|old| old_source(old) == new_source(edge) && old.paths == edge.paths)
        };
        let chosen = there
            .iter()
            .position(is_same)
            .or((!there.is_empty()).then_some(0));
        let old = chosen.map(|place| there.remove(place));
        let fate = match &old {
            None => Fate::Added,
            Some(old) if is_same(old) => continue,
            Some(_) => Fate::Changed,
        };
        found.push(EdgeDiff {
            fate,
            before: old,
            after: Some(index),
            text: sentence(edge, &label(after, edge.to_stage), &new_source(edge)),
        });
    }
    let mut gone: Vec<usize> = waiting.into_values().flatten().collect();
    gone.sort_unstable();
    for index in gone {
        let Some(edge) = before.edges.get(index) else {
            continue;
        };
        found.push(EdgeDiff {
            fate: Fate::Removed,
            before: Some(index),
            after: None,
            text: sentence(
                edge,
                &label(before, edge.to_stage),
                &source(before, edge, &|stage| label(before, stage)),
            ),
        });
    }
    found
}

fn source(analysis: &Analysis, edge: &Edge, stages: &dyn Fn(usize) -> String) -> String {
    match edge.from {
        EdgeSource::Context => "the build context".into(),
        EdgeSource::Stage(stage) => stages(stage),
        EdgeSource::Image(image) => analysis
            .images
            .get(image)
            .map_or_else(String::new, |image| image.reference.clone()),
    }
}

fn sentence(edge: &Edge, user: &str, source: &str) -> String {
    let paths = edge.paths.join(", ");
    match edge.kind {
        EdgeKind::Base => format!("{user} starts from {source}."),
        EdgeKind::Copy => format!("{user} copies {paths} from {source}."),
        EdgeKind::Mount => format!("{user} mounts {paths} of {source}."),
    }
}

/// What differs between two configurations, by path.
fn planned_config(analysis: &Analysis) -> Option<Value> {
    analysis.image_config.as_ref().map(ImageConfig::to_value)
}

fn image_config(before: Option<&Value>, after: Option<&Value>) -> Vec<ValueDiff> {
    let mut found = Vec::new();
    if let (Some(before), Some(after)) = (before, after) {
        config(&mut found, "", before, after, 0);
    } else {
        found.extend(value("", before.cloned(), after.cloned()));
    }
    found
}

fn config(found: &mut Vec<ValueDiff>, path: &str, before: &Value, after: &Value, depth: usize) {
    /// Configurations are flat; one that is not comes from a stranger.
    const DEEPEST: usize = 16;
    if before == after {
        return;
    }
    let below = |name: &str| {
        if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        }
    };
    match (before, after) {
        (Value::Object(old), Value::Object(new)) if depth < DEEPEST => {
            let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for name in names {
                match (old.get(name), new.get(name)) {
                    (Some(old), Some(new)) => config(found, &below(name), old, new, depth + 1),
                    (old, new) => found.extend(value(&below(name), old.cloned(), new.cloned())),
                }
            }
        }
        (Value::Array(old), Value::Array(new)) if path == "config.Env" => {
            let (old, new) = (variables(old), variables(new));
            let before = found.len();
            for difference in values(&old, &new) {
                found.push(ValueDiff {
                    name: below(&difference.name),
                    ..difference
                });
            }
            if found.len() == before {
                // The same variables in another order.
                found.extend(value(
                    path,
                    Some(old.into_values().collect()),
                    Some(new.into_values().collect()),
                ));
            }
        }
        (Value::Array(old), Value::Array(new)) if path == "history" => history(found, old, new),
        (old, new) => found.extend(value(path, Some(old.clone()), Some(new.clone()))),
    }
}

fn variables(list: &[Value]) -> BTreeMap<String, Value> {
    let variable = |value: &Value| {
        let (name, value) = value.as_str()?.split_once('=')?;
        Some((name.to_owned(), Value::from(value)))
    };
    list.iter().filter_map(variable).collect()
}

/// Entries of the history that came or went, by what they did.
fn history(found: &mut Vec<ValueDiff>, before: &[Value], after: &[Value]) {
    let done = |entry: &Value| {
        entry
            .get("created_by")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (old, new): (Vec<String>, Vec<String>) = (
        before.iter().map(done).collect(),
        after.iter().map(done).collect(),
    );
    let (old, new): (Vec<&str>, Vec<&str>) = (
        old.iter().map(String::as_str).collect(),
        new.iter().map(String::as_str).collect(),
    );
    let pairs = common(&old, &new);
    let mut next = (0, 0);
    let ends = pairs.into_iter().chain([(old.len(), new.len())]);
    for (left, right) in ends {
        for place in next.0..left {
            let text = old.get(place).map(|text| Value::from(*text));
            found.extend(value(&format!("history.{place}"), text, None));
        }
        for place in next.1..right {
            let text = new.get(place).map(|text| Value::from(*text));
            found.extend(value(&format!("history.{place}"), None, text));
        }
        next = (left + 1, right + 1);
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::analysis::Input;
    use crate::analyze;

    fn plan(source: &str) -> Analysis {
        analyze(&Input {
            source: source.into(),
            ..Input::default()
        })
    }

    fn of(before: &str, after: &str) -> Diff {
        diff(&plan(before), &plan(after))
    }

    const FILE: &str = "\
ARG V=1
FROM golang AS build
COPY . .
RUN go build -o /app
FROM alpine
ENV A=1 B=2
COPY --from=build --chown=1 /app /bin/app
CMD [\"/app\"]
";

    #[test]
    fn a_plan_does_not_differ_from_itself() {
        let same = of(FILE, &format!("# a comment\n\n{FILE}"));
        assert_eq!(
            same,
            Diff {
                same_build: true,
                same_steps: 5,
                ..Diff::default()
            }
        );
    }

    #[test]
    fn a_changed_step_says_which_flags_and_words() {
        let found = of(
            FILE,
            &FILE.replace("--chown=1 /app /bin/app", "--chown=2 --link /app /opt/app"),
        );
        assert_eq!(found.steps.len(), 1);
        let step = &found.steps[0];
        assert_eq!((step.fate, step.keyword.as_ref()), (Fate::Changed, "COPY"));
        let flags: Vec<(&str, Fate)> = step
            .flags
            .iter()
            .map(|flag| (flag.name.as_str(), flag.fate))
            .collect();
        assert_eq!(flags, [("--chown", Fate::Changed), ("--link", Fate::Added)]);
        let words: Vec<(Option<Fate>, &str)> = step
            .words
            .iter()
            .map(|word| (word.fate, word.text.as_str()))
            .collect();
        assert_eq!(
            words,
            [
                (None, "COPY --from=build"),
                (Some(Fate::Removed), "--chown=1"),
                (Some(Fate::Added), "--chown=2 --link"),
                (None, "/app"),
                (Some(Fate::Removed), "/bin/app"),
                (Some(Fate::Added), "/opt/app"),
            ]
        );
        assert_eq!(found.same_steps, 4);
        let stages: Vec<(Fate, usize)> = found
            .stages
            .iter()
            .map(|stage| (stage.fate, stage.steps))
            .collect();
        assert_eq!(stages, [(Fate::Changed, 1)]);
    }

    #[test]
    fn a_new_name_alone_is_a_renaming_and_changes_nothing_that_uses_it() {
        let found = of(
            FILE,
            &FILE
                .replace("build", "compiler")
                .replace("go compiler", "go build"),
        );
        let stages: Vec<(Fate, &str)> = found
            .stages
            .iter()
            .map(|stage| (stage.fate, stage.label.as_str()))
            .collect();
        assert_eq!(stages, [(Fate::Renamed, "compiler"), (Fate::Changed, "stage-1")]);
        assert_eq!(found.edges, []);
        assert_eq!(found.steps.len(), 1);
        assert!(found.same_build || !found.steps.is_empty());
    }

    #[test]
    fn stages_come_go_and_move() {
        let before = "FROM a AS one\nRUN x\nFROM b AS two\nRUN y\nFROM c AS old\nRUN z\nFROM d\nCOPY --from=one /x /\n";
        let after = "FROM b AS two\nRUN y\nFROM a AS one\nRUN x\nFROM e AS new\nRUN q\nFROM d\nCOPY --from=one /x /\n";
        let found = of(before, after);
        let stages: Vec<(Fate, &str)> = found
            .stages
            .iter()
            .map(|stage| (stage.fate, stage.label.as_str()))
            .collect();
        assert_eq!(stages.len(), 3);
        assert!(stages.contains(&(Fate::Added, "new")) && stages.contains(&(Fate::Removed, "old")));
        assert!(stages.iter().any(|(fate, _)| *fate == Fate::Moved));
        let texts: Vec<&str> = found.edges.iter().map(|edge| edge.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "new starts from docker.io/library/e:latest.",
                "old starts from docker.io/library/c:latest."
            ]
        );
        let images: Vec<Fate> = found.images.iter().map(|image| image.fate).collect();
        assert_eq!(images, [Fate::Removed, Fate::Added]);
    }

    #[test]
    fn edges_that_lead_elsewhere_are_changed() {
        let found = of(
            "FROM a AS one\nRUN x\nFROM a AS two\nRUN y\nFROM one\nCOPY --from=one /x /\nRUN --mount=from=one,target=/m w\n",
            "FROM a AS one\nRUN x\nFROM a AS two\nRUN y\nFROM two\nCOPY --from=one /x /\nRUN --mount=from=two,target=/m w\n",
        );
        let edges: Vec<(Fate, &str)> = found
            .edges
            .iter()
            .map(|edge| (edge.fate, edge.text.as_str()))
            .collect();
        assert_eq!(
            edges,
            [
                (Fate::Changed, "stage-2 starts from two."),
                (Fate::Changed, "stage-2 mounts / of two."),
            ]
        );
        let last = found.stages.last().unwrap();
        assert_eq!(last.changes[0].name, "base");
        assert_eq!(last.changes[0].after, Some("two".into()));
    }

    #[test]
    fn arguments_and_configuration_are_compared_by_name() {
        let found = of(
            FILE,
            &FILE
                .replace("V=1", "V=2")
                .replace("B=2", "B=3 C=4")
                .replace("CMD [\"/app\"]", "USER x"),
        );
        assert_eq!(found.args.len(), 1);
        assert_eq!(
            (found.args[0].before.clone(), found.args[0].after.clone()),
            (Some("1".into()), Some("2".into()))
        );
        let names: Vec<(&str, Fate)> = found
            .image_config
            .iter()
            .map(|entry| (entry.name.as_str(), entry.fate))
            .collect();
        assert!(names.contains(&("config.Env.B", Fate::Changed)));
        assert!(names.contains(&("config.Env.C", Fate::Added)));
        assert!(names.contains(&("config.Cmd", Fate::Removed)));
        assert!(names.contains(&("config.User", Fate::Added)));
        assert!(
            names
                .iter()
                .any(|(name, fate)| name.starts_with("history.") && *fate == Fate::Added)
        );
    }

    #[test]
    fn a_plan_that_cannot_be_built_is_compared_as_far_as_it_goes() {
        let found = of(FILE, &format!("{FILE}NONSENSE\n"));
        assert!(!found.same_build);
        assert_eq!(found.steps.len(), 1);
        assert_eq!(found.image_config.len(), 1);
        let text = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<Diff>(&text).unwrap(), found);
    }

    #[test]
    fn ten_thousand_lines_that_all_differ_cost_little() {
        let file = |word: &str| {
            (0..10_000).fold(String::from("FROM a\n"), |mut text, number| {
                let _ = writeln!(text, "RUN {word} {number}");
                text
            })
        };
        let found = of(&file("one"), &file("two"));
        assert_eq!(found.steps.len(), 10_000);
        assert!(found.steps.iter().all(|step| step.fate == Fate::Changed));
    }
}
