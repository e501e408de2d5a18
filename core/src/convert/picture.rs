//! The pattern as it was, as one graph: each build as its stages, and between them what the script carried.

use std::collections::BTreeMap;

use crate::analysis::{Analysis, Base, Edge, EdgeKind, EdgeSource, ExternalImage, Stage, Step};
use crate::platform::Platform;
use crate::span::Span;

use super::builds::{Rewrite, Take, Unit};
use super::containers;
use super::host;
use super::names::{Names, is_used};
use super::story::{Section, Source, Story, Use, image_key};
use super::{Handover, Picture};

/// Draws the pattern.
pub(super) fn picture(story: &Story<'_>, names: &Names) -> Picture {
    let mut drawn = Drawn {
        story,
        names,
        analysis: Analysis::default(),
        files: Vec::new(),
        stages: BTreeMap::new(),
        containers: BTreeMap::new(),
        images: BTreeMap::new(),
    };
    drawn.count();
    for section in &story.sections {
        match section {
            Section::Unit(unit) => drawn.unit(*unit),
            Section::Container(at) if is_used(story, *at) => drawn.container(*at),
            Section::Container(_) => {}
        }
    }
    drawn.reach();
    let handovers = drawn.handovers();
    Picture {
        analysis: drawn.analysis,
        files: drawn.files,
        handovers,
    }
}

struct Drawn<'a, 'p> {
    story: &'a Story<'p>,
    names: &'a Names,
    analysis: Analysis,
    files: Vec<String>,
    /// Where each stage of each unit is.
    stages: BTreeMap<(usize, usize), usize>,
    containers: BTreeMap<usize, usize>,
    /// By their names in full.
    images: BTreeMap<String, usize>,
}

impl Drawn<'_, '_> {
    fn count(&mut self) {
        let mut next = 0;
        for section in &self.story.sections {
            match section {
                Section::Unit(unit) => {
                    let stages = self
                        .story
                        .units
                        .get(*unit)
                        .map_or(0, |unit| unit.analysis.stages.len());
                    for stage in 0..stages {
                        self.stages.insert((*unit, stage), next + stage);
                    }
                    next += stages;
                }
                Section::Container(at) if is_used(self.story, *at) => {
                    self.containers.insert(*at, next);
                    next += 1;
                }
                Section::Container(_) => {}
            }
        }
    }

    fn image(&mut self, image: &ExternalImage) -> usize {
        let next = self.analysis.images.len();
        let index = *self.images.entry(image.reference.clone()).or_insert(next);
        if index == next {
            self.analysis.images.push(ExternalImage {
                needed: false,
                vertex: None,
                ..image.clone()
            });
        }
        index
    }

    fn source(&mut self, source: &Source) -> EdgeSource {
        match source {
            Source::Stage { unit, stage } => {
                EdgeSource::Stage(self.stages.get(&(*unit, *stage)).copied().unwrap_or_default())
            }
            Source::Container(at) => EdgeSource::Stage(self.containers.get(at).copied().unwrap_or_default()),
            Source::Image(name) => {
                let reference = image_key(name);
                let known = self.story.pattern.images.get(&reference);
                EdgeSource::Image(self.image(&ExternalImage {
                    name: name.clone(),
                    context: None,
                    platform: Platform::default(),
                    resolved: known.is_some(),
                    needed: false,
                    size: known.map_or(0, |facts| facts.size),
                    note: known.and_then(|facts| facts.note.clone()),
                    vertex: None,
                    span: Span::default(),
                    reference,
                }))
            }
        }
    }

    fn unit(&mut self, index: usize) {
        let Some(unit) = self.story.units.get(index) else {
            return;
        };
        let file = self
            .story
            .pattern
            .dockerfiles
            .get(unit.file)
            .map(|file| file.name.clone());
        let file = file.unwrap_or_default();
        for stage in &unit.analysis.stages {
            let place = self
                .stages
                .get(&(index, stage.index))
                .copied()
                .unwrap_or_default();
            let link = unit
                .links
                .iter()
                .find(|link| link.kind == EdgeKind::Base && link.stage == stage.index);
            let base = match (&stage.base, link) {
                (_, Some(link)) => match self.source(&link.source) {
                    EdgeSource::Stage(stage) => Base::Stage(stage),
                    EdgeSource::Image(image) => Base::Image(image),
                    EdgeSource::Context => Base::Unknown,
                },
                (Base::Stage(base), None) => {
                    Base::Stage(self.stages.get(&(index, *base)).copied().unwrap_or_default())
                }
                (Base::Image(image), None) => match unit.analysis.images.get(*image) {
                    Some(image) => Base::Image(self.image(image)),
                    None => Base::Unknown,
                },
                (other, None) => other.clone(),
            };
            let tag = unit.tags.get(&stage.index).and_then(|tags| tags.first().cloned());
            let label = match (&stage.name, tag) {
                (_, Some(tag)) => tag,
                (Some(name), None) => name.clone(),
                (None, None) => self
                    .names
                    .stage(index, stage.index)
                    .map_or_else(|| file.clone(), str::to_owned),
            };
            self.analysis.stages.push(Stage {
                index: place,
                label,
                base,
                steps: stage.steps.iter().map(without_vertex).collect(),
                replaced: false,
                needed: false,
                ships: false,
                reason: String::new(),
                base_vertex: None,
                ..stage.clone()
            });
            self.files.push(file.clone());
        }
        for edge in &unit.analysis.edges {
            self.edge(index, unit, edge);
        }
    }

    fn edge(&mut self, index: usize, unit: &Unit<'_>, edge: &Edge) {
        let to_stage = self
            .stages
            .get(&(index, edge.to_stage))
            .copied()
            .unwrap_or_default();
        let link = unit.links.iter().find(|link| {
            link.kind == edge.kind
                && link.stage == edge.to_stage
                && link.step == edge.to_step
                && link.span == edge.span
        });
        let from = match (edge.from, link) {
            (_, Some(link)) => self.source(&link.source),
            (EdgeSource::Stage(stage), None) => self.source(&Source::Stage { unit: index, stage }),
            (EdgeSource::Image(image), None) => match unit.analysis.images.get(image) {
                Some(image) => EdgeSource::Image(self.image(image)),
                None => return,
            },
            (EdgeSource::Context, None) => EdgeSource::Context,
        };
        let edge = Edge {
            from,
            to_stage,
            needed: false,
            ..edge.clone()
        };
        let rewrite = unit.rewrites.iter().find(|rewrite| {
            self.stages.get(&(index, rewrite.stage)) == Some(&to_stage) && Some(rewrite.step) == edge.to_step
        });
        match rewrite {
            Some(rewrite) if edge.kind == EdgeKind::Copy && edge.from == EdgeSource::Context => {
                self.carried(&edge, rewrite);
            }
            _ => self.analysis.edges.push(edge),
        }
    }

    /// A COPY of what was carried: an edge for each, and one for what the context has.
    fn carried(&mut self, edge: &Edge, rewrite: &Rewrite) {
        let sources = rewrite.sources.iter().zip(&edge.paths);
        let paths: Vec<String> = sources
            .filter(|(taken, _)| taken.context)
            .map(|(_, path)| path.clone())
            .collect();
        if !paths.is_empty() {
            self.analysis.edges.push(Edge {
                label: match paths.as_slice() {
                    [path] => host::base(path).to_owned(),
                    many => format!("{} paths", many.len()),
                },
                paths,
                ..edge.clone()
            });
        }
        for take in rewrite.sources.iter().flat_map(|taken| &taken.takes) {
            self.take(edge, take);
        }
    }

    fn take(&mut self, edge: &Edge, take: &Take) {
        let Some(carried) = self.story.carried.get(take.carried) else {
            return;
        };
        let from = self.source(&carried.source);
        let (there, here) = (host::base(&take.path), host::base(&take.host));
        self.analysis.edges.push(Edge {
            from,
            label: if there == here || here.is_empty() || there.is_empty() {
                if here.is_empty() { there } else { here }.to_owned()
            } else {
                format!("{there} → {here}")
            },
            paths: vec![take.path.clone()],
            ..edge.clone()
        });
    }

    /// A container that ran something.
    fn container(&mut self, at: usize) {
        let Some(container) = self.story.containers.get(at) else {
            return;
        };
        let span = container.span;
        let lines = self.story.lines(span);
        let index = self.containers.get(&at).copied().unwrap_or_default();
        let from = self.source(&container.image);
        let base = match from {
            EdgeSource::Stage(stage) => Base::Stage(stage),
            EdgeSource::Image(image) => Base::Image(image),
            EdgeSource::Context => Base::Unknown,
        };
        let mut edges = vec![Edge {
            kind: EdgeKind::Base,
            from,
            to_stage: index,
            to_step: None,
            paths: Vec::new(),
            label: String::new(),
            needed: false,
            span,
        }];
        let mut steps = Vec::new();
        for (number, step) in container.steps.iter().enumerate() {
            let (keyword, text) = match step {
                containers::Step::Env(name, value) => ("ENV", format!("ENV {name}={value}")),
                containers::Step::Workdir(folder) => ("WORKDIR", format!("WORKDIR {folder}")),
                containers::Step::User(user) => ("USER", format!("USER {user}")),
                containers::Step::Run { words, .. } => ("RUN", format!("RUN {}", words.join(" "))),
                containers::Step::Copy {
                    source, taken, to, ..
                } => {
                    let shown = if source.is_empty() { "." } else { source };
                    let edge = Edge {
                        kind: EdgeKind::Copy,
                        from: EdgeSource::Context,
                        to_stage: index,
                        to_step: Some(number),
                        paths: vec![shown.to_owned()],
                        label: host::base(shown).to_owned(),
                        needed: false,
                        span,
                    };
                    if taken.context {
                        edges.push(edge.clone());
                    }
                    for take in &taken.takes {
                        self.take(&edge, take);
                    }
                    ("COPY", format!("COPY {shown} {to}"))
                }
            };
            steps.push(Step {
                keyword: keyword.to_owned().into(),
                text,
                span,
                lines,
                vertex: None,
                changes_files: matches!(keyword, "RUN" | "COPY" | "WORKDIR"),
            });
        }
        self.analysis.edges.extend(edges);
        self.analysis.stages.push(Stage {
            index,
            name: None,
            label: container.name.clone(),
            base,
            span,
            lines,
            steps,
            needed: false,
            replaced: false,
            ships: false,
            reason: String::new(),
            base_vertex: None,
        });
        self.files.push(self.story.pattern.script.name.clone());
    }

    /// Finds out what the image that the script ends with needs.
    fn reach(&mut self) {
        let last = self.story.last.as_ref();
        let target = last.and_then(|last| self.stages.get(&(last.unit, last.stage)).copied());
        self.analysis.target = target;
        let mut into: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (at, edge) in self.analysis.edges.iter().enumerate() {
            into.entry(edge.to_stage).or_default().push(at);
        }
        let mut waiting: Vec<usize> = target.into_iter().collect();
        while let Some(index) = waiting.pop() {
            let Some(stage) = self.analysis.stages.get_mut(index) else {
                continue;
            };
            if std::mem::replace(&mut stage.needed, true) {
                continue;
            }
            for at in into.get(&index).into_iter().flatten() {
                let Some(edge) = self.analysis.edges.get_mut(*at) else {
                    continue;
                };
                edge.needed = true;
                match edge.from {
                    EdgeSource::Stage(from) => waiting.push(from),
                    EdgeSource::Image(image) => {
                        if let Some(image) = self.analysis.images.get_mut(image) {
                            image.needed = true;
                        }
                    }
                    EdgeSource::Context => {}
                }
            }
        }
        for stage in &mut self.analysis.stages {
            stage.ships = Some(stage.index) == target;
            let reason = match (stage.ships, stage.needed) {
                (true, _) => "The script ends with it.",
                (false, true) => "What the script ends with needs it.",
                (false, false) => "Nothing that the script ends with needs it.",
            };
            reason.clone_into(&mut stage.reason);
        }
    }

    fn handovers(&mut self) -> Vec<Handover> {
        let mut handovers = Vec::new();
        for carried in self
            .story
            .carried
            .iter()
            .filter(|carried| !carried.uses.is_empty())
        {
            let from_stage = match self.source(&carried.source) {
                EdgeSource::Stage(stage) => Some(stage),
                EdgeSource::Image(_) | EdgeSource::Context => None,
            };
            let place = |used: &Use| match used {
                Use::Step { unit, stage, step } => Some((*self.stages.get(&(*unit, *stage))?, *step)),
                Use::Container(at) => {
                    let steps = &self.story.containers.get(*at)?.steps;
                    let copy = steps
                        .iter()
                        .position(|step| matches!(step, containers::Step::Copy { .. }));
                    Some((*self.containers.get(at)?, copy.unwrap_or_default()))
                }
            };
            handovers.push(Handover {
                container: carried.container.clone(),
                from: carried.path.clone(),
                host: carried.host.clone(),
                span: carried.span,
                lines: self.story.lines(carried.span),
                from_stage,
                to: carried.uses.iter().filter_map(place).collect(),
            });
        }
        handovers
    }
}

fn without_vertex(step: &Step) -> Step {
    Step {
        vertex: None,
        ..step.clone()
    }
}
