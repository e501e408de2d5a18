//! Two answers in a few lines each, that share nothing with the code under test.
//!
//! The first is a builder: it makes files, and keeps results by what was done to
//! which files. How commands behave is chosen from outside, since the forecast must hold for all of it.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Change, Outcome};
use crate::Analysis;
use crate::llb::{self, Action, Op, OpKind};

/// A command writes what depends on everything that it can see.
const CURIOUS: u32 = 0;
/// A command leaves no trace.
const IDLE: u32 = 1;

/// By op, what becomes of it when `path` of the build context changes; `None` for what is never kept.
///
/// A step that reads the path reruns. Where it copies, its layer is another for sure, and with that the files of all
/// that stands on it; everything else that can be reached may find the same files as before.
pub(super) fn reached(plan: &Analysis, path: &str) -> Vec<Option<Outcome>> {
    let ops = plan
        .definition
        .as_ref()
        .map(|definition| definition.ops.as_slice())
        .unwrap_or_default();
    let changed = Layer::from([(path.to_owned(), String::new())]);
    let mut known: BTreeMap<&str, (Outcome, bool)> = BTreeMap::new();
    let mut outcomes = Vec::new();
    for planned in ops.split_last().map(|(_, rest)| rest).unwrap_or_default() {
        let op = llb::decode(&planned.bytes).unwrap();
        let input = |index: i64| {
            planned
                .inputs
                .get(usize::try_from(index).ok()?)
                .map(|input| known[input.as_str()])
        };
        let is_context = |index: i64| {
            let index = usize::try_from(index)
                .ok()
                .and_then(|index| planned.inputs.get(index));
            index.is_some_and(|input| {
                ops.iter()
                    .any(|op| op.digest == *input && op.name.contains("build context"))
            })
        };
        let (mut outcome, mut surely_other, mut kept) = (Outcome::Cached, false, true);
        let stands_on = |index: i64, outcome: &mut Outcome, surely_other: &mut bool| {
            if let Some((below, other)) = input(index) {
                *surely_other |= other;
                let follows = match below {
                    _ if other => Outcome::Reruns,
                    Outcome::Cached => Outcome::Cached,
                    _ => Outcome::MayRerun,
                };
                *outcome = (*outcome).max(follows);
            }
        };
        let reads = |index: i64, copy: &llb::FileActionCopy| match input(index) {
            _ if is_context(index) && !selected(&changed, copy).is_empty() => Outcome::Reruns,
            Some((below, _)) if !is_context(index) && below != Outcome::Cached => Outcome::MayRerun,
            _ => Outcome::Cached,
        };
        match &op.kind {
            Some(OpKind::Exec(exec)) => {
                for mount in &exec.mounts {
                    if mount.dest == "/" {
                        stands_on(mount.input, &mut outcome, &mut surely_other);
                    } else {
                        outcome = outcome.max(reads(mount.input, &under(&mount.selector)));
                    }
                }
            }
            Some(OpKind::File(file)) => {
                stands_on(file.actions[0].input, &mut outcome, &mut surely_other);
                for action in &file.actions {
                    if let Some(Action::Copy(copy)) = &action.action {
                        let read = reads(action.secondary_input, copy);
                        surely_other |= read == Outcome::Reruns;
                        outcome = outcome.max(read);
                    }
                }
            }
            Some(OpKind::Merge(merge)) => {
                kept = false;
                for layer in &merge.inputs {
                    stands_on(layer.input, &mut outcome, &mut surely_other);
                }
            }
            _ => kept = false,
        }
        known.insert(planned.digest.as_str(), (outcome, surely_other));
        outcomes.push(kept.then_some(outcome));
    }
    outcomes
}

fn under(selector: &str) -> llb::FileActionCopy {
    llb::FileActionCopy {
        src: selector.to_owned(),
        ..llb::FileActionCopy::default()
    }
}

fn is_text(path: &str) -> bool {
    path == "a.txt" || path == "b.txt"
}

type Layer = BTreeMap<String, String>;

#[derive(Clone)]
enum Files {
    Context(Layer),
    Layers(Vec<Layer>),
}

pub(super) struct Builder {
    behaviour: u32,
    /// Whether images of two names have files of their own; where nothing is known of them they need not.
    images_differ: bool,
    cache: BTreeMap<String, Vec<Layer>>,
}

impl Builder {
    pub(super) fn new(behaviour: u32, images_known: bool) -> Self {
        Self {
            behaviour,
            images_differ: images_known || behaviour.is_multiple_of(2),
            cache: BTreeMap::new(),
        }
    }

    pub(super) fn build(&mut self, plan: &Analysis) {
        let cache = self.run(plan, &Change::default()).1;
        self.cache = cache;
    }

    /// By op, whether its result was not there; `None` for what is never kept.
    pub(super) fn rebuild(&mut self, plan: &Analysis, change: &Change) -> Vec<Option<bool>> {
        self.run(plan, change).0
    }

    fn run(&self, plan: &Analysis, change: &Change) -> (Vec<Option<bool>>, BTreeMap<String, Vec<Layer>>) {
        let ops = &plan.definition.as_ref().unwrap().ops;
        let mut made: BTreeMap<String, Files> = BTreeMap::new();
        let (mut missed, mut cache) = (Vec::new(), BTreeMap::new());
        for planned in ops.split_last().map(|(_, rest)| rest).unwrap_or_default() {
            let op = llb::decode(&planned.bytes).unwrap();
            let inputs: Vec<Files> = planned
                .inputs
                .iter()
                .map(|input| made[input.as_str()].clone())
                .collect();
            let files = match &op.kind {
                Some(OpKind::Source(source)) => {
                    missed.push(None);
                    match source.identifier.strip_prefix("docker-image://") {
                        Some(image) => Files::Layers(vec![self.image(image, change)]),
                        None => Files::Context(context(change)),
                    }
                }
                Some(OpKind::Merge(_)) => {
                    missed.push(None);
                    Files::Layers(inputs.iter().flat_map(layers).collect())
                }
                _ => {
                    let key = key(&op, &inputs);
                    let known = self.cache.get(&key);
                    missed.push(Some(known.is_none()));
                    let layers = known.cloned().unwrap_or_else(|| self.execute(&op, &inputs));
                    cache.insert(key, layers.clone());
                    Files::Layers(layers)
                }
            };
            made.insert(planned.digest.to_string(), files);
        }
        (missed, cache)
    }

    fn image(&self, reference: &str, change: &Change) -> Layer {
        let name = if reference.contains("/one") || !self.images_differ {
            "one"
        } else {
            "two"
        };
        let mut content = name.to_owned();
        if reference.contains("/one") {
            match change.images.get("one") {
                Some(None) => content.push_str(" newer"),
                Some(Some(facts)) if facts.config != super::facts(&["one"]).config => {
                    content.push_str(" newest");
                }
                _ => {}
            }
        }
        BTreeMap::from([
            ("etc/image".to_owned(), content),
            ("out".to_owned(), "of the image".to_owned()),
        ])
    }

    fn execute(&self, op: &Op, inputs: &[Files]) -> Vec<Layer> {
        match &op.kind {
            Some(OpKind::Exec(exec)) => {
                let root = exec.mounts.iter().find(|mount| mount.dest == "/").unwrap();
                let mut stack = usize::try_from(root.input)
                    .map(|root| layers(&inputs[root]))
                    .unwrap_or_default();
                let command = exec.meta.as_ref().unwrap().args.join(" ");
                let last = u32::from(*command.as_bytes().last().unwrap());
                let bits = self.behaviour.wrapping_mul(last);
                let written = match (self.behaviour, bits % 3) {
                    (CURIOUS, _) | (2.., 0) => format!("{command} saw {}", key(op, inputs)),
                    (IDLE, _) | (2.., 1) => String::new(),
                    _ => "the same always".to_owned(),
                };
                let mut layer = Layer::new();
                if !written.is_empty() {
                    layer.insert("out".to_owned(), written);
                }
                stack.push(layer);
                stack
            }
            Some(OpKind::File(file)) => {
                let first = file.actions[0].input;
                let mut stack = usize::try_from(first)
                    .map(|base| layers(&inputs[base]))
                    .unwrap_or_default();
                let mut layer = Layer::new();
                for action in &file.actions {
                    match action.action.as_ref().unwrap() {
                        Action::Copy(copy) => {
                            let from = usize::try_from(action.secondary_input)
                                .map(|from| flat(&inputs[from]))
                                .unwrap_or_default();
                            for (path, content) in selected(&from, copy) {
                                layer.insert(format!("{}{path}", copy.dest.trim_start_matches('/')), content);
                            }
                        }
                        Action::MkFile(made) => {
                            let text = String::from_utf8_lossy(&made.data).into_owned();
                            layer.insert(made.path.trim_start_matches('/').to_owned(), text);
                        }
                        Action::MkDir(made) => {
                            let path = format!("{}/", made.path.trim_start_matches('/'));
                            if !flat(&Files::Layers(stack.clone())).contains_key(&path) {
                                layer.insert(path, String::new());
                            }
                        }
                        other => panic!("{other:?}"),
                    }
                }
                stack.push(layer);
                stack
            }
            other => panic!("{other:?}"),
        }
    }
}

fn context(change: &Change) -> Layer {
    let paths = ["a.txt", "b.txt", "src/x.go", "src/y.md", "other"];
    let content = |path: &str| {
        let changed = change.context.iter().any(|changed| changed == path);
        format!("{path}{}", if changed { " changed" } else { "" })
    };
    paths.map(|path| (path.to_owned(), content(path))).into()
}

fn layers(files: &Files) -> Vec<Layer> {
    match files {
        Files::Layers(layers) => layers.clone(),
        Files::Context(files) => vec![files.clone()],
    }
}

fn flat(files: &Files) -> Layer {
    layers(files).into_iter().flatten().collect()
}

/// What a copy takes, by the path below its destination.
fn selected(from: &Layer, copy: &llb::FileActionCopy) -> Vec<(String, String)> {
    let source = copy.src.trim_start_matches('/');
    let mut found = Vec::new();
    for (path, content) in from {
        let relative = if source == "*.txt" {
            (is_text(path)).then_some(path.as_str())
        } else if source.is_empty() {
            Some(path.as_str())
        } else if path == source {
            path.rsplit('/').next()
        } else {
            path.strip_prefix(source).and_then(|rest| rest.strip_prefix('/'))
        };
        let Some(relative) = relative else { continue };
        let included = copy.include_patterns.is_empty()
            || copy.include_patterns.iter().any(|pattern| pattern == relative);
        let excluded = !copy.exclude_patterns.is_empty() && is_text(relative);
        if included && !excluded {
            found.push((relative.to_owned(), content.clone()));
        }
    }
    found
}

/// What is done, and to what: a root by its layers, files that are read by what they are.
fn key(op: &Op, inputs: &[Files]) -> String {
    let own = Op {
        inputs: Vec::new(),
        ..op.clone()
    };
    let input = |index: i64| usize::try_from(index).ok().map(|index| &inputs[index]);
    let mut text = format!("{own:?}");
    let mut whole = BTreeSet::new();
    let mut add = |files: Option<&Files>, part: Option<&llb::FileActionCopy>| {
        if let Some(files) = files {
            match part {
                Some(copy) => text.extend([format!(" part {:?}", selected(&flat(files), copy))]),
                None => text.extend([format!(" whole {:?}", layers(files))]),
            }
        }
    };
    match &op.kind {
        Some(OpKind::Exec(exec)) => {
            for mount in &exec.mounts {
                let copy = under(&mount.selector);
                let part = mount.dest != "/" && mount.mount_type == 0;
                add(input(mount.input), part.then_some(&copy));
            }
        }
        Some(OpKind::File(file)) => {
            for action in &file.actions {
                if usize::try_from(action.input).is_ok_and(|input| input < inputs.len())
                    && whole.insert(action.input)
                {
                    add(input(action.input), None);
                }
                if let Some(Action::Copy(copy)) = &action.action {
                    add(input(action.secondary_input), Some(copy));
                }
            }
        }
        _ => {}
    }
    text
}
