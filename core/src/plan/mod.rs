//! From stages to the graph of what would be done.
//!
//! Every stage is planned, needed or not, so that all of a file can be drawn. What the target does not need makes no
//! vertices, and what is wrong there is a warning.

pub(crate) mod build;
mod context;
pub(crate) mod definition;
mod env;
mod epoch;
mod go;
mod graph;
mod image;
mod lower;
mod past;
mod path;
mod remote;
mod runs_on;
mod target;
mod triggers;

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::analysis::{Base, EdgeSource, Options};
use crate::diagnostic::{Diagnostic, Problem, Severity};
use crate::platform::Platform;
use crate::shell::Lexer;
use crate::stage::{self, Globals, Origin, Program, Resolved};

pub(crate) use build::{Build, Declared, FoundEdge};
pub(crate) use epoch::stays_given;
pub(crate) use graph::{ActionPlan, Graph, Output, Vertex, Work, Written};
pub(crate) use image::FoundImage;
pub(crate) use lower::expose::read as read_port;
pub(crate) use path::is_absolute;
pub(crate) use remote::is_remote;

use build::{Shared, Step};
use context::Contexts;

/// All that is known of a file.
pub(crate) struct Plan {
    /// The arguments that `FROM` may use.
    pub(crate) globals: Globals,
    pub(crate) graph: Graph,
    pub(crate) resolved: Resolved,
    /// The node to build.
    pub(crate) target: Option<usize>,
    /// What the target needs, by node.
    pub(crate) needed: Vec<bool>,
    /// What each node starts from.
    pub(crate) bases: Vec<Base>,
    pub(crate) images: Vec<FoundImage>,
    pub(crate) edges: Vec<FoundEdge>,
    /// Files after each step, by stage and step; `None` where a step changes none.
    pub(crate) steps: Vec<Vec<Option<Output>>>,
    /// The target as it will be; `None` where something is in its way.
    pub(crate) result: Option<Build>,
    /// What the target takes from the build context.
    pub(crate) context_paths: Vec<String>,
    /// `ARG`s, in the order of the file.
    pub(crate) args: Vec<Declared>,
}

/// Plans a file.
pub(crate) fn plan(program: &mut Program, options: &Options, diagnostics: &mut Vec<Diagnostic>) -> Plan {
    let build_platform = options.build_platform.clone().unwrap_or_default().normalized();
    let target_platform = options
        .platform
        .as_ref()
        .map_or_else(|| build_platform.clone(), Platform::normalized);
    let last_name = program
        .stages
        .last()
        .and_then(|stage| stage.from.as_ref()?.name.as_ref());
    let target_name = match &options.target {
        Some(target) if !target.is_empty() => target.clone(),
        _ => last_name.map(|name| name.text.clone()).unwrap_or_default(),
    };
    let target_platform = Rc::new(target_platform);
    let platforms = (&build_platform, &*target_platform);
    let mut globals = stage::globals(program, &options.build_args, platforms, &target_name, diagnostics);
    let mut build_args = options.build_args.clone();
    let mut broken = program.broken;
    let epoch = match epoch::resolve(program, &globals, &build_args) {
        Ok(epoch) => {
            epoch::settle(epoch, &mut build_args, &mut globals);
            epoch
        }
        Err((problem, place)) => {
            broken = true;
            let (span, lines) = place.unwrap_or_default();
            diagnostics.push(problem.into_diagnostic(Severity::Error, span, lines));
            None
        }
    };
    let contexts = Contexts::new(options);
    let is_context = |name: &str, platform: Option<&Platform>| {
        contexts
            .find(name, platform.unwrap_or(&target_platform))
            .is_some()
    };
    let mut resolved = stage::resolve(program, &globals, &is_context, diagnostics);
    let target = target::find(&resolved, program, options.target.as_deref(), diagnostics);
    broken |= target::report_cycle(&mut resolved, target, diagnostics);

    let mut images = Vec::new();
    let mut shared = Shared {
        options,
        globals: &globals,
        build_args: &build_args,
        target_platform: &target_platform,
        exec_platform: Rc::new(build::llb_platform(&target_platform)),
        lexer: Lexer::new(program.escape.unwrap_or('\\')),
        epoch,
        graph: Graph::with_room(resolved.nodes.iter().map(|node| node.commands.len() + 1).sum()),
        finished: Vec::new(),
        sources: Vec::new(),
        edges: Vec::new(),
        labels: Vec::new(),
        declared: Vec::new(),
        contexts: &contexts,
        locals: Vec::new(),
        counts: true,
        ignore_cache: false,
    };
    let mut started = Vec::new();
    let mut bases = Vec::new();
    start_nodes(
        &mut shared,
        &mut resolved,
        &mut images,
        &mut started,
        &mut bases,
        diagnostics,
    );
    let needed = triggers::add(&mut resolved, &mut started, target, diagnostics);
    // Triggers may have brought images of their own.
    start_nodes(
        &mut shared,
        &mut resolved,
        &mut images,
        &mut started,
        &mut bases,
        diagnostics,
    );
    let needed = match target {
        Some(target) => resolved.reachable(target),
        None => needed,
    };
    let steps = build_stages(&mut shared, &mut resolved, program, started, &needed, diagnostics);

    let blocked = broken
        || needed
            .iter()
            .zip(&resolved.nodes)
            .any(|(needed, node)| *needed && node.broken);
    let context_paths = context_paths(&shared.finished, &needed);
    let result = target
        .filter(|_| !blocked)
        .and_then(|target| shared.finished.get_mut(target)?.take());
    let mut args: Vec<Declared> = Vec::new();
    for arg in &program.globals {
        for declaration in &arg.value.declarations {
            let default = globals.defaults.get(&declaration.name).cloned();
            // A predefined value is nothing that this declaration says.
            let given = options.build_args.get(&declaration.name).cloned();
            args.push(Declared {
                name: declaration.name.clone(),
                value: given.or_else(|| default.clone()),
                default,
                repeats: false,
                stage: None,
                span: declaration.span,
                lines: arg.lines,
            });
        }
    }
    args.append(&mut shared.declared);
    // All of what ships is needed.
    if let Some(local) = result
        .as_ref()
        .and_then(|result| shared.locals.get_mut(result.local?))
    {
        local.take("/".into());
    }
    let Shared {
        mut graph,
        edges,
        locals,
        ..
    } = shared;
    context::settle(locals, &mut graph);
    Plan {
        globals,
        graph,
        resolved,
        target,
        needed,
        bases,
        images,
        edges,
        steps,
        result,
        context_paths,
        args,
    }
}

/// Finds out what each node starts from, for those where that is not known yet.
fn start_nodes(
    shared: &mut Shared<'_>,
    resolved: &mut Resolved,
    images: &mut Vec<FoundImage>,
    started: &mut Vec<Build>,
    bases: &mut Vec<Base>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let labelled = resolved.named_steps;
    let more = resolved.nodes.len() - started.len();
    started.reserve_exact(more);
    bases.reserve_exact(more);
    shared.finished.reserve_exact(more);
    shared.sources.reserve_exact(more);
    shared.labels.reserve_exact(more);
    for index in started.len()..resolved.nodes.len() {
        let Some(node) = resolved.nodes.get_mut(index) else {
            continue;
        };
        let mut build = Build::new(shared.target_platform);
        if labelled {
            build.steps.label = Rc::clone(&node.label);
        }
        build.steps.total = image::count_steps(node);
        let base = match image::start(shared, node, &mut build, images) {
            Ok(base) => base,
            Err(problem) => {
                node.broken = true;
                let problem = problem.at(node.base_span);
                diagnostics.push(problem.into_diagnostic(Severity::Error, node.base_span, node.lines));
                Base::Unknown
            }
        };
        shared.sources.push(match (node.origin, &base) {
            (Origin::Written(stage), _) => EdgeSource::Stage(stage),
            (Origin::Hidden, Base::Image(image)) => EdgeSource::Image(*image),
            (Origin::Hidden, _) => EdgeSource::Context,
        });
        shared.labels.push(Rc::clone(&node.label));
        // What is no stage, or no longer one, is there from the beginning.
        shared.finished.push(match node.origin {
            Origin::Hidden => {
                let empty = Build::new(shared.target_platform);
                Some(std::mem::replace(&mut build, empty))
            }
            Origin::Written(_) => node.replaced.then(|| build.clone()),
        });
        started.push(build);
        bases.push(base);
    }
}

/// Plans all stages, in the order of the file.
fn build_stages(
    shared: &mut Shared<'_>,
    resolved: &mut Resolved,
    program: &Program,
    started: Vec<Build>,
    needed: &[bool],
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Vec<Option<Output>>> {
    let mut steps: Vec<Vec<Option<Output>>> = program
        .stages
        .iter()
        .map(|stage| vec![None; stage.statements.len()])
        .collect();
    for (index, build) in started.into_iter().enumerate() {
        let Some(node) = resolved.nodes.get_mut(index) else {
            continue;
        };
        let Origin::Written(stage) = node.origin else {
            continue;
        };
        // What nobody needs cannot fail; what is wrong with it is worth knowing all the same.
        let severity = if needed.get(index) == Some(&true) {
            Severity::Error
        } else {
            Severity::Warning
        };
        if node.replaced {
            if let Some(finished) = shared.finished.get_mut(index) {
                *finished = Some(build);
            }
            continue;
        }
        shared.counts = needed.get(index) == Some(&true);
        let name = program
            .stages
            .get(stage)
            .and_then(|stage| stage.from.as_ref()?.name.as_ref())
            .map_or("", |name| name.text.as_str());
        shared.ignore_cache = match &shared.options.no_cache {
            None => false,
            Some(stages) => stages.is_empty() || stages.iter().any(|stage| stage.eq_ignore_ascii_case(name)),
        };
        let mut build = inherit(shared, node.base, build);
        let in_cycle = node.in_cycle;
        let mut report = |problem: Problem, span, lines, broken: &mut bool| {
            *broken = true;
            // In a circle some stage always comes too late. The circle was reported, which says more.
            if in_cycle && problem.code == "stage-order" {
                return;
            }
            diagnostics.push(problem.into_diagnostic(severity, span, lines));
        };
        if let Err(problem) = image::enter(&mut build) {
            report(problem, node.base_span, node.lines, &mut node.broken);
        }
        for command in std::mem::take(&mut node.commands) {
            if let Some(instruction) = &command.statement.instruction {
                let before = build.output;
                let mut step = Step {
                    build: &mut build,
                    shared,
                    command: &command,
                    stage,
                };
                if let Err(problem) = lower::lower(&mut step, instruction) {
                    report(
                        problem,
                        command.statement.span,
                        command.statement.lines,
                        &mut node.broken,
                    );
                }
                let place = command.step.and_then(|step| steps.get_mut(stage)?.get_mut(step));
                if let Some(place) = place
                    && build.output != before
                {
                    *place = build.output;
                }
            }
        }
        build.past.close();
        if let Some(finished) = shared.finished.get_mut(index) {
            *finished = Some(build);
        }
    }
    steps
}

/// A stage that starts from another has all that the other has.
fn inherit(shared: &Shared<'_>, base: Option<usize>, own: Build) -> Build {
    let Some(Some(base)) = base.and_then(|base| shared.finished.get(base)) else {
        return own;
    };
    let mut build = Build {
        steps: own.steps,
        has_cmd: false,
        context_paths: BTreeSet::new(),
        ..base.clone()
    };
    // Triggers are for those who start from a stage, not for those who start from these in turn.
    build.image.config.on_build.clear();
    build
}

/// What is needed of the build context; nothing said where all of it is.
fn context_paths(finished: &[Option<Build>], needed: &[bool]) -> Vec<String> {
    let builds = finished
        .iter()
        .zip(needed)
        .filter(|(_, needed)| **needed)
        .filter_map(|(build, _)| build.as_ref());
    followed(builds.flat_map(|build| &build.context_paths).map(String::as_str))
}

/// Absolute paths as a source names what is needed of it: in order and each once, and none where all is needed.
fn followed<'p>(needed: impl Iterator<Item = &'p str>) -> Vec<String> {
    let mut paths: BTreeSet<&str> = BTreeSet::new();
    for path in needed {
        if path == "/" {
            return Vec::new();
        }
        paths.insert(path.strip_prefix('/').unwrap_or(path));
    }
    paths.into_iter().map(str::to_owned).collect()
}
