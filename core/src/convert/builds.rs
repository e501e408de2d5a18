//! The builds of a script: which Dockerfile, with what, and which of its COPYs take what containers left behind.

use std::collections::{BTreeMap, BTreeSet};

use crate::analysis::{Analysis, Edge, EdgeKind, EdgeSource, Input, Options};
use crate::diagnostic::{Problem, Severity};
use crate::instruction::{Instruction, Sources};
use crate::span::Span;
use crate::stage::{self, Program};
use crate::syntax::{self, Keyword, Node};

use super::engine::Build;
use super::host::{self, Entry};
use super::shell::Command;
use super::story::{Carried, Section, Source, Story, Use, image_key};
use super::words::Value;
use super::{Became, Finding};

/// A Dockerfile as it is built in one way. Built again in the same way, for another target, it is the same unit.
pub(super) struct Unit<'p> {
    /// Which of the pattern's Dockerfiles.
    pub(super) file: usize,
    pub(super) source: &'p str,
    /// The folder of its context, seen from the script; `None` where there is none.
    pub(super) context: Option<String>,
    /// `--build-arg`s; `None` where the value comes from the environment.
    pub(super) args: BTreeMap<String, Option<Value>>,
    pub(super) platform: Option<String>,
    pub(super) analysis: Analysis,
    pub(super) program: Program,
    pub(super) nodes: Vec<Node<'p>>,
    pub(super) directives: Vec<(String, String, Span)>,
    pub(super) escape: char,
    /// Instructions that take files from elsewhere now.
    pub(super) rewrites: Vec<Rewrite>,
    /// Names of images that are stages now, by their places.
    pub(super) links: Vec<Link>,
    /// What its results were called, by stage.
    pub(super) tags: BTreeMap<usize, Vec<String>>,
    /// Stages whose COPYs were looked at: when they were built first.
    seen: BTreeSet<usize>,
}

/// A COPY or ADD that takes something that came out of a container.
#[derive(Debug)]
pub(super) struct Rewrite {
    pub(super) stage: usize,
    pub(super) step: usize,
    /// Its sources, in their order.
    pub(super) sources: Vec<Taken>,
}

/// Where a source of a COPY comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Taken {
    /// Whether the context has it, or may have.
    pub(super) context: bool,
    pub(super) takes: Vec<Take>,
}

/// A file that a COPY takes from where it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Take {
    pub(super) carried: usize,
    /// Its path there.
    pub(super) path: String,
    /// Where it lay beside the script.
    pub(super) host: String,
    /// What is to be added to the destination: it lay in a folder that is copied.
    pub(super) below: String,
    /// It was called otherwise beside the script, so that what it is called in the image hangs on that.
    pub(super) renamed: bool,
    pub(super) archive: bool,
}

/// The context of a build.
struct Context {
    /// `None` where it has none: the Dockerfile comes alone.
    folder: Option<String>,
}

/// The name of an image that became a stage.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) kind: EdgeKind,
    pub(super) source: Source,
    /// The image, as written.
    pub(super) name: String,
    pub(super) stage: usize,
    pub(super) step: Option<usize>,
    pub(super) span: Span,
}

/// The build that the script ends with.
#[derive(Debug, Clone)]
pub(super) struct LastBuild {
    pub(super) unit: usize,
    pub(super) stage: usize,
    pub(super) build: Build,
}

impl Unit<'_> {
    /// Where the instruction of a step stands.
    pub(super) fn node(&self, stage: usize, step: usize) -> Option<(&Node<'_>, Option<&Instruction>)> {
        let statement = self.program.stages.get(stage)?.statements.get(step)?;
        Some((
            self.node_at(statement.span.start)?,
            statement.instruction.as_ref(),
        ))
    }

    pub(super) fn node_at(&self, start: usize) -> Option<&Node<'_>> {
        let found = self.nodes.partition_point(|node| node.span.start < start);
        self.nodes.get(found)
    }
}

/// The sources and the destination of a COPY or ADD.
pub(super) fn sources(instruction: &Instruction) -> Option<&Sources> {
    match instruction {
        Instruction::Copy(copy) => Some(&copy.sources),
        Instruction::Add(add) => Some(&add.sources),
        _ => None,
    }
}

impl<'p> Story<'p> {
    /// Follows a build. Gives the name of the image that it makes.
    pub(super) fn build(&mut self, build: Build, command: &Command, span: Span) -> Option<String> {
        let context = self.context(&build, span)?.folder;
        let file = self.dockerfile(&build, context.as_deref(), command, span)?;
        for named in &build.named_contexts {
            let problem = Problem::new("named-context", "A named context is kept as it is.");
            let hint = "See to it that the one build gets it too: it is part of the command.";
            self.report(Severity::Info, named.span, problem.hint(hint));
        }
        let mut args = BTreeMap::new();
        for arg in &build.args {
            let (name, value) = match arg.text.split_once('=') {
                Some((name, _)) => (name, Some(arg.tail(name.len() + 1))),
                None => (arg.text.as_str(), self.variables.get(&arg.text).cloned()),
            };
            args.insert(name.to_owned(), value);
        }
        let platform = match &build.platform {
            Some(platform) => Some(self.known(platform, "which platform this builds for")?),
            None => None,
        };
        let target = match &build.target {
            Some(target) => Some(self.known(target, "which stage this builds")?),
            None => None,
        };
        let analysis = self.analysis(file, &args, platform.as_deref(), target.as_deref());
        self.report_file(file, &analysis, build.target.as_ref());
        let unit = self.unit(file, context, args, platform, &analysis);
        self.look(unit, &analysis);
        let stage = analysis.target?;
        let source = Source::Stage { unit, stage };
        let mut names = Vec::new();
        for tag in &build.tags {
            self.images.insert(image_key(&tag.text), source.clone());
            names.push(tag.text.clone());
        }
        if let Some(unit) = self.units.get_mut(unit) {
            unit.tags.entry(stage).or_default().extend(names.iter().cloned());
        }
        for output in &build.outputs {
            self.output(
                output,
                &source,
                names.first().map_or("image", String::as_str),
                span,
            );
        }
        let name = self
            .pattern
            .dockerfiles
            .get(file)
            .map_or("", |file| file.name.as_str());
        let pushed = if build.push {
            " Push the image once it is built."
        } else {
            ""
        };
        self.note(span, Became::Stage, format!("The stages of {name}.{pushed}"));
        let printed = names.pop().unwrap_or_else(|| {
            let name = format!("image-{unit}-{stage}");
            self.images.insert(image_key(&name), source);
            name
        });
        self.last = Some(LastBuild { unit, stage, build });
        Some(printed)
    }

    /// The folder that a build takes as its context. Says so where there is no telling.
    fn context(&mut self, build: &Build, span: Span) -> Option<Context> {
        let Some(written) = &build.context else {
            let problem = Problem::new("no-context", "This build names no context.");
            self.report(
                Severity::Error,
                span,
                problem.hint("Put the folder at its end: a . for this one."),
            );
            return None;
        };
        let text = self.known(written, "what the context of this build is")?;
        if text == "-" {
            return Some(Context { folder: None });
        }
        if text.contains("://") || text.starts_with("git@") || text.starts_with("github.com/") {
            let problem = Problem::new(
                "remote-context",
                "The context of this build is not a folder beside the script.",
            );
            let hint = "Fetch it beside the script, or take its files with ADD and the address.";
            self.report(Severity::Error, written.span, problem.hint(hint));
            return None;
        }
        Some(Context {
            folder: Some(host::path(&self.folder, &text)),
        })
    }

    /// Which of the Dockerfiles a build names.
    fn dockerfile(
        &mut self,
        build: &Build,
        context: Option<&str>,
        command: &Command,
        span: Span,
    ) -> Option<usize> {
        let written = build.file.clone().filter(|file| file.text != "-");
        let from_input = context.is_none() || build.file.as_ref().is_some_and(|file| file.text == "-");
        let written = match (written, from_input) {
            (Some(written), _) => Some(written),
            (None, true) => {
                let input = self.read_from(command);
                if input.is_none() {
                    let problem = Problem::new(
                        "dockerfile-from-input",
                        "The Dockerfile of this build comes from another command.",
                    );
                    let hint = "Put it into a file, and name that with -f.";
                    self.report(Severity::Error, span, problem.hint(hint));
                    return None;
                }
                input
            }
            (None, false) => None,
        };
        let place = written.as_ref().map_or(span, |written| written.span);
        let mut wanted = Vec::new();
        if let Some(written) = &written {
            let text = self.known(written, "which Dockerfile this builds")?;
            wanted.push(host::path(&self.folder, &text));
            // Some engines look for it in the context.
            wanted.extend(context.map(|context| host::path(context, &text)));
        } else {
            let folder = context.unwrap_or_default();
            wanted.push(host::join(folder, "Dockerfile"));
            wanted.push(host::join(folder, "Containerfile"));
        }
        let names = self
            .pattern
            .dockerfiles
            .iter()
            .map(|file| host::path("", &file.name));
        let names: Vec<String> = names.collect();
        let found = wanted
            .iter()
            .find_map(|wanted| names.iter().position(|name| name == wanted));
        if found.is_none() {
            for wanted in &wanted {
                if !self.lacking.contains(wanted) {
                    self.lacking.push(wanted.clone());
                }
            }
            let wanted = wanted.first().map_or("", String::as_str);
            let message = format!("The script builds {wanted}, which is not among the Dockerfiles.");
            let problem = Problem::new("unknown-dockerfile", message)
                .hint(format!("Give {wanted} along with the script."))
                .suggest(wanted, names.iter().map(String::as_str));
            self.report(Severity::Error, place, problem);
        }
        found
    }

    fn analysis(
        &self,
        file: usize,
        args: &BTreeMap<String, Option<Value>>,
        platform: Option<&str>,
        target: Option<&str>,
    ) -> Analysis {
        let source = self.pattern.dockerfiles.get(file).map(|file| file.text.clone());
        let known = args.iter().filter_map(|(name, value)| {
            let value = value.as_ref().filter(|value| value.unknown.is_none())?;
            Some((name.clone(), value.text.clone()))
        });
        crate::analyze(&Input {
            source: source.unwrap_or_default(),
            options: Options {
                target: target.map(str::to_owned),
                build_args: known.collect(),
                platform: platform.and_then(|platform| platform.parse().ok()),
                images: self.pattern.images.clone(),
                ..Options::default()
            },
        })
    }

    /// What is wrong with a Dockerfile is said of it; that it lacks the target is the script's fault.
    fn report_file(&mut self, file: usize, analysis: &Analysis, target: Option<&Value>) {
        let name = self.pattern.dockerfiles.get(file).map(|file| file.name.clone());
        for diagnostic in &analysis.diagnostics {
            match target {
                Some(target) if diagnostic.code == "unknown-target" => {
                    let problem = Problem::new("unknown-target", diagnostic.message.clone());
                    let problem = match &diagnostic.hint {
                        Some(hint) => problem.hint(hint.clone()),
                        None => problem,
                    };
                    self.report(Severity::Error, target.span, problem);
                }
                _ => self.findings.push(Finding {
                    file: name.clone().unwrap_or_default(),
                    diagnostic: diagnostic.clone(),
                }),
            }
        }
    }

    /// The unit that this build is of; a new one where it was not built in this way before.
    fn unit(
        &mut self,
        file: usize,
        context: Option<String>,
        args: BTreeMap<String, Option<Value>>,
        platform: Option<String>,
        analysis: &Analysis,
    ) -> usize {
        let texts = |args: &BTreeMap<String, Option<Value>>| -> Vec<(String, Option<String>)> {
            let text = |value: &Option<Value>| value.as_ref().map(|value| value.text.clone());
            args.iter()
                .map(|(name, value)| (name.clone(), text(value)))
                .collect()
        };
        let same = |unit: &Unit<'p>| {
            unit.file == file
                && unit.context == context
                && unit.platform == platform
                && texts(&unit.args) == texts(&args)
        };
        if let Some(unit) = self.units.iter().position(same) {
            return unit;
        }
        let source: &'p str = self
            .pattern
            .dockerfiles
            .get(file)
            .map_or("", |file| file.text.as_str());
        let mut tree = syntax::parse(source);
        // What is wrong with it was said already.
        let program = stage::collect(&mut tree, &mut Vec::new());
        let directives = tree.directives.iter();
        self.units.push(Unit {
            file,
            source,
            context,
            args,
            platform,
            analysis: analysis.clone(),
            program,
            directives: directives
                .map(|directive| (directive.name.clone(), directive.value.clone(), directive.span))
                .collect(),
            escape: tree.escape,
            nodes: tree.nodes,
            rewrites: Vec::new(),
            links: Vec::new(),
            tags: BTreeMap::new(),
            seen: BTreeSet::new(),
        });
        self.sections.push(Section::Unit(self.units.len() - 1));
        self.units.len() - 1
    }

    /// Finds out what the stages that this build needs take from before. A stage that was built before is not built
    /// again, so that it keeps what it took then.
    fn look(&mut self, at: usize, analysis: &Analysis) {
        let Some(unit) = self.units.get(at) else { return };
        let first = |stage: usize| {
            let needed = analysis.stages.get(stage).is_some_and(|stage| stage.needed);
            needed && !unit.seen.contains(&stage)
        };
        let mut edges: Vec<Edge> = analysis
            .edges
            .iter()
            .filter(|edge| first(edge.to_stage))
            .cloned()
            .collect();
        let seen: Vec<usize> = (0..analysis.stages.len()).filter(|stage| first(*stage)).collect();
        let context = unit.context.clone();
        edges.sort_by_key(|edge| (edge.to_stage, edge.to_step));
        let mut rewrites = Vec::new();
        let mut links = Vec::new();
        for edge in edges {
            match (edge.from, edge.to_step) {
                (EdgeSource::Image(image), step) => {
                    let image = analysis.images.get(image);
                    if let Some(image) = image
                        && let Some(source) = self.images.get(&image.reference)
                    {
                        links.push(Link {
                            kind: edge.kind,
                            source: source.clone(),
                            name: image.name.clone(),
                            stage: edge.to_stage,
                            step,
                            span: edge.span,
                        });
                    }
                }
                (EdgeSource::Context, Some(step)) if edge.kind == EdgeKind::Copy => {
                    if let Some(context) = &context {
                        rewrites.extend(self.taken(at, context, &edge, step));
                    }
                }
                (EdgeSource::Context | EdgeSource::Stage(_), _) => {}
            }
        }
        if let Some(unit) = self.units.get_mut(at) {
            unit.seen.extend(seen);
            unit.rewrites.extend(rewrites);
            unit.links.extend(links);
        }
    }

    /// What a COPY takes of what the script carried; `None` where that is nothing.
    fn taken(&mut self, unit: usize, context: &str, edge: &Edge, step: usize) -> Option<Rewrite> {
        let is_add = self
            .units
            .get(unit)
            .and_then(|unit| unit.node(edge.to_stage, step))
            .is_some_and(|(node, _)| node.keyword == Some(Keyword::Add));
        let mut sources = Vec::new();
        for path in &edge.paths {
            let remote = is_add && (path.contains("://") || path.starts_with("git@"));
            let inner = host::path("", path.trim_start_matches('/'));
            let path = host::join(context, &inner);
            let taken = if remote {
                Taken {
                    context: true,
                    ..Taken::default()
                }
            } else {
                self.take(&path)
            };
            if taken.context && !remote {
                if self.host.get(&path) == Some(&Entry::Written) {
                    self.made_beside(unit, edge, &path);
                }
                self.host.context.insert(path);
            }
            for take in &taken.takes {
                self.ignored(context, take);
                if let Some(carried) = self.carried.get_mut(take.carried) {
                    carried.uses.insert(Use::Step {
                        unit,
                        stage: edge.to_stage,
                        step,
                    });
                }
            }
            sources.push(taken);
        }
        sources
            .iter()
            .any(|taken| !taken.takes.is_empty())
            .then_some(Rewrite {
                stage: edge.to_stage,
                step,
                sources,
            })
    }

    /// A file that was carried into the context, and does not enter the build from there.
    fn ignored(&mut self, context: &str, take: &Take) {
        let inside = host::inside(context, &take.host).unwrap_or_default();
        if inside.is_empty() || !self.ignore.as_ref().is_some_and(|ignore| ignore.ignores(inside)) {
            return;
        }
        let message =
            format!("The ignore file leaves {inside} out of the context, so the build did not see it there.");
        let problem = Problem::new("ignored-file", message);
        let hint = "The conversion copies it from its stage, where no ignore file holds; leave the COPY out if it is not meant.";
        let span = self.carried.get(take.carried).map(|carried| carried.span);
        self.report(Severity::Warning, span.unwrap_or_default(), problem.hint(hint));
    }

    /// A COPY takes a file that a command of the script makes.
    fn made_beside(&mut self, unit: usize, edge: &Edge, path: &str) {
        let Some(file) = self
            .units
            .get(unit)
            .and_then(|unit| self.pattern.dockerfiles.get(unit.file))
        else {
            return;
        };
        let lines = self
            .units
            .get(unit)
            .and_then(|unit| unit.node_at(edge.span.start))
            .map(|node| node.lines);
        let message = format!("{path} is made by a command of the script, not by a build.");
        self.findings.push(Finding {
            file: file.name.clone(),
            diagnostic: Problem::new("made-beside", message)
                .hint("Make it before the build, or write it here: COPY <<EOF, or a RUN.")
                .into_diagnostic(Severity::Warning, edge.span, lines.unwrap_or_default()),
        });
    }

    /// Where a path beside the script comes from.
    pub(super) fn take(&mut self, path: &str) -> Taken {
        let pattern = path.contains(['*', '?', '[']);
        let literal = if pattern {
            let end = path.find(['*', '?', '[']).unwrap_or(path.len());
            path.get(..end)
                .and_then(|before| before.rfind('/'))
                .and_then(|slash| path.get(..slash))
                .unwrap_or_default()
        } else {
            path
        };
        let mut taken = Taken::default();
        let mut whole = false;
        if let Some((at, _, folder)) = self.host.taken_above(literal)
            && let Some(carried) = self.carried.get(at)
        {
            let rest = host::inside(&folder, path).unwrap_or_default();
            let known = self.host.context.contains(path)
                || self.host.known.as_ref().is_some_and(|known| known.contains(path));
            if carried.over && known && !rest.is_empty() {
                taken.context = true;
                return taken;
            }
            whole = true;
            // What lies over a folder of the context leaves the rest of that in view.
            taken.context = carried.over && (rest.is_empty() || pattern);
            taken.takes.push(Take {
                carried: at,
                path: host::join(&carried.path, rest),
                host: path.to_owned(),
                below: String::new(),
                renamed: rest.is_empty() && !carried.folder && host::base(path) != host::base(&carried.path),
                archive: false,
            });
        }
        let take = |at: usize, carried: &Carried, host: &str, below: &str, archive: bool| Take {
            carried: at,
            path: carried.path.clone(),
            host: host.to_owned(),
            below: below.to_owned(),
            renamed: below.is_empty() && !carried.folder && host::base(host) != host::base(&carried.path),
            archive,
        };
        if pattern {
            for (known, entry) in self.host.below(literal) {
                if let Entry::Taken(at) | Entry::Archive(at) = entry
                    && let Some(carried) = self.carried.get(*at)
                    && host::fits(path, known)
                {
                    let archive = matches!(entry, Entry::Archive(_));
                    taken.takes.push(take(*at, carried, known, "", archive));
                }
            }
            taken.context |= !whole && !self.host.is_new(literal);
            return taken;
        }
        if let Some(Entry::Archive(at)) = self.host.get(path)
            && let Some(carried) = self.carried.get(*at)
        {
            taken.takes.push(take(*at, carried, path, "", true));
            return taken;
        }
        for (known, entry) in self.host.below(path) {
            if let Entry::Taken(at) = entry
                && let Some(carried) = self.carried.get(*at)
                && let Some(below) = host::inside(path, known)
            {
                taken.takes.push(take(*at, carried, known, below, false));
            }
        }
        taken.context |= !whole && (!self.host.is_new(path) || taken.takes.is_empty());
        taken
    }

    /// `docker build --output`: the files of the result come to lie beside the script.
    fn output(&mut self, output: &Value, source: &Source, name: &str, span: Span) {
        let fields = output.text.split(',');
        let field = |key: &str| {
            let mut found = fields.clone().filter_map(|field| field.split_once('='));
            found
                .find(|(name, _)| *name == key)
                .map(|(_, value)| value.to_owned())
        };
        let kind = field("type");
        let (folder, archive) = match (kind.as_deref(), field("dest")) {
            (None, None) if output.text == "-" => return,
            (None, None) => (output.text.clone(), false),
            (Some("local"), Some(folder)) => (folder, false),
            (Some("tar"), Some(file)) => (file, true),
            _ => return,
        };
        let host = host::path(&self.folder, &folder);
        let over = self.host.is_folder(&host) && !self.host.is_new(&host);
        self.carry(
            Carried {
                container: name.to_owned(),
                source: source.clone(),
                path: "/".into(),
                host,
                folder: true,
                file: false,
                over,
                mode: None,
                span,
                uses: BTreeSet::new(),
                moved: false,
            },
            archive,
            over,
        );
    }

    /// Something comes to lie beside the script: in the place of what is there, or `into` the folder that is there.
    pub(super) fn carry(&mut self, carried: Carried, archive: bool, into: bool) {
        let host = carried.host.clone();
        self.carried.push(carried);
        let at = self.carried.len() - 1;
        let entry = if archive {
            Entry::Archive(at)
        } else {
            Entry::Taken(at)
        };
        if into {
            self.host.overlay(host, entry);
        } else {
            self.host.put(host, entry);
        }
    }
}
