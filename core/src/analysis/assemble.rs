//! The plan as plain data.

use std::rc::Rc;

use crate::diagnostic::Diagnostic;
use crate::digest::Digest;
use crate::plan::definition::{self, Marshalled};
use crate::plan::{Declared, FoundEdge, FoundImage, Output, Plan};
use crate::span::Span;
use crate::stage::{Node, Origin, Program, StageSource, Statement};

use super::{
    Analysis, ArgDeclaration, Base, Edge, EdgeKind, EdgeSource, ExternalImage, ImageConfig, Options, Stage,
    Step,
};

/// Puts together what [`super::analyze`] gives.
pub(super) fn assemble(
    program: Program,
    mut plan: Plan,
    options: &Options,
    diagnostics: Vec<Diagnostic>,
    broken: bool,
) -> Analysis {
    let result = plan.result.take().filter(|_| !broken);
    let local = definition::local_source(options, &plan.context_paths);
    let graph = std::mem::take(&mut plan.graph);
    let marshalled = result
        .as_ref()
        .map(|result| definition::marshal(graph, result.output, local));
    let digest = |output: Output| -> Option<Digest> { marshalled.as_ref()?.digest(output).cloned() };
    let edges = edges(&mut plan);
    let needed = |node: usize| plan.needed.get(node).copied().unwrap_or(false);
    let stages: Vec<Stage> = program
        .stages
        .into_iter()
        .enumerate()
        .filter_map(|(index, source)| {
            let node = plan.resolved.nodes.get(index)?;
            let outputs = plan.steps.get(index).map(Vec::as_slice).unwrap_or_default();
            let base = plan.bases.get(index).cloned().unwrap_or(Base::Unknown);
            let base_vertex = match &base {
                Base::Image(image) if needed(index) => plan
                    .images
                    .get(*image)
                    .and_then(|image| image.outputs.iter().find_map(|&output| digest(output))),
                _ => None,
            };
            Some(Stage {
                index,
                name: source
                    .from
                    .as_ref()
                    .and_then(|from| from.name.as_ref())
                    .map(|name| name.text.clone()),
                label: node.label.to_string(),
                base,
                span: whole(&source),
                lines: source
                    .statements
                    .last()
                    .map_or(source.lines, |last| crate::span::LineRange {
                        start: source.lines.start,
                        end: last.lines.end,
                    }),
                steps: steps(source.statements, outputs, &digest),
                needed: needed(index),
                replaced: node.replaced,
                ships: plan.target == Some(index),
                reason: String::new(),
                base_vertex,
            })
        })
        .collect();
    let shipping = stages.iter().find(|stage| stage.ships).map(|stage| &*stage.label);
    let users = users(stages.len(), &edges);
    let reasons: Vec<String> = stages
        .iter()
        .zip(users)
        .map(|(stage, user)| reason(stage, user, &stages, shipping, options))
        .collect();
    let stages = stages
        .into_iter()
        .zip(reasons)
        .map(|(stage, reason)| Stage { reason, ..stage })
        .collect();
    let images = plan
        .images
        .iter()
        .enumerate()
        .map(|(index, image)| external(index, image, &plan, &digest))
        .collect();
    let image_config = result.map(|result| finished_config(result, options));
    Analysis {
        diagnostics,
        stages,
        images,
        edges,
        target: plan.target,
        args: args(plan.args),
        definition: marshalled.map(|Marshalled { definition, .. }| definition),
        image_config,
    }
}

fn whole(source: &StageSource) -> Span {
    source
        .statements
        .last()
        .map_or(source.span, |last| source.span.join(last.span))
}

fn steps(
    statements: Vec<Rc<Statement>>,
    outputs: &[Option<Output>],
    digest: &dyn Fn(Output) -> Option<Digest>,
) -> Vec<Step> {
    let step = |(index, statement): (usize, Rc<Statement>)| {
        Step {
            vertex: outputs.get(index).copied().flatten().and_then(digest),
            changes_files: statement.changes_files,
            span: statement.span,
            lines: statement.lines,
            keyword: statement.name.clone(),
            // When all is planned nothing else holds on to it.
            text: match Rc::try_unwrap(statement) {
                Ok(statement) => statement.code,
                Err(shared) => shared.code.clone(),
            },
        }
    };
    statements.into_iter().enumerate().map(step).collect()
}

/// Bases, copies and mounts in the order of the source.
fn edges(plan: &mut Plan) -> Vec<Edge> {
    let found = std::mem::take(&mut plan.edges);
    let needed = |stage: usize| plan.needed.get(stage).copied().unwrap_or(false);
    let base = |(index, base): (usize, &Base)| {
        let node: &Node = plan.resolved.nodes.get(index)?;
        let Origin::Written(stage) = node.origin else {
            return None;
        };
        let from = match base {
            Base::Stage(stage) => EdgeSource::Stage(*stage),
            Base::Image(image) => EdgeSource::Image(*image),
            Base::Scratch | Base::Unknown => return None,
        };
        Some(Edge {
            kind: EdgeKind::Base,
            from,
            to_stage: stage,
            to_step: None,
            paths: Vec::new(),
            label: String::new(),
            needed: needed(stage),
            span: node.base_span,
        })
    };
    let flow = |found: FoundEdge| Edge {
        kind: found.kind,
        from: found.from,
        to_stage: found.stage,
        to_step: Some(found.step),
        label: label(&found.paths),
        paths: found.paths,
        needed: needed(found.stage),
        span: found.span,
    };
    // What flows into steps was found stage by stage, and each base stands before the steps of its stage.
    let mut edges = Vec::with_capacity(plan.bases.len() + found.len());
    let mut found = found.into_iter().peekable();
    for (index, kind) in plan.bases.iter().enumerate() {
        edges.extend(base((index, kind)));
        while let Some(edge) = found.next_if(|edge| edge.stage <= index) {
            edges.push(flow(edge));
        }
    }
    edges
}

/// `app` for `/go/src/…/app`, `3 paths` for many.
fn label(paths: &[String]) -> String {
    match paths {
        [] => String::new(),
        [path] => {
            let trimmed = path.trim_end_matches('/');
            match trimmed.rsplit('/').next() {
                None | Some("") => "/".to_owned(),
                Some(name) => name.to_owned(),
            }
        }
        many => format!("{} paths", many.len()),
    }
}

/// For each stage the first use of it that the target needs.
fn users(count: usize, edges: &[Edge]) -> Vec<Option<&Edge>> {
    let mut users = vec![None; count];
    for edge in edges.iter().filter(|edge| edge.needed) {
        if let EdgeSource::Stage(stage) = edge.from
            && let Some(user) = users.get_mut(stage)
        {
            user.get_or_insert(edge);
        }
    }
    users
}

/// Why a stage is built, or not; `shipping` is what the stage that ships is called.
fn reason(
    stage: &Stage,
    user: Option<&Edge>,
    stages: &[Stage],
    shipping: Option<&str>,
    options: &Options,
) -> String {
    if stage.ships {
        return match options.target.as_deref().filter(|target| !target.is_empty()) {
            Some(_) => "It is the target of this build.".into(),
            None => "It is the last stage, so it is what ships.".into(),
        };
    }
    if !stage.needed {
        return match shipping {
            Some(target) => format!("Nothing that {target} needs uses it."),
            None => "There is no target that could need it.".into(),
        };
    }
    let user = user.and_then(|edge| Some((edge, &*stages.get(edge.to_stage)?.label)));
    let Some((edge, user)) = user else {
        return "The target needs it.".into();
    };
    let paths = named(&edge.paths, &edge.label);
    match edge.kind {
        EdgeKind::Base => [user, " starts from it."].concat(),
        EdgeKind::Copy => [user, " copies ", paths, " from it."].concat(),
        EdgeKind::Mount => [user, " mounts ", paths, " of it."].concat(),
    }
}

fn named<'t>(paths: &'t [String], label: &'t str) -> &'t str {
    match paths {
        [path] => path,
        _ => label,
    }
}

fn external(
    index: usize,
    image: &FoundImage,
    plan: &Plan,
    digest: &dyn Fn(Output) -> Option<Digest>,
) -> ExternalImage {
    let uses = plan.bases.iter().zip(&plan.needed);
    ExternalImage {
        name: image.name.clone(),
        reference: image.reference.clone(),
        context: image.context.clone(),
        platform: image.platform.clone(),
        resolved: image.resolved,
        needed: uses
            .into_iter()
            .any(|(base, needed)| *needed && *base == Base::Image(index)),
        size: image.size,
        note: image.note.clone(),
        vertex: image.outputs.iter().find_map(|&output| digest(output)),
        span: image.span,
    }
}

/// The configuration of the image, for the platform that was asked for.
fn finished_config(result: crate::plan::Build, options: &Options) -> ImageConfig {
    let mut image = result.image;
    image.history = result.past.into_entries();
    if let Some(platform) = options
        .platform
        .as_ref()
        .map(crate::platform::Platform::normalized)
    {
        let same = platform.os == image.os && platform.architecture == image.architecture;
        if !platform.variant.is_empty() || !same {
            image.variant.clone_from(&platform.variant);
        }
        if !platform.os_version.is_empty() || !same {
            image.os_version = platform.os_version;
        }
        image.os = platform.os;
        image.architecture = platform.architecture;
    }
    let platform = crate::platform::Platform {
        os: image.os,
        architecture: image.architecture,
        variant: image.variant,
        os_version: String::new(),
    }
    .normalized();
    (image.os, image.architecture, image.variant) = (platform.os, platform.architecture, platform.variant);
    ImageConfig(image)
}

/// Each name once, with the first default that it has.
fn args(found: Vec<Declared>) -> Vec<ArgDeclaration> {
    let mut args: Vec<ArgDeclaration> = Vec::new();
    let mut places = std::collections::BTreeMap::new();
    for Declared {
        name, default, span, ..
    } in found
    {
        if let Some(known) = places.get(&name).and_then(|&place: &usize| args.get_mut(place)) {
            known.default = known.default.take().or(default);
        } else {
            places.insert(name.clone(), args.len());
            args.push(ArgDeclaration { name, default, span });
        }
    }
    args
}
