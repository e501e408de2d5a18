//! Op by op, from the sources up: whether there is a result for the same work on the same files.

use std::collections::BTreeMap;

use super::super::ops::Ops;
use super::super::selection::Reads;
use super::super::work::{Use, Work, difference};
use super::{Cause, CauseKind, Change, OpForecast, Outcome, full};
use crate::Analysis;
use crate::analysis::Input;
use crate::digest::Digest;
use crate::glob::parts;
use crate::ignore::{Entry, Ignore, Verdict};
use crate::llb::OpKind;

/// Everything the forecast is made of.
pub(super) struct Question<'a> {
    pub(super) change: &'a Change,
    pub(super) before: Side<'a>,
    pub(super) after: Side<'a>,
    /// By op after the change, the same op before it.
    pub(super) partners: &'a [Option<usize>],
    /// What to call the ops after the change, and those before it.
    pub(super) names: &'a [String],
    pub(super) old_names: &'a [String],
}

/// One of the two plans.
pub(super) struct Side<'a> {
    pub(super) input: &'a Input,
    pub(super) analysis: &'a Analysis,
    pub(super) ops: &'a Ops<'a>,
    pub(super) works: &'a [Work],
}

/// Whether something is another than it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Doubt {
    No,
    Possible,
    Certain,
}

/// What is known of the files that an op gives.
#[derive(Debug, Clone, Default)]
struct Value {
    /// They are just those of this op before the change.
    known: Option<usize>,
    /// Something in them was nowhere before the change.
    unseen: bool,
    /// What they stand on, and how many layers are on top of it; `None` where that is not known. Layers are counted
    /// because two stacks of different heights are never taken for one, even where a layer is empty.
    stack: Option<Stack>,
    /// Paths in it that changed, where it is a build context.
    changed: Vec<String>,
    /// Whether other parts of a build context are let in than before.
    refiltered: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stack {
    /// The image at the bottom, as an op before the change; `None` for nothing.
    root: Option<usize>,
    height: usize,
}

pub(super) fn forecast(question: &Question<'_>) -> Vec<OpForecast> {
    let old_stacks = stacks(&question.before);
    let mut keys: BTreeMap<(&Digest, Vec<usize>), usize> = BTreeMap::new();
    let mut by_own: BTreeMap<&Digest, Vec<usize>> = BTreeMap::new();
    for (op, work) in question.before.works.iter().enumerate() {
        let inputs = question.before.ops.inputs(op);
        let used = work
            .uses
            .iter()
            .filter_map(|used| inputs.get(used.input()).copied())
            .collect();
        keys.insert((&work.own, used), op);
        by_own.entry(&work.own).or_default().push(op);
    }
    let mut run = Run {
        question,
        old_stacks,
        keys,
        by_own,
        images: Images::of(question),
        values: Vec::with_capacity(question.after.works.len()),
    };
    (0..question.after.works.len()).map(|op| run.op(op)).collect()
}

struct Run<'q> {
    question: &'q Question<'q>,
    old_stacks: Vec<Option<Stack>>,
    /// Ops before the change by what they do and to what.
    keys: BTreeMap<(&'q Digest, Vec<usize>), usize>,
    /// Ops before the change by what they do.
    by_own: BTreeMap<&'q Digest, Vec<usize>>,
    images: Images,
    /// By op after the change, as far as it is looked at.
    values: Vec<Value>,
}

impl<'q> Run<'q> {
    fn op(&mut self, op: usize) -> OpForecast {
        let Some(work) = self.question.after.works.get(op) else {
            return OpForecast {
                op,
                before: None,
                outcome: Outcome::Unknown,
                causes: Vec::new(),
            };
        };
        let partner = self.question.partners.get(op).copied().flatten();
        let (value, before, outcome, mut causes) = if work.local().is_some() {
            self.context(op, work, partner)
        } else if matches!(work.op.kind, Some(OpKind::Source(_))) {
            self.source(op, work, partner)
        } else {
            self.work(op, work, partner)
        };
        causes.sort_by_key(|cause| !cause.certain);
        self.values.push(value);
        OpForecast {
            op,
            before,
            outcome,
            causes,
        }
    }

    fn name(&self, op: usize) -> &'q str {
        self.question
            .names
            .get(op)
            .map(String::as_str)
            .unwrap_or_default()
    }

    fn old_name(&self, op: usize) -> &'q str {
        self.question
            .old_names
            .get(op)
            .map(String::as_str)
            .unwrap_or_default()
    }

    fn old_work(&self, op: usize) -> Option<&'q Work> {
        self.question.before.works.get(op)
    }

    /// The op before the change that did the same to the same.
    fn exact(&self, op: usize, work: &'q Work) -> Option<usize> {
        let inputs = self.question.after.ops.inputs(op);
        let used: Option<Vec<usize>> = work
            .uses
            .iter()
            .map(|used| self.values.get(*inputs.get(used.input())?)?.known)
            .collect();
        self.keys.get(&(&work.own, used?)).copied()
    }

    /// A build context.
    fn context(
        &self,
        op: usize,
        work: &'q Work,
        partner: Option<usize>,
    ) -> (Value, Option<usize>, Outcome, Vec<Cause>) {
        let name = work.local().unwrap_or_default();
        let exact = self.exact(op, work);
        let change = self.question.change;
        let paths = if name == "context" {
            Some(&change.context)
        } else {
            change.named_contexts.get(name)
        };
        let paths: Vec<&String> = paths.into_iter().flatten().collect();
        let changed = if name == "context" {
            let text = self.question.after.input.options.ignore.as_deref();
            entering(text.unwrap_or_default(), &paths)
        } else {
            let ignored = Ignore::of(&work.local_patterns("local.excludepatterns")).unwrap_or_default();
            let enters = |path: &&&String| !ignored.names(&plain(path));
            paths.iter().filter(enters).map(|path| (*path).clone()).collect()
        };
        let before = exact.or(partner);
        let refiltered = exact.is_none() && before.is_some();
        let value = Value {
            known: before,
            changed,
            refiltered,
            ..Value::default()
        };
        let cause = |text: String| Cause {
            kind: CauseKind::Context,
            certain: true,
            from: None,
            paths: value.changed.iter().take(MOST_PATHS).cloned().collect(),
            text,
        };
        let (outcome, causes) = if before.is_none() {
            (
                Outcome::New,
                vec![cause("The build context was not used before.".into())],
            )
        } else if !value.changed.is_empty() {
            let list = list(&value.changed);
            (
                Outcome::Reruns,
                vec![cause(format!("In the build context, {list} changed."))],
            )
        } else if refiltered {
            (
                Outcome::Reruns,
                vec![cause("Other files enter the build context.".into())],
            )
        } else {
            (Outcome::Cached, Vec::new())
        };
        (value, before, outcome, causes)
    }

    /// An image, or something fetched.
    fn source(
        &self,
        op: usize,
        work: &'q Work,
        partner: Option<usize>,
    ) -> (Value, Option<usize>, Outcome, Vec<Cause>) {
        let known = |before: usize| Value {
            known: Some(before),
            stack: self.old_stacks.get(before).copied().flatten(),
            ..Value::default()
        };
        let touched = self.images.is_touched(op);
        let exact = self.exact(op, work);
        if let Some(before) = exact.filter(|_| !touched) {
            return (known(before), Some(before), Outcome::Cached, Vec::new());
        }
        let before = exact.or(partner);
        let same_layers = before
            .and_then(|before| self.images.same_layers(op, before))
            .filter(|_| !touched);
        if let (Some(before), Some(true)) = (before, same_layers) {
            return (known(before), Some(before), Outcome::Cached, Vec::new());
        }
        let name = self.name(op);
        let value = Value {
            unseen: touched || same_layers == Some(false),
            ..Value::default()
        };
        let kind = if work.image().is_some() {
            CauseKind::Image
        } else {
            CauseKind::Instruction
        };
        let (outcome, text) = match before {
            None => (Outcome::New, format!("{name} was not used before.")),
            Some(_) if touched || same_layers == Some(false) => {
                (Outcome::Reruns, format!("{name} has other files now."))
            }
            Some(before) => {
                let what = self
                    .old_work(before)
                    .map_or_else(String::new, |old| difference(&old.op, &work.op));
                (Outcome::Reruns, format!("{name}: {what} now."))
            }
        };
        let cause = Cause {
            kind: if outcome == Outcome::New {
                CauseKind::New
            } else {
                kind
            },
            certain: true,
            from: None,
            paths: Vec::new(),
            text,
        };
        (value, before, outcome, vec![cause])
    }

    /// A step.
    fn work(
        &self,
        op: usize,
        work: &'q Work,
        partner: Option<usize>,
    ) -> (Value, Option<usize>, Outcome, Vec<Cause>) {
        /// One instruction in many places: it is enough to look at a few of them.
        const CANDIDATES: usize = 4;
        let exact = self.exact(op, work);
        let fresh = work.is_kept() && self.asked_fresh(op);
        let mut candidates: Vec<usize> = exact.into_iter().collect();
        candidates
            .extend(partner.filter(|before| self.old_work(*before).is_some_and(|old| old.own == work.own)));
        candidates.extend(self.by_own.get(&work.own).into_iter().flatten().take(CANDIDATES));
        let best = candidates
            .into_iter()
            .map(|before| (before, self.doubts(op, work, before)))
            .min_by_key(|(_, doubts)| doubts.iter().map(|(doubt, _)| *doubt).max());
        let (before, mut outcome, mut causes) = if let Some((before, doubts)) = best {
            let most = doubts.iter().map(|(doubt, _)| *doubt).max().unwrap_or(Doubt::No);
            let outcome = match most {
                Doubt::No => Outcome::Cached,
                Doubt::Possible => Outcome::MayRerun,
                Doubt::Certain => Outcome::Reruns,
            };
            (
                Some(before),
                outcome,
                doubts.into_iter().filter_map(|(_, cause)| cause).collect(),
            )
        } else {
            let name = self.name(op);
            let (outcome, kind, text) = match partner.and_then(|before| self.old_work(before)) {
                Some(old) => {
                    let what = difference(&old.op, &work.op);
                    (
                        Outcome::Reruns,
                        CauseKind::Instruction,
                        format!("{name}: {what}."),
                    )
                }
                None => (Outcome::New, CauseKind::New, format!("{name} is new.")),
            };
            (
                partner,
                outcome,
                vec![cause(kind, Doubt::Certain, None, Vec::new(), text)],
            )
        };
        if fresh {
            outcome = outcome.max(Outcome::Reruns);
            causes.insert(
                0,
                Cause {
                    kind: CauseKind::NoCache,
                    certain: true,
                    from: None,
                    paths: Vec::new(),
                    text: format!("{} was asked never to come from the cache.", self.name(op)),
                },
            );
        }
        let value = match before {
            Some(before) if outcome == Outcome::Cached => Value {
                known: Some(before),
                stack: self.old_stacks.get(before).copied().flatten(),
                ..Value::default()
            },
            _ => self.made(op, work),
        };
        (value, before, outcome, causes)
    }

    /// What is known of the files of a step that runs.
    fn made(&self, op: usize, work: &Work) -> Value {
        let inputs = self.question.after.ops.inputs(op);
        let value = |input: usize| inputs.get(input).and_then(|input| self.values.get(*input));
        let shape = shape(work);
        let below: Vec<Option<&Value>> = shape.below.iter().map(|input| value(*input)).collect();
        let mut unseen = below.iter().flatten().any(|value| value.unseen);
        if work.is_document() {
            unseen |= !self.by_own.contains_key(&work.own);
        }
        if matches!(work.op.kind, Some(OpKind::File(_))) {
            unseen |= work.uses.iter().any(|used| match used {
                Use::Part {
                    input,
                    selection,
                    unpacks,
                    ..
                } => value(*input).is_some_and(|from| {
                    let document = self.after_document(inputs.get(*input));
                    let content = from
                        .changed
                        .iter()
                        .any(|path| selection.reads(path) == Reads::Yes && !(*unpacks && is_archive(path)));
                    content || (document && from.unseen)
                }),
                Use::Whole(_) => false,
            });
        }
        let stacks = below.iter().map(|value| value.and_then(|value| value.stack));
        Value {
            unseen,
            stack: shape.stack(stacks),
            ..Value::default()
        }
    }

    fn after_document(&self, op: Option<&usize>) -> bool {
        op.and_then(|op| self.question.after.works.get(*op))
            .is_some_and(Work::is_document)
    }

    fn asked_fresh(&self, op: usize) -> bool {
        let change = self.question.change;
        let planned = self.question.after.ops.list.get(op);
        if change.no_cache || planned.is_some_and(|planned| planned.ignore_cache) {
            return true;
        }
        let stages = self.question.after.ops.places.get(op).into_iter().flatten();
        stages
            .filter_map(|(stage, _)| self.question.after.analysis.stages.get(*stage))
            .any(|stage| {
                let labels = change.no_cache_stages.iter();
                labels
                    .into_iter()
                    .any(|label| label.eq_ignore_ascii_case(&stage.label))
            })
    }

    /// By use of an input, whether it is another than for `before`, an op that did the same.
    fn doubts(&self, op: usize, work: &'q Work, before: usize) -> Vec<(Doubt, Option<Cause>)> {
        let inputs = self.question.after.ops.inputs(op);
        let old_inputs = self.question.before.ops.inputs(before);
        let old_uses = self
            .old_work(before)
            .map(|old| old.uses.as_slice())
            .unwrap_or_default();
        let doubt = |(used, old): (&'q Use, &Use)| {
            let (Some(&input), Some(&old_input)) = (inputs.get(used.input()), old_inputs.get(old.input()))
            else {
                return (Doubt::Certain, None);
            };
            self.doubt(op, used, input, old_input)
        };
        work.uses.iter().zip(old_uses).map(doubt).collect()
    }

    fn doubt(&self, op: usize, used: &'q Use, input: usize, old_input: usize) -> (Doubt, Option<Cause>) {
        let Some(value) = self.values.get(input) else {
            return (Doubt::Certain, None);
        };
        let (name, from) = (self.name(op), self.name(input));
        let same = value.known == Some(old_input);
        let local = self
            .question
            .after
            .works
            .get(input)
            .is_some_and(|work| work.local().is_some());
        match used {
            Use::Whole(_) if local => {
                if same && value.changed.is_empty() && !value.refiltered {
                    return (Doubt::No, None);
                }
                let doubt = Doubt::Certain;
                let text = format!("{name} uses all of the build context, which changed.");
                (
                    doubt,
                    Some(cause(
                        CauseKind::Context,
                        doubt,
                        Some(input),
                        value.changed.clone(),
                        text,
                    )),
                )
            }
            Use::Whole(_) => {
                if same {
                    return (Doubt::No, None);
                }
                let old_stack = self.old_stacks.get(old_input).copied().flatten();
                let heights_differ = value
                    .stack
                    .zip(old_stack)
                    .is_some_and(|(new, old)| self.images.differ(new, old));
                let doubt = if value.unseen || heights_differ {
                    Doubt::Certain
                } else {
                    Doubt::Possible
                };
                let text = match (value.known, doubt) {
                    (Some(_), _) => format!("{name} follows {from} now, not {}.", self.old_name(old_input)),
                    (None, Doubt::Certain) => format!("{name} follows {from}, whose files are others."),
                    (None, _) => format!("{name} follows {from}, whose files may be others."),
                };
                (
                    doubt,
                    Some(cause(CauseKind::Follows, doubt, Some(input), Vec::new(), text)),
                )
            }
            Use::Part {
                selection, source, ..
            } if local => {
                let mut doubt = if same && !value.refiltered {
                    Doubt::No
                } else {
                    Doubt::Possible
                };
                let mut read = Vec::new();
                for path in &value.changed {
                    match selection.reads(path) {
                        Reads::No => continue,
                        Reads::Perhaps => doubt = doubt.max(Doubt::Possible),
                        Reads::Yes => doubt = Doubt::Certain,
                    }
                    if read.len() < MOST_PATHS {
                        read.push(path.clone());
                    }
                }
                if doubt == Doubt::No {
                    return (Doubt::No, None);
                }
                let text = match (read.as_slice(), doubt) {
                    ([], _) => format!("{name} reads {source} of the build context, which may be another."),
                    (read, Doubt::Certain) => format!("{name} reads {}, which changed.", list(read)),
                    (read, _) => format!("{name} may read {}.", list(read)),
                };
                (doubt, Some(cause(CauseKind::Context, doubt, None, read, text)))
            }
            Use::Part { source, .. } => {
                if same {
                    return (Doubt::No, None);
                }
                let document = self.after_document(Some(&input));
                let doubt = if document && value.unseen {
                    Doubt::Certain
                } else {
                    Doubt::Possible
                };
                let text = if document {
                    format!("{name}: its text is another.")
                } else {
                    format!("{name} reads {source} of {from}, which may be another.")
                };
                let kind = if document {
                    CauseKind::Instruction
                } else {
                    CauseKind::Reads
                };
                let from = (!document).then_some(input);
                (doubt, Some(cause(kind, doubt, from, Vec::new(), text)))
            }
        }
    }
}

/// A path without what says nothing, such as `./` in front.
fn plain(path: &str) -> String {
    parts(path).collect::<Vec<_>>().join("/")
}

/// Those of `paths` that an ignore file of this text lets into the build context. Of a folder something may enter even
/// where it is kept out itself.
fn entering(ignore: &str, paths: &[&String]) -> Vec<String> {
    let (ignore, _) = Ignore::parse(ignore);
    let plain: Vec<String> = paths.iter().map(|path| plain(path)).collect();
    let entries: Vec<Entry<'_>> = paths
        .iter()
        .zip(&plain)
        .map(|(path, plain)| Entry {
            path: plain,
            folder: path.ends_with('/'),
        })
        .collect();
    let verdicts = ignore.walk(&entries);
    let enters = |(path, verdict): (&&String, Verdict)| {
        let folder = path.ends_with('/') && ignore.has_exclusions();
        (verdict.enters || folder).then(|| (*path).clone())
    };
    paths.iter().zip(verdicts).filter_map(enters).collect()
}

/// More changed paths than this are not listed for one step.
const MOST_PATHS: usize = 20;

fn cause(kind: CauseKind, doubt: Doubt, from: Option<usize>, paths: Vec<String>, text: String) -> Cause {
    Cause {
        kind,
        certain: doubt == Doubt::Certain,
        from,
        paths: paths.into_iter().take(MOST_PATHS).collect(),
        text,
    }
}

/// `a`, `a and b`, `a, b and 3 more`.
fn list(paths: &[String]) -> String {
    match paths {
        [] => String::new(),
        [one] => one.clone(),
        [one, two] => format!("{one} and {two}"),
        [one, two, rest @ ..] => format!("{one}, {two} and {} more", rest.len()),
    }
}

/// Whether a file is unpacked where archives are, going by its name.
fn is_archive(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    [
        ".tar", ".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".txz", ".zst", ".tzst",
    ]
    .iter()
    .any(|end| path.ends_with(end))
}

/// On what an op's files stand.
struct Shape {
    /// Inputs whose files are part of the result, by index into the op's inputs.
    below: Vec<usize>,
    /// Layers that it adds itself.
    adds: usize,
    /// Whether that is known at all.
    known: bool,
}

fn shape(work: &Work) -> Shape {
    let index = |index: i64| {
        usize::try_from(index)
            .ok()
            .filter(|index| *index < work.op.inputs.len())
    };
    let below: Vec<usize> = match &work.op.kind {
        Some(OpKind::File(file)) => file
            .actions
            .first()
            .and_then(|action| index(action.input))
            .into_iter()
            .collect(),
        Some(OpKind::Exec(exec)) => {
            let root = exec.mounts.iter().find(|mount| mount.dest == "/");
            root.and_then(|mount| index(mount.input)).into_iter().collect()
        }
        Some(OpKind::Merge(merge)) => merge
            .inputs
            .iter()
            .filter_map(|input| index(input.input))
            .collect(),
        _ => Vec::new(),
    };
    Shape {
        below,
        adds: usize::from(work.is_kept()),
        known: !matches!(work.op.kind, Some(OpKind::Source(_) | OpKind::Diff(_)) | None),
    }
}

impl Shape {
    /// The stack of the result, of those of the inputs that it stands on.
    fn stack(&self, below: impl Iterator<Item = Option<Stack>>) -> Option<Stack> {
        if !self.known {
            return None;
        }
        let mut stack = Stack {
            root: None,
            height: self.adds,
        };
        for (place, part) in below.enumerate() {
            let part = part?;
            if place == 0 {
                stack.root = part.root;
            } else if part.root.is_some() {
                // An image laid over something: how many layers that makes is not known here.
                return None;
            }
            stack.height += part.height;
        }
        Some(stack)
    }
}

/// What the ops before the change stand on.
fn stacks(side: &Side<'_>) -> Vec<Option<Stack>> {
    let mut stacks: Vec<Option<Stack>> = Vec::with_capacity(side.works.len());
    for (op, work) in side.works.iter().enumerate() {
        let stack = if work.image().is_some() {
            Some(Stack {
                root: Some(op),
                height: 0,
            })
        } else {
            let inputs = side.ops.inputs(op);
            let shape = shape(work);
            let below = shape
                .below
                .iter()
                .map(|input| stacks.get(*inputs.get(*input)?).copied().flatten());
            let below: Vec<Option<Stack>> = below.collect();
            shape.stack(below.into_iter())
        };
        stacks.push(stack);
    }
    stacks
}

/// What is known of the layers of images.
struct Images {
    /// By op after the change, and by op before it.
    after: BTreeMap<usize, Vec<String>>,
    before: BTreeMap<usize, Vec<String>>,
    /// Ops after the change whose images are said to have other files.
    touched: Vec<usize>,
}

impl Images {
    fn of(question: &Question<'_>) -> Self {
        let others: Vec<String> = question
            .change
            .images
            .iter()
            .filter(|(_, facts)| facts.is_none())
            .map(|(name, _)| full(name))
            .collect();
        let touched = question.after.works.iter().enumerate().filter(|(_, work)| {
            work.image().is_some_and(|image| {
                let plain = image.split_once('@').map_or(image, |(name, _)| name);
                others.iter().any(|other| other == image || other == plain)
            })
        });
        Self {
            touched: touched.map(|(op, _)| op).collect(),
            after: layers(&question.after),
            before: layers(&question.before),
        }
    }

    fn is_touched(&self, op: usize) -> bool {
        self.touched.binary_search(&op).is_ok()
    }

    /// Whether two stacks cannot be the same. Images of two names may be one image, as long as their layers are not
    /// known to differ.
    fn differ(&self, one: Stack, other: Stack) -> bool {
        if one.root == other.root {
            return one.height != other.height;
        }
        let (Some(left), Some(right)) = (one.root, other.root) else {
            return true;
        };
        match (self.before.get(&left), self.before.get(&right)) {
            (Some(left), Some(right)) => left != right || one.height != other.height,
            _ => false,
        }
    }

    /// Whether two images have the same layers; `None` where one of them is not known.
    fn same_layers(&self, after: usize, before: usize) -> Option<bool> {
        Some(self.after.get(&after)? == self.before.get(&before)?)
    }
}

/// By op, the layers of the image that it brings in, where they are known.
fn layers(side: &Side<'_>) -> BTreeMap<usize, Vec<String>> {
    let mut found = BTreeMap::new();
    for (op, work) in side.works.iter().enumerate() {
        let Some(image) = work.image() else { continue };
        let plain = image.split_once('@').map_or(image, |(name, _)| name);
        let images = &side.input.options.images;
        let Some(facts) = images.get(image).or_else(|| images.get(plain)) else {
            continue;
        };
        let layers = facts
            .config
            .pointer("/rootfs/diff_ids")
            .and_then(|layers| layers.as_array());
        if let Some(layers) = layers {
            let layers = layers.iter().filter_map(|layer| layer.as_str());
            found.insert(op, layers.map(str::to_owned).collect());
        }
    }
    found
}
