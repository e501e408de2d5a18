//! The containers of a script: what they were made from, what ran in them, and what was copied out.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use crate::analysis::ImageConfig;
use crate::diagnostic::{Problem, Severity};
use crate::span::Span;

use super::Became;
use super::builds::Taken;
use super::engine::{Action, Run};
use super::host::{self, Entry};
use super::shell::Command;
use super::story::{Carried, Section, Source, Story, Tar, Use, image_key};
use super::words::{HERE, Value};

/// A container.
#[derive(Debug)]
pub(super) struct Container {
    /// What the script calls it.
    pub(super) name: String,
    /// Whether the script gave it that name.
    pub(super) named: bool,
    pub(super) image: Source,
    /// What ran in it, in order; nothing where it was only made.
    pub(super) steps: Vec<Step>,
    pub(super) span: Span,
    /// What would run if it were started.
    waiting: Option<Run>,
}

/// Something that was done in a container.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Env(String, String),
    Workdir(String),
    User(String),
    /// Files from beside the script: the source, where each comes from, the destination.
    Copy {
        source: String,
        taken: Taken,
        to: String,
    },
    /// A command, and what is mounted for it (`type=cache,…`).
    Run {
        words: Vec<String>,
        mounts: Vec<String>,
    },
}

impl Story<'_> {
    /// Follows a command of the engine; gives what it prints, where that names what it made.
    pub(super) fn engine(
        &mut self,
        action: Action,
        command: &Command,
        rest: &[Command],
        span: Span,
    ) -> Option<String> {
        match action {
            Action::Build(build) => self.build(*build, command, span),
            Action::Create { run, starts } => self.create(*run, starts, command, span),
            Action::Start(containers) => {
                for container in containers {
                    if let Some(at) = self.container(&container, span)
                        && let Some(run) = self.containers.get_mut(at).and_then(|found| found.waiting.take())
                    {
                        self.run(at, &run, span);
                    }
                }
                self.note(span, Became::Run, "What the container ran is a RUN.");
                None
            }
            Action::Exec {
                container,
                command,
                run,
            } => {
                if let Some(at) = self.container(&container, span) {
                    self.lost(&run);
                    let words = self.command_words(&command);
                    self.settings(at, &run);
                    self.step(
                        at,
                        Step::Run {
                            words,
                            mounts: Vec::new(),
                        },
                    );
                    self.note(span, Became::Run, "What ran in the container is a RUN.");
                }
                None
            }
            Action::Copy { from, to } => {
                self.copy(&from, &to, command, rest, span);
                None
            }
            Action::Export { container, output } => {
                if let Some(at) = self.container(&container, span) {
                    let output = output.or_else(|| self.written_to(command));
                    let carried = self.carried_from(at, "/", "", span);
                    self.streamed(carried, output.as_ref(), rest, span);
                }
                None
            }
            Action::Tag { from, to } => {
                match self.images.get(&image_key(&from.text)).cloned() {
                    Some(source) => {
                        for to in &to {
                            self.images.insert(image_key(&to.text), source.clone());
                        }
                        self.note(
                            span,
                            Became::Nothing,
                            "Give the image this name as well: --tag may be given twice.",
                        );
                    }
                    None => self.note(span, Became::Beside, "This image is not built here."),
                }
                None
            }
            Action::Push(image) => {
                let local = image.is_some_and(|image| self.images.contains_key(&image_key(&image.text)));
                let message = if local {
                    "Push the image once it is built, or give --push."
                } else {
                    "This image is not built here."
                };
                self.note(span, Became::Beside, message);
                None
            }
            Action::Commit { container, image } => {
                if let Some(at) = self.container(&container, span) {
                    let source = self.source_of(at);
                    self.images.insert(image_key(&image.text), source);
                    self.note(
                        span,
                        Became::Stage,
                        "The container is a stage, and so can be started from.",
                    );
                }
                None
            }
            Action::RemoveContainers(containers) => {
                for container in containers {
                    self.running.remove(&container.text);
                }
                self.note(span, Became::Nothing, "A build leaves no container behind.");
                None
            }
            Action::RemoveImages(images) => {
                for image in images {
                    self.images.remove(&image_key(&image.text));
                }
                self.note(span, Became::Nothing, "Stages leave no image behind.");
                None
            }
            Action::Aside => {
                self.note(span, Became::Nothing, "This changes no image.");
                None
            }
            Action::Unclear(word) => {
                self.note(span, Became::Unclear, "This is not followed.");
                let message = format!("What {} does here is not known.", word.shown());
                let problem = Problem::new("unclear-command", message).at(word.span);
                let hint = "Leave it out where the image does not depend on it; where it takes a value, write --flag=value.";
                self.report(Severity::Error, span, problem.hint(hint));
                None
            }
        }
    }

    /// The container of that name. Says so where there is none.
    fn container(&mut self, name: &Value, span: Span) -> Option<usize> {
        if let Some(at) = self.running.get(&name.text) {
            return Some(*at);
        }
        let place = if name.span == Span::default() {
            span
        } else {
            name.span
        };
        let message = format!("There is no container {} at this point.", name.shown());
        let names: Vec<String> = self.running.keys().cloned().collect();
        let problem = Problem::new("unknown-container", message)
            .hint("Make it before, with docker create --name and its name.")
            .suggest(&name.text, names.iter().map(String::as_str));
        self.report(Severity::Error, place, problem);
        self.note(span, Became::Unclear, "This is not followed.");
        None
    }

    /// Where the files of a container come from: nothing ran in it where it was only made.
    fn source_of(&self, at: usize) -> Source {
        match self.containers.get(at) {
            Some(container) if container.steps.is_empty() => container.image.clone(),
            _ => Source::Container(at),
        }
    }

    fn image(&self, name: &Value) -> Source {
        let local = self.images.get(&image_key(&name.text)).cloned();
        local.unwrap_or_else(|| Source::Image(name.text.clone()))
    }

    /// `docker create` and `docker run`.
    fn create(&mut self, run: Run, starts: bool, command: &Command, span: Span) -> Option<String> {
        let image = run.image.clone()?;
        let source = self.image(&image);
        if let Source::Image(_) = source {
            self.known(&image, "which image this container is made of")?;
        }
        let at = self.containers.len();
        let name = run
            .name
            .as_ref()
            .map_or_else(|| format!("container-{at}"), |name| name.text.clone());
        self.containers.push(Container {
            name: name.clone(),
            named: run.name.is_some(),
            image: source,
            steps: Vec::new(),
            span,
            waiting: None,
        });
        self.running.insert(name.clone(), at);
        if !starts {
            if let Some(container) = self.containers.get_mut(at) {
                container.waiting = Some(run);
            }
            self.note(span, Became::Nothing, "Files are copied from the stage itself.");
            return Some(name);
        }
        if let Some(output) = self.written_to(command) {
            self.printed_file(at, &run, &output, span);
            return Some(name);
        }
        let stays = run.name.is_some() || run.detached || !run.volumes.is_empty() || !run.mounts.is_empty();
        // Without a name nothing can be taken out of it later.
        if stays {
            self.run(at, &run, span);
            let empty = self
                .containers
                .get(at)
                .is_none_or(|container| container.steps.is_empty());
            let message = if empty {
                "The container only holds the files of its image."
            } else {
                "What the container runs is a RUN of a stage of its own."
            };
            self.note(span, if empty { Became::Nothing } else { Became::Run }, message);
        } else {
            self.note(
                span,
                Became::Beside,
                "This runs in the image, and leaves nothing behind.",
            );
        }
        Some(name)
    }

    /// `docker run image cat /path > file`: another way to take a file out.
    fn printed_file(&mut self, at: usize, run: &Run, output: &Value, span: Span) {
        let words: Vec<&str> = run.command.iter().map(|word| word.text.as_str()).collect();
        let is_cat = |word: &str| host::base(word) == "cat";
        let path = match (run.entrypoint.as_ref(), words.as_slice()) {
            (None, [cat, path]) if is_cat(cat) => Some(*path),
            (Some(cat), [path]) if is_cat(&cat.text) => Some(*path),
            _ => None,
        };
        let host = host::path(&self.folder, &output.text);
        let Some(path) = path else {
            self.host.put(host, Entry::Written);
            self.note(
                span,
                Became::Beside,
                format!("{} is made beside the build.", output.shown()),
            );
            let problem = Problem::new(
                "output-of-command",
                "The output of a container becomes a file here.",
            );
            let hint = "Let a RUN of the image write it to a file, and docker cp that.";
            self.report(Severity::Warning, span, problem.hint(hint));
            return;
        };
        let path = path.to_owned();
        let mut carried = self.carried_from(at, &path, &host, span);
        carried.file = true;
        // The shell that writes it gives it the mode of any new file.
        carried.mode = Some("644".into());
        self.carry(carried, false, false);
        self.note(
            span,
            Became::Copy,
            format!("{path} is copied from the stage itself."),
        );
    }

    fn step(&mut self, at: usize, step: Step) {
        let Some(container) = self.containers.get_mut(at) else {
            return;
        };
        if container.steps.is_empty() {
            self.sections.push(Section::Container(at));
        }
        container.steps.push(step);
    }

    /// What is set for a command in a container.
    fn settings(&mut self, at: usize, run: &Run) {
        for env in &run.env {
            let (name, value) = if let Some((name, value)) = env.text.split_once('=') {
                (name.to_owned(), Some(value.to_owned()))
            } else {
                let known = self.variables.get(&env.text).map(|value| value.text.clone());
                (env.text.clone(), known)
            };
            if let Some(value) = value {
                self.step(at, Step::Env(name, value));
            }
        }
        if let Some(folder) = &run.workdir {
            self.step(at, Step::Workdir(folder.text.clone()));
        }
        if let Some(user) = &run.user {
            self.step(at, Step::User(user.text.clone()));
        }
    }

    fn lost(&mut self, run: &Run) {
        for flag in &run.lost {
            let message = format!("{} cannot be kept: a build step is not given it.", flag.text);
            let problem = Problem::new("lost-flag", message);
            let hint =
                "See whether the command works without it; RUN knows --network, --security and --device.";
            self.report(Severity::Warning, flag.span, problem.hint(hint));
        }
    }

    fn command_words(&mut self, command: &[Value]) -> Vec<String> {
        let mut words = Vec::new();
        for word in command {
            if self.known(word, "what runs in the container").is_some() {
                words.push(word.text.replace(HERE, "."));
            }
        }
        words
    }

    /// The command of a container runs.
    fn run(&mut self, at: usize, run: &Run, span: Span) {
        self.lost(run);
        let Some(words) = self.whole_command(at, run, span) else {
            return;
        };
        let mut mounts = Vec::new();
        let mut outputs = Vec::new();
        let mut inputs = Vec::new();
        for volume in run.volumes.iter().chain(&run.mounts) {
            let Some((from, to, read_only)) = volume_of(&volume.text) else {
                continue;
            };
            let is_path = from.starts_with(['/', '.', '~', HERE, '$']) || from.contains('/');
            if !is_path {
                mounts.push(format!("type=cache,id={from},target={to}"));
                continue;
            }
            let Some(_) = self.known(volume, "what is mounted") else {
                continue;
            };
            let host = host::path(&self.folder, &from);
            if host::inside("", &host).is_none() {
                mounts.push(format!("type=cache,target={to}"));
                let message =
                    format!("{from} lies outside of what a build sees, so a cache takes its place.");
                let problem = Problem::new("outside-mount", message);
                let hint = "Where the command needs the files in it, copy them into the context first.";
                self.report(Severity::Warning, volume.span, problem.hint(hint));
                continue;
            }
            inputs.push((host, to, read_only));
        }
        self.settings_but_workdir(at, run);
        for (host, to, read_only) in inputs {
            let taken = self.take(&host);
            for take in &taken.takes {
                if let Some(carried) = self.carried.get_mut(take.carried) {
                    carried.uses.insert(Use::Container(at));
                }
            }
            self.step(
                at,
                Step::Copy {
                    source: host.clone(),
                    taken,
                    to: to.clone(),
                },
            );
            if !read_only {
                outputs.push((host, to));
            }
        }
        if let Some(folder) = &run.workdir {
            self.step(at, Step::Workdir(folder.text.clone()));
        }
        self.step(at, Step::Run { words, mounts });
        for (host, to) in outputs {
            let mut carried = self.carried_from(at, &to, &host, span);
            carried.folder = true;
            self.carry(carried, false, false);
        }
    }

    fn settings_but_workdir(&mut self, at: usize, run: &Run) {
        let without = Run {
            workdir: None,
            ..run.clone()
        };
        self.settings(at, &without);
    }

    /// All words of what a container runs; `None` where it runs nothing that would change its files.
    fn whole_command(&mut self, at: usize, run: &Run, span: Span) -> Option<Vec<String>> {
        let config = self.config(at);
        let list = |key: &str| -> Option<Vec<String>> {
            let list = config.as_ref()?.get("config")?.get(key)?.as_array()?;
            Some(list.iter().filter_map(Json::as_str).map(str::to_owned).collect())
        };
        let own = self.command_words(&run.command);
        let given = !own.is_empty() || run.entrypoint.is_some();
        let mut words: Vec<String> = match &run.entrypoint {
            Some(entrypoint) => Some(entrypoint.text.clone())
                .filter(|text| !text.is_empty())
                .into_iter()
                .collect(),
            None => list("Entrypoint").unwrap_or_default(),
        };
        if !given && (run.detached || config.is_none()) {
            // Usually a server, or nothing that matters: it is there to be copied from.
            let container = self.containers.get(at).map(|container| container.name.clone());
            let name = container.unwrap_or_default();
            let message = format!("What the image runs by itself is not run for {name}.");
            let problem = Problem::new("default-command", message);
            let hint = "Where the file is made by it, write the command behind the image.";
            self.report(Severity::Info, span, problem.hint(hint));
            return None;
        }
        if own.is_empty() && run.entrypoint.is_none() {
            words.extend(list("Cmd").unwrap_or_default());
        }
        words.extend(own);
        let idle = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            [] => true,
            [one] => matches!(
                host::base(one),
                "true" | "sh" | "bash" | "ash" | "cat" | ":" | "pause"
            ),
            [first, ..] => {
                matches!(host::base(first), "sleep")
                    || (host::base(first) == "tail" && words.iter().any(|word| word == "/dev/null"))
            }
        };
        (!idle).then_some(words)
    }

    /// The configuration of the image that a container was made of, where it is known.
    fn config(&self, at: usize) -> Option<Json> {
        match &self.containers.get(at)?.image {
            Source::Stage { unit, stage } => {
                let analysis = &self.units.get(*unit)?.analysis;
                let config = analysis.image_config.as_ref();
                config
                    .filter(|_| analysis.target == Some(*stage))
                    .map(ImageConfig::to_value)
            }
            Source::Image(name) => self
                .pattern
                .images
                .get(&image_key(name))
                .map(|facts| facts.config.clone()),
            Source::Container(_) => None,
        }
    }

    fn carried_from(&self, at: usize, path: &str, host: &str, span: Span) -> Carried {
        let path = format!("/{}", host::path("", path.trim_start_matches('/')));
        let container = self.containers.get(at);
        Carried {
            container: container
                .map(|container| container.name.clone())
                .unwrap_or_default(),
            source: self.source_of(at),
            folder: path == "/",
            path,
            host: host.to_owned(),
            file: false,
            over: false,
            mode: None,
            span,
            uses: BTreeSet::new(),
            moved: false,
        }
    }

    /// `docker cp`.
    fn copy(&mut self, from: &Value, to: &Value, command: &Command, rest: &[Command], span: Span) {
        match (in_container(from), in_container(to)) {
            (Some((container, path)), None) => {
                let Some(at) = self.container(&container, span) else {
                    return;
                };
                if self.known(&path, "which file this takes").is_none() {
                    return;
                }
                if to.text == "-" {
                    let carried = self.carried_from(at, &path.text, "", span);
                    let output = self.written_to(command);
                    self.streamed(carried, output.as_ref(), rest, span);
                    return;
                }
                let Some(target) = self.known(to, "where this file goes") else {
                    return;
                };
                let host = host::path(&self.folder, &target);
                let into = target.ends_with('/') || target.ends_with("/.") || self.host.is_folder(&host);
                let contents = path.text.ends_with("/.") || path.text == "." || path.text == "/";
                let mut carried = self.carried_from(at, &path.text, &host, span);
                carried.folder |= contents || path.text.ends_with('/');
                if into && !contents {
                    carried.host = host::join(&host, host::base(&carried.path));
                } else if into {
                    carried.over = !self.host.is_new(&host);
                }
                if carried.path.contains(['*', '?', '[', '\\', '$', '"', '\'']) {
                    let problem = Problem::new(
                        "odd-path",
                        "This path has letters in it that COPY reads as a pattern.",
                    );
                    let hint = "Give the file a plain name in the stage that makes it.";
                    self.report(Severity::Error, path.span, problem.hint(hint));
                    return;
                }
                let shown = carried.path.clone();
                self.carry(carried, false, into && contents);
                self.note(
                    span,
                    Became::Copy,
                    format!("{shown} is copied from where it is made, without a stop at the host."),
                );
            }
            (None, Some((container, path))) => {
                let Some(at) = self.container(&container, span) else {
                    return;
                };
                let Some(source) = self.known(from, "which file this takes") else {
                    return;
                };
                if source == "-" {
                    self.note(span, Became::Unclear, "This is not followed.");
                    let problem = Problem::new(
                        "copy-from-input",
                        "What goes into the container comes from another command.",
                    );
                    self.report(
                        Severity::Error,
                        span,
                        problem.hint("Copy the file itself into the container."),
                    );
                    return;
                }
                let source = host::path(&self.folder, source.trim_end_matches("/."));
                let taken = self.take(&source);
                for take in &taken.takes {
                    if let Some(carried) = self.carried.get_mut(take.carried) {
                        carried.uses.insert(Use::Container(at));
                    }
                }
                self.step(
                    at,
                    Step::Copy {
                        source,
                        taken,
                        to: format!("/{}", path.text.trim_start_matches('/')),
                    },
                );
                self.note(
                    span,
                    Became::Copy,
                    "The file is copied into the container's stage.",
                );
            }
            _ => {
                self.note(span, Became::Unclear, "This is not followed.");
                let problem = Problem::new(
                    "unclear-command",
                    "One of the two has to be a path in a container.",
                );
                self.report(Severity::Error, span, problem.hint("Write container:/path."));
            }
        }
    }

    /// Files leave a container as an archive.
    fn streamed(&mut self, mut carried: Carried, output: Option<&Value>, rest: &[Command], span: Span) {
        if let Some(output) = output {
            carried.host = host::path(&self.folder, &output.text);
            self.carry(carried, true, false);
            self.note(
                span,
                Became::Copy,
                "The files are copied themselves, without an archive in between.",
            );
            return;
        }
        let [unpacks] = rest else {
            self.unclear_stream(span);
            return;
        };
        let words: Vec<Value> = self.plain_values(unpacks);
        let is_tar = words
            .first()
            .is_some_and(|first| host::base(&first.text) == "tar");
        let tar = Tar::read(words.get(1..).unwrap_or_default());
        if !is_tar || !tar.extracts {
            self.unclear_stream(span);
            return;
        }
        self.unpacked(carried, &tar, span);
    }

    fn unclear_stream(&mut self, span: Span) {
        self.note(span, Became::Unclear, "This is not followed.");
        let problem = Problem::new(
            "unclear-archive",
            "What becomes of the archive that this writes is not known.",
        );
        self.report(
            Severity::Error,
            span,
            problem.hint("Unpack it with tar -x, or copy the files to a path."),
        );
    }

    fn plain_values(&self, command: &Command) -> Vec<Value> {
        let text = &self.pattern.script.text;
        super::words::expand(&command.words, &self.variables, &mut |inner, written| {
            super::words::place(&super::shell::read(text, inner), text).unwrap_or_else(|| Value {
                text: written.to_owned(),
                unknown: Some(written.to_owned()),
                ..Value::default()
            })
        })
    }
}

/// A container and a path in it, where that is what a word says.
fn in_container(word: &Value) -> Option<(Value, Value)> {
    let (container, path) = word.text.split_once(':')?;
    let is_name = !container.is_empty() && !container.contains('/') && !container.starts_with(['.', HERE]);
    let name = Value {
        unknown: None,
        ..Value::known(container, word.span)
    };
    // What is not known of a container's name is not known of the path.
    let unknown = word
        .unknown
        .clone()
        .filter(|unknown| path.contains(unknown.as_str()));
    let path = Value {
        text: path.to_owned(),
        unknown,
        ..word.clone()
    };
    is_name.then_some((name, path))
}

/// `from:to[:options]` or `type=…,source=…,target=…`: from, to, and whether it is only read.
fn volume_of(text: &str) -> Option<(String, String, bool)> {
    if text.contains("target=") || text.contains("dst=") || text.contains("destination=") {
        let fields = text
            .split(',')
            .map(|field| field.split_once('=').unwrap_or((field, "")));
        let find = |keys: &[&str]| {
            let mut found = fields.clone().filter(|(key, _)| keys.contains(key));
            found.next().map(|(_, value)| value.to_owned())
        };
        let read_only = find(&["readonly", "ro"]).is_some_and(|value| value != "false");
        return Some((
            find(&["source", "src"])?,
            find(&["target", "dst", "destination"])?,
            read_only,
        ));
    }
    let mut parts = text.split(':');
    let (from, to) = (parts.next()?, parts.next()?);
    let read_only = parts
        .next()
        .is_some_and(|options| options.split(',').any(|option| option == "ro"));
    Some((from.to_owned(), to.to_owned(), read_only))
}
